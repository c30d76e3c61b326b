/* Answers health checks of load balancers in front (envoy.filters.http.health_check): itself, or by what the service
 * behind said last, or by how many hosts of named clusters are healthy; 503 while the server has been told to fail. */
#include <stdatomic.h>

#include "dataplane/base/matcher.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"
#include "dataplane/cluster/cluster.h"
#include "dataplane/cluster/host.h"
#include "dataplane/cluster/host_set.h"
#include "dataplane/filters/filters.h"

/* clang-format off */
#define STATS(X) \
    X(CACHED_RESPONSE, "cached_response", WEIR_COUNTER) X(DEGRADED, "degraded", WEIR_COUNTER) X(FAILED, "failed", WEIR_COUNTER) \
    X(FAILED_CLUSTER_EMPTY, "failed_cluster_empty", WEIR_COUNTER) X(FAILED_CLUSTER_NOT_FOUND, "failed_cluster_not_found", WEIR_COUNTER) \
    X(FAILED_CLUSTER_UNHEALTHY, "failed_cluster_unhealthy", WEIR_COUNTER) X(OK, "ok", WEIR_COUNTER) X(REQUEST_TOTAL, "request_total", WEIR_COUNTER)
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

struct wanted { /* cluster_min_healthy_percentages */
    uint32_t slot;
    double percent;
};
/* What the service behind said last, for all workers. */
struct cache {
    _Atomic uint64_t until_ms;
    _Atomic uint32_t status;
};
struct config {
    bool pass_through;
    struct weir_header_matchers headers;
    uint64_t cache_ms;
    struct cache *cache; /* NULL: none */
    uint32_t wanted_count;
    const struct wanted *wanted;
    struct weir_str node_cluster;
    struct weir_stats *stats;
};
struct state {
    bool checked; /* a health check */
    bool answered;
};

static void release_stats(void *set)
{
    weir_stats_release(set);
}
static enum weir_err compile(struct weir_compile *c, const ProtobufCMessage *msg, struct weir_str stat_prefix, const void **out)
{
    const Envoy__Extensions__Filters__Http__HealthCheck__V3__HealthCheck *pb = (const void *)msg;
    struct config *config = weir_new(c, struct config, 1);
    *out = config;
    config->pass_through = pb->pass_through_mode->value;
    config->cache_ms = weir_duration_ms(pb->cache_time, 0);
    if (config->cache_ms > 0 && !config->pass_through)
        return weir_reject(c, "cache_time", "cache_time_ms must not be set when path_through_mode is disabled");
    if (config->cache_ms > 0) config->cache = weir_new(c, struct cache, 1);
    if (c->node != NULL) config->node_cluster = weir_arena_str(c->arena, c->node->cluster);
    struct wanted *wanted = weir_new(c, struct wanted, pb->n_cluster_min_healthy_percentages);
    for (size_t i = 0; i < pb->n_cluster_min_healthy_percentages; i++) {
        wanted[i].slot = c->names->cluster_slot(c->names->ctx, weir_str_of(pb->cluster_min_healthy_percentages[i]->key));
        if (pb->cluster_min_healthy_percentages[i]->value != NULL)
            wanted[i].percent = pb->cluster_min_healthy_percentages[i]->value->value;
    }
    config->wanted_count = (uint32_t)pb->n_cluster_min_healthy_percentages;
    config->wanted = wanted;
    if (c->stats != NULL) {
        struct weir_str prefix = weir_arena_printf(c->scratch, "%.*shealth_check.", WEIR_STR_ARG(stat_prefix));
        config->stats = weir_stats_acquire(c->stats, prefix, descs, STAT_COUNT);
        weir_arena_on_destroy(c->arena, release_stats, config->stats);
    }
    return weir_header_matchers_compile(c, "headers", pb->n_headers, (void *const *)pb->headers, &config->headers);
}

