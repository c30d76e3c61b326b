/* Adds, replaces and removes headers by configured rules (envoy.filters.http.header_mutation). Rules of the filter come
 * first, then those of the route's levels, from the most specific to the least, so that the least specific has the last
 * word; most_specific_header_mutations_wins turns that round. compile() refuses bad rules: nothing can fail on a request. */
#include "dataplane/base/pb_names.h"
#include "dataplane/filters/filters.h"
#include "dataplane/limits.h"

#define LEVELS_MAX 4 /* weighted cluster, route, virtual host, table */

struct mutations { /* in the arena of the listener or the route table */
    struct weir_header_rules request, response;
};
struct config {
    struct mutations mutations;
    bool most_specific_wins;
};

static enum weir_err compile_rule(struct weir_compile *c, const pb_header_mutation_rule *pb, struct weir_header_rules *out)
{
    if (pb->action_case == ENVOY__CONFIG__COMMON__MUTATION_RULES__V3__HEADER_MUTATION__ACTION_APPEND)
        return weir_header_rules_compile(c, "append", 1, (void *const *)&pb->append, NULL, 0, NULL, out);
    return weir_header_rules_compile(c, NULL, 0, NULL, "remove", 1, &pb->remove, out);
}
/* Each mutation is a rule; they are applied in the order in which they stand. */
static enum weir_err compile_rules(struct weir_compile *c, const char *field, size_t count, pb_header_mutation_rule *const *pb,
                                   struct weir_header_rules *out)
{
    if (count > WEIR_HEADER_RULES_MAX) return weir_reject(c, field, "more than %d rules", WEIR_HEADER_RULES_MAX);
    struct weir_header_rule *at = weir_new(c, struct weir_header_rule, count);
    for (size_t i = 0; i < count; i++) {
        struct weir_header_rules one = {0};
        size_t mark = weir_path_push(c, field, (int)i);
        enum weir_err err = compile_rule(c, pb[i], &one);
        if (err != WEIR_OK) return err;
        weir_path_pop(c, mark);
        at[i] = one.at[0];
    }
    *out = (struct weir_header_rules){.count = (uint32_t)count, .at = at};
    return WEIR_OK;
}
static enum weir_err compile_mutations(struct weir_compile *c, const pb_header_mutations *pb, struct mutations *out)
{
    if (pb == NULL) return WEIR_OK;
    size_t mark = weir_path_push(c, "mutations", -1);
    enum weir_err err = compile_rules(c, "request_mutations", pb->n_request_mutations, pb->request_mutations, &out->request);
    if (err != WEIR_OK) return err;
    err = compile_rules(c, "response_mutations", pb->n_response_mutations, pb->response_mutations, &out->response);
    if (err == WEIR_OK) weir_path_pop(c, mark);
    return err;
}
static enum weir_err compile(struct weir_compile *c, const ProtobufCMessage *msg, struct weir_str stat_prefix, const void **out)
{
    (void)stat_prefix;
    const pb_header_mutation *pb = (const pb_header_mutation *)(const void *)msg;
    struct config *config = weir_new(c, struct config, 1);
    config->most_specific_wins = pb->most_specific_header_mutations_wins;
    *out = config;
    return compile_mutations(c, pb->mutations, &config->mutations);
}
static enum weir_err compile_route(struct weir_compile *c, const ProtobufCMessage *msg, const void **out)
{
    struct mutations *mutations = weir_new(c, struct mutations, 1);
    *out = mutations;
    return compile_mutations(c, ((const pb_header_mutation_per_route *)(const void *)msg)->mutations, mutations);
}

static void apply(struct weir_stream *s, struct weir_filter *f, struct weir_headers *h, bool response)
{
    const struct config *config = f->config;
    const void *levels[LEVELS_MAX];
    uint32_t count = f->route_config != NULL ? weir_stream_route_configs(s, f, levels, LEVELS_MAX) : 0;
    const struct weir_request *r = weir_stream_request(s);
    weir_header_rules_apply(response ? &config->mutations.response : &config->mutations.request, r, h);
    for (uint32_t i = 0; i < count; i++) {
        const struct mutations *m = levels[config->most_specific_wins ? count - 1 - i : i];
        weir_header_rules_apply(response ? &m->response : &m->request, r, h);
    }
}
static enum weir_verdict on_request_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    (void)end;
    apply(s, f, weir_stream_request_headers(s), false);
    return WEIR_CONTINUE;
}
static enum weir_verdict on_response_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    (void)end;
    apply(s, f, weir_stream_response_headers(s), true);
    return WEIR_CONTINUE;
}
const struct weir_http_filter weir_filter_header_mutation = {
    .name = "envoy.filters.http.header_mutation",
    .config_type = &pb_header_mutation_type,
    .route_config_type = &pb_header_mutation_per_route_type,
    .compile = compile,
    .compile_route = compile_route,
    .on_request_headers = on_request_headers,
    .on_response_headers = on_response_headers,
};
