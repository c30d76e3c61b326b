/* Bodies on their way: chains of slices of reference-counted blocks. A byte is read from a socket into a block once and
 * written to another socket from there; everything between moves references. One thread (a worker) owns a block and all
 * slices of it: counts are plain. */
#ifndef WEIR_BASE_BUFFER_H
#define WEIR_BASE_BUFFER_H

#include <sys/uio.h>

#include "dataplane/weir.h"

/* Storage of `capacity` bytes behind this header. */
struct weir_block {
    uint32_t refs;
    uint32_t capacity;
    struct weir_block_pool *pool; /* where it goes back to; NULL: free() */
    uint8_t data[];
};

/* Free blocks of WEIR_BLOCK_BYTES kept by a worker (at most WEIR_BLOCK_POOL_MAX). */
struct weir_block_pool {
    struct weir_block *free; /* linked through data */
    uint32_t free_count;
    uint64_t live; /* blocks taken and not given back: 0 at rest, checked by tests */
};
void weir_block_pool_init(struct weir_block_pool *p);
/* Blocks still referenced go back to the system when released; until then (live > 0) the struct's memory must stay. */
void weir_block_pool_deinit(struct weir_block_pool *p);
/* refs = 1. `pool` may be NULL. capacity: at least min_capacity; WEIR_BLOCK_BYTES ones come from the pool. */
struct weir_block *weir_block_create(struct weir_block_pool *pool, size_t min_capacity);
/* As large as asked, from the system: for small pieces that would waste a pooled block. */
struct weir_block *weir_block_create_exact(size_t capacity);
static inline void weir_block_acquire(struct weir_block *b)
{
    b->refs++;
}
void weir_block_release(struct weir_block *b);

/* A view of a block's bytes; the slice owns one reference. block == NULL: static or arena bytes that outlive the use. */
struct weir_slice {
    const uint8_t *p;
    size_t n;
    struct weir_block *block;
};

/* A FIFO of slices. Zeroed is empty. */
struct weir_buffer {
    size_t bytes;
    uint32_t head, count, capacity; /* ring over `at` */
    struct weir_slice *at;          /* inline_at or heap: not to be copied by value, weir_buffer_move it */
    uint8_t *append_end;            /* where append may go on writing in the last slice's block; NULL: nowhere */
    struct weir_slice inline_at[2];
};

void weir_buffer_init(struct weir_buffer *b);
void weir_buffer_deinit(struct weir_buffer *b); /* releases all; as after init */
static inline bool weir_buffer_empty(const struct weir_buffer *b)
{
    return b->bytes == 0;
}
/* Takes over the slice's reference. Empty slices are released at once. Adjacent slices of one block are joined. */
void weir_buffer_push(struct weir_buffer *b, struct weir_slice s);
void weir_buffer_push_front(struct weir_buffer *b, struct weir_slice s);
/* Copies into fresh or the last block's free room (only where the last slice ends at what this buffer wrote). */
void weir_buffer_append(struct weir_buffer *b, struct weir_block_pool *pool, const void *p, size_t n);
/* Bytes that outlive the buffer (literals): no copy. */
void weir_buffer_push_static(struct weir_buffer *b, struct weir_str s);
/* Moves everything / the first n bytes (n <= from->bytes) to the end of `to`. */
void weir_buffer_move(struct weir_buffer *to, struct weir_buffer *from);
void weir_buffer_move_n(struct weir_buffer *to, struct weir_buffer *from, size_t n);
/* Drops the first n bytes (n <= bytes). */
void weir_buffer_consume(struct weir_buffer *b, size_t n);
/* First slices as iovecs, at most `max`; returns how many. The buffer is unchanged. */
int weir_buffer_iov(const struct weir_buffer *b, struct iovec *iov, int max);
/* Copies up to n bytes from `offset` out; returns how many. */
size_t weir_buffer_copy_out(const struct weir_buffer *b, size_t offset, void *to, size_t n);
/* The slice at index i (0 = first), borrowed. */
const struct weir_slice *weir_buffer_slice(const struct weir_buffer *b, uint32_t i);

#endif
