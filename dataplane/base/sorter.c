/* See sorter.h. */
#include "dataplane/base/sorter.h"

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/str.h"

static void *need(void *p)
{
    if (p != NULL) return p;
    (void)fprintf(stderr, "weir: out of memory\n");
    abort();
}

void weir_sorter_add(struct weir_sorter *s, struct weir_str name, void *value)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity == 0 ? 64 : s->capacity * 2;
        s->items = need(realloc(s->items, s->capacity * sizeof(*s->items)));
    }
    s->items[s->count++] = (struct weir_sorter_item){name, value};
}

static int by_name(const void *a, const void *b)
{
    return weir_str_cmp(((const struct weir_sorter_item *)a)->name, ((const struct weir_sorter_item *)b)->name);
}

static bool before(const struct weir_sorter *s, uint32_t a, uint32_t b)
{
    return by_name(&s->items[s->heads[a]], &s->items[s->heads[b]]) < 0;
}

static void sift(struct weir_sorter *s, uint32_t at)
{
    for (;;) {
        uint32_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < s->heap_count && before(s, s->heap[left], s->heap[least])) least = left;
        if (right < s->heap_count && before(s, s->heap[right], s->heap[least])) least = right;
        if (least == at) return;
        uint32_t run = s->heap[at];
        s->heap[at] = s->heap[least];
        s->heap[least] = run;
        at = least;
    }
}

static void heap_make(struct weir_sorter *s)
{
    s->heap_count = (uint32_t)((s->count + WEIR_SORTER_RUN - 1) / WEIR_SORTER_RUN);
    s->heads = need(calloc(s->heap_count + 1u, sizeof(*s->heads)));
    s->heap = need(calloc(s->heap_count + 1u, sizeof(*s->heap)));
    for (uint32_t i = 0; i < s->heap_count; i++) {
        s->heads[i] = (size_t)i * WEIR_SORTER_RUN;
        s->heap[i] = i;
    }
    for (uint32_t i = s->heap_count / 2; i-- > 0;) sift(s, i);
}

bool weir_sorter_step(struct weir_sorter *s)
{
    if (s->sorted < s->count) {
        size_t n = s->count - s->sorted < WEIR_SORTER_RUN ? s->count - s->sorted : WEIR_SORTER_RUN;
        qsort(s->items + s->sorted, n, sizeof(*s->items), by_name);
        s->sorted += n;
    }
    if (s->sorted < s->count) return false;
    if (s->heap == NULL) heap_make(s);
    return true;
}

const struct weir_sorter_item *weir_sorter_peek(const struct weir_sorter *s)
{
    return s->heap_count > 0 ? &s->items[s->heads[s->heap[0]]] : NULL;
}

void weir_sorter_pop(struct weir_sorter *s)
{
    uint32_t run = s->heap[0];
    size_t end = ((size_t)run + 1) * WEIR_SORTER_RUN;
    if (++s->heads[run] == (end < s->count ? end : s->count)) s->heap[0] = s->heap[--s->heap_count];
    sift(s, 0);
}

void weir_sorter_deinit(struct weir_sorter *s)
{
    free(s->items);
    free(s->heads);
    free(s->heap);
    *s = (struct weir_sorter){0};
}
