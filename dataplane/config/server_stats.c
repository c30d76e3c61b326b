/* Statistics of the process as a whole, under Envoy's names. Written when somebody looks. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dataplane/config/server_internal.h"
#include "dataplane/http/http_stats.h"
#include "dataplane/listener/listener.h"
#include "dataplane/observe/admin.h"
#include "dataplane/observe/stats.h"
#include "dataplane/transport/tls.h"
#include "dataplane/version.h"

#define TABLE(name, ...) static const struct weir_stat_desc name[] = {__VA_ARGS__}
enum {
    LIVE, STATE, UPTIME, CONCURRENCY, MEMORY_ALLOCATED, MEMORY_HEAP, MEMORY_PHYSICAL, VERSION, INITIALIZATION_MS, STATIC_UNKNOWN,
    DYNAMIC_UNKNOWN, WIP_PROTOS, TOTAL_CONNECTIONS, FIRST_CERT_DAYS, DROPPED_FLUSHES, RESTART_EPOCH, RESTART_GENERATION, PARENT_CONNECTIONS, FIPS_MODE, SERVER_COUNT
};
/* The last five never move: weir is never restarted hot. Dashboards ask for them. */
TABLE(server_descs, [LIVE] = {"live", WEIR_GAUGE}, [STATE] = {"state", WEIR_GAUGE}, [UPTIME] = {"uptime", WEIR_GAUGE},
      [CONCURRENCY] = {"concurrency", WEIR_GAUGE}, [MEMORY_ALLOCATED] = {"memory_allocated", WEIR_GAUGE},
      [MEMORY_HEAP] = {"memory_heap_size", WEIR_GAUGE}, [MEMORY_PHYSICAL] = {"memory_physical_size", WEIR_GAUGE},
      [VERSION] = {"version", WEIR_GAUGE}, [INITIALIZATION_MS] = {"initialization_time_ms", WEIR_HISTOGRAM},
      [STATIC_UNKNOWN] = {"static_unknown_fields", WEIR_COUNTER}, [DYNAMIC_UNKNOWN] = {"dynamic_unknown_fields", WEIR_COUNTER},
      [WIP_PROTOS] = {"wip_protos", WEIR_COUNTER}, [TOTAL_CONNECTIONS] = {"total_connections", WEIR_GAUGE},
      [FIRST_CERT_DAYS] = {"days_until_first_cert_expiring", WEIR_GAUGE},
      [DROPPED_FLUSHES] = {"dropped_stat_flushes", WEIR_COUNTER}, [RESTART_EPOCH] = {"hot_restart_epoch", WEIR_GAUGE},
      [RESTART_GENERATION] = {"hot_restart_generation", WEIR_GAUGE}, [PARENT_CONNECTIONS] = {"parent_connections", WEIR_GAUGE},
      [FIPS_MODE] = {"compilation_settings.fips_mode", WEIR_GAUGE});
enum { C_ACTIVE, C_WARMING, C_ADDED, C_MODIFIED, C_REMOVED, C_UPDATED, C_COUNT };
TABLE(cluster_descs, [C_ACTIVE] = {"active_clusters", WEIR_GAUGE}, [C_WARMING] = {"warming_clusters", WEIR_GAUGE},
      [C_ADDED] = {"cluster_added", WEIR_COUNTER}, [C_MODIFIED] = {"cluster_modified", WEIR_COUNTER},
      [C_REMOVED] = {"cluster_removed", WEIR_COUNTER}, [C_UPDATED] = {"cluster_updated", WEIR_COUNTER});
