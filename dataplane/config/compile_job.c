/* Runs jobs; what differs by type stands in compile_types.c. */
#include "dataplane/config/compile_job.h"

#include <pthread.h>
#include <stdlib.h>

#include "dataplane/base/list.h"
#include "dataplane/base/log.h"
#include "dataplane/base/map.h"
#include "dataplane/config/compile_types.h"
#include "dataplane/limits.h"
#include "dataplane/worker/worker.h"
#include "xds/wire_check.h"

/* One name of one type: what was accepted last and what was refused last. */
struct known {
    struct weir_str name;
    uint32_t source;
    bool accepted, in_response;
    uint64_t hash, refused_hash, version_hash;
    uint64_t heard; /* the run that accepted it, or took it as unchanged, last */
    uint64_t refused_clusters; /* clusters_version it was refused at for a cluster that is not known; 0: for another reason */
    char *refused; /* text; NULL: nothing refused since the last accepted one */
};
struct weir_compile_memory {
    uint64_t runs;
    struct weir_map by_name[WEIR_RESOURCE_TYPES];
    uint64_t version_hash[WEIR_RESOURCE_TYPES]; /* of the last response that was accepted whole */
    uint64_t clusters_version; /* counts clusters that were accepted under a name not accepted before; from 1 */
};

struct weir_compile_memory *weir_compile_memory_create(void)
{
    struct weir_compile_memory *m = calloc(1, sizeof(*m));
    if (m == NULL) abort();
    m->clusters_version = 1;
    return m;
}

static void known_destroy(struct known *k)
{
    free(k->refused);
    free((void *)(uintptr_t)k->name.p);
    free(k);
}

void weir_compile_memory_destroy(struct weir_compile_memory *m)
{
    for (int t = 0; m != NULL && t < WEIR_RESOURCE_TYPES; t++) {
        size_t at = 0;
        struct weir_str name;
        void *k;
        while (weir_map_next(&m->by_name[t], &at, &name, &k)) known_destroy(k);
        weir_map_deinit(&m->by_name[t]);
    }
    free(m);
}

static struct known *known_of(struct weir_compile_memory *m, enum weir_resource_type t, struct weir_str name, uint32_t source)
{
    struct known *k = weir_map_get(&m->by_name[t], name);
    if (k != NULL) return k;
    k = calloc(1, sizeof(*k));
    char *copy = malloc(name.n + 1);
    if (k == NULL || copy == NULL) abort();
    if (name.n > 0) memcpy(copy, name.p, name.n);
    k->name = (struct weir_str){copy, name.n};
    k->source = source;
    weir_map_set(&m->by_name[t], k->name, k);
    return k;
}

struct weir_compile_job *weir_compile_job_create(enum weir_resource_type type, size_t count, size_t removed_count)
{
    struct weir_compile_job *job = calloc(1, sizeof(*job));
    if (job == NULL) abort();
    job->type = type;
    job->count = count;
    job->removed_count = removed_count;
    job->items = WEIR_NEW(&job->arena, struct weir_compile_item, count + 1);
    job->removed = WEIR_NEW(&job->arena, struct weir_str, removed_count + 1);
    return job;
}

void weir_compile_job_destroy(struct weir_compile_job *job)
{
    if (job == NULL) return;
    for (size_t i = 0; i < job->count; i++)
        if (job->items[i].resource != NULL) weir_resource_release(job->items[i].resource);
    weir_arena_deinit(&job->arena);
    free(job);
}

/* Stands between a compile function and the names, to keep what the resource asked for. */
struct needs {
    const struct weir_compile_names *names;
    const struct weir_compile_memory *memory; /* NULL: every cluster is known */
    bool cluster_missed;
    struct weir_arena *scratch;
    struct weir_resource_need *at;
    uint32_t count;
};

static uint32_t need_cluster(void *ctx, struct weir_str name)
{
    const struct needs *n = ctx;
    return n->names->cluster_slot(n->names->ctx, name);
}

