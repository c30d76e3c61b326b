/* Notices that a directory of resources changed: files written, renamed over, removed; subdirectories; the `..data` link of
 * a mounted ConfigMap; the directory itself replaced. Used by main.c. */
#ifndef WEIR_CONTROL_PLANE_WATCH_H
#define WEIR_CONTROL_PLANE_WATCH_H

#include "dataplane/base/error.h"

struct weir_plane_watch {
    int fd; /* readable when something happened */
    const char *directory; /* borrowed */
    int parent; /* watch of what holds the directory, -1: none */
    size_t count;
    struct weir_plane_watched *watched; /* the directory and its subdirectories */
};
enum weir_err weir_plane_watch_init(struct weir_plane_watch *w, const char *directory, struct weir_error *e) WEIR_MUST_USE;
void weir_plane_watch_deinit(struct weir_plane_watch *w);
/* Watches what is there now. Call before each load, so that no change is missed. */
void weir_plane_watch_add(struct weir_plane_watch *w);
/* Takes all events that are there; whether one of them may have changed the resources. */
bool weir_plane_watch_take(struct weir_plane_watch *w);

#endif
