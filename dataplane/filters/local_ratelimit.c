/* Limits requests by token buckets of this process (envoy.filters.http.local_ratelimit): one of the filter or of a route, and one for
 * each configured descriptor that a request's route makes of it. Buckets are shared by all workers and exact; those of values
 * that only requests bring lie in a table of fixed size. */
#include "dataplane/base/map.h"
#include "dataplane/base/matcher.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"
#include "dataplane/filters/filters.h"
#include "dataplane/filters/token_bucket.h"
#include "dataplane/limits.h"
#include "dataplane/route/rate_limit.h"

#define FILL_INTERVAL_NS_MIN 50000000u
#define MATCHES_MAX 16 /* descriptors of one request that are looked at */
#define ENTRIES_MAX 16 /* of one descriptor */

/* clang-format off */
#define STATS(X) \
    X(ENABLED, "enabled", WEIR_COUNTER) X(ENFORCED, "enforced", WEIR_COUNTER) X(OK, "ok", WEIR_COUNTER) \
    X(RATE_LIMITED, "rate_limited", WEIR_COUNTER)
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

struct descriptor {
    uint32_t entry_count;
    const struct weir_descriptor_entry *entries; /* an empty value: any */
    struct weir_token_rate rate;
    struct weir_token_bucket *bucket; /* NULL: one for each value, in `table` */
    struct weir_token_table *table;
};
struct config {
    bool on_route;
    struct weir_stats *stats;
    uint32_t status;
    int grpc_status;
    bool has_bucket;
    struct weir_token_rate rate;
    struct weir_token_bucket *bucket;
    struct weir_fraction enabled, enforced;
    struct weir_header_rules response_rules, request_rules; /* of what is refused; of what would have been */
    uint32_t descriptor_count;
    const struct descriptor *descriptors;
    uint32_t stage;
    uint32_t limit_count; /* rate_limits of its own, instead of the route's */
    const struct weir_rate_limit *limits;
    enum { VH_OVERRIDE, VH_INCLUDE, VH_IGNORE } vh;
    bool per_connection, always_consume_default, x_ratelimit, retry_after;
};
/* The bucket that decided, for x-ratelimit-*. */
struct drawn {
    const struct weir_token_rate *rate;
    struct weir_token_bucket *bucket;
};
struct state {
    const struct config *config; /* that was in effect; NULL: not looked at */
    struct drawn drawn;
};

/* Compiling. */

