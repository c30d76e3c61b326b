/* Memory that goes all at once: of a stream, of a compiled resource, of a decoded message. Not thread-safe; an arena may
 * move between threads when a mailbox hands it over. */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include <stdarg.h>

#include "dataplane/weir.h"

struct weir_arena_chunk;

/* Embeddable. A zeroed struct is a valid empty arena without cap. */
struct weir_arena {
    struct weir_arena_chunk *chunk; /* newest first; large allocations have a chunk of their own */
    char *at, *end;                 /* free room of the newest small chunk */
    size_t small_bytes;             /* chunks that grow; those of large allocations do not count */
    size_t bytes;                   /* taken from the system, for /memory and for the cap */
    size_t bytes_max;               /* 0: none */
    size_t cleanups;
    struct weir_arena_cleanup *cleanup; /* newest first */
};

void weir_arena_init(struct weir_arena *a, size_t bytes_max);
/* Runs cleanups newest first, frees every chunk. The struct is then as after init. */
void weir_arena_deinit(struct weir_arena *a);
/* Heap forms: the arena lies in its own first chunk. */
struct weir_arena *weir_arena_create(void);
void weir_arena_destroy(struct weir_arena *a);
/* Runs cleanups and makes all room free again, keeping one small chunk: as new, without asking the system. Also of heap forms. */
void weir_arena_reset(struct weir_arena *a);

/* Heap arenas at rest, kept by one thread for what comes and goes with every request. Zeroed is empty. */
#define WEIR_ARENA_POOL_MAX 64
struct weir_arena_pool {
    struct weir_arena *free[WEIR_ARENA_POOL_MAX];
    uint32_t count;
};
struct weir_arena *weir_arena_pool_take(struct weir_arena_pool *p); /* a heap arena, empty */
void weir_arena_pool_give(struct weir_arena_pool *p, struct weir_arena *a);
void weir_arena_pool_deinit(struct weir_arena_pool *p);

/* Zeroed, aligned to 16. Never NULL: ends the process when the system has no memory (a cap does not apply). */
void *weir_arena_alloc(struct weir_arena *a, size_t size) __attribute__((returns_nonnull, malloc, alloc_size(2)));
/* Not zeroed; NULL where bytes_max would be passed. */
void *weir_arena_try_alloc(struct weir_arena *a, size_t size) WEIR_MUST_USE;
#define WEIR_NEW(arena, type, count) ((type *)weir_arena_alloc((arena), sizeof(type) * (size_t)(count)))

/* Copies; the copy is NUL-terminated beyond n. */
struct weir_str weir_arena_str(struct weir_arena *a, struct weir_str s);
struct weir_str weir_arena_printf(struct weir_arena *a, const char *fmt, ...) WEIR_PRINTF(2, 3);
struct weir_str weir_arena_vprintf(struct weir_arena *a, const char *fmt, va_list args) WEIR_PRINTF(2, 0);
/* Calls fn(ctx) at deinit: for what the arena's objects own elsewhere (a regex, an SSL_CTX, a reference). */
void weir_arena_on_destroy(struct weir_arena *a, void (*fn)(void *ctx), void *ctx);

#endif
