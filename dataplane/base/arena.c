/* Arenas: chunks of doubling size, so that a small compiled resource stays small and a large one takes few calls. */
#include "dataplane/base/arena.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/sanitize.h"

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
    while (next < a->bytes && next < CHUNK_BYTES_MAX)
        next = next * 2 + ALIGN;
    struct weir_arena_chunk *c = NULL;
    if (!WEIR_ASAN && own <= next / 2) c = chunk_add(a, next, capped);
    if (c != NULL) {
        c->next = a->chunk;
        a->chunk = c;
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
