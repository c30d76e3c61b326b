/* Records, applying jobs, counting what warms. The types' own ways stand in publish_clusters.c, publish_routes.c and
 * publish_listeners.c. */
#include <stdlib.h>

#include "dataplane/base/log.h"
#include "dataplane/config/publish_internal.h"

static void *need(void *p)
{
    if (p == NULL) abort();
    return p;
}

static struct weir_str copy_str(struct weir_str s)
{
    char *p = need(malloc(s.n + 1));
    if (s.n > 0) memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return (struct weir_str){p, s.n};
}

struct weir_publisher *weir_publisher_create(const struct weir_publisher_options *o, const struct weir_publisher_events *events, void *ctx)
{
    struct weir_publisher *p = need(calloc(1, sizeof(*p)));
    p->o = *o;
    p->events = events;
    p->ctx = ctx;
    weir_publish_draining_init(p);
    weir_list_init(&p->spare);
    return p;
}

struct weir_record *weir_publisher_record(struct weir_publisher *p, enum weir_resource_type type, struct weir_str name)
{
    return weir_map_get(&p->records[type], name);
}

size_t weir_publisher_count(const struct weir_publisher *p, enum weir_resource_type type)
{
    return p->records[type].count;
}

size_t weir_publisher_active(const struct weir_publisher *p, enum weir_resource_type type)
{
    size_t n = 0, at = 0;
    void *value;
    while (weir_map_next(&p->records[type], &at, NULL, &value)) n += ((const struct weir_record *)value)->active != NULL;
    return n;
}

const struct weir_publish_counts *weir_publisher_counts(const struct weir_publisher *p, enum weir_resource_type type)
{
    return &p->counts[type];
}

static struct weir_record *record_make(struct weir_publisher *p, enum weir_resource_type type, struct weir_str name, uint32_t source)
{
    struct weir_record *r = weir_publisher_record(p, type, name);
    if (r != NULL) return r;
    r = need(calloc(1, sizeof(*r)));
    r->name = copy_str(name);
    r->type = type;
    r->source = source;
    weir_map_set(&p->records[type], r->name, r);
    return r;
}

static void resource_swap(struct weir_resource **at, struct weir_resource *with)
{
    struct weir_resource *old = *at;
    *at = with;
    if (old != NULL) weir_resource_release(old);
}

void weir_record_set_active(struct weir_record *r, struct weir_resource *resource)
{
    resource_swap(&r->active, resource);
}

void weir_record_set_warming(struct weir_record *r, struct weir_resource *resource)
{
    resource_swap(&r->warming, resource);
}

static void refusal_clear(struct weir_record *r)
{
    free(r->refused.error);
    free(r->refused.packed);
    free((void *)(uintptr_t)r->refused.version.p);
    memset(&r->refused, 0, sizeof(r->refused));
}

static void refusal_set(struct weir_record *r, const struct weir_compile_item *item, uint64_t wall_ns)
{
    refusal_clear(r);
    r->refused.error = need(strdup(item->error));
    r->refused.packed = need(malloc(item->packed.n + 1));
    if (item->packed.n > 0) memcpy(r->refused.packed, item->packed.p, item->packed.n);
    r->refused.packed_bytes = item->packed.n;
    r->refused.version = copy_str(item->version);
    r->refused.wall_ns = wall_ns;
}

static void record_destroy(struct weir_record *r)
{
    refusal_clear(r);
    weir_record_set_active(r, NULL);
    weir_record_set_warming(r, NULL);
    weir_record_set_version(r, NULL);
    free((void *)(uintptr_t)r->name.p);
    free(r);
}

void weir_record_remove(struct weir_publisher *p, struct weir_record *r)
{
    weir_map_remove(&p->records[r->type], r->name);
    record_destroy(r);
}

void weir_publisher_now_warming(struct weir_publisher *p, enum weir_resource_type type, bool warming)
{
    if (warming) {
        p->warming[type]++;
        return;
    }
    p->warming[type]--;
    if (!p->closing) p->events->on_warmed(p->ctx);
}

size_t weir_publisher_warming(const struct weir_publisher *p, enum weir_resource_type type)
{
    return p->warming[type];
}