enum {
    L_ACTIVE, L_WARMING, L_DRAINING, L_CHAINS_DRAINING, L_WORKERS, L_ADDED, L_MODIFIED, L_REMOVED, L_STOPPED, L_IN_PLACE, L_CREATED,
    L_CREATE_FAILED, L_PINNED, L_COUNT
};
TABLE(listener_descs, [L_ACTIVE] = {"total_listeners_active", WEIR_GAUGE}, [L_WARMING] = {"total_listeners_warming", WEIR_GAUGE},
      [L_DRAINING] = {"total_listeners_draining", WEIR_GAUGE}, [L_CHAINS_DRAINING] = {"total_filter_chains_draining", WEIR_GAUGE},
      [L_WORKERS] = {"workers_started", WEIR_GAUGE}, [L_ADDED] = {"listener_added", WEIR_COUNTER},
      [L_MODIFIED] = {"listener_modified", WEIR_COUNTER}, [L_REMOVED] = {"listener_removed", WEIR_COUNTER},
      [L_STOPPED] = {"listener_stopped", WEIR_COUNTER}, [L_IN_PLACE] = {"listener_in_place_updated", WEIR_COUNTER},
      [L_CREATED] = {"listener_create_success", WEIR_COUNTER}, [L_CREATE_FAILED] = {"listener_create_failure", WEIR_COUNTER},
      [L_PINNED] = {"workers_pinned", WEIR_GAUGE});
/* CDS has the last two too. */
enum { ATTEMPT, SUCCESS, REJECTED, FAILURE, FETCH_TIMEOUT, UPDATE_TIME, SOURCE_VERSION, UPDATE_DURATION, RELOAD, RELOAD_TIME, SOURCE_COUNT };
TABLE(source_descs, [ATTEMPT] = {"update_attempt", WEIR_COUNTER}, [SUCCESS] = {"update_success", WEIR_COUNTER},
      [REJECTED] = {"update_rejected", WEIR_COUNTER}, [FAILURE] = {"update_failure", WEIR_COUNTER},
      [FETCH_TIMEOUT] = {"init_fetch_timeout", WEIR_COUNTER}, [UPDATE_TIME] = {"update_time", WEIR_GAUGE},
      [SOURCE_VERSION] = {"version", WEIR_GAUGE | WEIR_WIDE}, [UPDATE_DURATION] = {"update_duration", WEIR_HISTOGRAM},
      [RELOAD] = {"config_reload", WEIR_COUNTER}, [RELOAD_TIME] = {"config_reload_time_ms", WEIR_GAUGE});
enum { R_FEATURE_USE, R_FEATURE_SEEN, R_OVERRIDES, R_LOAD_ERROR, R_LOAD_SUCCESS, R_KEYS, R_LAYERS, R_COUNT };
TABLE(runtime_descs, [R_FEATURE_USE] = {"deprecated_feature_use", WEIR_COUNTER},
      [R_FEATURE_SEEN] = {"deprecated_feature_seen_since_process_start", WEIR_GAUGE},
      [R_OVERRIDES] = {"admin_overrides_active", WEIR_GAUGE}, [R_LOAD_ERROR] = {"load_error", WEIR_COUNTER},
      [R_LOAD_SUCCESS] = {"load_success", WEIR_COUNTER}, [R_KEYS] = {"num_keys", WEIR_GAUGE}, [R_LAYERS] = {"num_layers", WEIR_GAUGE});
/* weir's own: how much of what was sent had to be compiled. */
enum { COMPILED, UNCHANGED, NOT_TAKEN, WORK_COUNT };
TABLE(work_descs, [COMPILED] = {"resources_compiled", WEIR_COUNTER}, [UNCHANGED] = {"resources_unchanged", WEIR_COUNTER},
      [NOT_TAKEN] = {"resources_refused", WEIR_COUNTER});
TABLE(control_plane_descs, {"connected_state", WEIR_GAUGE});
TABLE(inflated_descs, {"clusters_inflated", WEIR_GAUGE});
enum { D_RESOLVE, D_PENDING, D_NOT_FOUND, D_FAILED, D_TIMEOUTS, D_COUNT };
TABLE(dns_descs, [D_RESOLVE] = {"resolve_total", WEIR_COUNTER}, [D_PENDING] = {"pending_resolutions", WEIR_GAUGE},
      [D_NOT_FOUND] = {"not_found", WEIR_COUNTER}, [D_FAILED] = {"get_addr_failure", WEIR_COUNTER}, [D_TIMEOUTS] = {"timeouts", WEIR_COUNTER});

