/* The turn of a loop. Called by main (one thread a worker), by tests and, from weir_worker_finish_turn() on, by the
 * simulation. Invariant: at the end of a turn nothing is buried, and what is deferred or waits to be written is at most
 * what did not fit the bounded rounds; then the next turn does not wait. */
#include "dataplane/worker/worker.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <h2o.h>

#include "dataplane/limits.h"

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct weir_worker *worker_new(uint32_t index, uint32_t worker_count)
{
    struct weir_worker *w = calloc(1, sizeof(*w));
    if (w == NULL) return NULL;
    w->index = index;
    w->worker_count = worker_count;
    w->connection_ids = index;
    weir_block_pool_init(&w->blocks);
    weir_list_init(&w->deferred);
    weir_list_init(&w->flushing);
    weir_list_init(&w->dead);
    weir_list_init(&w->locals);
    weir_list_init(&w->lingering);
    w->mailbox.wake_fd = -1;
    return w;
}

struct weir_worker *weir_worker_create(uint32_t index, uint32_t worker_count)
{
    struct weir_worker *w = worker_new(index, worker_count);
    if (w == NULL) return NULL;
    weir_random_seed_system(&w->random);
    w->now_ns = clock_ns(CLOCK_MONOTONIC);
    w->wall_ns = clock_ns(CLOCK_REALTIME);
    weir_timer_wheel_init(&w->timers, w->now_ns / 1000000u);
    w->loop = h2o_evloop_create();
    if (!weir_mailbox_open(w)) {
        weir_worker_destroy(w);
        return NULL;
    }
    return w;
}

struct weir_worker *weir_worker_create_simulated(uint32_t index, uint32_t worker_count, uint64_t seed)
{
    struct weir_worker *w = worker_new(index, worker_count);
    if (w == NULL) return NULL;
    weir_random_seed(&w->random, seed);
    weir_timer_wheel_init(&w->timers, 0);
    return w;
}

static void free_dead(struct weir_worker *w)
{
    while (!weir_list_empty(&w->dead)) {
        struct weir_dead *d = WEIR_CONTAINER_OF(w->dead.next, struct weir_dead, node);
        weir_list_remove(&d->node);
        d->destroy(d);
    }
}

void weir_worker_destroy(struct weir_worker *w)
{
    if (w == NULL) return;
    weir_worker_finish_turn(w);
    weir_mailbox_close(w);
    free_dead(w);
    while (!weir_list_empty(&w->locals)) {
        struct weir_worker_local *l = WEIR_CONTAINER_OF(w->locals.next, struct weir_worker_local, node);
        weir_list_remove(&l->node);
        l->destroy(l);
    }
    if (w->loop != NULL) {
        /* One turn more: the loop frees what was closed when it next looks at its sockets. */
        (void)h2o_evloop_run(w->loop, 0);
        h2o_evloop_destroy(w->loop);
    }
    if (w->room != NULL) weir_block_release(w->room);
    weir_arena_pool_deinit(&w->arenas);
    weir_block_pool_deinit(&w->blocks);
    free(w);
}

void weir_worker_read_clock(struct weir_worker *w)
{
    w->ticked = true;
    w->now_ns = clock_ns(CLOCK_MONOTONIC);
    w->wall_ns = clock_ns(CLOCK_REALTIME);
    weir_timer_wheel_set_clock(&w->timers, w->now_ns / 1000000u);
}

/* Rounds of deferred work and writes in one turn: what a write lets its owner do (send more, read more) usually still
 * fits in; who never stops waits for the next turn, behind the events of others. */
#define ROUNDS_MAX 4

static void run_all(struct weir_list *head)
{
    struct weir_list now;
    if (weir_list_empty(head)) return;
    now = *head;
    now.next->prev = now.prev->next = &now;
    weir_list_init(head);
    while (!weir_list_empty(&now)) {
        struct weir_deferred *d = WEIR_CONTAINER_OF(now.next, struct weir_deferred, node);
        weir_list_remove(&d->node);
        d->run(d);
    }
}

static bool work_waits(const struct weir_worker *w)
{
    return !weir_list_empty(&w->deferred) || !weir_list_empty(&w->flushing) || !weir_mailbox_empty(&w->mailbox);
}

void weir_worker_finish_turn(struct weir_worker *w)
{
    weir_mailbox_deliver(w);
    weir_timer_wheel_advance(&w->timers, w->now_ns / 1000000u);
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        if (weir_list_empty(&w->deferred) && weir_list_empty(&w->flushing)) break;
        run_all(&w->deferred);
        run_all(&w->flushing);
    }
    free_dead(w);
}

void weir_worker_turn(struct weir_worker *w, uint32_t max_wait_ms)
{
    uint64_t wait = 0;
    assert(w->loop != NULL);
    if (!work_waits(w)) {
        wait = weir_timer_wheel_wait_ms(&w->timers);
        if (wait != 0 && wait != UINT64_MAX) {
            /* The wheel's clock is that of the last turn's start. */
            uint64_t gone = clock_ns(CLOCK_MONOTONIC) / 1000000u - w->timers.now_ms;
            wait = wait > gone ? wait - gone : 0;
        }
        if (wait > max_wait_ms) wait = max_wait_ms;
        if (wait > INT32_MAX) wait = INT32_MAX;
    }
    w->ticked = false;
    (void)h2o_evloop_run(w->loop, (int32_t)wait); /* -1: interrupted by a signal */
    weir_worker_tick(w);
    weir_worker_finish_turn(w);
}

void weir_worker_run(struct weir_worker *w)
{
    atomic_store_explicit(&w->thread, (uintptr_t)pthread_self(), memory_order_relaxed);
    while (!w->stop)
        weir_worker_turn(w, UINT32_MAX);
    atomic_store_explicit(&w->thread, 0, memory_order_relaxed);
}

void weir_worker_defer(struct weir_worker *w, struct weir_deferred *d)
{
    if (d->node.next == NULL) weir_list_push_back(&w->deferred, &d->node);
}

void weir_worker_undefer(struct weir_deferred *d)
{
    weir_list_remove(&d->node);
}

void weir_worker_flush_later(struct weir_worker *w, struct weir_deferred *d)
{
    if (d->node.next == NULL) weir_list_push_back(&w->flushing, &d->node);
}

void weir_worker_bury(struct weir_worker *w, struct weir_dead *d)
{
    if (d->node.next == NULL) weir_list_push_back(&w->dead, &d->node);
}

void weir_worker_add_local(struct weir_worker *w, struct weir_worker_local *l)
{
    weir_list_push_front(&w->locals, &l->node);
}

struct weir_str weir_worker_date(struct weir_worker *w)
{
    uint64_t now_s = w->wall_ns / 1000000000u;
    if (w->date_length == 0 || w->date_s != now_s) {
        static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        time_t t = (time_t)now_s;
        struct tm tm;
        (void)gmtime_r(&t, &tm);
        /* Not strftime: the names are English whatever the locale. */
        int n = snprintf(w->date, sizeof(w->date), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
                         months[tm.tm_mon], (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min, tm.tm_sec);
        w->date_length = (uint32_t)n;
        w->date_s = now_s;
    }
    return (struct weir_str){w->date, w->date_length};
}

uint64_t weir_worker_next_connection_id(struct weir_worker *w)
{
    uint64_t id = w->connection_ids;
    w->connection_ids += w->worker_count + 1u; /* the control thread counts too */
    return id;
}
