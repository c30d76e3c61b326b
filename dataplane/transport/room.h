/* Where sockets and TLS put what they read: a block that all of them share on a worker, one behind the other, so that small
 * reads cost neither a block each nor memory while a connection is idle. */
#ifndef WEIR_TRANSPORT_ROOM_H
#define WEIR_TRANSPORT_ROOM_H

#include "dataplane/limits.h"
#include "dataplane/worker/worker.h"

/* A block with room: *at and *n say where; a reference is the caller's. `want` beyond WEIR_BLOCK_BYTES: a block of its own.
 * Otherwise at least `least` bytes of the shared one, which the caller may use until the next call. */
static inline struct weir_block *weir_room_take(struct weir_worker *w, uint32_t want, uint32_t least, uint8_t **at, uint32_t *n)
{
    if (want > WEIR_BLOCK_BYTES) {
        struct weir_block *own = weir_block_create(&w->blocks, want);
        *at = own->data;
        *n = want;
        return own;
    }
    if (w->room != NULL && w->room->refs == 1) w->room_used = 0; /* nobody holds anything of it any more */
    if (w->room == NULL || w->room->capacity - w->room_used < least) {
        if (w->room != NULL) weir_block_release(w->room);
        w->room = weir_block_create(&w->blocks, WEIR_BLOCK_BYTES);
        w->room_used = 0;
    }
    weir_block_acquire(w->room);
    *at = w->room->data + w->room_used;
    *n = w->room->capacity - w->room_used;
    return w->room;
}
/* The first n bytes are taken: a slice over them goes with the reference. */
static inline void weir_room_use(struct weir_worker *w, const struct weir_block *block, size_t n)
{
    if (block == w->room) w->room_used += (uint32_t)n;
}

#endif
