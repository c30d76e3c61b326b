/* Matching one route. Called by the index for each candidate. */
#include "dataplane/route/match.h"

#include "dataplane/base/regex.h"
#include "dataplane/base/str.h"

static size_t path_length(struct weir_str path)
{
    size_t n = 0;
    while (n < path.n && path.p[n] != '?' && path.p[n] != '#')
        n++;
    return n;
}

struct weir_str weir_path_without_query(struct weir_str path)
{
    return (struct weir_str){path.p, path_length(path)};
}

void weir_route_input_init(struct weir_route_input *in, const struct weir_request *r, const struct weir_runtime *runtime,
                           bool ignore_parameters)
{
    struct weir_str path = weir_headers_get(r->headers, WEIR_H_PATH);
    size_t n = path_length(path);
    *in = (struct weir_route_input){.path = {path.p, n}, .request = r, .runtime = runtime};
    in->connect = weir_str_eq(weir_headers_get(r->headers, WEIR_H_METHOD), WEIR_STR("CONNECT"));
    if (n < path.n && path.p[n] == '?') {
        in->query = (struct weir_str){path.p + n + 1, path.n - n - 1};
        in->query.n = weir_str_find(in->query, '#');
    }
    if (ignore_parameters)
        in->path.n = weir_str_find(in->path, ';');
}

bool weir_route_match_path(const struct weir_route_match *m, const struct weir_route_input *in)
{
    if (in->path.p == NULL)
        return m->kind == WEIR_PATH_CONNECT && in->connect;
    switch (m->kind) {
    case WEIR_PATH_PREFIX:
        return m->ignore_case ? weir_str_starts_nocase(in->path, m->path) : weir_str_starts(in->path, m->path);
    case WEIR_PATH_EXACT:
        return m->ignore_case ? weir_str_eq_nocase(in->path, m->path) : weir_str_eq(in->path, m->path);
    case WEIR_PATH_SEPARATED_PREFIX:
        if (!(m->ignore_case ? weir_str_starts_nocase(in->path, m->path) : weir_str_starts(in->path, m->path)))
            return false;
        return in->path.n == m->path.n || in->path.p[m->path.n] == '/';
    case WEIR_PATH_REGEX: return weir_regex_full_match(m->regex, in->path);
    case WEIR_PATH_CONNECT: return in->connect;
    }
    return false;
}

/* The first value of a parameter, as it was sent; p NULL: none. */
static struct weir_str query_value(struct weir_str query, struct weir_str name)
{
    for (size_t at = 0; at < query.n;) {
        struct weir_str rest = {query.p + at, query.n - at};
        struct weir_str pair = {rest.p, weir_str_find(rest, '&')};
        size_t equals = weir_str_find(pair, '=');
        if (weir_str_eq((struct weir_str){pair.p, equals}, name))
            return equals < pair.n ? (struct weir_str){pair.p + equals + 1, pair.n - equals - 1} : WEIR_STR("");
        at += pair.n + 1;
    }
    return (struct weir_str){NULL, 0};
}

static bool match_query(const struct weir_query_matcher *m, struct weir_str query)
{
    struct weir_str value = query_value(query, m->name);
    if (m->by_presence)
        return (value.p != NULL) == m->present;
    return value.p != NULL && weir_string_matcher_match(&m->string, value);
}

static bool match_tls(const struct weir_route_match *m, const struct weir_tls_info *tls)
{
    bool presented = tls != NULL && tls->peer_certificate_presented;
    bool validated = tls != NULL && tls->peer_certificate_validated;
    return (m->tls_presented < 0 || m->tls_presented == presented) && (m->tls_validated < 0 || m->tls_validated == validated);
}

bool weir_route_match_rest(const struct weir_route_match *m, const struct weir_route_input *in)
{
    const struct weir_request *r = in->request;
    if (!weir_header_matchers_all(&m->headers, r->headers))
        return false;
    if (m->grpc && !r->is_grpc)
        return false;
    for (uint32_t i = 0; i < m->query_count; i++)
        if (!match_query(&m->query[i], in->query))
            return false;
    if (!match_tls(m, r->tls))
        return false;
    for (uint32_t i = 0; i < m->metadata_count; i++)
        if (!weir_metadata_matcher_match(&m->metadata[i], r->metadata))
            return false;
    return weir_fraction_hit(&m->fraction, in->runtime, r->random, true);
}