static uint32_t need_route_table(void *ctx, struct weir_str name, uint64_t initial_fetch_timeout_ms, struct weir_stats *stats)
{
    struct needs *n = ctx;
    uint32_t i = 0;
    while (i < n->count && !(n->at[i].stats == stats && weir_str_eq(n->at[i].name, name))) i++;
    if (i == n->count) {
        struct weir_resource_need *wider = WEIR_NEW(n->scratch, struct weir_resource_need, n->count + 1);
        if (n->count > 0) memcpy(wider, n->at, n->count * sizeof(*wider));
        wider[n->count++] = (struct weir_resource_need){weir_arena_str(n->scratch, name), initial_fetch_timeout_ms, stats};
        n->at = wider;
    }
    return n->names->route_table_slot(n->names->ctx, name, initial_fetch_timeout_ms, stats);
}

static bool cluster_known(void *ctx, struct weir_str name)
{
    struct needs *n = ctx;
    const struct known *k = n->memory != NULL ? weir_map_get(&n->memory->by_name[WEIR_CLUSTERS], name) : NULL;
    bool is = n->memory == NULL || (k != NULL && k->accepted);
    n->cluster_missed |= !is;
    return is;
}

static void needs_keep(const struct needs *n, struct weir_resource *r)
{
    struct weir_resource_need *at = WEIR_NEW(&r->arena, struct weir_resource_need, n->count + 1);
    for (uint32_t i = 0; i < n->count; i++)
        at[i] = (struct weir_resource_need){weir_arena_str(&r->arena, n->at[i].name), n->at[i].initial_fetch_timeout_ms, n->at[i].stats};
    r->needs = at;
    r->need_count = n->count;
}

static enum weir_err compile(const struct weir_compile_env *env, struct needs *needs, enum weir_resource_type type, struct weir_str name,
                             struct weir_str packed, struct weir_resource **out, struct weir_error *e)
{
    const struct weir_compile_type *t = &weir_compile_types[type];
    struct weir_arena scratch;
    weir_arena_init(&scratch, WEIR_PB_EXPANDED_BYTES_MAX);
    *out = NULL;
    ProtobufCMessage *msg = NULL;
    enum weir_err err = weir_config_decode(&scratch, t->descriptor, packed, env->support, &msg, e);
    if (err == WEIR_OK) {
        needs->names = env->names;
        needs->scratch = &scratch;
        struct weir_compile_names names = {need_cluster, need_route_table, cluster_known, needs};
        struct weir_compile c = {.error = e, .names = &names, .stats = env->stats, .worker_count = env->worker_count, .scratch = &scratch, .support = env->support, .log_sinks = env->log_sinks, .node = env->node, .runtime = env->runtime};
        err = t->compile(&c, name, msg, out);
        if (err == WEIR_OK) {
            (*out)->packed = weir_arena_str(&(*out)->arena, packed);
            needs_keep(needs, *out);
        }
    }
    weir_arena_deinit(&scratch);
    return err;
}

enum weir_err weir_compile_resource(const struct weir_compile_env *env, enum weir_resource_type type, struct weir_str name,
                                    struct weir_str packed, struct weir_resource **out, struct weir_error *e)
{
    struct needs needs = {0};
    return compile(env, &needs, type, name, packed, out, e);
}

/* Whatever has no name is told by its place in the response. */
static void refuse(struct weir_compile_job *job, struct weir_compile_item *item, const char *text)
{
    item->state = WEIR_COMPILED_REFUSED;
    item->error = item->name.n > 0 ? weir_arena_str(&job->arena, weir_str_of(text)).p
                                   : weir_arena_printf(&job->arena, "resources[%zu]: %s", (size_t)(item - job->items), text).p;
}

/* Names of items that can not be used by their name: what the bytes have wrong, else that. */
static bool name_refuse(struct weir_compile_job *job, struct weir_compile_item *item)
{
    struct weir_error e = {0};
    struct weir_str inner = weir_resource_name_peek(job->type, item->packed);
    if (item->heartbeat) return false;
    if (item->name.n == 0 && job->type != WEIR_LISTENERS) {
        if (weir_wire_check(weir_compile_types[job->type].descriptor, item->packed, NULL, &e) == WEIR_OK)
            weir_error_set(&e, WEIR_ERR_INVALID, "name: a resource without a name cannot be used");
    } else if (inner.n > 0 && !weir_str_eq(inner, item->name)) {
        weir_error_set(&e, WEIR_ERR_INVALID, "name: '%.*s' is not what the Resource that holds it is named by, '%.*s'", WEIR_STR_ARG(inner),
                       WEIR_STR_ARG(item->name));
    } else {
        return false;
    }
    refuse(job, item, e.text);
    return true;
}

