/* Byte chains. Used by transports (read blocks), codecs (heads) and everything that passes bodies on. Invariant: `bytes`
 * is the sum of the slices, no slice is empty. */
#include "dataplane/base/buffer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/sanitize.h"
#include "dataplane/limits.h"

#define POOL_CLOSED UINT32_MAX

static void *must(void *p)
{
    if (p != NULL) return p;
    (void)fprintf(stderr, "weir: out of memory\n");
    abort();
}

void weir_block_pool_init(struct weir_block_pool *p)
{
    *p = (struct weir_block_pool){0};
}

static struct weir_block *block_next(const struct weir_block *b)
{
    struct weir_block *next;
    memcpy(&next, b->data, sizeof(next));
    return next;
}

void weir_block_pool_deinit(struct weir_block_pool *p)
{
    while (p->free != NULL) {
        struct weir_block *b = p->free;
        p->free = block_next(b);
        free(b);
    }
    p->free_count = POOL_CLOSED;
}

struct weir_block *weir_block_create(struct weir_block_pool *pool, size_t min_capacity)
{
    assert(min_capacity < UINT32_MAX / 2);
    size_t capacity = min_capacity <= WEIR_BLOCK_BYTES ? WEIR_BLOCK_BYTES : min_capacity;
    struct weir_block *b;
    if (pool != NULL && capacity == WEIR_BLOCK_BYTES && pool->free != NULL) {
        b = pool->free;
        pool->free = block_next(b);
        pool->free_count--;
    } else {
        b = must(malloc(sizeof(*b) + capacity));
    }
    b->refs = 1;
    b->capacity = (uint32_t)capacity;
    b->pool = pool;
    if (pool != NULL) pool->live++;
    return b;
}

struct weir_block *weir_block_create_exact(size_t capacity)
{
    assert(capacity < UINT32_MAX / 2);
    struct weir_block *b = must(malloc(sizeof(*b) + capacity));
    *b = (struct weir_block){.refs = 1, .capacity = (uint32_t)capacity};
    return b;
}

void weir_block_release(struct weir_block *b)
{
    assert(b->refs > 0);
    if (--b->refs != 0) return;
    struct weir_block_pool *pool = b->pool;
    if (pool != NULL) {
        pool->live--;
        if (!WEIR_ASAN && b->capacity == WEIR_BLOCK_BYTES && pool->free_count < WEIR_BLOCK_POOL_MAX) {
            memcpy(b->data, &pool->free, sizeof(pool->free));
            pool->free = b;
            pool->free_count++;
            return;
        }
    }
    free(b);
}

/* The inline slices need no value: `count` says which are there. */
void weir_buffer_init(struct weir_buffer *b)
{
    b->bytes = 0;
    b->head = b->count = b->capacity = 0;
    b->at = NULL;
    b->append_end = NULL;
}

static struct weir_slice *slice_at(const struct weir_buffer *b, uint32_t i)
{
    return &b->at[(b->head + i) & (b->capacity - 1)];
}

static void slice_release(struct weir_slice *s)
{
    if (s->block != NULL) weir_block_release(s->block);
}

void weir_buffer_deinit(struct weir_buffer *b)
{
    for (uint32_t i = 0; i < b->count; i++)
        slice_release(slice_at(b, i));
    if (b->at != b->inline_at) free(b->at);
    weir_buffer_init(b);
}

static void grow(struct weir_buffer *b)
{
    if (b->at == NULL) {
        b->at = b->inline_at;
        b->capacity = sizeof(b->inline_at) / sizeof(b->inline_at[0]);
        b->head = 0;
        return;
    }
    uint32_t capacity = b->capacity * 2 < 8 ? 8 : b->capacity * 2;
    struct weir_slice *at = must(malloc(sizeof(*at) * capacity));
    for (uint32_t i = 0; i < b->count; i++)
        at[i] = *slice_at(b, i);
    if (b->at != b->inline_at) free(b->at);
    b->at = at;
    b->capacity = capacity;
    b->head = 0;
}

void weir_buffer_push(struct weir_buffer *b, struct weir_slice s)
{
    if (s.n == 0) {
        slice_release(&s);
        return;
    }
    b->append_end = NULL;
    b->bytes += s.n;
    if (b->count != 0) {
        struct weir_slice *last = slice_at(b, b->count - 1);
        if (s.block != NULL && last->block == s.block && last->p + last->n == s.p) {
            last->n += s.n;
            weir_block_release(s.block); /* the joined slice holds one already */
            return;
        }
    }
    if (b->count == b->capacity) grow(b);
    b->count++;
    *slice_at(b, b->count - 1) = s;
}

