/* What each subscription to endpoints and route tables has heard: its counters, and the version of the last response. Everybody
 * who names a resource has counters of his own, so one resource may move many. */
#include <stdlib.h>
#include <time.h>

#include "dataplane/base/out.h"
#include "dataplane/base/str.h"
#include "dataplane/config/publish_internal.h"
#include "dataplane/config/source_stats.h"

/* Of a response: its resources share it. */
struct weir_version {
    uint32_t refs;
    uint64_t hash;
    struct weir_str text;
    char bytes[];
};

static struct weir_version *version_create(struct weir_str text)
{
    struct weir_version *v = malloc(sizeof(*v) + text.n + 1);
    if (v == NULL) abort();
    v->refs = 1;
    v->hash = weir_hash_stable(text);
    if (text.n > 0) memcpy(v->bytes, text.p, text.n);
    v->text = (struct weir_str){v->bytes, text.n};
    return v;
}

static void version_release(struct weir_version *v)
{
    if (v != NULL && --v->refs == 0) free(v);
}

void weir_record_set_version(struct weir_record *r, struct weir_version *v)
{
    struct weir_version *old = r->version;
    r->version = v;
    if (v != NULL) v->refs++;
    version_release(old);
}

/* --- who is subscribed --- */

typedef void source_fn(void *ctx, const struct weir_source_stats *s);

struct cluster_visit {
    uint32_t worker;
    source_fn *fn;
    void *ctx;
};

static void cluster_visit(void *ctx, const struct weir_cluster_config *config)
{
    const struct cluster_visit *v = ctx;
    struct weir_source_stats s;
    if (weir_source_of_cluster(config, v->worker, &s)) v->fn(v->ctx, &s);
}

/* Those who need a route table, by its name; each set of counters once, whoever shares it. */
struct reader {
    struct reader *next;
    struct weir_stats *stats;
};
struct readers {
    struct weir_arena arena;
    struct weir_map by_name; /* → struct reader */
};

static void readers_add(struct readers *all, const struct weir_resource *config)
{
    for (uint32_t i = 0; config != NULL && i < config->need_count; i++) {
        const struct weir_resource_need *need = &config->needs[i];
        struct reader *first = weir_map_get(&all->by_name, need->name), *at = first;
        while (at != NULL && at->stats != need->stats) at = at->next;
        if (at != NULL || need->stats == NULL) continue;
        at = WEIR_NEW(&all->arena, struct reader, 1);
        at->stats = need->stats;
        if (first != NULL) {
            at->next = first->next;
            first->next = at;
        } else {
            weir_map_set(&all->by_name, need->name, at);
        }
    }
}

static void readers_init(struct readers *all, struct weir_publisher *p)
{
    size_t at = 0;
    void *value;
    *all = (struct readers){0};
    while (weir_map_next(&p->records[WEIR_LISTENERS], &at, NULL, &value)) {
        const struct weir_record *r = value;
        readers_add(all, r->active);
        readers_add(all, r->warming);
    }
}

static void readers_deinit(struct readers *all)
{
    weir_map_deinit(&all->by_name);
    weir_arena_deinit(&all->arena);
}

static void readers_visit(const struct weir_publisher *p, const struct reader *first, source_fn *fn, void *ctx)
{
    for (; first != NULL; first = first->next) {
        struct weir_source_stats s = weir_source_of_routes(first->stats, p->o.worker_count);
        fn(ctx, &s);
    }
}

/* --- what happens --- */

struct heard {
    struct weir_publisher *publisher;
    enum weir_resource_type type;
    struct readers readers; /* of route tables */
};

static void visit(struct heard *h, struct weir_str name, source_fn *fn, void *ctx)
{
    if (h->type == WEIR_ROUTES) readers_visit(h->publisher, weir_map_get(&h->readers.by_name, name), fn, ctx);
    else weir_publish_eds_each(h->publisher, name, cluster_visit, &(struct cluster_visit){h->publisher->o.worker_count, fn, ctx});
}

static void on_accepted(void *ctx, const struct weir_source_stats *s)
{
    weir_source_accepted(s, ctx);
}

static void on_rejected(void *ctx, const struct weir_source_stats *s)
{
    (void)ctx;
    weir_source_rejected(s);
}

static void on_reloaded(void *ctx, const struct weir_source_stats *s)
{
    const struct weir_source_update *u = ctx;
    weir_source_reloaded(s, u->wall_ms);
}

static void on_failed(void *ctx, const struct weir_source_stats *s)
{
    weir_source_failed(s, *(const int64_t *)ctx);
}

static void item_heard(struct heard *h, const struct weir_compile_item *item, struct weir_source_update *u, struct weir_version *version)
{
    struct weir_record *r = weir_publisher_record(h->publisher, h->type, item->name);
    if (item->state == WEIR_COMPILED_HEARTBEAT) return;
    if (item->state == WEIR_COMPILED_REFUSED) {
        visit(h, item->name, on_rejected, NULL);
        return;
    }
    if (r != NULL) weir_record_set_version(r, version);
    visit(h, item->name, on_accepted, u);
    if (h->type == WEIR_ROUTES && item->state == WEIR_COMPILED_NEW) visit(h, item->name, on_reloaded, u);
    if (h->type == WEIR_ENDPOINTS && item->state == WEIR_COMPILED_SAME) weir_publish_eds_unchanged(h->publisher, item->name);
}