static enum weir_err compile_bucket(struct weir_compile *c, const pb_token_bucket *pb, struct weir_token_rate *rate)
{
    size_t mark = weir_path_push(c, "token_bucket", -1);
    uint64_t interval_ns = 0;
    if (pb->fill_interval != NULL && pb->fill_interval->seconds >= 0)
        interval_ns = (uint64_t)pb->fill_interval->seconds * 1000000000u + (uint64_t)pb->fill_interval->nanos;
    if (interval_ns < FILL_INTERVAL_NS_MIN)
        return weir_reject(c, "fill_interval", "local rate limit token bucket fill timer must be >= 50ms");
    weir_token_rate_init(rate, pb->max_tokens, pb->tokens_per_fill != NULL ? pb->tokens_per_fill->value : 1, interval_ns);
    weir_path_pop(c, mark);
    return WEIR_OK;
}
static struct weir_token_bucket *bucket_new(struct weir_compile *c)
{
    struct weir_token_bucket *b = weir_new(c, struct weir_token_bucket, 1);
    weir_token_bucket_init(b);
    return b;
}
static enum weir_err compile_descriptor(struct weir_compile *c, const pb_local_rate_limit_descriptor *pb, uint32_t values_max, struct descriptor *out)
{
    if (pb->n_entries > ENTRIES_MAX) return weir_reject(c, "entries", "more than %d", ENTRIES_MAX);
    struct weir_descriptor_entry *entries = weir_new(c, struct weir_descriptor_entry, pb->n_entries);
    bool any_value = false;
    for (size_t i = 0; i < pb->n_entries; i++) {
        entries[i] = (struct weir_descriptor_entry){weir_compile_str(c, pb->entries[i]->key), weir_compile_str(c, pb->entries[i]->value)};
        any_value |= entries[i].value.n == 0;
    }
    out->entry_count = (uint32_t)pb->n_entries;
    out->entries = entries;
    enum weir_err err = compile_bucket(c, pb->token_bucket, &out->rate);
    if (err != WEIR_OK) return err;
    if (any_value) {
        out->table = weir_token_table_create(c->arena, values_max);
    } else {
        out->bucket = bucket_new(c);
    }
    return WEIR_OK;
}
static enum weir_err compile_descriptors(struct weir_compile *c, const pb_local_rate_limit *pb, struct config *out)
{
    uint32_t values_max = pb->max_dynamic_descriptors != NULL ? pb->max_dynamic_descriptors->value : WEIR_LOCAL_RATE_LIMIT_BUCKETS_DEFAULT;
    if (values_max > WEIR_LOCAL_RATE_LIMIT_BUCKETS_MAX)
        return weir_reject(c, "max_dynamic_descriptors", "at most %d", WEIR_LOCAL_RATE_LIMIT_BUCKETS_MAX);
    struct descriptor *descriptors = weir_new(c, struct descriptor, pb->n_descriptors);
    for (size_t i = 0; i < pb->n_descriptors; i++) {
        size_t mark = weir_path_push(c, "descriptors", (int)i);
        enum weir_err err = compile_descriptor(c, pb->descriptors[i], values_max, &descriptors[i]);
        if (err != WEIR_OK) return err;
        weir_path_pop(c, mark);
    }
    out->descriptor_count = (uint32_t)pb->n_descriptors;
    out->descriptors = descriptors;
    out->stage = pb->stage;
    out->limit_count = (uint32_t)pb->n_rate_limits;
    if (pb->n_rate_limits == 0) return WEIR_OK;
    return weir_rate_limits_compile(c, "rate_limits", pb->n_rate_limits, (void *const *)pb->rate_limits, &out->limits);
}
static void release_stats(void *set)
{
    weir_stats_release(set);
}
static enum weir_err compile_config(struct weir_compile *c, const pb_local_rate_limit *pb, struct config *out)
{
    if (c->stats != NULL) {
        struct weir_str prefix = weir_arena_printf(c->scratch, "%s.http_local_rate_limit.", pb->stat_prefix);
        out->stats = weir_stats_acquire(c->stats, prefix, descs, STAT_COUNT);
        weir_arena_on_destroy(c->arena, release_stats, out->stats);
    }
    out->status = pb->status != NULL && pb->status->code >= 400 ? (uint32_t)pb->status->code : 429;
    out->grpc_status = pb->rate_limited_as_resource_exhausted ? 8 : -1;
    out->per_connection = pb->local_rate_limit_per_downstream_connection;
    out->always_consume_default = pb->always_consume_default_token_bucket == NULL || pb->always_consume_default_token_bucket->value;
    out->x_ratelimit = pb->enable_x_ratelimit_headers != ENVOY__EXTENSIONS__COMMON__RATELIMIT__V3__XRATE_LIMIT_HEADERS_RFCVERSION__OFF;
    out->retry_after = pb->enable_retry_after_header;
    switch (pb->vh_rate_limits) {
    case ENVOY__EXTENSIONS__COMMON__RATELIMIT__V3__VH_RATE_LIMITS_OPTIONS__INCLUDE: out->vh = VH_INCLUDE; break;
    case ENVOY__EXTENSIONS__COMMON__RATELIMIT__V3__VH_RATE_LIMITS_OPTIONS__IGNORE: out->vh = VH_IGNORE; break;
    default: out->vh = VH_OVERRIDE; break;
    }
    weir_fraction_compile(c, pb->filter_enabled, &out->enabled);
    weir_fraction_compile(c, pb->filter_enforced, &out->enforced);
    if (pb->token_bucket != NULL) {
        enum weir_err err = compile_bucket(c, pb->token_bucket, &out->rate);
        if (err != WEIR_OK) return err;
        out->has_bucket = true;
        out->bucket = bucket_new(c);
    } else if (out->on_route) {
        return weir_reject(c, "token_bucket", "local rate limit token bucket must be set for per filter configs");
    }
    enum weir_err err = compile_descriptors(c, pb, out);
    if (err == WEIR_OK)
        err = weir_header_rules_compile(c, "response_headers_to_add", pb->n_response_headers_to_add,
                                        (void *const *)pb->response_headers_to_add, NULL, 0, NULL, &out->response_rules);
    if (err == WEIR_OK)
        err = weir_header_rules_compile(c, "request_headers_to_add_when_not_enforced", pb->n_request_headers_to_add_when_not_enforced,
                                        (void *const *)pb->request_headers_to_add_when_not_enforced, NULL, 0, NULL, &out->request_rules);
    return err;
}
static enum weir_err compile(struct weir_compile *c, const ProtobufCMessage *msg, struct weir_str stat_prefix, const void **out)
{
    (void)stat_prefix;
    struct config *config = weir_new(c, struct config, 1);
    *out = config;
    return compile_config(c, (const pb_local_rate_limit *)(const void *)msg, config);
}
static enum weir_err compile_route(struct weir_compile *c, const ProtobufCMessage *msg, const void **out)
{
    struct config *config = weir_new(c, struct config, 1);
    config->on_route = true;
    *out = config;
    return compile_config(c, (const pb_local_rate_limit *)(const void *)msg, config);
}