void weir_buffer_push_front(struct weir_buffer *b, struct weir_slice s)
{
    if (s.n == 0) {
        slice_release(&s);
        return;
    }
    b->bytes += s.n;
    if (b->count != 0) {
        struct weir_slice *first = slice_at(b, 0);
        if (s.block != NULL && first->block == s.block && s.p + s.n == first->p) {
            first->p = s.p;
            first->n += s.n;
            weir_block_release(s.block);
            return;
        }
    }
    if (b->count == b->capacity) grow(b);
    b->head = (b->head - 1) & (b->capacity - 1);
    b->count++;
    *slice_at(b, 0) = s;
}

void weir_buffer_append(struct weir_buffer *b, struct weir_block_pool *pool, const void *p, size_t n)
{
    const uint8_t *from = p;
    if (n != 0 && b->append_end != NULL) {
        struct weir_slice *last = slice_at(b, b->count - 1);
        size_t room = (size_t)(last->block->data + last->block->capacity - b->append_end);
        size_t m = n < room ? n : room;
        memcpy(b->append_end, from, m);
        b->append_end += m;
        last->n += m;
        b->bytes += m;
        from += m;
        n -= m;
    }
    while (n != 0) {
        size_t m = n < WEIR_BLOCK_BYTES_MAX ? n : WEIR_BLOCK_BYTES_MAX;
        struct weir_block *block = weir_block_create(pool, m);
        memcpy(block->data, from, m);
        weir_buffer_push(b, (struct weir_slice){block->data, m, block});
        b->append_end = block->data + m;
        from += m;
        n -= m;
    }
}

void weir_buffer_push_static(struct weir_buffer *b, struct weir_str s)
{
    weir_buffer_push(b, (struct weir_slice){(const uint8_t *)s.p, s.n, NULL});
}

void weir_buffer_move(struct weir_buffer *to, struct weir_buffer *from)
{
    if (from->count == 0) return;
    uint8_t *append_end = from->append_end;
    for (uint32_t i = 0; i < from->count; i++)
        weir_buffer_push(to, *slice_at(from, i));
    from->count = 0;
    from->bytes = 0;
    from->head = 0;
    from->append_end = NULL;
    to->append_end = append_end; /* the right to write behind the last slice moves with it */
}

static struct weir_slice take_first(struct weir_buffer *b)
{
    struct weir_slice s = *slice_at(b, 0);
    b->head = (b->head + 1) & (b->capacity - 1);
    b->count--;
    b->bytes -= s.n;
    if (b->count == 0) b->append_end = NULL;
    return s;
}

void weir_buffer_move_n(struct weir_buffer *to, struct weir_buffer *from, size_t n)
{
    assert(n <= from->bytes);
    if (n == from->bytes) {
        weir_buffer_move(to, from);
        return;
    }
    while (n != 0) {
        struct weir_slice *first = slice_at(from, 0);
        if (first->n <= n) {
            struct weir_slice s = take_first(from);
            n -= s.n;
            weir_buffer_push(to, s);
            continue;
        }
        if (first->block != NULL) weir_block_acquire(first->block);
        weir_buffer_push(to, (struct weir_slice){first->p, n, first->block});
        first->p += n;
        first->n -= n;
        from->bytes -= n;
        return;
    }
}

void weir_buffer_consume(struct weir_buffer *b, size_t n)
{
    assert(n <= b->bytes);
    while (n != 0) {
        struct weir_slice *first = slice_at(b, 0);
        if (first->n > n) {
            first->p += n;
            first->n -= n;
            b->bytes -= n;
            return;
        }
        struct weir_slice s = take_first(b);
        n -= s.n;
        slice_release(&s);
    }
}

int weir_buffer_iov(const struct weir_buffer *b, struct iovec *iov, int max)
{
    int n = 0;
    for (; n < max && (uint32_t)n < b->count; n++) {
        const struct weir_slice *s = slice_at(b, (uint32_t)n);
        iov[n] = (struct iovec){(void *)(uintptr_t)s->p, s->n};
    }
    return n;
}

size_t weir_buffer_copy_out(const struct weir_buffer *b, size_t offset, void *to, size_t n)
{
    uint8_t *out = to;
    size_t done = 0;
    for (uint32_t i = 0; i < b->count && done < n; i++) {
        const struct weir_slice *s = slice_at(b, i);
        if (offset >= s->n) {
            offset -= s->n;
            continue;
        }
        size_t m = s->n - offset < n - done ? s->n - offset : n - done;
        memcpy(out + done, s->p + offset, m);
        done += m;
        offset = 0;
    }
    return done;
}

const struct weir_slice *weir_buffer_slice(const struct weir_buffer *b, uint32_t i)
{
    assert(i < b->count);
    return slice_at(b, i);
}