static void count(struct weir_stream *s, const struct config *config, enum stat stat)
{
    if (config->stats != NULL) weir_stat_inc(weir_stats_shard(config->stats, weir_stream_worker(s)->index), stat);
}
/* Whether enough hosts of every named cluster are healthy; `details` and `stat` say why not. */
static bool clusters_healthy(struct weir_stream *s, const struct config *config, struct weir_str *details, enum stat *stat)
{
    for (uint32_t i = 0; i < config->wanted_count; i++) {
        const struct weir_cluster *c = weir_snapshot_cluster(&weir_stream_worker(s)->snapshot, config->wanted[i].slot);
        *details = WEIR_STR("health_check_failed_no_cluster_found");
        *stat = STAT_FAILED_CLUSTER_NOT_FOUND;
        if (c == NULL) return false;
        uint64_t total = c->hosts->count, healthy = 0;
        for (uint32_t k = 0; k < c->hosts->count; k++) {
            const struct weir_host_member *m = &c->hosts->at[k];
            healthy += m->health != WEIR_HOST_UNHEALTHY && !weir_host_ejected(m->host);
        }
        if (total == 0 && config->wanted[i].percent == 0) continue;
        *details = WEIR_STR("health_check_failed_cluster_empty");
        *stat = STAT_FAILED_CLUSTER_EMPTY;
        if (total == 0) return false;
        *details = WEIR_STR("health_check_failed_cluster_unhealthy");
        *stat = STAT_FAILED_CLUSTER_UNHEALTHY;
        if (healthy * 100 < total * (uint64_t)config->wanted[i].percent) return false;
    }
    return true;
}
static enum weir_verdict answer(struct weir_stream *s, struct weir_filter *f, uint32_t cached)
{
    const struct config *config = f->config;
    struct weir_local_reply reply = {.status = 503, .grpc_status = -1};
    enum stat stat = STAT_FAILED;
    count(s, config, STAT_REQUEST_TOTAL);
    if (weir_stream_worker(s)->draining) {
        reply.details = WEIR_STR("health_check_failed");
    } else if (cached != 0) {
        reply.status = cached;
        reply.details = WEIR_STR("health_check_cached");
        count(s, config, STAT_CACHED_RESPONSE);
    } else if (!clusters_healthy(s, config, &reply.details, &stat)) {
        count(s, config, stat);
    } else {
        reply.status = 200;
        reply.details = config->wanted_count > 0 ? WEIR_STR("health_check_ok_cluster_healthy") : WEIR_STR("health_check_ok");
    }
    bool good = reply.status / 100 == 2;
    count(s, config, good ? STAT_OK : STAT_FAILED);
    if (!good) reply.flags = WEIR_FLAG(FAILED_LOCAL_HEALTH_CHECK);
    ((struct state *)f->state)->answered = true;
    return weir_stream_reply(s, &reply);
}
static enum weir_verdict on_request_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    (void)end;
    const struct config *config = f->config;
    struct state *state = f->state;
    if (!weir_header_matchers_all(&config->headers, weir_stream_request_headers(s))) return WEIR_CONTINUE;
    state->checked = true;
    weir_stream_request(s)->health_check = true;
    const struct weir_worker *w = weir_stream_worker(s);
    uint32_t cached = 0;
    if (config->cache != NULL && atomic_load_explicit(&config->cache->until_ms, memory_order_acquire) > weir_worker_now_ms(w))
        cached = atomic_load_explicit(&config->cache->status, memory_order_relaxed);
    if (config->pass_through && !w->draining && cached == 0) return WEIR_CONTINUE;
    return answer(s, f, cached);
}
static enum weir_verdict on_response_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    (void)end;
    const struct config *config = f->config;
    const struct state *state = f->state;
    struct weir_headers *h = weir_stream_response_headers(s);
    const struct weir_worker *w = weir_stream_worker(s);
    if (state->checked) {
        uint64_t status;
        if (config->cache != NULL && !state->answered && weir_str_u64(weir_headers_get(h, WEIR_H_STATUS), &status)) {
            atomic_store_explicit(&config->cache->status, (uint32_t)status, memory_order_relaxed);
            atomic_store_explicit(&config->cache->until_ms, weir_worker_now_ms(w) + config->cache_ms, memory_order_release);
        }
        weir_headers_set(h, WEIR_H_X_ENVOY_UPSTREAM_HEALTHCHECKED_CLUSTER, config->node_cluster);
    }
    if (w->draining && (!state->checked || state->answered))
        weir_headers_set(h, WEIR_H_X_ENVOY_IMMEDIATE_HEALTH_CHECK_FAIL, WEIR_STR("true"));
    return WEIR_CONTINUE;
}
const struct weir_http_filter weir_filter_health_check = {
    .name = "envoy.filters.http.health_check",
    .config_type = &envoy__extensions__filters__http__health_check__v3__health_check__descriptor,
    .state_size = sizeof(struct state),
    .compile = compile,
    .on_request_headers = on_request_headers,
    .on_response_headers = on_response_headers,
};