#define FLUSH_INTERVAL_MS 5000 /* Bootstrap.stats_flush_interval's default */
#define FLUSH_STEP_MS 1        /* others have the loop between two steps */

/* What is as it was is not touched: a number that never moved is unused (?usedonly). */
static void show(struct weir_stats_shard *s, uint32_t index, uint64_t value)
{
    if (atomic_load_explicit(&s->at[index], memory_order_relaxed) != (int64_t)value) weir_stat_set(s, index, (int64_t)value);
}

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
    if (s->flush == NULL) {
        weir_server_stats_refresh(s);
        s->flush = weir_stats_flush_create(s->stats);
    }
    bool more = weir_stats_flush_step(s->flush);
    if (!more) {
        weir_stats_flush_destroy(s->flush);
        s->flush = NULL;
    }
    weir_timer_start(&s->control->timers, t, more ? FLUSH_STEP_MS : s->stats_flush_interval_ms);
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
    static const uint32_t known[] = {STATE, STATIC_UNKNOWN, DYNAMIC_UNKNOWN, WIP_PROTOS, TOTAL_CONNECTIONS, FIPS_MODE, MEMORY_ALLOCATED, MEMORY_HEAP}; /* even at 0, as Envoy's are */
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) weir_stat_touch(weir_stats_shard(s->server_stats, s->worker_count), known[i]);
    weir_stat_touch(weir_stats_shard(s->cluster_stats, s->worker_count), C_WARMING);
    weir_stat_touch(weir_stats_shard(s->listener_stats, s->worker_count), L_WARMING);
    if (s->b.cds.kind != WEIR_FROM_NOWHERE) s->cds_stats = weir_stats_acquire(s->stats, WEIR_STR("cluster_manager.cds."), source_descs, SOURCE_COUNT);
    if (s->b.lds.kind != WEIR_FROM_NOWHERE) s->lds_stats = weir_stats_acquire(s->stats, WEIR_STR("listener_manager.lds."), source_descs, RELOAD);
    s->runtime_stats = weir_stats_acquire(s->stats, WEIR_STR("runtime."), runtime_descs, R_COUNT);
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++) {
        char prefix[32];
        int n = snprintf(prefix, sizeof(prefix), "weir.%s.", weir_resource_type_name((enum weir_resource_type)t));
        s->work_stats[t] = weir_stats_acquire(s->stats, (struct weir_str){prefix, (size_t)n}, work_descs, WORK_COUNT);
    }
    s->control_plane_stats = weir_stats_acquire(s->stats, WEIR_STR("control_plane."), control_plane_descs, 1);
    s->dns_stats = weir_stats_acquire(s->stats, WEIR_STR("dns.cares."), dns_descs, D_COUNT);
    s->inflated_stats = weir_stats_acquire(s->stats, WEIR_STR("thread_local_cluster_manager.main_thread."), inflated_descs, 1);
    s->worker_inflated_stats = calloc(s->worker_count, sizeof(struct weir_stats *));
    if (s->worker_inflated_stats == NULL) abort();
    for (uint32_t i = 0; i < s->worker_count; i++) {
        char prefix[64];
        snprintf(prefix, sizeof(prefix), "thread_local_cluster_manager.worker_%u.", i);
        s->worker_inflated_stats[i] = weir_stats_acquire(s->stats, weir_str_of(prefix), inflated_descs, 1);
    }
}

/* --- the admin server's own --- */