/* A heartbeat speaks of the very version that is held: of another one, or of a resource that is not held, weir lacks the bytes. */
static void heartbeat_run(const struct weir_compile_memory *memory, struct weir_compile_job *job, struct weir_compile_item *item,
                          const struct known *k)
{
    struct weir_error e = {0};
    uint64_t version = weir_hash(item->version);
    if (k->accepted && (k->version_hash == version || memory->version_hash[job->type] == version)) {
        item->state = WEIR_COMPILED_HEARTBEAT;
        return;
    }
    weir_error_set(&e, WEIR_ERR_INVALID, "resource: a heartbeat for version '%.*s' without the resource, %s", WEIR_STR_ARG(item->version),
                   k->accepted ? "but another version is held" : "but none is held");
    refuse(job, item, e.text);
}

static void item_run(const struct weir_compile_env *env, struct weir_compile_memory *memory, struct weir_compile_job *job,
                     struct weir_compile_item *item)
{
    struct weir_error e = {0};
    struct weir_str type_url = weir_resource_type_url(job->type);
    if (item->type_url.n > 0 && !weir_str_eq(item->type_url, type_url)) {
        weir_error_set(&e, WEIR_ERR_INVALID, "type_url: a resource of type %.*s among those of %.*s", WEIR_STR_ARG(item->type_url), WEIR_STR_ARG(type_url));
        refuse(job, item, e.text);
        return;
    }
    if (name_refuse(job, item)) return;
    struct known *k = known_of(memory, job->type, item->name, job->source);
    if (k->in_response) {
        refuse(job, item, "name: comes twice in one response");
        return;
    }
    k->in_response = true;
    if (k->accepted && k->source == WEIR_SOURCE_STATIC && job->source != WEIR_SOURCE_STATIC) {
        item->state = WEIR_COMPILED_SAME; /* what the bootstrap says stands, as in Envoy */
        return;
    }
    if (item->heartbeat) {
        heartbeat_run(memory, job, item, k);
        return;
    }
    item->hash = weir_hash(item->packed);
    if (k->accepted && k->hash == item->hash) {
        item->state = WEIR_COMPILED_SAME;
        k->version_hash = weir_hash(item->version);
        free(k->refused);
        k->refused = NULL;
        return;
    }
    if (k->refused != NULL && k->refused_hash == item->hash &&
        (k->refused_clusters == 0 || k->refused_clusters == memory->clusters_version)) {
        item->again = true;
        refuse(job, item, k->refused);
        return;
    }
    struct needs needs = {.memory = memory};
    if (compile(env, &needs, job->type, item->name, item->packed, &item->resource, &e) != WEIR_OK) {
        refuse(job, item, e.text);
        free(k->refused);
        k->refused = strdup(e.text);
        k->refused_hash = item->hash;
        k->refused_clusters = needs.cluster_missed ? memory->clusters_version : 0;
        return;
    }
    item->state = WEIR_COMPILED_NEW;
    item->resource->hash = item->hash;
    item->resource->version = weir_arena_str(&item->resource->arena, item->version);
    item->resource->updated_wall_ns = job->received_wall_ns;
    if (job->type == WEIR_CLUSTERS && !k->accepted) memory->clusters_version++;
    k->accepted = true;
    k->hash = item->hash;
    k->version_hash = weir_hash(item->version);
    k->source = job->source;
    free(k->refused);
    k->refused = NULL;
}

/* A full set: what this source gave before and does not give now. A refused resource counts as given. */
static void removed_find(struct weir_compile_memory *memory, struct weir_compile_job *job)
{
    size_t at = 0, n = 0;
    struct weir_str name;
    void *value;
    while (weir_map_next(&memory->by_name[job->type], &at, &name, &value)) {
        const struct known *k = value;
        if (k->source == job->source && !k->in_response) n++;
    }
    job->removed = WEIR_NEW(&job->arena, struct weir_str, n + 1);
    job->removed_count = 0;
    at = 0;
    while (weir_map_next(&memory->by_name[job->type], &at, &name, &value)) {
        const struct known *k = value;
        if (k->source == job->source && !k->in_response) job->removed[job->removed_count++] = weir_arena_str(&job->arena, name);
    }
}

