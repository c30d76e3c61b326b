/* Statistics of the process as a whole, under Envoy's names. Written when somebody looks. */
#include <malloc.h>

#include "dataplane/config/server_internal.h"
#include "dataplane/listener/listener.h"
#include "dataplane/observe/stats.h"
#include "dataplane/version.h"

#define TABLE(name, ...) static const struct weir_stat_desc name[] = {__VA_ARGS__}
enum { LIVE, STATE, UPTIME, CONCURRENCY, MEMORY_ALLOCATED, MEMORY_HEAP, VERSION, SERVER_COUNT };
TABLE(server_descs, [LIVE] = {"live", WEIR_GAUGE}, [STATE] = {"state", WEIR_GAUGE}, [UPTIME] = {"uptime", WEIR_GAUGE},
      [CONCURRENCY] = {"concurrency", WEIR_GAUGE}, 
      [MEMORY_ALLOCATED] = {"memory_allocated", WEIR_GAUGE}, [MEMORY_HEAP] = {"memory_heap_size", WEIR_GAUGE}, [VERSION] = {"version", WEIR_GAUGE});
enum { ACTIVE, WARMING, MANAGER_COUNT };
TABLE(cluster_descs, [ACTIVE] = {"active_clusters", WEIR_GAUGE}, [WARMING] = {"warming_clusters", WEIR_GAUGE});
TABLE(listener_descs, [ACTIVE] = {"total_listeners_active", WEIR_GAUGE}, [WARMING] = {"total_listeners_warming", WEIR_GAUGE});
enum { ATTEMPT, SUCCESS, REJECTED, FAILURE, SOURCE_COUNT };
TABLE(source_descs, [ATTEMPT] = {"update_attempt", WEIR_COUNTER}, [SUCCESS] = {"update_success", WEIR_COUNTER},
      [REJECTED] = {"update_rejected", WEIR_COUNTER}, [FAILURE] = {"update_failure", WEIR_COUNTER});
TABLE(control_plane_descs, {"connected_state", WEIR_GAUGE});

void weir_server_stats_create(struct weir_server *s)
{
    s->server_stats = weir_stats_acquire(s->stats, WEIR_STR("server."), server_descs, SERVER_COUNT);
    s->cluster_stats = weir_stats_acquire(s->stats, WEIR_STR("cluster_manager."), cluster_descs, MANAGER_COUNT);
    s->listener_stats = weir_stats_acquire(s->stats, WEIR_STR("listener_manager."), listener_descs, MANAGER_COUNT);
    s->cds_stats = weir_stats_acquire(s->stats, WEIR_STR("cluster_manager.cds."), source_descs, SOURCE_COUNT);
    s->lds_stats = weir_stats_acquire(s->stats, WEIR_STR("listener_manager.lds."), source_descs, SOURCE_COUNT);
    s->control_plane_stats = weir_stats_acquire(s->stats, WEIR_STR("control_plane."), control_plane_descs, 1);
}

static void source_refresh(struct weir_server *s, struct weir_stats *set, enum weir_resource_type type)
{
    struct weir_stats_shard *shard = weir_stats_shard(set, s->worker_count);
    weir_stat_set(shard, ATTEMPT, (int64_t)atomic_load_explicit(&s->ads_attempts[type], memory_order_relaxed));
    weir_stat_set(shard, SUCCESS, (int64_t)s->xds[type].update_success);
    weir_stat_set(shard, REJECTED, (int64_t)s->xds[type].update_rejected);
    weir_stat_set(shard, FAILURE, (int64_t)atomic_load_explicit(&s->ads_failures, memory_order_relaxed));
}

void weir_server_stats_refresh(struct weir_server *s)
{
    struct weir_stats_shard *server = weir_stats_shard(s->server_stats, s->worker_count);
    struct mallinfo2 m = mallinfo2();
    bool draining = s->state == WEIR_DRAINING || s->healthcheck_failed;
    weir_stat_set(server, LIVE, s->state == WEIR_LIVE && !draining);
    weir_stat_set(server, STATE, draining ? WEIR_DRAINING : (int64_t)s->state);
    weir_stat_set(server, UPTIME, (int64_t)((s->control->now_ns - s->start_ns) / 1000000000u));
    weir_stat_set(server, CONCURRENCY, s->worker_count);
    weir_stat_set(server, MEMORY_ALLOCATED, (int64_t)(m.uordblks + m.hblkhd));
    weir_stat_set(server, MEMORY_HEAP, (int64_t)(m.arena + m.hblkhd));
    weir_stat_set(server, VERSION, weir_version_parts[0] * 10000 + weir_version_parts[1] * 100 + weir_version_parts[2]);
    struct weir_stats_shard *clusters = weir_stats_shard(s->cluster_stats, s->worker_count);
    size_t warming = weir_publisher_warming(s->publisher, WEIR_CLUSTERS);
    weir_stat_set(clusters, WARMING, (int64_t)warming);
    weir_stat_set(clusters, ACTIVE, (int64_t)(weir_publisher_count(s->publisher, WEIR_CLUSTERS) - warming));
    struct weir_stats_shard *listeners = weir_stats_shard(s->listener_stats, s->worker_count);
    warming = weir_publisher_warming(s->publisher, WEIR_LISTENERS);
    weir_stat_set(listeners, WARMING, (int64_t)warming);
    weir_stat_set(listeners, ACTIVE, (int64_t)(weir_publisher_count(s->publisher, WEIR_LISTENERS) - warming));
    source_refresh(s, s->cds_stats, WEIR_CLUSTERS);
    source_refresh(s, s->lds_stats, WEIR_LISTENERS);
    weir_stat_set(weir_stats_shard(s->control_plane_stats, s->worker_count), 0, atomic_load_explicit(&s->ads_connected, memory_order_relaxed));
}

void weir_server_stats_destroy(struct weir_server *s)
{
    struct weir_stats *const all[] = {s->server_stats, s->cluster_stats, s->listener_stats, s->cds_stats, s->lds_stats, s->control_plane_stats};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] != NULL) weir_stats_release(all[i]);
}