static void on_admin_connection_ended(void *ctx, uint64_t length_ms)
{
    struct weir_server *s = ctx;
    weir_stat_record(weir_stats_shard(s->admin_http_stats, s->worker_count), WEIR_HTTP_CX_LENGTH_MS, length_ms);
    weir_stat_record(weir_stats_shard(s->admin_listener_stats, s->worker_count), WEIR_LS_downstream_cx_length_ms, length_ms);
    weir_stat_record(weir_stats_shard(s->admin_listener_stats, s->worker_count), WEIR_LS_connections_accepted_per_socket_event, 1);
}

static void on_admin_request_ended(void *ctx, uint64_t length_ms)
{
    struct weir_server *s = ctx;
    weir_stat_record(weir_stats_shard(s->admin_http_stats, s->worker_count), WEIR_HTTP_RQ_TIME, length_ms);
}

void weir_server_stats_admin(struct weir_server *s)
{
    s->admin_listener_stats = weir_stats_acquire(s->stats, WEIR_STR("listener.admin."), weir_listener_stat_descs, WEIR_LS_COUNT);
    s->admin_thread_stats = weir_stats_acquire(s->stats, WEIR_STR("listener.admin.main_thread."), weir_listener_worker_stat_descs, WEIR_LWS_COUNT);
    s->admin_http_stats = weir_stats_acquire(s->stats, WEIR_STR("http.admin."), weir_http_stat_descs, WEIR_HTTP_STAT_COUNT);
    s->admin_http_listener_stats =
        weir_stats_acquire(s->stats, WEIR_STR("listener.admin.http.admin."), weir_http_listener_stat_descs, WEIR_HTTP_LISTENER_STAT_COUNT);
    weir_admin_set_times(s->admin, &(struct weir_admin_times){on_admin_connection_ended, on_admin_request_ended, s});
}

static void admin_refresh(struct weir_server *s)
{
    if (s->admin == NULL) return;
    const struct weir_admin_counts *c = weir_admin_counts(s->admin);
    struct weir_stats_shard *http = weir_stats_shard(s->admin_http_stats, s->worker_count);
    struct weir_stats_shard *by_class = weir_stats_shard(s->admin_http_listener_stats, s->worker_count);
    struct weir_stats_shard *listener = weir_stats_shard(s->admin_listener_stats, s->worker_count);
    struct weir_stats_shard *thread = weir_stats_shard(s->admin_thread_stats, s->worker_count);
    const struct {
        struct weir_stats_shard *shard;
        uint32_t index;
        uint64_t value;
    } all[] = {
        {listener, WEIR_LS_downstream_cx_total, c->connections}, {listener, WEIR_LS_downstream_cx_active, c->active},
        {listener, WEIR_LS_downstream_cx_destroy, c->ended}, {listener, WEIR_LS_downstream_cx_overflow, c->refused},
        {thread, WEIR_LWS_downstream_cx_total, c->connections}, {thread, WEIR_LWS_downstream_cx_active, c->active},
        {http, WEIR_HTTP_CX_TOTAL, c->connections}, {http, WEIR_HTTP_CX_HTTP1_TOTAL, c->connections}, {http, WEIR_HTTP_CX_ACTIVE, c->active},
        {http, WEIR_HTTP_CX_HTTP1_ACTIVE, c->active}, {http, WEIR_HTTP_CX_DESTROY, c->ended},
        {http, WEIR_HTTP_CX_DESTROY_REMOTE, c->ended_by_peer}, {http, WEIR_HTTP_CX_DESTROY_LOCAL, c->ended - c->ended_by_peer},
        {http, WEIR_HTTP_CX_PROTOCOL_ERROR, c->protocol_errors}, {http, WEIR_HTTP_CX_RX_BYTES_TOTAL, c->rx_bytes},
        {http, WEIR_HTTP_CX_TX_BYTES_TOTAL, c->tx_bytes}, {http, WEIR_HTTP_RQ_TOTAL, c->requests}, {http, WEIR_HTTP_RQ_HTTP1_TOTAL, c->requests},
        {http, WEIR_HTTP_RQ_ACTIVE, c->requests_active},
    };
    uint64_t completed = 0;
    weir_stat_touch(listener, WEIR_LS_downstream_pre_cx_active);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) show(all[i].shard, all[i].index, all[i].value);
    for (uint32_t i = 0; i < 5; i++) {
        completed += c->answers[i];
        show(http, WEIR_HTTP_RQ_1XX + i, c->answers[i]);
        show(by_class, WEIR_HTTP_LISTENER_RQ_1XX + i, c->answers[i]);
    }
    show(http, WEIR_HTTP_RQ_COMPLETED, completed);
    show(by_class, WEIR_HTTP_LISTENER_RQ_COMPLETED, completed);
}