static enum weir_err install(struct weir_publisher *p, struct weir_record *r, struct weir_resource *resource, struct weir_error *e)
{
    struct weir_publish_counts *counts = &p->counts[r->type];
    bool there = r->active != NULL || r->warming != NULL;
    switch (r->type) {
    case WEIR_CLUSTERS: weir_publish_cluster(p, r, resource); break;
    case WEIR_ENDPOINTS: weir_publish_endpoints(p, r, resource); break;
    case WEIR_LISTENERS: return weir_publish_listener(p, r, resource, e);
    case WEIR_ROUTES: weir_publish_route_table(p, r, resource); break;
    case WEIR_RESOURCE_TYPES: abort();
    }
    if (there) counts->modified++;
    else counts->added++;
    return WEIR_OK;
}

static void removed(struct weir_publisher *p, enum weir_resource_type type, struct weir_str name, uint32_t source)
{
    struct weir_record *r = weir_publisher_record(p, type, name);
    if (r == NULL || r->source != source) return;
    if (r->active != NULL || r->warming != NULL) p->counts[type].removed++;
    switch (type) {
    case WEIR_CLUSTERS: weir_publish_cluster_removed(p, r); break;
    case WEIR_ENDPOINTS: weir_publish_endpoints_removed(p, r); return;
    case WEIR_LISTENERS: weir_publish_listener_removed(p, r); break;
    case WEIR_ROUTES: weir_publish_route_table_removed(p, r); return;
    case WEIR_RESOURCE_TYPES: abort();
    }
    weir_record_remove(p, r);
}

/* What the compile thread took may still be refused: a socket that cannot be made. */
static enum weir_err item_apply(struct weir_publisher *p, struct weir_record *r, struct weir_compile_item *item, uint32_t source, struct weir_error *e)
{
    if (item->state == WEIR_COMPILED_SAME) return r->type == WEIR_LISTENERS ? weir_publish_listener_again(p, r, e) : WEIR_OK;
    struct weir_resource *resource = item->resource;
    item->resource = NULL;
    r->source = source;
    return install(p, r, resource, e);
}

static void item_refused(struct weir_publisher *p, struct weir_compile_job *job, const struct weir_compile_item *item, struct weir_str *nack)
{
    if (item->name.n > 0) refusal_set(record_make(p, job->type, item->name, job->source), item, job->received_wall_ns);
    if (!item->again)
        WEIR_LOG(CONFIG, WARNING, "%s: resource '%.*s' is refused, what served before serves on: %s", weir_resource_type_name(job->type),
                 WEIR_STR_ARG(item->name), item->error);
    const char *before = nack->n > 0 ? "\n" : job->type == WEIR_LISTENERS ? "Error adding/updating listener(s) " : "";
    *nack = weir_arena_printf(&job->arena, "%.*s%s%.*s%s%s", WEIR_STR_ARG(*nack), before, WEIR_STR_ARG(item->name), item->name.n > 0 ? ": " : "", item->error);
}

static void item_count(struct weir_publish_counts *c, const struct weir_compile_item *item)
{
    bool refused = item->state == WEIR_COMPILED_REFUSED;
    bool known = item->state == WEIR_COMPILED_SAME || item->state == WEIR_COMPILED_HEARTBEAT || item->again;
    c->compiled += !known;
    c->unchanged += known;
    c->not_taken += refused;
}

const char *weir_publisher_apply(struct weir_publisher *p, struct weir_compile_job *job)
{
    struct weir_str nack = {0};
    /* First what goes: a new listener may take its address. */
    for (size_t i = 0; i < job->removed_count; i++)
        if (job->removed[i].p != NULL) removed(p, job->type, job->removed[i], job->source); /* NULL: void, see removed_heard */
    for (size_t i = 0; i < job->count; i++) {
        struct weir_compile_item *item = &job->items[i];
        struct weir_error e = {0};
        item_count(&p->counts[job->type], item);
        if (item->state == WEIR_COMPILED_REFUSED) {
            item_refused(p, job, item, &nack);
            continue;
        }
        if (item->state == WEIR_COMPILED_HEARTBEAT) continue;
        struct weir_record *r = record_make(p, job->type, item->name, job->source);
        if (item_apply(p, r, item, job->source, &e) == WEIR_OK) {
            refusal_clear(r);
            continue;
        }
        item->error = weir_arena_str(&job->arena, weir_str_of(e.text)).p;
        item->again = item->state == WEIR_COMPILED_SAME && r->refused.error != NULL && strcmp(r->refused.error, item->error) == 0;
        item->state = WEIR_COMPILED_REFUSED;
        item_refused(p, job, item, &nack);
    }
    if (job->type == WEIR_LISTENERS) weir_publish_listeners_applied(p);
    weir_publish_heard(p, job);
    return nack.n > 0 ? nack.p : NULL;
}

