/* See file_source.h. Watches the directory, not the file: what replaces a file is a new inode. */
#include "dataplane/config/file_source.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/base/log.h"
#include "dataplane/base/str.h"
#include "dataplane/limits.h"
#include "dataplane/worker/watch.h"
#include "xds/pb_tree.h"

struct weir_file_source {
    struct weir_worker *worker;
    struct weir_watch *watch; /* NULL: the directory cannot be watched */
    int inotify;
    enum weir_resource_type type;
    uint32_t source_id;
    char *path, *directory;
    void (*on_change)(void *ctx);
    void *ctx;
    uint64_t hash; /* of the bytes read last: a touch changes nothing; 0: none, or they broke */
    bool written;         /* in place, not moved in: what is read may be half of it */
    uint32_t looks;       /* at a broken one, each time other bytes */
    uint64_t broken_hash; /* of the last of them ... */
    uint64_t broken_ms;   /* ... and when it was seen first */
};

static struct weir_compile_job *job_make(const struct weir_file_source *f, const pb_discovery_response *r)
{
    struct weir_compile_job *job = weir_compile_job_create(f->type, r->n_resources, 0);
    job->source = f->source_id;
    job->full = true;
    job->received_wall_ns = f->worker->wall_ns;
    job->version = weir_arena_str(&job->arena, weir_str_of(r->version_info));
    for (size_t i = 0; i < r->n_resources; i++) {
        const pb_any *any = r->resources[i];
        struct weir_compile_item *item = &job->items[i];
        item->packed = weir_arena_str(&job->arena, (struct weir_str){(const char *)any->value.data, any->value.len});
        item->type_url = weir_arena_str(&job->arena, weir_str_of(any->type_url));
        item->name = weir_resource_name_peek(f->type, item->packed);
        item->version = job->version;
    }
    return job;
}

/* Whether a broken file may be half-written: it came in place, and has not been the same for long. */
static bool may_be_torn(struct weir_file_source *f, uint64_t hash)
{
    uint64_t now_ms = weir_worker_now_ms(f->worker);
    if (f->looks == 0 || hash != f->broken_hash) {
        f->broken_hash = hash;
        f->broken_ms = now_ms;
        f->looks++;
    }
    return f->written && now_ms - f->broken_ms < WEIR_FILE_SETTLE_MS && f->looks <= WEIR_FILE_LOOKS_MAX;
}

enum weir_file_state weir_file_source_read(struct weir_file_source *f, struct weir_compile_job **out, struct weir_error *e)
{
    struct weir_arena a = {0};
    struct weir_str bytes;
    const struct weir_tree **documents = NULL;
    size_t count = 0;
    ProtobufCMessage *m = NULL;
    enum weir_err err = weir_tree_read_file(&a, f->path, &bytes, e);
    uint64_t hash = err == WEIR_OK ? weir_hash(bytes) : 0;
    if (err == WEIR_OK && hash == f->hash) {
        weir_arena_deinit(&a);
        return WEIR_FILE_SAME;
    }
    if (err == WEIR_OK) err = weir_tree_parse(&a, f->path, bytes, &documents, &count, e);
    if (err == WEIR_OK && count != 1) err = weir_error_set(e, WEIR_ERR_INVALID, "%s: holds %zu documents, one was expected", f->path, count);
    if (err == WEIR_OK) err = weir_tree_to_pb(&a, f->path, documents[0], &pb_discovery_response_type, &m, e);
    f->hash = err == WEIR_OK ? hash : 0;
    if (err == WEIR_OK) *out = job_make(f, (const pb_discovery_response *)(const void *)m);
    weir_arena_deinit(&a);
    if (err != WEIR_OK) return may_be_torn(f, hash) ? WEIR_FILE_TORN : WEIR_FILE_BROKEN;
    f->looks = 0;
    return WEIR_FILE_CHANGED;
}

void weir_file_source_forget(struct weir_file_source *f)
{
    f->hash = 0;
}

struct weir_str weir_file_source_path(const struct weir_file_source *f)
{
    return weir_str_of(f->path);
}

/* Of a file that is being made a second event tells when it is whole; none does so of a link. */
static bool tells_nothing(const struct weir_file_source *f, const struct inotify_event *e)
{
    char path[PATH_MAX];
    struct stat s;
    if ((e->mask & IN_CREATE) == 0) return false;
    if ((e->mask & IN_ISDIR) != 0) return true;
    int n = snprintf(path, sizeof(path), "%s/%s", f->directory, e->len > 0 ? e->name : "");
    return n > 0 && (size_t)n < sizeof(path) && lstat(path, &s) == 0 && S_ISREG(s.st_mode) && s.st_nlink == 1;
}

bool weir_file_source_changed(struct weir_file_source *f)
{
    _Alignas(struct inotify_event) char events[4096];
    bool any = false;
    ssize_t n;
    while (f->inotify >= 0 && (n = read(f->inotify, events, sizeof(events))) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const struct inotify_event *)(const void *)(events + at);
            at += (ssize_t)(sizeof(*e) + e->len);
            if (tells_nothing(f, e)) continue;
            any = true;
            f->written = (e->mask & IN_MOVED_TO) == 0;
            f->looks = 0;
        }
    }
    return any;
}

static void on_events(void *ctx, bool readable, bool writable)
{
    struct weir_file_source *f = ctx;
    (void)readable;
    (void)writable;
    if (weir_file_source_changed(f)) f->on_change(f->ctx);
}

/* The directory that is watched: the one named, else the file's own. */
static char *directory_of(const struct weir_source *s)
{
    struct weir_str d = s->watched_directory;
    if (d.n == 0) {
        d = s->path;
        while (d.n > 0 && d.p[d.n - 1] != '/') d.n--;
        if (d.n > 1) d.n--;
        if (d.n == 0) d = WEIR_STR(".");
    }
    return strndup(d.p, d.n);
}

struct weir_file_source *weir_file_source_create(struct weir_worker *control, enum weir_resource_type type, uint32_t source_id,
                                                 const struct weir_source *source, void (*on_change)(void *ctx), void *ctx)
{
    struct weir_file_source *f = calloc(1, sizeof(*f));
    if (f == NULL) abort();
    f->directory = directory_of(source);
    if (f->directory == NULL) abort();
    f->worker = control;
    f->type = type;
    f->source_id = source_id;
    f->path = strndup(source->path.p, source->path.n);
    if (f->path == NULL) abort();
    f->on_change = on_change;
    f->ctx = ctx;
    f->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (f->inotify >= 0 && inotify_add_watch(f->inotify, f->directory, IN_MOVED_TO | IN_CREATE | IN_CLOSE_WRITE) >= 0)
        f->watch = weir_watch_create(control, f->inotify, true, on_events, f);
    if (f->watch != NULL) weir_watch_want(f->watch, true, false);
    else WEIR_LOG(CONFIG, WARNING, "%s: changes of '%s' cannot be followed: %s", weir_resource_type_name(type), f->directory, strerror(errno));
    return f;
}

void weir_file_source_destroy(struct weir_file_source *f)
{
    if (f == NULL) return;
    if (f->watch != NULL) weir_watch_destroy(f->watch);
    else if (f->inotify >= 0) close(f->inotify);
    free(f->path);
    free(f->directory);
    free(f);
}