/* --- configuration sources --- */

void weir_server_stats_update(struct weir_server *s, const struct weir_compile_job *job, bool accepted, bool changed)
{
    struct weir_xds_counts *c = &s->xds[job->type];
    uint64_t now_ms = s->control->wall_ns / 1000000u, received_ms = job->received_wall_ns / 1000000u;
    c->update_success += accepted;
    c->update_rejected += !accepted;
    if (!accepted) return;
    c->update_time_ms = now_ms;
    c->reloads += changed;
    if (changed) c->reload_time_ms = now_ms;
    struct weir_stats *set = job->type == WEIR_CLUSTERS ? s->cds_stats : job->type == WEIR_LISTENERS ? s->lds_stats : NULL;
    if (set == NULL) return;
    weir_stat_record(weir_stats_shard(set, s->worker_count), UPDATE_DURATION, now_ms > received_ms ? now_ms - received_ms : 0);
    const char *name = job->type == WEIR_CLUSTERS ? "cluster_manager.cds.version_text" : "listener_manager.lds.version_text";
    weir_stats_set_text(s->stats, weir_str_of(name), job->version.p != NULL ? job->version : WEIR_STR(""));
}

static void work_refresh(struct weir_server *s)
{
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++) {
        const struct weir_publish_counts *c = weir_publisher_counts(s->publisher, (enum weir_resource_type)t);
        struct weir_stats_shard *shard = weir_stats_shard(s->work_stats[t], s->worker_count);
        show(shard, COMPILED, c->compiled);
        show(shard, UNCHANGED, c->unchanged);
        show(shard, NOT_TAKEN, c->not_taken);
    }
}

static void source_refresh(struct weir_server *s, struct weir_stats *set, enum weir_resource_type type)
{
    if (set == NULL) return; /* it comes from nowhere */
    struct weir_stats_shard *shard = weir_stats_shard(set, s->worker_count);
    const struct weir_xds_counts *c = &s->xds[type];
    bool asked = (s->subscribed & 1u << type) != 0;
    uint64_t failures = c->update_failure + (asked ? atomic_load_explicit(&s->ads_failures, memory_order_relaxed) : 0);
    show(shard, ATTEMPT, asked + c->update_success + c->update_rejected + failures + c->init_fetch_timeouts); /* as Envoy counts them */
    show(shard, SUCCESS, c->update_success);
    show(shard, REJECTED, c->update_rejected);
    show(shard, FAILURE, failures);
    show(shard, FETCH_TIMEOUT, c->init_fetch_timeouts);
    show(shard, UPDATE_TIME, c->update_time_ms);
    if (c->version[0] != 0) show(shard, SOURCE_VERSION, weir_hash_stable(weir_str_of(c->version)));
    if (type != WEIR_CLUSTERS) return;
    show(shard, RELOAD, c->reloads);
    show(shard, RELOAD_TIME, c->reload_time_ms);
}

struct totals {
    struct weir_server *server;
    int64_t connections, expiry_s;
};

