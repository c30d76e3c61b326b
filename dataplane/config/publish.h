/* The control thread's view of all accepted configuration, and the way to the workers: cross-references, warming
 * (make-before-break), publication, and the records that /config_dump prints. Everything here runs on the control thread.
 *
 * A cluster warms until its endpoints or names have been answered, a listener until the route tables that it names are
 * there, each bounded by initial_fetch_timeout; what served before serves until then. */
#ifndef WEIR_CONFIG_PUBLISH_H
#define WEIR_CONFIG_PUBLISH_H

#include "dataplane/base/map.h"
#include "dataplane/base/runtime.h"
#include "dataplane/cluster/shared.h"
#include "dataplane/config/compile_job.h"
#include "dataplane/config/names.h"
#include "dataplane/worker/worker.h"

/* What is known of one resource name, for /config_dump and for explaining. */
struct weir_record {
    struct weir_str name; /* owned */
    enum weir_resource_type type;
    uint32_t source;
    struct weir_resource *active, *warming; /* a reference each; NULL: none */
    struct weir_refusal {
        char *error, *packed; /* owned; NULL: nothing refused since */
        size_t packed_bytes;
        struct weir_str version; /* owned */
        uint64_t wall_ns;
    } refused;
    void *entry; /* the type's own: publish_clusters.c, publish_listeners.c */
    struct weir_version *version; /* endpoints, routes: of the last response that had it accepted (publish_sources.c); NULL: none */
    bool left;   /* endpoints: nobody names them any more (weir_publisher_forget_left()) */
};

/* What happened to resources of one type so far; what only listeners have stays 0 for the others. */
struct weir_publish_counts {
    /* Of all resources that were given: compiled, known by their bytes' hash (accepted or refused before), refused. */
    uint64_t compiled, unchanged, not_taken;
    uint64_t added, modified, removed;
    uint64_t updated_in_place; /* a listener kept its sockets: those of its connections whose chain is still there stay */
    uint64_t stopped;          /* by /drain_listeners */
    uint64_t created, refused; /* by worker; once for a socket that could not be made */
};

struct weir_publisher;
struct weir_publisher_events {
    /* The set of endpoint or route table names that are wanted has changed: subscribe anew. */
    void (*on_wanted)(void *ctx, enum weir_resource_type type);
    /* Out of weir_publisher_forget_left(): what was accepted of it is to be forgotten (a job with the name removed, then
     * weir_publisher_forgotten()). */
    void (*on_forget)(void *ctx, enum weir_resource_type type, uint32_t source, struct weir_str name);
    /* Something stopped warming: initialisation may go on. */
    void (*on_warmed)(void *ctx);
};
struct weir_publisher_options {
    struct weir_worker *control;
    struct weir_worker *const *workers;
    uint32_t worker_count;
    struct weir_names *names;
    struct weir_stats_registry *stats;
    const struct weir_cluster_env *clusters;
    uint32_t drain_time_s;
    bool drain_immediately;
};
struct weir_publisher *weir_publisher_create(const struct weir_publisher_options *o, const struct weir_publisher_events *events, void *ctx);
/* Workers must have stopped. */
void weir_publisher_destroy(struct weir_publisher *p);

/* Takes what the job compiled. Returns the text of a NACK, "NAME: FIELD: reason" for each refused resource, in the job's
 * arena, or NULL. */
const char *weir_publisher_apply(struct weir_publisher *p, struct weir_compile_job *job);
/* The stream to the control plane ended, or could not be made, so many times: every subscription counts it. */
void weir_publisher_sources_failed(struct weir_publisher *p, uint64_t times);
/* For weir_stats_set_text_teller(): the versions of endpoints by cluster and of route tables. */
void weir_publisher_tell_texts(void *publisher, weir_stat_text_fn *fn, void *ctx);
/* Endpoint or route table names wanted now, in the arena. */
struct weir_str *weir_publisher_wanted(struct weir_publisher *p, enum weir_resource_type type, struct weir_arena *a, size_t *count);
/* Endpoints that no cluster and route tables that no listener names any more go (a listener that drains still does). Call where the subscription is changed to what is wanted, not before: a name that is
 * given up and wanted again in between is no change to the control plane, which would not send it again. */