void weir_compile_job_run(const struct weir_compile_env *env, struct weir_compile_memory *memory, struct weir_compile_job *job)
{
    bool whole = true;
    memory->runs++;
    for (size_t i = 0; i < job->count; i++) {
        item_run(env, memory, job, &job->items[i]);
        whole = whole && job->items[i].state != WEIR_COMPILED_REFUSED;
    }
    if (whole && job->version.n > 0) memory->version_hash[job->type] = weir_hash(job->version);
    if (job->full) removed_find(memory, job);
    for (size_t i = 0; i < job->count; i++) {
        struct known *k = weir_map_get(&memory->by_name[job->type], job->items[i].name);
        if (k == NULL) continue;
        k->in_response = false;
        if (job->items[i].state != WEIR_COMPILED_REFUSED) k->heard = memory->runs;
        job->items[i].heard = k->heard;
    }
    for (size_t i = 0; i < job->removed_count; i++) {
        struct known *k = weir_map_get(&memory->by_name[job->type], job->removed[i]);
        if (k == NULL || k->source != job->source) continue;
        if (job->removed_heard != NULL && job->removed_heard[i] != k->heard) {
            job->removed[i] = (struct weir_str){0};
            continue;
        }
        weir_map_remove(&memory->by_name[job->type], job->removed[i]);
        known_destroy(k);
    }
}

/* --- the thread --- */

struct weir_compiler {
    struct weir_compile_env env;
    struct weir_compile_memory *memory;
    struct weir_worker *control;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct weir_list lanes[2]; /* 0 goes first */
    bool stop;
};

static void job_deliver(struct weir_worker *w, struct weir_mail *m)
{
    (void)w;
    struct weir_compile_job *job = WEIR_CONTAINER_OF(m, struct weir_compile_job, mail);
    job->done(job);
}

static struct weir_compile_job *job_next(struct weir_compiler *c)
{
    struct weir_compile_job *job = NULL;
    pthread_mutex_lock(&c->lock);
    while (!c->stop && weir_list_empty(&c->lanes[0]) && weir_list_empty(&c->lanes[1])) pthread_cond_wait(&c->wake, &c->lock);
    if (!c->stop) {
        struct weir_list *lane = &c->lanes[weir_list_empty(&c->lanes[0])];
        job = WEIR_CONTAINER_OF(lane->next, struct weir_compile_job, node);
        weir_list_remove(&job->node);
    }
    pthread_mutex_unlock(&c->lock);
    return job;
}

static void *compile_main(void *arg)
{
    struct weir_compiler *c = arg;
    struct weir_compile_job *job;
    while ((job = job_next(c)) != NULL) {
        weir_compile_job_run(&c->env, c->memory, job);
        job->mail.deliver = job_deliver;
        weir_mailbox_post(c->control, &job->mail);
    }
    return NULL;
}

struct weir_compiler *weir_compiler_create(const struct weir_compile_env *env, struct weir_compile_memory *memory, struct weir_worker *control)
{
    struct weir_compiler *c = calloc(1, sizeof(*c));
    if (c == NULL) abort();
    c->env = *env;
    c->memory = memory;
    c->control = control;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, NULL);
    weir_list_init(&c->lanes[0]);
    weir_list_init(&c->lanes[1]);
    if (pthread_create(&c->thread, NULL, compile_main, c) != 0) abort();
    pthread_setname_np(c->thread, "compile");
    return c;
}

void weir_compiler_submit(struct weir_compiler *c, struct weir_compile_job *job)
{
    pthread_mutex_lock(&c->lock);
    weir_list_push_back(&c->lanes[job->type == WEIR_ENDPOINTS ? 0 : 1], &job->node);
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

void weir_compiler_destroy(struct weir_compiler *c)
{
    if (c == NULL) return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    for (int i = 0; i < 2; i++) {
        while (!weir_list_empty(&c->lanes[i])) {
            struct weir_compile_job *job = WEIR_CONTAINER_OF(c->lanes[i].next, struct weir_compile_job, node);
            weir_list_remove(&job->node);
            if (job->dropped != NULL) job->dropped(job);
            else weir_compile_job_destroy(job);
        }
    }
    weir_compile_memory_destroy(c->memory);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