static void listener_total(void *ctx, const struct weir_record *r)
{
    struct totals *t = ctx;
    const struct weir_listener_config *l = (const struct weir_listener_config *)(const void *)r->active;
    if (l == NULL) return;
    if (l->stats != NULL) t->connections += weir_stat_sum(l->stats, WEIR_LS_downstream_cx_active);
    for (uint32_t i = 0; i < l->chain_count; i++)
        if (l->chains[i].tls != NULL && weir_tls_server_expiry(l->chains[i].tls) < t->expiry_s) t->expiry_s = weir_tls_server_expiry(l->chains[i].tls);
}

/* Over listeners alone: there are few of them, while clusters may be many thousands. */
static void totals_refresh(struct weir_server *s, struct weir_stats_shard *server)
{
    struct totals t = {s, 0, INT64_MAX};
    weir_publisher_each(s->publisher, WEIR_LISTENERS, listener_total, &t);
    show(server, TOTAL_CONNECTIONS, (uint64_t)t.connections);
    int64_t days = t.expiry_s == INT64_MAX ? UINT32_MAX : (t.expiry_s - (int64_t)(s->control->wall_ns / 1000000000u)) / 86400;
    show(server, FIRST_CERT_DAYS, (uint64_t)(days > 0 ? days : 0));
}

static void runtime_refresh(struct weir_server *s)
{
    struct weir_stats_shard *shard = weir_stats_shard(s->runtime_stats, s->worker_count);
    const struct weir_runtime *r = s->b.runtime;
    size_t at = 0, keys = 0, overrides = 0;
    struct weir_str key, final;
    const struct weir_str *values;
    while (r != NULL && weir_runtime_next(r, &at, &key, &final, &values)) {
        keys++;
        overrides += s->b.admin_layer >= 0 && values[s->b.admin_layer].p != NULL;
    }
    show(shard, R_KEYS, keys);
    show(shard, R_LAYERS, r != NULL ? weir_runtime_layer_count(r) : 0);
    show(shard, R_OVERRIDES, overrides > 0);
    show(shard, R_LOAD_SUCCESS, s->runtime_loads + 2); /* at start, and once more when all is initialised: so Envoy counts */
}

static void dns_refresh(struct weir_server *s)
{
    struct weir_stats_shard *shard = weir_stats_shard(s->dns_stats, s->worker_count);
    const struct weir_dns_counts *c = weir_dns_counts(s->clusters.dns);
    show(shard, D_RESOLVE, c->asked);
    if (c->asked > 0) weir_stat_touch(shard, D_PENDING);
    show(shard, D_PENDING, c->pending);
    show(shard, D_NOT_FOUND, c->not_found);
    show(shard, D_FAILED, c->failed);
    show(shard, D_TIMEOUTS, c->timeouts);
}

static void managers_refresh(struct weir_server *s)
{
    struct weir_stats_shard *shard = weir_stats_shard(s->cluster_stats, s->worker_count);
    const struct weir_publish_counts *c = weir_publisher_counts(s->publisher, WEIR_CLUSTERS);
    show(shard, C_WARMING, weir_publisher_warming(s->publisher, WEIR_CLUSTERS));
    uint64_t active = weir_publisher_active(s->publisher, WEIR_CLUSTERS);
    show(shard, C_ACTIVE, active);
    const struct weir_publish_counts *hosts = weir_publisher_counts(s->publisher, WEIR_ENDPOINTS);
    show(shard, C_UPDATED, hosts->modified);
    show(weir_stats_shard(s->inflated_stats, s->worker_count), 0, active);
    for (uint32_t i = 0; i < s->worker_count; i++) show(weir_stats_shard(s->worker_inflated_stats[i], s->worker_count), 0, active);
    show(shard, C_ADDED, c->added);
    show(shard, C_MODIFIED, c->modified);
    show(shard, C_REMOVED, c->removed);
    shard = weir_stats_shard(s->listener_stats, s->worker_count);
    c = weir_publisher_counts(s->publisher, WEIR_LISTENERS);
    size_t chains = 0;
    show(shard, L_WARMING, weir_publisher_warming(s->publisher, WEIR_LISTENERS));
    show(shard, L_ACTIVE, weir_publisher_active(s->publisher, WEIR_LISTENERS));
    show(shard, L_DRAINING, weir_publisher_draining(s->publisher, &chains));
    show(shard, L_CHAINS_DRAINING, chains);
    show(shard, L_WORKERS, s->stage == WEIR_STAGE_LIVE);
    show(shard, L_ADDED, c->added);
    show(shard, L_MODIFIED, c->modified);
    show(shard, L_REMOVED, c->removed);
    show(shard, L_STOPPED, c->stopped);
    show(shard, L_IN_PLACE, c->updated_in_place);
    show(shard, L_CREATED, c->created);
    show(shard, L_CREATE_FAILED, c->refused);
}

