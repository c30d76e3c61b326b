/* Shared by publish.c, publish_clusters.c, publish_routes.c and publish_listeners.c only. */
#ifndef WEIR_CONFIG_PUBLISH_INTERNAL_H
#define WEIR_CONFIG_PUBLISH_INTERNAL_H

#include "dataplane/config/publish.h"

struct weir_publisher {
    struct weir_publisher_options o;
    const struct weir_publisher_events *events;
    void *ctx;
    struct weir_map records[WEIR_RESOURCE_TYPES]; /* name → struct weir_record */
    size_t warming[WEIR_RESOURCE_TYPES];
    struct weir_map eds; /* eds service name → struct eds_name (publish_clusters.c) */
    struct weir_map rds; /* route table names that were told to be wanted, each its own value (publish_routes.c) ... */
    bool rds_changed;    /* ... and may be others by now */
    struct weir_publish_counts counts[WEIR_RESOURCE_TYPES];
    struct weir_list draining; /* old versions of listeners (publish_draining.c) */
    struct weir_timer drained;
    struct weir_list spare;    /* sockets of listeners that this response removed, for its new ones (publish_listeners.c) */
    bool listening;
    struct weir_error listen_error;
    bool stopping; /* no sockets any more */
    bool closing;
};

void weir_record_set_active(struct weir_record *r, struct weir_resource *resource);  /* takes the reference; drops the old one */
void weir_record_set_warming(struct weir_record *r, struct weir_resource *resource); /* the same */
void weir_record_remove(struct weir_publisher *p, struct weir_record *r);
void weir_record_set_version(struct weir_record *r, struct weir_version *v);        /* takes a reference of its own; drops the old one */
void weir_publisher_now_warming(struct weir_publisher *p, enum weir_resource_type type, bool warming);

/* publish_sources.c: what is counted of subscriptions. After the job has been applied; a cluster with a configuration that is new;
 * a listener that is new or changed; nothing came within initial_fetch_timeout. */
void weir_publish_heard(struct weir_publisher *p, const struct weir_compile_job *job);
void weir_publish_source_cluster(struct weir_publisher *p, const struct weir_cluster_config *config);
void weir_publish_source_timed_out(struct weir_publisher *p, const struct weir_cluster_config *config);
void weir_publish_sources_listener(struct weir_publisher *p, const struct weir_resource *listener);
void weir_publish_sources_listener_timed_out(struct weir_publisher *p, const struct weir_resource *listener);

/* A resource that is new or changed (its reference goes over), and a removed name. */
void weir_publish_cluster(struct weir_publisher *p, struct weir_record *r, struct weir_resource *config);
void weir_publish_cluster_removed(struct weir_publisher *p, struct weir_record *r);
/* The control thread's runtime has changed. */
void weir_publish_clusters_runtime_changed(struct weir_publisher *p);
void weir_publish_endpoints(struct weir_publisher *p, struct weir_record *r, struct weir_resource *endpoints);
void weir_publish_endpoints_removed(struct weir_publisher *p, struct weir_record *r);
struct weir_str *weir_publish_eds_names(struct weir_publisher *p, struct weir_arena *a, size_t *count);
void weir_publish_endpoints_forget_left(struct weir_publisher *p);
void weir_publish_endpoints_forgotten(struct weir_publisher *p, struct weir_str name);
/* Clusters whose endpoints have this name; those of all names. Each with the configuration that was given last. */
void weir_publish_eds_each(struct weir_publisher *p, struct weir_str name, void (*fn)(void *ctx, const struct weir_cluster_config *c), void *ctx);
void weir_publish_eds_all(struct weir_publisher *p, void (*fn)(void *ctx, const struct weir_cluster_config *c), void *ctx);
void weir_publish_eds_unchanged(struct weir_publisher *p, struct weir_str name); /* they came again as they were */

void weir_publish_route_table(struct weir_publisher *p, struct weir_record *r, struct weir_resource *table);
void weir_publish_route_table_removed(struct weir_publisher *p, struct weir_record *r);
/* A listener has come, gone or changed: others than before may be wanted. */
void weir_publish_rds_changed(struct weir_publisher *p);
void weir_publish_route_tables_forget_left(struct weir_publisher *p);
void weir_publish_route_tables_forgotten(struct weir_publisher *p, struct weir_str name);
void weir_publish_route_tables_deinit(struct weir_publisher *p);

/* Refused: its socket cannot be made, what served before serves on. */
enum weir_err weir_publish_listener(struct weir_publisher *p, struct weir_record *r, struct weir_resource *config, struct weir_error *error);
/* The bytes that were refused for their socket have come again. WEIR_OK where nothing was. */
enum weir_err weir_publish_listener_again(struct weir_publisher *p, struct weir_record *r, struct weir_error *error);
void weir_publish_listeners_applied(struct weir_publisher *p); /* at the end of a response */
void weir_publish_listener_removed(struct weir_publisher *p, struct weir_record *r);
/* An old version of a listener (a reference is taken), with as many chains as it drains by itself; 0: the whole of it. */
void weir_publish_draining(struct weir_publisher *p, struct weir_resource *listener, size_t chains);
/* Each such version in turn: *at is NULL at first. NULL: no more. */
const struct weir_resource *weir_publish_draining_next(struct weir_publisher *p, struct weir_list **at);
void weir_publish_draining_init(struct weir_publisher *p);
void weir_publish_draining_deinit(struct weir_publisher *p);

/* A route table that listeners may be waiting for has come (or was given up). */
void weir_publish_listeners_check(struct weir_publisher *p);
struct weir_str *weir_publish_rds_names(struct weir_publisher *p, struct weir_arena *a, size_t *count);
const char *weir_publish_cluster_waits(const struct weir_record *r);
const char *weir_publish_listener_waits(struct weir_publisher *p, const struct weir_record *r, struct weir_arena *a);

#endif
