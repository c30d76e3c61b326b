/* Between server.c, server_xds.c, server_stats.c, server_admin.c and config_dump.c only: the fields of a running weir. Control thread unless said. */
#ifndef WEIR_CONFIG_SERVER_INTERNAL_H
#define WEIR_CONFIG_SERVER_INTERNAL_H

#include <pthread.h>

#include "dataplane/base/out.h"
#include "dataplane/cluster/dns.h"
#include "dataplane/config/cpus.h"
#include "dataplane/config/file_source.h"
#include "dataplane/config/memory_limit.h"
#include "dataplane/config/names.h"
#include "dataplane/config/resource_ttl.h"
#include "dataplane/config/server.h"
#include "dataplane/limits.h"
#include "dataplane/listener/listener.h"
#include "dataplane/worker/watch.h"

#define WEIR_SOURCE_ADS 1u
#define WEIR_SOURCE_CDS_FILE 2u
#define WEIR_SOURCE_LDS_FILE 3u

struct weir_worker_thread {
    struct weir_worker *worker;
    struct weir_server *server;
    pthread_t thread;
    struct weir_mail order, idle, end, ping, pong; /* each under way at most once */
    uint64_t ping_ns; /* when the control loop asked for a sign of life; 0: it came */
    struct weir_shutdown_order shutdown;
};
struct weir_xds_counts {
    uint64_t update_success, update_rejected, update_failure, reloads, init_fetch_timeouts; /* update_failure: of a file */
    uint64_t update_time_ms, reload_time_ms; /* Unix time of the last accepted one, and of the last that changed something */
    char version[128]; /* of the last accepted response, cut; NUL-terminated */
};

/* Where a change of the CDS and LDS files is on its way; server_files.c. */
enum weir_files_stage {
    WEIR_FILES_REST,
    WEIR_FILES_ADD,       /* new and changed clusters are compiled */
    WEIR_FILES_WARM,      /* they wait for their hosts */
    WEIR_FILES_LISTENERS, /* the listeners are compiled */
    WEIR_FILES_LISTENED,
    WEIR_FILES_REMOVE,    /* clusters that are in the file no more go */
};
struct weir_files {
    struct weir_file_source *cds, *lds; /* NULL: not from a file, or not begun */
    enum weir_files_stage stage;
    bool again;                                      /* they have changed meanwhile */
    struct weir_timer settle;                        /* one of them may be half-written: to be looked at again */
    struct weir_compile_job *listeners, *removals;   /* what comes after the stage at hand; owned */
};

struct weir_server {
    struct weir_options o;
    struct weir_bootstrap b;
    enum weir_server_state state;
    enum { WEIR_STAGE_STATIC, WEIR_STAGE_CDS, WEIR_STAGE_LDS, WEIR_STAGE_LIVE } stage;
    bool cds_answered, lds_answered, advancing, started, ran;
    bool healthcheck_failed;
    int exit_code;
    uint64_t start_ns, start_wall_ns;
    uint32_t worker_count, busy_workers;
    uint64_t drain_linger_ms, drain_end_ns; /* by the control loop's clock */
    struct weir_names *names;
    struct weir_stats_registry *stats;
    struct weir_support_log *support; /* main's */
    struct weir_log_sinks *log_sinks;
    struct weir_compile_env env;
    struct weir_compile_memory *memory; /* until the compile thread takes it */
    struct weir_compiler *compiler;
    struct weir_worker *control;
    struct weir_worker **workers;
    struct weir_own_connections *own; /* of all workers */
    struct weir_worker_thread *threads;
    struct weir_cluster_env clusters;
    struct weir_publisher *publisher;
    struct weir_ads *ads;
    struct weir_ttls *ttls;
    struct weir_files files;
    pthread_mutex_t lock; /* guards `closing` against the ADS client's thread */
    bool closing;
    _Atomic bool ads_connected;
    _Atomic uint64_t ads_failures;
    uint64_t ads_failures_told;  /* to the publisher */
    struct weir_mail ads_failed; /* under way at most once */
    _Atomic bool ads_failed_posted;
    struct weir_xds_counts xds[WEIR_RESOURCE_TYPES];
    uint32_t wanted, subscribed; /* by ADS; bits by resource type */
    struct weir_deferred wanted_later;
    struct weir_timer fetch_timeout, wait_log;
    struct weir_watch *signals;
    int signal_fd;
    struct weir_admin *admin, *probes;
    struct weir_timer pulse, overload_look;
    struct weir_memory_limit memory_limit;
    bool overloaded;
    struct weir_stats *overload_monitor_stats, *overload_action_stats; /* NULL: no limit */
    char ads_why[256];          /* why the ADS stream ended last; guarded by `lock` */
    struct weir_error *broken[WEIR_RESOURCE_TYPES]; /* what is wrong with the file; NULL: nothing. Owned */
    struct weir_stats *server_stats, *cluster_stats, *listener_stats, *cds_stats, *lds_stats, *runtime_stats, *control_plane_stats,
        *work_stats[WEIR_RESOURCE_TYPES],
        *inflated_stats, *dns_stats, *admin_listener_stats, *admin_thread_stats, *admin_http_stats, *admin_http_listener_stats;
    struct weir_stats **worker_inflated_stats; /* by worker */
    uint64_t runtime_loads;
    struct weir_timer stats_flush;
    uint64_t stats_flush_interval_ms; /* 0: when the admin reads */
    struct weir_stats_flush *flush;   /* the one under way; NULL: none */
};

