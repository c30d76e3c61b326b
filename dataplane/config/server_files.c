/* CDS and LDS from files. What changes together, as the files of one mounted ConfigMap do, takes effect together: both are read at
 * the same moment, and nothing of either is used while one is broken. New clusters come first and are warmed, then the listeners,
 * and what nothing points to any more goes last, so that no request meets a route without its cluster. */
#include <stdlib.h>

#include "dataplane/base/event.h"
#include "dataplane/base/log.h"
#include "dataplane/config/server_internal.h"
#include "dataplane/limits.h"

static void drop(struct weir_compile_job *job)
{
    if (job->dropped != NULL) job->dropped(job);
    else weir_compile_job_destroy(job);
}

void weir_server_submit(struct weir_server *s, struct weir_compile_job *job)
{
    if (!s->closing) weir_compiler_submit(s->compiler, job);
    else drop(job);
}

bool weir_server_comes_too_late(const struct weir_server *s, struct weir_compile_job *job)
{
    if (!s->closing) return false;
    drop(job);
    return true;
}

static struct weir_file_source *source_of(const struct weir_server *s, enum weir_resource_type type)
{
    return type == WEIR_CLUSTERS ? s->files.cds : s->files.lds;
}

/* The same resources once more: its bytes are known by then, so it costs their hashes and removes what is not among them. */
static struct weir_compile_job *removal_job(const struct weir_compile_job *job)
{
    struct weir_compile_job *r = weir_compile_job_create(job->type, job->count, 0);
    r->source = job->source;
    r->full = true;
    r->received_wall_ns = job->received_wall_ns;
    r->version = weir_arena_str(&r->arena, job->version);
    for (size_t i = 0; i < job->count; i++) {
        const struct weir_compile_item *from = &job->items[i];
        r->items[i] = (struct weir_compile_item){.packed = weir_arena_str(&r->arena, from->packed), .type_url = weir_arena_str(&r->arena, from->type_url),
                                                 .version = r->version};
        r->items[i].name = weir_resource_name_peek(r->type, r->items[i].packed);
    }
    return r;
}

void weir_server_refusals_tell(const struct weir_compile_job *job, struct weir_str source)
{
    struct weir_arena a = {0};
    for (size_t i = 0; i < job->count; i++) {
        const struct weir_compile_item *item = &job->items[i];
        if (item->state != WEIR_COMPILED_REFUSED || item->again) continue;
        weir_event_print(WEIR_EVENT_CONFIG_REFUSED, source, weir_arena_printf(&a, "%.*s: %s", WEIR_STR_ARG(item->name), item->error));
    }
    weir_arena_deinit(&a);
}

static void refresh(void *ctx);
static void step(struct weir_server *s);

static void job_done(struct weir_compile_job *job)
{
    struct weir_server *s = job->ctx;
    if (weir_server_comes_too_late(s, job)) return;
    bool again = s->files.stage == WEIR_FILES_REMOVE;
    size_t changed = job->removed_count;
    for (size_t i = 0; i < job->count; i++) changed += job->items[i].state == WEIR_COMPILED_NEW;
    const char *refused = weir_publisher_apply(s->publisher, job);
    if (job->type == WEIR_CLUSTERS) s->cds_answered = true;
    if (job->type == WEIR_LISTENERS) s->lds_answered = true;
    struct weir_str path = weir_file_source_path(source_of(s, job->type));
    if (!again) {
        weir_server_stats_update(s, job, refused == NULL, changed > 0);
        weir_server_refusals_tell(job, path);
        if (refused != NULL) weir_file_source_forget(source_of(s, job->type)); /* the other file's next change may be what it lacks */
        if (refused == NULL) weir_event_print(WEIR_EVENT_CONFIG_APPLIED, path, weir_arena_printf(&job->arena, "%zu of %zu resources changed", changed, job->count));
    }
    weir_compile_job_destroy(job);
    s->files.stage = s->files.stage == WEIR_FILES_ADD ? WEIR_FILES_WARM : s->files.stage == WEIR_FILES_LISTENERS ? WEIR_FILES_LISTENED : WEIR_FILES_REST;
    step(s);
    weir_server_advance(s);
}

static void job_dropped(struct weir_compile_job *job)
{
    weir_compile_job_destroy(job);
}

static void begin(struct weir_server *s, struct weir_compile_job **job, enum weir_files_stage stage)
{
    struct weir_compile_job *j = *job;
    *job = NULL;
    j->ctx = s;
    j->done = job_done;
    j->dropped = job_dropped;
    s->files.stage = stage;
    weir_server_submit(s, j);
}

/* Goes on as far as it can without waiting. */
static void step(struct weir_server *s)
{
    if (s->files.stage == WEIR_FILES_WARM) {
        if (s->files.listeners != NULL && weir_publisher_warming(s->publisher, WEIR_CLUSTERS) != 0) return;
        s->files.stage = WEIR_FILES_LISTENED;
        if (s->files.listeners != NULL) begin(s, &s->files.listeners, WEIR_FILES_LISTENERS);
    }
    if (s->files.stage == WEIR_FILES_LISTENED) {
        s->files.stage = WEIR_FILES_REST;
        if (s->files.removals != NULL) begin(s, &s->files.removals, WEIR_FILES_REMOVE);
    }
    if (s->files.stage == WEIR_FILES_REST && s->files.again) refresh(s);
}

