/* Cross-origin resource sharing (envoy.filters.http.cors): answers preflights (Fetch, 3.2) that a route's policy allows, and
 * marks the responses of allowed origins. The policy is the route's; without one nothing is done. */
#include "dataplane/base/matcher.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/filters/filters.h"

/* clang-format off */
#define STATS(X) X(ORIGIN_INVALID, "origin_invalid", WEIR_COUNTER) X(ORIGIN_VALID, "origin_valid", WEIR_COUNTER)
/* clang-format on */
enum stat {
#define X(id, name, kind) STAT_##id,
    STATS(X)
#undef X
        STAT_COUNT
};
static const struct weir_stat_desc descs[STAT_COUNT] = {
#define X(id, name, kind) {name, kind},
    STATS(X)
#undef X
};

struct config {
    struct weir_stats *stats;
};
struct policy {
    uint32_t origin_count;
    const struct weir_string_matcher *origins;
    struct weir_str methods, headers, expose, max_age;
    bool credentials, private_network, forward_not_matching_preflights;
    bool enabled_by_default;
    struct weir_fraction enabled, shadow;
};
struct state {
    bool allowed;
    struct weir_str origin;
};

static void release_stats(void *set)
{
    weir_stats_release(set);
}
static enum weir_err compile(struct weir_compile *c, const ProtobufCMessage *msg, struct weir_str stat_prefix, const void **out)
{
    (void)msg;
    struct config *config = weir_new(c, struct config, 1);
    *out = config;
    if (c->stats == NULL) return WEIR_OK;
    config->stats = weir_stats_acquire(c->stats, weir_arena_printf(c->scratch, "%.*scors.", WEIR_STR_ARG(stat_prefix)), descs, STAT_COUNT);
    weir_arena_on_destroy(c->arena, release_stats, config->stats);
    return WEIR_OK;
}
static enum weir_err compile_route(struct weir_compile *c, const ProtobufCMessage *msg, const void **out)
{
    const pb_cors_policy *pb = (const pb_cors_policy *)(const void *)msg;
    struct policy *p = weir_new(c, struct policy, 1);
    struct weir_string_matcher *origins = weir_new(c, struct weir_string_matcher, pb->n_allow_origin_string_match);
    *out = p;
    p->origin_count = (uint32_t)pb->n_allow_origin_string_match;
    p->origins = origins;
    for (uint32_t i = 0; i < p->origin_count; i++) {
        enum weir_err err = weir_string_matcher_compile(c, "allow_origin_string_match", (int)i, pb->allow_origin_string_match[i], &origins[i]);
        if (err != WEIR_OK) return err;
    }
    p->methods = weir_compile_str(c, pb->allow_methods);
    p->headers = weir_compile_str(c, pb->allow_headers);
    p->expose = weir_compile_str(c, pb->expose_headers);
    p->max_age = weir_compile_str(c, pb->max_age);
    p->credentials = pb->allow_credentials != NULL && pb->allow_credentials->value;
    p->private_network = pb->allow_private_network_access != NULL && pb->allow_private_network_access->value;
    p->forward_not_matching_preflights = pb->forward_not_matching_preflights == NULL || pb->forward_not_matching_preflights->value;
    p->enabled_by_default = pb->filter_enabled == NULL && pb->shadow_enabled == NULL;
    weir_fraction_compile(c, pb->filter_enabled, &p->enabled);
    weir_fraction_compile(c, pb->shadow_enabled, &p->shadow);
    return WEIR_OK;
}

