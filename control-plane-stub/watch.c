#include "control-plane-stub/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096
#define CHANGES (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE)

struct weir_plane_watched {
    int id;
    char *path;
};

enum weir_err weir_plane_watch_init(struct weir_plane_watch *w, const char *directory, struct weir_error *e)
{
    *w = (struct weir_plane_watch){.directory = directory, .parent = -1};
    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w->fd < 0) return weir_error_set(e, WEIR_ERR_IO, "inotify: %s", strerror(errno));
    return WEIR_OK;
}

static void forget(struct weir_plane_watch *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->watched[i].path);
    free(w->watched);
    w->watched = NULL;
    w->count = 0;
}

void weir_plane_watch_deinit(struct weir_plane_watch *w)
{
    forget(w);
    if (w->fd >= 0) close(w->fd);
}

static void add(struct weir_plane_watch *w, const char *path, uint32_t mask)
{
    int id = inotify_add_watch(w->fd, path, mask);
    if (id < 0) return;
    w->watched = realloc(w->watched, (w->count + 1) * sizeof *w->watched);
    char *copy = strdup(path);
    if (w->watched == NULL || copy == NULL) abort();
    w->watched[w->count++] = (struct weir_plane_watched){id, copy};
}

void weir_plane_watch_add(struct weir_plane_watch *w)
{
    char path[PATH_BYTES_MAX];
    struct stat st;
    forget(w);
    /* The parent first: where the directory is its own parent ("."), the wider mask below replaces this one. */
    if (snprintf(path, sizeof path, "%s", w->directory) >= (int)sizeof path) return;
    w->parent = inotify_add_watch(w->fd, dirname(path), IN_MOVED_TO | IN_CREATE | IN_ONLYDIR);
    add(w, w->directory, CHANGES | IN_DELETE_SELF | IN_MOVE_SELF);
    if (w->count > 0 && w->watched[0].id == w->parent) w->parent = -1;
    DIR *d = opendir(w->directory);
    for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        if (snprintf(path, sizeof path, "%s/%s", w->directory, entry->d_name) >= (int)sizeof path) continue;
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) add(w, path, CHANGES | IN_ONLYDIR);
    }
    if (d != NULL) closedir(d);
}

/* A file that is new will be written and closed: reading it before would take half of it. Links are whole at once. */
static bool is_unwritten(const struct weir_plane_watch *w, const struct inotify_event *event)
{
    char path[PATH_BYTES_MAX];
    struct stat st;
    if ((event->mask & (IN_CREATE | IN_ISDIR)) != IN_CREATE) return false;
    for (size_t i = 0; i < w->count; i++) {
        if (w->watched[i].id != event->wd) continue;
        if (snprintf(path, sizeof path, "%s/%s", w->watched[i].path, event->name) >= (int)sizeof path) return false;
        return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1;
    }
    return false;
}

static bool matters(const struct weir_plane_watch *w, const struct inotify_event *event)
{
    char path[PATH_BYTES_MAX];
    if ((event->mask & IN_IGNORED) != 0) return false; /* what it watched is gone: said by other events */
    if (event->wd != w->parent) return !is_unwritten(w, event);
    if (snprintf(path, sizeof path, "%s", w->directory) >= (int)sizeof path) return false;
    return event->len > 0 && strcmp(event->name, basename(path)) == 0;
}

bool weir_plane_watch_take(struct weir_plane_watch *w)
{
    union {
        struct inotify_event event; /* aligns */
        char bytes[16384];
    } buffer;
    bool changed = false;
    for (ssize_t n; (n = read(w->fd, buffer.bytes, sizeof buffer.bytes)) > 0;) {
        for (char *at = buffer.bytes; at < buffer.bytes + n;) {
            const struct inotify_event *event = (const void *)at;
            changed = changed || matters(w, event);
            at += sizeof *event + event->len;
        }
    }
    return changed;
}