/* Drawing. */

static bool descriptor_matches(const struct descriptor *d, const struct weir_descriptor_entry *entries, uint32_t count)
{
    if (d->entry_count != count) return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct weir_descriptor_entry *e = &d->entries[i];
        if (!weir_str_eq(e->key, entries[i].key) || (e->value.n > 0 && !weir_str_eq(e->value, entries[i].value))) return false;
    }
    return true;
}
/* Of the values that the configuration leaves open; lengths keep neighbours apart. */
static uint64_t values_hash(struct weir_arena *arena, const struct descriptor *d, const struct weir_descriptor_entry *entries)
{
    size_t n = 0;
    for (uint32_t i = 0; i < d->entry_count; i++) n += sizeof(size_t) + entries[i].value.n;
    char *all = weir_arena_alloc(arena, n), *at = all;
    for (uint32_t i = 0; i < d->entry_count; i++) {
        memcpy(at, &entries[i].value.n, sizeof(size_t));
        at += sizeof(size_t);
        if (entries[i].value.n > 0) memcpy(at, entries[i].value.p, entries[i].value.n);
        at += entries[i].value.n;
    }
    return weir_hash((struct weir_str){all, n});
}
/* Buckets of one downstream connection: the filter's first, then one a descriptor. */
struct connection_buckets {
    bool made;
    struct weir_token_bucket at[];
};
static struct weir_token_bucket *connection_bucket(struct weir_stream *s, const struct config *config, uint32_t index)
{
    uint32_t count = config->descriptor_count + 1;
    struct connection_buckets *b =
        weir_stream_connection_state(s, config, sizeof(struct connection_buckets) + count * sizeof(struct weir_token_bucket));
    for (uint32_t i = 0; !b->made && i < count; i++) weir_token_bucket_init(&b->at[i]);
    b->made = true;
    return &b->at[index];
}
static struct weir_token_bucket *descriptor_bucket(struct weir_stream *s, const struct config *config, uint32_t index,
                                                   const struct weir_descriptor_entry *entries)
{
    const struct descriptor *d = &config->descriptors[index];
    if (d->table != NULL) return weir_token_table_get(d->table, values_hash(weir_stream_arena(s), d, entries));
    return config->per_connection ? connection_bucket(s, config, index + 1) : d->bucket;
}
/* What the request's descriptors match, the tightest first. */
struct matches {
    uint32_t count;
    struct drawn at[MATCHES_MAX];
};
static void add_match(struct matches *m, struct drawn drawn)
{
    if (m->count == MATCHES_MAX) return;
    uint32_t i = m->count++;
    for (; i > 0 && m->at[i - 1].rate->token_ticks < drawn.rate->token_ticks; i--) m->at[i] = m->at[i - 1];
    m->at[i] = drawn;
}
static void match_limits(struct weir_stream *s, const struct config *config, const struct weir_rate_limit *limits, uint32_t count,
                         struct matches *out)
{
    struct weir_descriptor_entry entries[ENTRIES_MAX];
    for (uint32_t i = 0; i < count; i++) {
        if (limits[i].stage != config->stage || limits[i].action_count > ENTRIES_MAX) continue;
        int n = weir_rate_limit_descriptor(&limits[i], weir_stream_request(s), weir_stream_arena(s), entries);
        for (uint32_t k = 0; n > 0 && k < config->descriptor_count; k++) {
            const struct descriptor *d = &config->descriptors[k];
            if (!descriptor_matches(d, entries, (uint32_t)n)) continue;
            add_match(out, (struct drawn){&d->rate, descriptor_bucket(s, config, k, entries)});
            break;
        }
    }
}
static void match(struct weir_stream *s, const struct config *config, struct matches *out)
{
    if (config->limit_count > 0) {
        match_limits(s, config, config->limits, config->limit_count, out);
        return;
    }
    const struct weir_route *route = weir_stream_route(s)->route;
    if (route == NULL) return;
    match_limits(s, config, route->rate_limits, route->rate_limit_count, out);
    bool include = config->vh == VH_INCLUDE || route->include_vh_rate_limits || (config->vh == VH_OVERRIDE && route->rate_limit_count == 0);
    if (include && config->vh != VH_IGNORE) match_limits(s, config, route->vhost->rate_limits, route->vhost->rate_limit_count, out);
}
/* Takes a token of every matched descriptor, and of the filter's own bucket where there is none or it is always drawn from. */
static bool draw(struct weir_stream *s, const struct config *config, struct drawn *drawn)
{
    uint64_t now_ns = weir_stream_worker(s)->now_ns;
    struct matches m = {0};
    if (config->descriptor_count > 0) match(s, config, &m);
    for (uint32_t i = 0; i < m.count; i++) {
        *drawn = m.at[i];
        if (!weir_token_bucket_take(m.at[i].bucket, m.at[i].rate, 1, now_ns)) return false;
    }
    if (m.count > 0) *drawn = m.at[0];
    if (!config->has_bucket || (m.count > 0 && !config->always_consume_default)) return true;
    struct drawn own = {&config->rate, config->per_connection ? connection_bucket(s, config, 0) : config->bucket};
    bool taken = weir_token_bucket_take(own.bucket, own.rate, 1, now_ns);
    if (m.count == 0 || !taken) *drawn = own;
    return taken;
}