void weir_publisher_forget_left(struct weir_publisher *p);
/* The job of on_forget is done: drops what a response that was under way meanwhile brought of it. */
void weir_publisher_forgotten(struct weir_publisher *p, enum weir_resource_type type, struct weir_str name);
/* Clusters or listeners that are warming; and each by name with what it waits for. */
size_t weir_publisher_warming(const struct weir_publisher *p, enum weir_resource_type type);
void weir_publisher_each_warming(struct weir_publisher *p, void (*each)(void *ctx, enum weir_resource_type type, struct weir_str name, const char *waits_for),
                                 void *ctx);
/* Every record of a type, in order of names. */
void weir_publisher_each(struct weir_publisher *p, enum weir_resource_type type, void (*each)(void *ctx, const struct weir_record *r), void *ctx);
/* The same over several turns: records may come and go meanwhile. The names are those of its making. */
struct weir_publisher_walk;
struct weir_publisher_walk *weir_publisher_walk_create(struct weir_publisher *p, enum weir_resource_type type);
/* False: the end. *out is NULL where this call only went on sorting; valid for the turn. */
bool weir_publisher_walk_next(struct weir_publisher_walk *w, const struct weir_record **out);
void weir_publisher_walk_destroy(struct weir_publisher_walk *w);
struct weir_record *weir_publisher_record(struct weir_publisher *p, enum weir_resource_type type, struct weir_str name);
size_t weir_publisher_count(const struct weir_publisher *p, enum weir_resource_type type);
size_t weir_publisher_active(const struct weir_publisher *p, enum weir_resource_type type); /* those that serve */
const struct weir_publish_counts *weir_publisher_counts(const struct weir_publisher *p, enum weir_resource_type type);
/* Listeners that have connections left though they were removed or replaced on other sockets; and filter chains that an update
 * took out of a listener that goes on. */
size_t weir_publisher_draining(struct weir_publisher *p, size_t *chains);
/* The newest such version of a listener, NULL: none; and one for each listener that is gone otherwise. */
const struct weir_resource *weir_publisher_draining_of(struct weir_publisher *p, struct weir_str name);
void weir_publisher_each_gone(struct weir_publisher *p, void (*each)(void *ctx, const struct weir_resource *listener), void *ctx);
/* The first socket of the bootstrap's listeners that could not be made. */
enum weir_err weir_publisher_bind_error(const struct weir_publisher *p, struct weir_error *e) WEIR_MUST_USE;
/* Where a listener is bound (port 0 resolved), NULL while it is not. */
const struct weir_address *weir_publisher_listener_address(struct weir_publisher *p, struct weir_str name);
/* The shared part of an active cluster, borrowed for the turn; NULL: not active. */
struct weir_cluster_shared *weir_publisher_cluster(struct weir_publisher *p, const struct weir_record *r);
/* Drops what a stopped worker holds of the published route tables and runtime. */
void weir_publish_worker_deinit(struct weir_worker *w);
void weir_publisher_set_runtime(struct weir_publisher *p, struct weir_runtime *runtime); /* to every worker; keeps no reference */
/* /drain_listeners: ports stop accepting at once, or after the drain time (connections are asked to end meanwhile), or never
 * (connections are asked to end). inbound_only: traffic_direction INBOUND alone. */
enum weir_listeners_drain { WEIR_DRAIN_AT_ONCE, WEIR_DRAIN_GRACEFULLY, WEIR_DRAIN_AND_STAY };
void weir_publisher_drain_listeners(struct weir_publisher *p, bool inbound_only, enum weir_listeners_drain how);
/* Whether any listener that serves has traffic_direction OUTBOUND. */
bool weir_publisher_has_outbound(struct weir_publisher *p);
/* The workers have been told to stop all listeners: gives the sockets up, so that the ports refuse once the last worker has let
 * go of them. No listener is opened any more. */
void weir_publisher_stop_listening(struct weir_publisher *p);
/* Listeners hold back their sockets until this is called: nothing is served before the first configuration is whole. */
enum weir_err weir_publisher_start_listening(struct weir_publisher *p, struct weir_error *e) WEIR_MUST_USE;

#endif
