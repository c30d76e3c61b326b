/* Whether a route matches: config.route.v3.RouteMatch, compiled. The path condition alone decides where a route stands in the
 * index (route/index.h); the others are looked at for the candidates that it yields. */
#ifndef WEIR_ROUTE_MATCH_H
#define WEIR_ROUTE_MATCH_H

#include "dataplane/base/matcher.h"
#include "dataplane/base/request.h"
#include "dataplane/base/runtime.h"

struct weir_regex;

enum weir_route_path {
    WEIR_PATH_PREFIX,
    WEIR_PATH_EXACT,
    WEIR_PATH_SEPARATED_PREFIX, /* the prefix, and then the end or a slash */
    WEIR_PATH_REGEX,            /* the whole path */
    WEIR_PATH_CONNECT,          /* a CONNECT request, which no other kind matches */
};

/* config.route.v3.QueryParameterMatcher: the first value of a parameter, as sent. */
struct weir_query_matcher {
    struct weir_str name;
    bool by_presence, present;
    struct weir_string_matcher string;
};

struct weir_route_match {
    enum weir_route_path kind;
    bool ignore_case; /* of PREFIX and EXACT */
    bool plain;       /* nothing is asked but the path */
    bool grpc;
    int8_t tls_presented, tls_validated; /* -1: not asked */
    struct weir_str path;
    const struct weir_regex *regex;
    struct weir_fraction fraction;
    struct weir_header_matchers headers;
    uint32_t query_count, metadata_count;
    const struct weir_query_matcher *query;
    const struct weir_metadata_matcher *metadata;
};

/* What routes ask of a request, taken apart once. */
struct weir_route_input {
    struct weir_str path;  /* without query and fragment; p NULL: a CONNECT request without path */
    struct weir_str query; /* after '?'; p NULL: none */
    bool connect;
    const struct weir_request *request;
    const struct weir_runtime *runtime;
};

/* ignore_parameters: the path ends at the first ';' (ignore_path_parameters_in_path_matching). */
void weir_route_input_init(struct weir_route_input *in, const struct weir_request *r, const struct weir_runtime *runtime,
                           bool ignore_parameters);
bool weir_route_match_path(const struct weir_route_match *m, const struct weir_route_input *in);
bool weir_route_match_rest(const struct weir_route_match *m, const struct weir_route_input *in);
static inline bool weir_route_match(const struct weir_route_match *m, const struct weir_route_input *in)
{
    return weir_route_match_path(m, in) && (m->plain || weir_route_match_rest(m, in));
}
/* The path of a request up to its query or fragment. */
struct weir_str weir_path_without_query(struct weir_str path);

#endif
