/* The timer wheel. A timer due at D stands on the level of the highest digit (base 64) in which D differs from the
 * wheel's now, in the slot of D's digit there: so slots behind now are always empty, and a slot is spread over the level
 * below when now enters it. */
#include "dataplane/base/timer.h"

#define DIGIT_BITS 6
#define SLOT_MASK (WEIR_TIMER_SLOTS - 1u)
#define DUE_MAX (((uint64_t)1 << (DIGIT_BITS * WEIR_TIMER_LEVELS)) - 1)

_Static_assert(WEIR_TIMER_SLOTS == 1 << DIGIT_BITS, "a slot is a digit");

void weir_timer_wheel_init(struct weir_timer_wheel *w, uint64_t now_ms)
{
    w->now_ms = now_ms;
    w->clock_ms = now_ms;
    for (unsigned level = 0; level < WEIR_TIMER_LEVELS; level++) {
        w->occupied[level] = 0;
        for (unsigned slot = 0; slot < WEIR_TIMER_SLOTS; slot++)
            weir_list_init(&w->slots[level][slot]);
    }
}

void weir_timer_wheel_set_clock(struct weir_timer_wheel *w, uint64_t now_ms)
{
    if (now_ms > w->now_ms) w->clock_ms = now_ms;
}

static void place(struct weir_timer_wheel *w, struct weir_timer *t)
{
    uint64_t differs = t->due_ms ^ w->now_ms;
    unsigned level = differs == 0 ? 0 : (63u - (unsigned)__builtin_clzll(differs)) / DIGIT_BITS;
    unsigned slot = (unsigned)(t->due_ms >> (level * DIGIT_BITS)) & SLOT_MASK;
    weir_list_push_back(&w->slots[level][slot], &t->node);
    w->occupied[level] |= (uint64_t)1 << slot;
}

void weir_timer_start(struct weir_timer_wheel *w, struct weir_timer *t, uint64_t delay_ms)
{
    weir_timer_stop(w, t);
    t->due_ms = w->clock_ms < DUE_MAX && delay_ms < DUE_MAX - w->clock_ms ? w->clock_ms + delay_ms : DUE_MAX;
    place(w, t);
}

void weir_timer_stop(struct weir_timer_wheel *w, struct weir_timer *t)
{
    if (t->node.next == NULL) return;
    struct weir_list *neighbour = t->node.next;
    weir_list_remove(&t->node);
    if (!weir_list_empty(neighbour)) return;
    /* It was the last of its list; the neighbour is the list's head: a slot, or that of timers being called. */
    uintptr_t first = (uintptr_t)&w->slots[0][0], head = (uintptr_t)neighbour;
    if (head < first || head >= first + sizeof(w->slots)) return;
    size_t index = (head - first) / sizeof(struct weir_list);
    w->occupied[index / WEIR_TIMER_SLOTS] &= ~((uint64_t)1 << (index % WEIR_TIMER_SLOTS));
}

/* The first occupied slot at or after now, and the time at which it begins. False: no timer. */
static bool next_slot(const struct weir_timer_wheel *w, unsigned *level, unsigned *slot, uint64_t *at_ms)
{
    for (unsigned l = 0; l < WEIR_TIMER_LEVELS; l++) {
        unsigned digit = (unsigned)(w->now_ms >> (l * DIGIT_BITS)) & SLOT_MASK;
        uint64_t ahead = w->occupied[l] & (UINT64_MAX << digit);
        if (ahead == 0) continue;
        *level = l;
        *slot = (unsigned)__builtin_ctzll(ahead);
        uint64_t upper = w->now_ms >> (l * DIGIT_BITS) & ~(uint64_t)SLOT_MASK;
        *at_ms = (upper | *slot) << (l * DIGIT_BITS);
        return true;
    }
    return false;
}

void weir_timer_wheel_advance(struct weir_timer_wheel *w, uint64_t now_ms)
{
    struct weir_list due;
    weir_list_init(&due);
    unsigned level, slot;
    uint64_t at_ms;
    if (now_ms < w->now_ms) now_ms = w->now_ms;
    w->clock_ms = now_ms;
    while (next_slot(w, &level, &slot, &at_ms) && at_ms <= now_ms) {
        struct weir_list *head = &w->slots[level][slot];
        if (at_ms > w->now_ms) w->now_ms = at_ms;
        w->occupied[level] &= ~((uint64_t)1 << slot);
        while (!weir_list_empty(head)) {
            struct weir_list *node = head->next;
            weir_list_remove(node);
            if (level == 0)
                weir_list_push_back(&due, node);
            else
                place(w, WEIR_CONTAINER_OF(node, struct weir_timer, node));
        }
    }
    w->now_ms = now_ms;
    while (!weir_list_empty(&due)) {
        struct weir_timer *t = WEIR_CONTAINER_OF(due.next, struct weir_timer, node);
        weir_list_remove(&t->node);
        t->on_due(t);
    }
}

uint64_t weir_timer_wheel_wait_ms(const struct weir_timer_wheel *w)
{
    unsigned level, slot;
    uint64_t at_ms;
    if (!next_slot(w, &level, &slot, &at_ms)) return UINT64_MAX;
    return at_ms > w->now_ms ? at_ms - w->now_ms : 0;
}