void weir_publish_heard(struct weir_publisher *p, const struct weir_compile_job *job)
{
    if ((job->type != WEIR_ENDPOINTS && job->type != WEIR_ROUTES) || job->version.p == NULL) return;
    struct heard h = {.publisher = p, .type = job->type};
    struct weir_version *version = version_create(job->version);
    uint64_t now_ms = p->o.control->wall_ns / 1000000u, received_ms = job->received_wall_ns / 1000000u;
    struct weir_source_update u = {.version = version->hash, .wall_ms = now_ms};
    if (h.type == WEIR_ROUTES) readers_init(&h.readers, p);
    for (size_t i = 0; i < job->count; i++) {
        /* Of a route table as for clusters and listeners: since it came. Endpoints come by the thousand, and take no time each. */
        u.duration_ms = h.type == WEIR_ROUTES && now_ms > received_ms ? now_ms - received_ms : 0;
        item_heard(&h, &job->items[i], &u, version);
    }
    u.duration_ms = 0;
    for (size_t i = 0; i < job->removed_count; i++) visit(&h, job->removed[i], on_accepted, &u);
    if (h.type == WEIR_ROUTES) readers_deinit(&h.readers);
    version_release(version);
}

void weir_publisher_sources_failed(struct weir_publisher *p, uint64_t times)
{
    int64_t n = (int64_t)times;
    struct readers readers;
    size_t at = 0;
    void *value;
    weir_publish_eds_all(p, cluster_visit, &(struct cluster_visit){p->o.worker_count, on_failed, &n});
    readers_init(&readers, p);
    while (weir_map_next(&readers.by_name, &at, NULL, &value)) readers_visit(p, value, on_failed, &n);
    readers_deinit(&readers);
}

/* Begins the count of a new subscription; what is there already is heard at once. */
static void begin(const struct weir_publisher *p, const struct weir_source_stats *s, const struct weir_record *known)
{
    weir_source_begin(s);
    if (known == NULL || known->active == NULL || known->version == NULL) return;
    weir_source_accepted(s, &(struct weir_source_update){.version = known->version->hash, .wall_ms = p->o.control->wall_ns / 1000000u});
}

void weir_publish_source_cluster(struct weir_publisher *p, const struct weir_cluster_config *config)
{
    struct weir_source_stats s;
    if (config->type == WEIR_CLUSTER_EDS && weir_source_of_cluster(config, p->o.worker_count, &s))
        begin(p, &s, weir_publisher_record(p, WEIR_ENDPOINTS, config->eds_service_name));
}

void weir_publish_source_timed_out(struct weir_publisher *p, const struct weir_cluster_config *config)
{
    struct weir_source_stats s;
    if (weir_source_of_cluster(config, p->o.worker_count, &s)) weir_source_timed_out(&s);
}

void weir_publish_sources_listener(struct weir_publisher *p, const struct weir_resource *listener)
{
    for (uint32_t i = 0; i < listener->need_count; i++) {
        if (listener->needs[i].stats == NULL) continue;
        struct weir_source_stats s = weir_source_of_routes(listener->needs[i].stats, p->o.worker_count);
        const struct weir_record *known = weir_publisher_record(p, WEIR_ROUTES, listener->needs[i].name);
        if (weir_source_begun(&s)) continue; /* an update that names it again, or another listener */
        begin(p, &s, known);
        if (known != NULL && known->active != NULL) weir_source_reloaded(&s, p->o.control->wall_ns / 1000000u);
    }
}

void weir_publish_sources_listener_timed_out(struct weir_publisher *p, const struct weir_resource *listener)
{
    for (uint32_t i = 0; i < listener->need_count; i++) {
        const struct weir_record *known = weir_publisher_record(p, WEIR_ROUTES, listener->needs[i].name);
        if (listener->needs[i].stats == NULL || (known != NULL && known->active != NULL)) continue;
        struct weir_source_stats s = weir_source_of_routes(listener->needs[i].stats, p->o.worker_count);
        weir_source_timed_out(&s);
    }
}

/* --- texts --- */

struct texts {
    struct weir_publisher *publisher;
    weir_stat_text_fn *fn;
    void *ctx;
    struct weir_out name;
};

static void text_tell(struct texts *t, struct weir_str prefix, const struct weir_record *r)
{
    t->name.n = 0;
    weir_out_add(&t->name, prefix);
    weir_out_add(&t->name, WEIR_STR("version_text"));
    t->fn(t->ctx, (struct weir_str){t->name.p, t->name.n}, r != NULL && r->version != NULL ? r->version->text : WEIR_STR(""));
}

static void cluster_text(void *ctx, const struct weir_cluster_config *config)
{
    struct texts *t = ctx;
    if (config->eds_stats == NULL) return;
    text_tell(t, weir_stats_prefix(config->eds_stats), weir_publisher_record(t->publisher, WEIR_ENDPOINTS, config->eds_service_name));
}

void weir_publisher_tell_texts(void *publisher, weir_stat_text_fn *fn, void *ctx)
{
    struct texts t = {.publisher = publisher, .fn = fn, .ctx = ctx};
    struct readers readers;
    size_t at = 0;
    struct weir_str name;
    void *value;
    weir_publish_eds_all(publisher, cluster_text, &t);
    readers_init(&readers, publisher);
    while (weir_map_next(&readers.by_name, &at, &name, &value))
        for (const struct reader *r = value; r != NULL; r = r->next)
            text_tell(&t, weir_stats_prefix(r->stats), weir_publisher_record(publisher, WEIR_ROUTES, name));
    readers_deinit(&readers);
    weir_out_deinit(&t.name);
}
