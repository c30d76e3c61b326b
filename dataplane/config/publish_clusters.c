/* Clusters and endpoints. A cluster's shared part (cluster/shared.h) is made with its first configuration and lives until
 * the cluster is removed. A changed configuration is published at once when what it needs is there; an EDS cluster whose
 * assignment is not known yet warms, and what served before serves on. */
#include <stdlib.h>

#include "dataplane/base/log.h"
#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/config/publish_internal.h"

struct entry {
    struct weir_publisher *publisher;
    struct weir_record *record;
    struct weir_cluster_shared *shared; /* NULL while the very first configuration is on its way in */
    struct weir_timer give_up;
    struct weir_list eds_node; /* in the eds name's list of users */
    struct eds_name *eds;      /* NULL: not an EDS cluster */
    bool waits;                /* warming */
};
/* One endpoint set that clusters name. Most names have one user. */
struct eds_name {
    struct weir_str name;
    struct weir_list users;
};

static void eds_leave(struct entry *e)
{
    struct eds_name *n = e->eds;
    if (n == NULL) return;
    e->eds = NULL;
    weir_list_remove(&e->eds_node);
    if (!weir_list_empty(&n->users)) return;
    struct weir_publisher *p = e->publisher;
    weir_map_remove(&p->eds, n->name);
    struct weir_record *r = weir_publisher_record(p, WEIR_ENDPOINTS, n->name);
    if (r != NULL) r->left = true;
    free((void *)(uintptr_t)n->name.p);
    free(n);
    if (!p->closing) p->events->on_wanted(p->ctx, WEIR_ENDPOINTS);
}

static void eds_join(struct entry *e, struct weir_str name)
{
    struct weir_publisher *p = e->publisher;
    struct eds_name *n = weir_map_get(&p->eds, name);
    bool fresh = n == NULL;
    if (fresh) {
        n = calloc(1, sizeof(*n));
        char *copy = malloc(name.n + 1);
        if (n == NULL || copy == NULL) abort();
        memcpy(copy, name.p, name.n);
        n->name = (struct weir_str){copy, name.n};
        weir_list_init(&n->users);
        weir_map_set(&p->eds, n->name, n);
        struct weir_record *r = weir_publisher_record(p, WEIR_ENDPOINTS, name);
        if (r != NULL) r->left = false;
    }
    weir_list_push_back(&n->users, &e->eds_node);
    e->eds = n;
    if (fresh) p->events->on_wanted(p->ctx, WEIR_ENDPOINTS);
}

static void warmed(struct entry *e)
{
    struct weir_publisher *p = e->publisher;
    if (!e->waits) return;
    e->waits = false;
    weir_timer_stop(&p->o.control->timers, &e->give_up);
    struct weir_resource *config = e->record->warming;
    if (config != NULL) weir_resource_acquire(config);
    weir_record_set_warming(e->record, NULL);
    weir_record_set_active(e->record, config);
    weir_stat_set(e->shared->stats, WEIR_CC_warming_state, 0); /* should it have given up waiting */
    weir_cluster_shared_publish(e->shared);
    weir_publisher_now_warming(p, WEIR_CLUSTERS, false);
}

static void on_ready(void *ctx, struct weir_cluster_shared *s)
{
    struct entry *e = ctx;
    if (e->shared == NULL) return; /* still inside create: the caller looks itself */
    (void)s;
    warmed(e);
}

static void on_give_up(struct weir_timer *t)
{
    struct entry *e = WEIR_CONTAINER_OF(t, struct entry, give_up);
    WEIR_LOG(CONFIG, WARNING, "cluster '%.*s': initial fetch of its endpoints timed out, it serves without them",
             WEIR_STR_ARG(e->record->name));
    weir_publish_source_timed_out(e->publisher, e->shared->config);
    warmed(e);
}

static struct weir_endpoints *endpoints_known(struct weir_publisher *p, const struct weir_cluster_config *config)
{
    if (config->type != WEIR_CLUSTER_EDS) return NULL;
    struct weir_record *r = weir_publisher_record(p, WEIR_ENDPOINTS, config->eds_service_name);
    return r != NULL ? (struct weir_endpoints *)(void *)r->active : NULL;
}