struct weir_str *weir_publisher_wanted(struct weir_publisher *p, enum weir_resource_type type, struct weir_arena *a, size_t *count)
{
    return type == WEIR_ENDPOINTS ? weir_publish_eds_names(p, a, count) : weir_publish_rds_names(p, a, count);
}

void weir_publisher_forget_left(struct weir_publisher *p)
{
    weir_publish_endpoints_forget_left(p);
    weir_publish_route_tables_forget_left(p);
}

void weir_publisher_forgotten(struct weir_publisher *p, enum weir_resource_type type, struct weir_str name)
{
    if (type == WEIR_ENDPOINTS) weir_publish_endpoints_forgotten(p, name);
    if (type == WEIR_ROUTES) weir_publish_route_tables_forgotten(p, name);
}

static int by_name(const void *a, const void *b)
{
    const struct weir_record *x = *(struct weir_record *const *)a, *y = *(struct weir_record *const *)b;
    size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int c = memcmp(x->name.p, y->name.p, n);
    return c != 0 ? c : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

void weir_publisher_each(struct weir_publisher *p, enum weir_resource_type type, void (*each)(void *ctx, const struct weir_record *r), void *ctx)
{
    struct weir_record **sorted = need(calloc(p->records[type].count + 1, sizeof(struct weir_record *)));
    size_t n = 0, at = 0;
    struct weir_str name;
    void *value;
    while (weir_map_next(&p->records[type], &at, &name, &value)) sorted[n++] = value;
    qsort(sorted, n, sizeof(struct weir_record *), by_name);
    for (size_t i = 0; i < n; i++) each(ctx, sorted[i]);
    free(sorted);
}

void weir_publisher_each_warming(struct weir_publisher *p,
                                 void (*each)(void *ctx, enum weir_resource_type type, struct weir_str name, const char *waits_for), void *ctx)
{
    struct weir_arena a = {0};
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++) {
        size_t at = 0;
        struct weir_str name;
        void *value;
        if (p->warming[t] == 0) continue;
        while (weir_map_next(&p->records[t], &at, &name, &value)) {
            const struct weir_record *r = value;
            const char *waits = t == WEIR_CLUSTERS ? weir_publish_cluster_waits(r) : weir_publish_listener_waits(p, r, &a);
            if (waits != NULL) each(ctx, (enum weir_resource_type)t, r->name, waits);
        }
    }
    weir_arena_deinit(&a);
}

static void records_destroy(struct weir_publisher *p, enum weir_resource_type type)
{
    size_t at = 0;
    struct weir_str name;
    void *value;
    while (weir_map_next(&p->records[type], &at, &name, &value)) record_destroy(value);
    weir_map_deinit(&p->records[type]);
}

void weir_publisher_destroy(struct weir_publisher *p)
{
    if (p == NULL) return;
    p->closing = true;
    size_t at = 0;
    struct weir_str name;
    void *value;
    while (weir_map_next(&p->records[WEIR_LISTENERS], &at, &name, &value)) weir_publish_listener_removed(p, value);
    weir_publish_listeners_applied(p);
    at = 0;
    while (weir_map_next(&p->records[WEIR_CLUSTERS], &at, &name, &value)) weir_publish_cluster_removed(p, value);
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++) records_destroy(p, (enum weir_resource_type)t);
    weir_map_deinit(&p->eds);
    weir_publish_route_tables_deinit(p);
    weir_publish_draining_deinit(p);
    weir_publish_worker_deinit(p->o.control); /* its runtime */
    free(p);
}
