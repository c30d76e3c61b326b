/* Statistics of the process as a whole, under Envoy's names. Written when somebody looks. */
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "dataplane/config/server_internal.h"
#include "dataplane/listener/listener.h"
#include "dataplane/observe/stats.h"
#include "dataplane/version.h"

#define TABLE(name, ...) static const struct weir_stat_desc name[] = {__VA_ARGS__}
enum {
    LIVE, STATE, UPTIME, CONCURRENCY, MEMORY_ALLOCATED, MEMORY_HEAP, MEMORY_PHYSICAL, VERSION, INITIALIZATION_MS, STATIC_UNKNOWN,
    DYNAMIC_UNKNOWN, WIP_PROTOS, DROPPED_FLUSHES, RESTART_EPOCH, RESTART_GENERATION, PARENT_CONNECTIONS, FIPS_MODE, SERVER_COUNT
};
/* The last five never move: weir is never restarted hot. Dashboards ask for them. */
TABLE(server_descs, [LIVE] = {"live", WEIR_GAUGE}, [STATE] = {"state", WEIR_GAUGE}, [UPTIME] = {"uptime", WEIR_GAUGE},
      [CONCURRENCY] = {"concurrency", WEIR_GAUGE}, [MEMORY_ALLOCATED] = {"memory_allocated", WEIR_GAUGE},
      [MEMORY_HEAP] = {"memory_heap_size", WEIR_GAUGE}, [MEMORY_PHYSICAL] = {"memory_physical_size", WEIR_GAUGE},
      [VERSION] = {"version", WEIR_GAUGE}, [INITIALIZATION_MS] = {"initialization_time_ms", WEIR_HISTOGRAM},
      [STATIC_UNKNOWN] = {"static_unknown_fields", WEIR_COUNTER}, [DYNAMIC_UNKNOWN] = {"dynamic_unknown_fields", WEIR_COUNTER},
      [WIP_PROTOS] = {"wip_protos", WEIR_COUNTER},
      [DROPPED_FLUSHES] = {"dropped_stat_flushes", WEIR_COUNTER}, [RESTART_EPOCH] = {"hot_restart_epoch", WEIR_GAUGE},
      [RESTART_GENERATION] = {"hot_restart_generation", WEIR_GAUGE}, [PARENT_CONNECTIONS] = {"parent_connections", WEIR_GAUGE},
      [FIPS_MODE] = {"compilation_settings.fips_mode", WEIR_GAUGE});
enum { C_ACTIVE, C_WARMING, C_ADDED, C_MODIFIED, C_REMOVED, C_COUNT };
TABLE(cluster_descs, [C_ACTIVE] = {"active_clusters", WEIR_GAUGE}, [C_WARMING] = {"warming_clusters", WEIR_GAUGE},
      [C_ADDED] = {"cluster_added", WEIR_COUNTER}, [C_MODIFIED] = {"cluster_modified", WEIR_COUNTER},
      [C_REMOVED] = {"cluster_removed", WEIR_COUNTER});
enum {
    L_ACTIVE, L_WARMING, L_DRAINING, L_CHAINS_DRAINING, L_WORKERS, L_ADDED, L_MODIFIED, L_REMOVED, L_STOPPED, L_IN_PLACE, L_CREATED,
    L_CREATE_FAILED, L_COUNT
};
TABLE(listener_descs, [L_ACTIVE] = {"total_listeners_active", WEIR_GAUGE}, [L_WARMING] = {"total_listeners_warming", WEIR_GAUGE},
      [L_DRAINING] = {"total_listeners_draining", WEIR_GAUGE}, [L_CHAINS_DRAINING] = {"total_filter_chains_draining", WEIR_GAUGE},
      [L_WORKERS] = {"workers_started", WEIR_GAUGE}, [L_ADDED] = {"listener_added", WEIR_COUNTER},
      [L_MODIFIED] = {"listener_modified", WEIR_COUNTER}, [L_REMOVED] = {"listener_removed", WEIR_COUNTER},
      [L_STOPPED] = {"listener_stopped", WEIR_COUNTER}, [L_IN_PLACE] = {"listener_in_place_updated", WEIR_COUNTER},
      [L_CREATED] = {"listener_create_success", WEIR_COUNTER}, [L_CREATE_FAILED] = {"listener_create_failure", WEIR_COUNTER});
enum { ATTEMPT, SUCCESS, REJECTED, FAILURE, SOURCE_COUNT };
TABLE(source_descs, [ATTEMPT] = {"update_attempt", WEIR_COUNTER}, [SUCCESS] = {"update_success", WEIR_COUNTER},
      [REJECTED] = {"update_rejected", WEIR_COUNTER}, [FAILURE] = {"update_failure", WEIR_COUNTER});
