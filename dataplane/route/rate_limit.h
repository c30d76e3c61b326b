/* Descriptors that routes and virtual hosts make of a request for rate limits (config.route.v3.RateLimit). Used by the rate
 * limit filters. Immutable after compile. */
#ifndef WEIR_ROUTE_RATE_LIMIT_H
#define WEIR_ROUTE_RATE_LIMIT_H

#include "dataplane/base/compile.h"
#include "dataplane/base/matcher.h"
#include "dataplane/base/request.h"

struct weir_descriptor_entry {
    struct weir_str key, value;
};

struct weir_rate_limit_action {
    enum {
        WEIR_ACTION_CONSTANT, /* generic_key, source_cluster */
        WEIR_ACTION_DESTINATION_CLUSTER,
        WEIR_ACTION_REQUEST_HEADER,
        WEIR_ACTION_REMOTE_ADDRESS,
        WEIR_ACTION_HEADER_VALUE_MATCH,
    } kind;
    struct weir_str key, value;
    struct weir_str header;
    bool skip_if_absent, expect_match;
    struct weir_header_matchers headers;
};
struct weir_rate_limit {
    uint32_t stage;
    uint32_t action_count;
    const struct weir_rate_limit_action *actions;
};

/* RateLimit[count]. */
enum weir_err weir_rate_limits_compile(struct weir_compile *c, const char *field, size_t count, void *const *pb,
                                       const struct weir_rate_limit **out) WEIR_MUST_USE;
/* Entries into out[action_count]; returns how many, -1 where an action has nothing to say: then there is no descriptor. Values
 * live in the request, the configuration or `arena`. */
int weir_rate_limit_descriptor(const struct weir_rate_limit *l, const struct weir_request *r, struct weir_arena *arena,
                               struct weir_descriptor_entry *out);

#endif