void weir_server_stats_refresh(struct weir_server *s)
{
    struct weir_stats_shard *server = weir_stats_shard(s->server_stats, s->worker_count);
    struct mallinfo2 m = mallinfo2();
    bool draining = s->state == WEIR_DRAINING || s->healthcheck_failed;
    show(server, LIVE, s->state == WEIR_LIVE && !draining);
    show(server, STATE, (uint64_t)(draining ? WEIR_DRAINING : (int64_t)s->state));
    show(server, UPTIME, (s->control->now_ns - s->start_ns) / 1000000000u);
    show(server, CONCURRENCY, s->worker_count);
    show(server, MEMORY_ALLOCATED, m.uordblks + m.hblkhd);
    show(server, MEMORY_HEAP, m.arena + m.hblkhd);
    show(server, VERSION, (uint64_t)(weir_version_parts[0] * 10000 + weir_version_parts[1] * 100 + weir_version_parts[2]));
    show(server, MEMORY_PHYSICAL, (uint64_t)physical_bytes());
    show(server, RESTART_GENERATION, 1);
    show(server, STATIC_UNKNOWN, weir_support_log_count(s->support, WEIR_SUPPORT_STATIC_UNKNOWN));
    show(server, DYNAMIC_UNKNOWN, weir_support_log_count(s->support, WEIR_SUPPORT_DYNAMIC_UNKNOWN));
    show(server, WIP_PROTOS, weir_support_log_count(s->support, WEIR_SUPPORT_WORK_IN_PROGRESS));
    for (unsigned i = 0; i < 2; i++)
        show(weir_stats_shard(s->runtime_stats, s->worker_count), i, weir_support_log_count(s->support, WEIR_SUPPORT_DEPRECATED));
    managers_refresh(s);
    work_refresh(s);
    totals_refresh(s, server);
    runtime_refresh(s);
    dns_refresh(s);
    admin_refresh(s);
    source_refresh(s, s->cds_stats, WEIR_CLUSTERS);
    source_refresh(s, s->lds_stats, WEIR_LISTENERS);
    show(weir_stats_shard(s->control_plane_stats, s->worker_count), 0, atomic_load_explicit(&s->ads_connected, memory_order_relaxed));
}

void weir_server_stats_destroy(struct weir_server *s)
{
    weir_stats_flush_destroy(s->flush);
    struct weir_stats *const all[] = {s->server_stats, s->cluster_stats, s->listener_stats, s->cds_stats, s->lds_stats, s->runtime_stats,
                                      s->control_plane_stats, s->dns_stats, s->inflated_stats, s->admin_listener_stats, s->admin_thread_stats,
                                      s->admin_http_stats, s->admin_http_listener_stats};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] != NULL) weir_stats_release(all[i]);
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++)
        if (s->work_stats[t] != NULL) weir_stats_release(s->work_stats[t]);
    for (uint32_t i = 0; s->worker_inflated_stats != NULL && i < s->worker_count; i++) weir_stats_release(s->worker_inflated_stats[i]);
    free(s->worker_inflated_stats);
}