TABLE(runtime_descs, {"deprecated_feature_use", WEIR_COUNTER}, {"deprecated_feature_seen_since_process_start", WEIR_GAUGE});
/* weir's own: how much of what was sent had to be compiled. */
enum { COMPILED, UNCHANGED, NOT_TAKEN, WORK_COUNT };
TABLE(work_descs, [COMPILED] = {"resources_compiled", WEIR_COUNTER}, [UNCHANGED] = {"resources_unchanged", WEIR_COUNTER},
      [NOT_TAKEN] = {"resources_refused", WEIR_COUNTER});
TABLE(control_plane_descs, {"connected_state", WEIR_GAUGE});

#define FLUSH_INTERVAL_MS 5000 /* Bootstrap.stats_flush_interval's default */

static int64_t physical_bytes(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL) return 0;
    if (fscanf(f, "%ld %ld", &pages, &resident) != 2) resident = 0;
    (void)fclose(f);
    return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

/* Closes the histograms' interval: by the clock, or whenever the admin reads (stats_flush_on_admin). */
static void on_flush(struct weir_timer *t)
{
    struct weir_server *s = WEIR_CONTAINER_OF(t, struct weir_server, stats_flush);
    weir_server_stats_refresh(s);
    weir_stats_flush(s->stats);
    weir_timer_start(&s->control->timers, t, s->stats_flush_interval_ms);
}

void weir_server_stats_live(struct weir_server *s)
{
    struct weir_stats_shard *server = weir_stats_shard(s->server_stats, s->worker_count);
    weir_stat_record(server, INITIALIZATION_MS, (s->control->now_ns - s->start_ns) / 1000000u);
}

void weir_server_stats_start(struct weir_server *s)
{
    const pb_bootstrap *pb = s->b.pb;
    bool on_admin = pb->stats_flush_case == ENVOY__CONFIG__BOOTSTRAP__V3__BOOTSTRAP__STATS_FLUSH_STATS_FLUSH_ON_ADMIN;
    s->stats_flush.on_due = on_flush;
    if (on_admin && pb->stats_flush_on_admin) return;
    s->stats_flush_interval_ms = weir_duration_ms(pb->stats_flush_interval, FLUSH_INTERVAL_MS);
    if (s->stats_flush_interval_ms == 0) s->stats_flush_interval_ms = 1;
    weir_timer_start(&s->control->timers, &s->stats_flush, s->stats_flush_interval_ms);
}

void weir_server_stats_create(struct weir_server *s)
{
    s->server_stats = weir_stats_acquire(s->stats, WEIR_STR("server."), server_descs, SERVER_COUNT);
    s->cluster_stats = weir_stats_acquire(s->stats, WEIR_STR("cluster_manager."), cluster_descs, C_COUNT);
    s->listener_stats = weir_stats_acquire(s->stats, WEIR_STR("listener_manager."), listener_descs, L_COUNT);
    s->cds_stats = weir_stats_acquire(s->stats, WEIR_STR("cluster_manager.cds."), source_descs, SOURCE_COUNT);
    s->lds_stats = weir_stats_acquire(s->stats, WEIR_STR("listener_manager.lds."), source_descs, SOURCE_COUNT);
    s->runtime_stats = weir_stats_acquire(s->stats, WEIR_STR("runtime."), runtime_descs, 2);
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++) {
        char prefix[32];
        int n = snprintf(prefix, sizeof(prefix), "weir.%s.", weir_resource_type_name((enum weir_resource_type)t));
        s->work_stats[t] = weir_stats_acquire(s->stats, (struct weir_str){prefix, (size_t)n}, work_descs, WORK_COUNT);
    }
    s->control_plane_stats = weir_stats_acquire(s->stats, WEIR_STR("control_plane."), control_plane_descs, 1);
}

static void work_refresh(struct weir_server *s)
{
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++) {
        const struct weir_publish_counts *c = weir_publisher_counts(s->publisher, (enum weir_resource_type)t);
        struct weir_stats_shard *shard = weir_stats_shard(s->work_stats[t], s->worker_count);
        weir_stat_set(shard, COMPILED, (int64_t)c->compiled);
        weir_stat_set(shard, UNCHANGED, (int64_t)c->unchanged);
        weir_stat_set(shard, NOT_TAKEN, (int64_t)c->not_taken);
    }
}