const char *weir_server_state_name(enum weir_server_state s);
void weir_server_advance(struct weir_server *s);
/* server_stats.c: what is counted elsewhere or is known only when asked: server.*, cluster_manager.*, listener_manager.*,
 * control_plane.*. */
void weir_server_stats_create(struct weir_server *s);
void weir_server_stats_start(struct weir_server *s); /* the flush of histograms, by the bootstrap's interval */
void weir_server_stats_live(struct weir_server *s);  /* once, when everything is initialised */
void weir_server_stats_refresh(struct weir_server *s);
void weir_server_stats_destroy(struct weir_server *s);
/* server_xds.c: dynamic configuration comes in. */
extern const struct weir_publisher_events weir_server_publisher_events;
extern const struct weir_ads_events weir_server_ads_events;
/* server_files.c */
void weir_server_file_start(struct weir_server *s, enum weir_resource_type type); /* CDS or LDS, as the bootstrap says */
/* An event line for each resource that is refused with these bytes for the first time. */
void weir_server_refusals_tell(const struct weir_compile_job *job, struct weir_str source);
void weir_server_files_warmed(struct weir_server *s);
void weir_server_files_stop(struct weir_server *s);
/* Control thread: to the compile thread, or dropped where that is gone already. */
void weir_server_submit(struct weir_server *s, struct weir_compile_job *job);
/* For what a job calls when it is done: true, and the job is dropped, where the workers that it would be published to have ended. */
bool weir_server_comes_too_late(const struct weir_server *s, struct weir_compile_job *job);
/* Resources whose time to live has ended (weir_ttl_expired). */
void weir_server_expired(void *ctx, enum weir_resource_type type, const struct weir_ttl_end *ends, size_t count);
void weir_server_wanted_send(struct weir_deferred *d); /* of server.wanted_later */
void weir_server_stats_admin(struct weir_server *s); /* once the admin server is there */
/* An update of a type was taken or refused; `changed`: it made a difference. */
void weir_server_stats_update(struct weir_server *s, const struct weir_compile_job *job, bool accepted, bool changed);
/* Drains and ends; a second call ends at once. Where listeners have traffic_direction OUTBOUND, those go last. */
void weir_server_drain(struct weir_server *s, uint64_t linger_ms, uint64_t drain_ms); /* as struct weir_shutdown_order */
void weir_server_logs_reopen(struct weir_server *s);
/* /healthcheck/fail and ok: every worker answers with Connection: close or GOAWAY, or stops to. */
void weir_server_health_tell(struct weir_server *s, bool failed);
/* server_admin.c: the admin socket, up before the first configuration. */
enum weir_err weir_server_admin_start(struct weir_server *s, struct weir_error *e) WEIR_MUST_USE;
void weir_server_admin_stop(struct weir_server *s);
/* A page of stats that is about to be rendered: where nothing else closes the histograms' interval, the page does. */
struct weir_admin_reply;
void weir_server_flush_first(struct weir_server *s, struct weir_admin_reply *reply);
/* What /ready says: HTTP status, state and, where it is not LIVE, what is waited for and why it does not come. */
uint32_t weir_server_readiness(struct weir_server *s, struct weir_out *out);
/* LDS has answered, with nothing: LIVE as admin's /ready has it, but a pod that no request can pass. */
bool weir_server_lacks_listeners(const struct weir_server *s);
/* server_overload.c: nothing where the container has no memory limit. */
void weir_server_overload_start(struct weir_server *s);
void weir_server_overload_stop(struct weir_server *s);
/* server_probe.c: --probe-address, the socket that a kubelet asks. */
enum weir_err weir_server_probes_start(struct weir_server *s, struct weir_error *e) WEIR_MUST_USE;
void weir_server_probes_stop(struct weir_server *s);
/* Everything that a stopped worker still holds: connections, listeners, clusters, route tables. */
void weir_worker_close_all(struct weir_worker *w);

#endif
