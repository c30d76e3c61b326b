/* Arenas: chunks of doubling size, so that a small compiled resource stays small and a large one takes few calls. */
#include "dataplane/base/arena.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/sanitize.h"
#include "dataplane/limits.h"

#define ALIGN 16u
/* With the allocator's own header these fill its size classes. */
#define FIRST_CHUNK_BYTES 1008u
#define CHUNK_BYTES_MAX 32752u

struct weir_arena_chunk {
    struct weir_arena_chunk *next;
    size_t size; /* with this header */
};
_Static_assert(sizeof(struct weir_arena_chunk) % ALIGN == 0, "data behind the header is aligned");

struct weir_arena_cleanup {
    struct weir_arena_cleanup *next;
    void (*fn)(void *ctx);
    void *ctx;
};

void weir_arena_init(struct weir_arena *a, size_t bytes_max)
{
    *a = (struct weir_arena){.bytes_max = bytes_max};
}

static void run_cleanups(struct weir_arena *a)
{
    while (a->cleanup != NULL) {
        struct weir_arena_cleanup *c = a->cleanup;
        a->cleanup = c->next;
        c->fn(c->ctx);
    }
}

static void free_chunks(struct weir_arena_chunk *c)
{
    while (c != NULL) {
        struct weir_arena_chunk *next = c->next;
        free(c);
        c = next;
    }
}

void weir_arena_deinit(struct weir_arena *a)
{
    run_cleanups(a);
    free_chunks(a->chunk);
    weir_arena_init(a, a->bytes_max);
}

/* A heap arena whose first chunk has `size` bytes. */
static struct weir_arena *create_sized(size_t size)
{
    struct weir_arena_chunk *c = malloc(size);
    if (c == NULL) {
        (void)fprintf(stderr, "weir: out of memory\n");
        abort();
    }
    *c = (struct weir_arena_chunk){.size = size};
    struct weir_arena *a = (struct weir_arena *)(void *)(c + 1);
    weir_arena_init(a, 0);
    a->chunk = c;
    a->bytes = a->small_bytes = size;
    weir_arena_reset(a);
    return a;
}

void weir_arena_reset(struct weir_arena *a)
{
    run_cleanups(a);
    struct weir_arena_chunk *own = NULL, *c = a->chunk;
    while (c != NULL) {
        struct weir_arena_chunk *next = c->next;
        if ((char *)a >= (char *)c && (char *)a < (char *)c + c->size) {
            own = c;
        } else {
            free(c);
        }
        c = next;
    }
    a->chunk = own;
    a->bytes = a->small_bytes = 0;
    a->cleanups = 0;
    a->at = a->end = NULL;
    if (own == NULL) return;
    own->next = NULL;
    a->bytes = a->small_bytes = own->size;
    if (WEIR_ASAN) return; /* each allocation has a chunk of its own there, so that use after reset is seen */
    a->at = (char *)(own + 1) + ((sizeof(*a) + ALIGN - 1) & ~(size_t)(ALIGN - 1));
    a->end = (char *)own + own->size;
}

struct weir_arena *weir_arena_pool_take(struct weir_arena_pool *p)
{
    if (p->count == 0) return create_sized(WEIR_STREAM_ARENA_BYTES);
    return p->free[--p->count];
}

void weir_arena_pool_give(struct weir_arena_pool *p, struct weir_arena *a)
{
    if (p->count == WEIR_ARENA_POOL_MAX) {
        weir_arena_destroy(a);
        return;
    }
    weir_arena_reset(a);
    p->free[p->count++] = a;
}

void weir_arena_pool_deinit(struct weir_arena_pool *p)
{
    while (p->count > 0)
        weir_arena_destroy(p->free[--p->count]);
}

struct weir_arena *weir_arena_create(void)
{
    struct weir_arena own;
    weir_arena_init(&own, 0);
    struct weir_arena *a = weir_arena_alloc(&own, sizeof(*a));
    *a = own;
    return a;
}

void weir_arena_destroy(struct weir_arena *a)
{
    if (a == NULL) return;
    run_cleanups(a);
    free_chunks(a->chunk); /* the arena lies in one of them */
}

static struct weir_arena_chunk *chunk_add(struct weir_arena *a, size_t size, bool capped)
{
    if (capped && a->bytes_max != 0 && (size > a->bytes_max || a->bytes > a->bytes_max - size)) return NULL;
    struct weir_arena_chunk *c = malloc(size);
    if (c == NULL) return NULL;
    c->size = size;
    a->bytes += size;
    return c;
}

static void *alloc_slow(struct weir_arena *a, size_t size, bool capped)
{
    size_t own = size + sizeof(struct weir_arena_chunk);
    size_t next = FIRST_CHUNK_BYTES;
    while (next < a->small_bytes && next < CHUNK_BYTES_MAX)
        next = next * 2 + ALIGN;
    struct weir_arena_chunk *c = NULL;
    if (!WEIR_ASAN && own <= next / 2) c = chunk_add(a, next, capped);
    if (c != NULL) {
        c->next = a->chunk;
        a->chunk = c;
        a->small_bytes += next;
        a->at = (char *)(c + 1) + size;
        a->end = (char *)c + c->size;
        return c + 1;
    }
    /* Large, or the cap leaves no room for a whole chunk: exactly what is asked for. The small chunk stays in use. */
    c = chunk_add(a, own, capped);
    if (c == NULL) return NULL;
    c->next = a->chunk;
    a->chunk = c;
    return c + 1;
}

static void *alloc_bytes(struct weir_arena *a, size_t size, bool capped)
{
    if (size > SIZE_MAX / 2) return NULL;
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if ((size_t)(a->end - a->at) >= size && a->at != NULL) {
        void *p = a->at;
        a->at += size;
        return p;
    }
    return alloc_slow(a, size, capped);
}

void *weir_arena_alloc(struct weir_arena *a, size_t size)
{
    void *p = alloc_bytes(a, size, false);
    if (p == NULL) {
        (void)fprintf(stderr, "weir: out of memory\n");
        abort();
    }
    return memset(p, 0, size);
}

void *weir_arena_try_alloc(struct weir_arena *a, size_t size)
{
    return alloc_bytes(a, size, true);
}

struct weir_str weir_arena_str(struct weir_arena *a, struct weir_str s)
{
    char *p = alloc_bytes(a, s.n + 1, false);
    if (p == NULL) p = weir_arena_alloc(a, s.n + 1);
    if (s.n != 0) memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return (struct weir_str){p, s.n};
}

struct weir_str weir_arena_vprintf(struct weir_arena *a, const char *fmt, va_list args)
{
    char small[256];
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(small, sizeof(small), fmt, args);
    assert(n >= 0);
    struct weir_str out;
    if ((size_t)n < sizeof(small)) {
        out = weir_arena_str(a, (struct weir_str){small, (size_t)n});
    } else {
        char *p = weir_arena_alloc(a, (size_t)n + 1);
        (void)vsnprintf(p, (size_t)n + 1, fmt, again);
        out = (struct weir_str){p, (size_t)n};
    }
    va_end(again);
    return out;
}

struct weir_str weir_arena_printf(struct weir_arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct weir_str s = weir_arena_vprintf(a, fmt, args);
    va_end(args);
    return s;
}

void weir_arena_on_destroy(struct weir_arena *a, void (*fn)(void *ctx), void *ctx)
{
    struct weir_arena_cleanup *c = weir_arena_alloc(a, sizeof(*c));
    *c = (struct weir_arena_cleanup){a->cleanup, fn, ctx};
    a->cleanup = c;
    a->cleanups++;
}