static void source_refresh(struct weir_server *s, struct weir_stats *set, enum weir_resource_type type)
{
    struct weir_stats_shard *shard = weir_stats_shard(set, s->worker_count);
    weir_stat_set(shard, ATTEMPT, (int64_t)atomic_load_explicit(&s->ads_attempts[type], memory_order_relaxed));
    weir_stat_set(shard, SUCCESS, (int64_t)s->xds[type].update_success);
    weir_stat_set(shard, REJECTED, (int64_t)s->xds[type].update_rejected);
    weir_stat_set(shard, FAILURE, (int64_t)atomic_load_explicit(&s->ads_failures, memory_order_relaxed));
}

static void managers_refresh(struct weir_server *s)
{
    struct weir_stats_shard *shard = weir_stats_shard(s->cluster_stats, s->worker_count);
    const struct weir_publish_counts *c = weir_publisher_counts(s->publisher, WEIR_CLUSTERS);
    weir_stat_set(shard, C_WARMING, (int64_t)weir_publisher_warming(s->publisher, WEIR_CLUSTERS));
    weir_stat_set(shard, C_ACTIVE, (int64_t)weir_publisher_active(s->publisher, WEIR_CLUSTERS));
    weir_stat_set(shard, C_ADDED, (int64_t)c->added);
    weir_stat_set(shard, C_MODIFIED, (int64_t)c->modified);
    weir_stat_set(shard, C_REMOVED, (int64_t)c->removed);
    shard = weir_stats_shard(s->listener_stats, s->worker_count);
    c = weir_publisher_counts(s->publisher, WEIR_LISTENERS);
    size_t chains = 0;
    weir_stat_set(shard, L_WARMING, (int64_t)weir_publisher_warming(s->publisher, WEIR_LISTENERS));
    weir_stat_set(shard, L_ACTIVE, (int64_t)weir_publisher_active(s->publisher, WEIR_LISTENERS));
    weir_stat_set(shard, L_DRAINING, (int64_t)weir_publisher_draining(s->publisher, &chains));
    weir_stat_set(shard, L_CHAINS_DRAINING, (int64_t)chains);
    weir_stat_set(shard, L_WORKERS, s->stage == WEIR_STAGE_LIVE);
    weir_stat_set(shard, L_ADDED, (int64_t)c->added);
    weir_stat_set(shard, L_MODIFIED, (int64_t)c->modified);
    weir_stat_set(shard, L_REMOVED, (int64_t)c->removed);
    weir_stat_set(shard, L_STOPPED, (int64_t)c->stopped);
    weir_stat_set(shard, L_IN_PLACE, (int64_t)c->updated_in_place);
    weir_stat_set(shard, L_CREATED, (int64_t)c->created);
    weir_stat_set(shard, L_CREATE_FAILED, (int64_t)c->refused);
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
    weir_stat_set(server, MEMORY_PHYSICAL, physical_bytes());
    weir_stat_set(server, RESTART_GENERATION, 1);
    weir_stat_set(server, STATIC_UNKNOWN, (int64_t)weir_support_log_count(s->support, WEIR_SUPPORT_STATIC_UNKNOWN));
    weir_stat_set(server, DYNAMIC_UNKNOWN, (int64_t)weir_support_log_count(s->support, WEIR_SUPPORT_DYNAMIC_UNKNOWN));
    weir_stat_set(server, WIP_PROTOS, (int64_t)weir_support_log_count(s->support, WEIR_SUPPORT_WORK_IN_PROGRESS));
    for (unsigned i = 0; i < 2; i++)
        weir_stat_set(weir_stats_shard(s->runtime_stats, s->worker_count), i, (int64_t)weir_support_log_count(s->support, WEIR_SUPPORT_DEPRECATED));
    managers_refresh(s);
    work_refresh(s);
    source_refresh(s, s->cds_stats, WEIR_CLUSTERS);
    source_refresh(s, s->lds_stats, WEIR_LISTENERS);
    weir_stat_set(weir_stats_shard(s->control_plane_stats, s->worker_count), 0, atomic_load_explicit(&s->ads_connected, memory_order_relaxed));
    if (s->stats_flush_interval_ms == 0) weir_stats_flush(s->stats);
}

void weir_server_stats_destroy(struct weir_server *s)
{
    struct weir_stats *const all[] = {s->server_stats, s->cluster_stats, s->listener_stats, s->cds_stats, s->lds_stats, s->runtime_stats, s->control_plane_stats};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] != NULL) weir_stats_release(all[i]);
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++)
        if (s->work_stats[t] != NULL) weir_stats_release(s->work_stats[t]);
}