/* Until there is a token, rounded up: who comes back after so many seconds finds one. A bucket that never fills is told as far
 * away. */
static uint64_t wait_seconds(struct weir_stream *s, const struct drawn *d)
{
    uint64_t wait_ns = weir_token_bucket_wait_ns(d->bucket, d->rate, 1, weir_stream_worker(s)->now_ns);
    return wait_ns == UINT64_MAX ? UINT32_MAX : (wait_ns + 999999999u) / 1000000000u;
}
static void count(struct weir_stream *s, const struct config *config, enum stat stat)
{
    if (config->stats != NULL) weir_stat_inc(weir_stats_shard(config->stats, weir_stream_worker(s)->index), stat);
}
static enum weir_verdict on_request_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    (void)end;
    const struct config *config = f->route_config != NULL ? f->route_config : f->config;
    struct state *state = f->state;
    const struct weir_runtime *runtime = weir_stream_worker(s)->snapshot.runtime;
    struct weir_request *r = weir_stream_request(s);
    if (!weir_fraction_hit(&config->enabled, runtime, r->random, false)) return WEIR_CONTINUE;
    count(s, config, STAT_ENABLED);
    state->config = config;
    if (draw(s, config, &state->drawn)) {
        count(s, config, STAT_OK);
        return WEIR_CONTINUE;
    }
    count(s, config, STAT_RATE_LIMITED);
    if (!weir_fraction_hit(&config->enforced, runtime, r->random, false)) {
        weir_header_rules_apply(&config->request_rules, r, weir_stream_request_headers(s));
        return WEIR_CONTINUE;
    }
    count(s, config, STAT_ENFORCED);
    struct weir_headers extra;
    weir_headers_init(&extra, weir_stream_arena(s));
    if (config->retry_after) {
        uint64_t wait_s = wait_seconds(s, &state->drawn);
        weir_headers_set_int(&extra, WEIR_H_RETRY_AFTER, wait_s > 0 ? wait_s : 1);
    }
    return weir_stream_reply(s, &(struct weir_local_reply){.status = config->status,
                                                           .grpc_status = config->grpc_status,
                                                           .body = WEIR_STR("local_rate_limited"),
                                                           .details = WEIR_STR("local_rate_limited"),
                                                           .flags = WEIR_FLAG(RATE_LIMITED),
                                                           .rules = &config->response_rules,
                                                           .extra = &extra});
}
static enum weir_verdict on_response_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    (void)end;
    const struct state *state = f->state;
    const struct config *config = state->config;
    if (config == NULL || state->drawn.rate == NULL || !config->x_ratelimit) return WEIR_CONTINUE;
    struct weir_headers *h = weir_stream_response_headers(s);
    const struct drawn *d = &state->drawn;
    weir_headers_set_int(h, WEIR_H_X_RATELIMIT_LIMIT, d->rate->max_tokens);
    weir_headers_set_int(h, WEIR_H_X_RATELIMIT_REMAINING, weir_token_bucket_left(d->bucket, d->rate, weir_stream_worker(s)->now_ns));
    weir_headers_set_int(h, WEIR_H_X_RATELIMIT_RESET, wait_seconds(s, d));
    return WEIR_CONTINUE;
}
const struct weir_http_filter weir_filter_local_ratelimit = {
    .name = "envoy.filters.http.local_ratelimit",
    .config_type = &pb_local_rate_limit_type,
    .route_config_type = &pb_local_rate_limit_type,
    .state_size = sizeof(struct state),
    .compile = compile,
    .compile_route = compile_route,
    .on_request_headers = on_request_headers,
    .on_response_headers = on_response_headers,
};