void weir_server_files_warmed(struct weir_server *s)
{
    if (s->files.stage == WEIR_FILES_WARM) step(s);
}

static void broken(struct weir_server *s, enum weir_resource_type type, const struct weir_error *e)
{
    if (s->broken[type] != NULL && strcmp(s->broken[type]->text, e->text) == 0) return; /* said already */
    s->xds[type].update_failure++;
    if (s->broken[type] == NULL) s->broken[type] = malloc(sizeof(*e));
    if (s->broken[type] == NULL) abort();
    *s->broken[type] = *e;
    WEIR_LOG(CONFIG, ERROR, "%s: %s; %s", weir_resource_type_name(type), e->text,
             s->state == WEIR_LIVE ? "what was accepted serves on" : "start-up waits for it");
    weir_event_print(WEIR_EVENT_CONFIG_REFUSED, weir_file_source_path(source_of(s, type)), weir_str_of(e->text));
}

static bool read_one(struct weir_server *s, enum weir_resource_type type, struct weir_compile_job **out)
{
    struct weir_error e = {0};
    struct weir_file_source *f = source_of(s, type);
    *out = NULL;
    if (f == NULL) return true;
    switch (weir_file_source_read(f, out, &e)) {
    case WEIR_FILE_TORN:
        WEIR_LOG(CONFIG, DEBUG, "%s: %s; it may be half-written and is read again in %u ms", weir_resource_type_name(type), e.text, WEIR_FILE_SETTLE_MS);
        weir_timer_start(&s->control->timers, &s->files.settle, WEIR_FILE_SETTLE_MS);
        return false;
    case WEIR_FILE_BROKEN: broken(s, type, &e); return false;
    case WEIR_FILE_SAME:
    case WEIR_FILE_CHANGED: break;
    }
    free(s->broken[type]);
    s->broken[type] = NULL;
    return true;
}

static void put_back(struct weir_server *s, struct weir_compile_job *clusters, struct weir_compile_job *listeners)
{
    if (clusters != NULL) weir_file_source_forget(s->files.cds);
    if (listeners != NULL) weir_file_source_forget(s->files.lds);
    weir_compile_job_destroy(clusters);
    weir_compile_job_destroy(listeners);
}

static bool changed(struct weir_server *s)
{
    bool cds = s->files.cds != NULL && weir_file_source_changed(s->files.cds);
    bool lds = s->files.lds != NULL && weir_file_source_changed(s->files.lds);
    return cds || lds;
}

/* Both files of one state: what was swapped in between the two reads would pair the old one with the new. */
#define READS_MAX 20

static void refresh(void *ctx)
{
    struct weir_server *s = ctx;
    struct weir_compile_job *clusters, *listeners;
    s->files.again = s->files.stage != WEIR_FILES_REST;
    if (s->files.again) return;
    (void)changed(s); /* both know then how their file came to be */
    for (int reads = 1;; reads++) {
        bool good = read_one(s, WEIR_CLUSTERS, &clusters);
        good &= read_one(s, WEIR_LISTENERS, &listeners);
        bool torn = changed(s) && reads < READS_MAX;
        if (good && !torn) break;
        put_back(s, clusters, listeners);
        if (!torn) return;
    }
    s->files.listeners = listeners;
    if (clusters != NULL) {
        s->files.removals = removal_job(clusters);
        clusters->full = false;
        begin(s, &clusters, WEIR_FILES_ADD);
    } else if (listeners != NULL) {
        begin(s, &s->files.listeners, WEIR_FILES_LISTENERS);
    }
}

static void on_settled(struct weir_timer *t)
{
    refresh(WEIR_CONTAINER_OF(t, struct weir_server, files.settle));
}

void weir_server_file_start(struct weir_server *s, enum weir_resource_type type)
{
    s->files.settle.on_due = on_settled;
    bool clusters = type == WEIR_CLUSTERS;
    const struct weir_source *source = clusters ? &s->b.cds : &s->b.lds;
    weir_timer_stop(&s->control->timers, &s->fetch_timeout);
    if (source->initial_fetch_timeout_ms != 0) weir_timer_start(&s->control->timers, &s->fetch_timeout, source->initial_fetch_timeout_ms);
    struct weir_file_source *f =
        weir_file_source_create(s->control, type, clusters ? WEIR_SOURCE_CDS_FILE : WEIR_SOURCE_LDS_FILE, source, refresh, s);
    if (clusters) s->files.cds = f;
    else s->files.lds = f;
    refresh(s);
}

void weir_server_files_stop(struct weir_server *s)
{
    if (s->control != NULL) weir_timer_stop(&s->control->timers, &s->files.settle);
    weir_file_source_destroy(s->files.cds);
    weir_file_source_destroy(s->files.lds);
    weir_compile_job_destroy(s->files.listeners);
    weir_compile_job_destroy(s->files.removals);
}