static void wait_begin(struct entry *e, struct weir_resource *config)
{
    struct weir_publisher *p = e->publisher;
    weir_record_set_warming(e->record, config);
    if (!e->waits) {
        e->waits = true;
        weir_publisher_now_warming(p, WEIR_CLUSTERS, true);
    }
    const struct weir_cluster_config *cluster = (const struct weir_cluster_config *)(void *)config;
    weir_timer_stop(&p->o.control->timers, &e->give_up);
    if (cluster->type == WEIR_CLUSTER_EDS && cluster->initial_fetch_timeout_ms != 0)
        weir_timer_start(&p->o.control->timers, &e->give_up, cluster->initial_fetch_timeout_ms);
}

/* The shared part takes the configuration; published now or when it is ready. */
static void config_use(struct entry *e, struct weir_resource *resource)
{
    struct weir_publisher *p = e->publisher;
    struct weir_cluster_config *config = (struct weir_cluster_config *)(void *)resource;
    struct weir_endpoints *endpoints = endpoints_known(p, config);
    if (e->shared == NULL) {
        uint32_t slot = weir_names_cluster(p->o.names, e->record->name);
        e->shared = weir_cluster_shared_create(p->o.clusters, slot, config, on_ready, e);
    } else {
        weir_cluster_shared_set_config(e->shared, config);
    }
    weir_publish_source_cluster(p, config);
    if (endpoints != NULL) weir_cluster_shared_set_endpoints(e->shared, endpoints);
    if (weir_cluster_shared_ready(e->shared)) {
        if (e->waits) { /* was warming under an earlier version of itself */
            weir_record_set_warming(e->record, resource);
            warmed(e);
            return;
        }
        weir_record_set_active(e->record, resource);
        weir_cluster_shared_publish(e->shared);
        return;
    }
    wait_begin(e, resource);
}

void weir_publish_cluster(struct weir_publisher *p, struct weir_record *r, struct weir_resource *resource)
{
    struct weir_cluster_config *config = (struct weir_cluster_config *)(void *)resource;
    struct entry *e = r->entry;
    if (e == NULL) {
        e = calloc(1, sizeof(*e));
        if (e == NULL) abort();
        e->publisher = p;
        e->record = r;
        e->give_up.on_due = on_give_up;
        r->entry = e;
    }
    bool eds = config->type == WEIR_CLUSTER_EDS;
    bool same_eds = eds && e->eds != NULL && weir_str_eq(e->eds->name, config->eds_service_name);
    if (!same_eds) {
        eds_leave(e);
        if (eds) eds_join(e, config->eds_service_name);
    }
    config_use(e, resource);
}

void weir_publish_cluster_removed(struct weir_publisher *p, struct weir_record *r)
{
    struct entry *e = r->entry;
    if (e == NULL) return;
    r->entry = NULL;
    weir_timer_stop(&p->o.control->timers, &e->give_up);
    bool waited = e->waits;
    e->waits = false;
    eds_leave(e);
    if (e->shared != NULL) weir_cluster_shared_close(e->shared);
    free(e);
    weir_record_set_active(r, NULL);
    weir_record_set_warming(r, NULL);
    if (waited) weir_publisher_now_warming(p, WEIR_CLUSTERS, false);
}

void weir_publish_clusters_runtime_changed(struct weir_publisher *p)
{
    size_t at = 0;
    void *value;
    while (weir_map_next(&p->records[WEIR_CLUSTERS], &at, NULL, &value)) {
        const struct entry *e = ((const struct weir_record *)value)->entry;
        if (e != NULL && e->shared != NULL) weir_cluster_shared_runtime_changed(e->shared);
    }
}

static void endpoints_use(struct weir_publisher *p, struct weir_str name, struct weir_resource *resource)
{
    struct eds_name *n = weir_map_get(&p->eds, name);
    if (n == NULL) return;
    for (struct weir_list *at = n->users.next, *next; at != &n->users; at = next) {
        next = at->next;
        struct entry *e = WEIR_CONTAINER_OF(at, struct entry, eds_node);
        if (e->shared == NULL) continue;
        weir_cluster_shared_set_endpoints(e->shared, (struct weir_endpoints *)(void *)resource); /* on_ready may come inside */
        if (e->record->active != NULL || e->record->warming == NULL) weir_cluster_shared_publish(e->shared);
    }
}