static void count(struct weir_stream *s, const struct config *config, enum stat stat)
{
    if (config->stats != NULL) weir_stat_inc(weir_stats_shard(config->stats, weir_stream_worker(s)->index), stat);
}
static bool origin_allowed(const struct policy *p, struct weir_str origin)
{
    for (uint32_t i = 0; i < p->origin_count; i++) {
        const struct weir_string_matcher *m = &p->origins[i];
        bool any = m->kind == WEIR_MATCH_EXACT && weir_str_eq(m->text, WEIR_STR("*"));
        if (any || weir_string_matcher_match(m, origin)) return true;
    }
    return false;
}
static void set(struct weir_headers *h, enum weir_header_id id, struct weir_str value)
{
    if (value.n > 0) weir_headers_set(h, id, value);
}
static enum weir_verdict answer_preflight(struct weir_stream *s, const struct policy *p, struct weir_str origin)
{
    const struct weir_headers *h = weir_stream_request_headers(s);
    struct weir_headers *extra = WEIR_NEW(weir_stream_arena(s), struct weir_headers, 1);
    weir_headers_init(extra, weir_stream_arena(s));
    set(extra, WEIR_H_ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if (p->credentials) set(extra, WEIR_H_ACCESS_CONTROL_ALLOW_CREDENTIALS, WEIR_STR("true"));
    set(extra, WEIR_H_ACCESS_CONTROL_ALLOW_METHODS, p->methods);
    set(extra, WEIR_H_ACCESS_CONTROL_ALLOW_HEADERS, p->headers);
    set(extra, WEIR_H_ACCESS_CONTROL_MAX_AGE, p->max_age);
    if (p->private_network &&
        weir_str_eq(weir_headers_get(h, WEIR_H_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK), WEIR_STR("true")))
        set(extra, WEIR_H_ACCESS_CONTROL_ALLOW_PRIVATE_NETWORK, WEIR_STR("true"));
    return weir_stream_reply(
        s, &(struct weir_local_reply){.status = 200, .grpc_status = -1, .details = WEIR_STR("cors_response"), .extra = extra});
}
static enum weir_verdict on_request_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    (void)end;
    const struct policy *p = f->route_config;
    struct state *state = f->state;
    const struct weir_headers *h = weir_stream_request_headers(s);
    struct weir_str origin = weir_headers_get(h, WEIR_H_ORIGIN);
    if (p == NULL || origin.n == 0) return WEIR_CONTINUE;
    const struct weir_runtime *runtime = weir_stream_worker(s)->snapshot.runtime;
    uint64_t draw = weir_stream_request(s)->random;
    bool enabled = weir_fraction_hit(&p->enabled, runtime, draw, p->enabled_by_default);
    if (!enabled && !weir_fraction_hit(&p->shadow, runtime, draw, false)) return WEIR_CONTINUE;
    bool preflight = weir_str_eq(weir_headers_get(h, WEIR_H_METHOD), WEIR_STR("OPTIONS")) &&
                     weir_headers_get(h, WEIR_H_ACCESS_CONTROL_REQUEST_METHOD).n > 0;
    if (!origin_allowed(p, origin)) {
        count(s, f->config, STAT_ORIGIN_INVALID);
        /* Without the origin the browser takes it as refused. */
        return enabled && preflight && !p->forward_not_matching_preflights ? answer_preflight(s, p, WEIR_STR("")) : WEIR_CONTINUE;
    }
    count(s, f->config, STAT_ORIGIN_VALID);
    if (!enabled) return WEIR_CONTINUE;
    state->allowed = true;
    state->origin = origin;
    return preflight ? answer_preflight(s, p, origin) : WEIR_CONTINUE;
}
static enum weir_verdict on_response_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    (void)end;
    const struct policy *p = f->route_config;
    const struct state *state = f->state;
    if (!state->allowed || p == NULL) return WEIR_CONTINUE;
    struct weir_headers *h = weir_stream_response_headers(s);
    set(h, WEIR_H_ACCESS_CONTROL_ALLOW_ORIGIN, state->origin);
    if (p->credentials) set(h, WEIR_H_ACCESS_CONTROL_ALLOW_CREDENTIALS, WEIR_STR("true"));
    set(h, WEIR_H_ACCESS_CONTROL_EXPOSE_HEADERS, p->expose);
    return WEIR_CONTINUE;
}
const struct weir_http_filter weir_filter_cors = {
    .name = "envoy.filters.http.cors",
    .config_type = &pb_cors_type,
    .route_config_type = &pb_cors_policy_type,
    .state_size = sizeof(struct state),
    .compile = compile,
    .compile_route = compile_route,
    .on_request_headers = on_request_headers,
    .on_response_headers = on_response_headers,
};
