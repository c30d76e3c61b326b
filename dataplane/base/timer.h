/* Timers of one loop: a hierarchical wheel of milliseconds over a monotonic clock that is read once a loop turn. Start,
 * restart and stop are O(1). Not thread-safe: a wheel belongs to its loop. */
#ifndef WEIR_BASE_TIMER_H
#define WEIR_BASE_TIMER_H

#include "dataplane/base/list.h"

struct weir_timer_wheel;

/* Embedded in what it times. Zeroed is stopped. */
struct weir_timer {
    struct weir_list node;
    uint64_t due_ms;
    void (*on_due)(struct weir_timer *t); /* the timer is stopped when called; it may start itself again or be freed */
};

#define WEIR_TIMER_LEVELS 7 /* 139 years: later than that is never */
#define WEIR_TIMER_SLOTS 64

struct weir_timer_wheel {
    uint64_t now_ms;
    uint64_t clock_ms; /* at or after now_ms: what delays count from */
    uint64_t occupied[WEIR_TIMER_LEVELS]; /* a bit a slot */
    struct weir_list slots[WEIR_TIMER_LEVELS][WEIR_TIMER_SLOTS];
};
void weir_timer_wheel_init(struct weir_timer_wheel *w, uint64_t now_ms);
/* Tells the time without calling what is due: a loop does so before a turn's events, and advances the wheel after them.
 * A clock behind the wheel's now is ignored. */
void weir_timer_wheel_set_clock(struct weir_timer_wheel *w, uint64_t now_ms);
/* Never earlier than delay_ms after the wheel's clock. Restarts a running timer. */
void weir_timer_start(struct weir_timer_wheel *w, struct weir_timer *t, uint64_t delay_ms);
void weir_timer_stop(struct weir_timer_wheel *w, struct weir_timer *t);
static inline bool weir_timer_running(const struct weir_timer *t)
{
    return t->node.next != NULL;
}
/* Moves the clock and calls what is due, oldest due first between slots. */
void weir_timer_wheel_advance(struct weir_timer_wheel *w, uint64_t now_ms);
/* Milliseconds until something may be due, 0 when overdue, UINT64_MAX when no timer runs. May be early, never late. */
uint64_t weir_timer_wheel_wait_ms(const struct weir_timer_wheel *w);

#endif