void weir_publish_endpoints(struct weir_publisher *p, struct weir_record *r, struct weir_resource *resource)
{
    weir_record_set_active(r, resource); /* kept where nobody has asked yet: control planes send endpoints early */
    endpoints_use(p, r->name, resource);
}

void weir_publish_endpoints_removed(struct weir_publisher *p, struct weir_record *r)
{
    (void)p;
    (void)r; /* hosts stay, as in Envoy: an assignment goes with its cluster or is replaced by an empty one */
}

void weir_publish_endpoints_forgotten(struct weir_publisher *p, struct weir_str name)
{
    struct weir_record *r = weir_publisher_record(p, WEIR_ENDPOINTS, name);
    if (r != NULL && weir_map_get(&p->eds, name) == NULL) weir_record_remove(p, r);
}

void weir_publish_endpoints_forget_left(struct weir_publisher *p)
{
    size_t at = 0;
    struct weir_str name;
    void *value;
    while (weir_map_next(&p->records[WEIR_ENDPOINTS], &at, &name, &value)) {
        struct weir_record *r = value;
        if (!r->left) continue;
        r->left = false;
        if (r->active == NULL) continue;
        weir_record_set_active(r, NULL);
        p->events->on_forget(p->ctx, WEIR_ENDPOINTS, r->source, r->name);
    }
}

static void users_visit(const struct eds_name *n, void (*fn)(void *ctx, const struct weir_cluster_config *c), void *ctx)
{
    for (const struct weir_list *at = n->users.next; at != &n->users; at = at->next) {
        const struct entry *e = WEIR_CONTAINER_OF(at, struct entry, eds_node);
        if (e->shared != NULL) fn(ctx, e->shared->config);
    }
}

void weir_publish_eds_each(struct weir_publisher *p, struct weir_str name, void (*fn)(void *ctx, const struct weir_cluster_config *c), void *ctx)
{
    const struct eds_name *n = weir_map_get(&p->eds, name);
    if (n != NULL) users_visit(n, fn, ctx);
}

void weir_publish_eds_all(struct weir_publisher *p, void (*fn)(void *ctx, const struct weir_cluster_config *c), void *ctx)
{
    size_t at = 0;
    void *value;
    while (weir_map_next(&p->eds, &at, NULL, &value)) users_visit(value, fn, ctx);
}

void weir_publish_eds_unchanged(struct weir_publisher *p, struct weir_str name)
{
    const struct eds_name *n = weir_map_get(&p->eds, name);
    for (const struct weir_list *at = n != NULL ? n->users.next : NULL; n != NULL && at != &n->users; at = at->next) {
        const struct entry *e = WEIR_CONTAINER_OF(at, struct entry, eds_node);
        if (e->shared != NULL) weir_cluster_shared_endpoints_unchanged(e->shared);
    }
}

struct weir_str *weir_publish_eds_names(struct weir_publisher *p, struct weir_arena *a, size_t *count)
{
    struct weir_str *out = WEIR_NEW(a, struct weir_str, p->eds.count + 1);
    size_t at = 0;
    struct weir_str name;
    void *value;
    *count = 0;
    while (weir_map_next(&p->eds, &at, &name, &value)) out[(*count)++] = weir_arena_str(a, name);
    return out;
}

const char *weir_publish_cluster_waits(const struct weir_record *r)
{
    const struct entry *e = r->entry;
    if (e == NULL || !e->waits) return NULL;
    return e->eds != NULL ? "its endpoints (EDS)" : "the first DNS answers of its endpoints";
}

struct weir_cluster_shared *weir_publisher_cluster(struct weir_publisher *p, const struct weir_record *r)
{
    const struct entry *e = r->entry;
    (void)p;
    return e != NULL && r->active != NULL ? e->shared : NULL;
}
