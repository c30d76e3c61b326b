/* worker/worker.c, mailbox.c, watch.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/worker/drain.h"
#include "dataplane/worker/watch.h"
#include "dataplane/worker/worker.h"

static char trace[64];
static void mark(char c)
{
    size_t n = strlen(trace);
    assert_true(n + 1 < sizeof(trace));
    trace[n] = c;
    trace[n + 1] = 0;
}
static void deliver_mark(struct weir_worker *w, struct weir_mail *m)
{
    (void)w, (void)m;
    mark('m');
}
static void timer_mark(struct weir_timer *t)
{
    (void)t;
    mark('t');
}
static void deferred_mark(struct weir_deferred *d)
{
    (void)d;
    mark('d');
}
static void flush_mark(struct weir_deferred *d)
{
    (void)d;
    mark('f');
}
static void dead_mark(struct weir_dead *d)
{
    (void)d;
    mark('x');
}
struct all {
    struct weir_worker *w;
    struct weir_mail mail;
    struct weir_timer timer;
    struct weir_deferred deferred, flush;
    struct weir_dead dead;
    struct weir_watch *watch;
    int fd;
};
static void on_event(void *ctx, bool readable, bool writable)
{
    struct all *a = ctx;
    char c;
    assert_true(readable);
    assert_false(writable);
    assert_int_equal(read(a->fd, &c, 1), 1);
    mark('e');
    /* In the opposite order of their turn. */
    weir_worker_bury(a->w, &a->dead);
    weir_worker_flush_later(a->w, &a->flush);
    weir_worker_flush_later(a->w, &a->flush);
    weir_worker_defer(a->w, &a->deferred);
    weir_worker_defer(a->w, &a->deferred);
    weir_timer_start(&a->w->timers, &a->timer, 0);
    weir_mailbox_post(a->w, &a->mail);
}

static void test_turn_runs_events_mail_timers_deferred_writes_and_the_dead_in_order(void **state)
{
    (void)state;
    struct all a = {.mail.deliver = deliver_mark, .timer.on_due = timer_mark, .deferred.run = deferred_mark,
                    .flush.run = flush_mark, .dead.destroy = dead_mark};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    a.w = weir_worker_create(0, 1);
    a.fd = pair[0];
    a.watch = weir_watch_create(a.w, pair[0], true, on_event, &a);
    weir_watch_want(a.watch, true, false);
    assert_int_equal(write(pair[1], "x", 1), 1);
    trace[0] = 0;
    while (strchr(trace, 'x') == NULL)
        weir_worker_turn(a.w, 1000);
    assert_string_equal(trace, "emtdfx");
    weir_watch_destroy(a.watch);
    (void)close(pair[1]);
    weir_worker_destroy(a.w);
}

struct again {
    struct weir_deferred d;
    struct weir_worker *w;
    unsigned runs;
};
static void run_again(struct weir_deferred *d)
{
    struct again *a = WEIR_CONTAINER_OF(d, struct again, d);
    a->runs++;
    weir_worker_defer(a->w, d);
}
static void test_work_that_never_ends_does_not_hold_the_turn(void **state)
{
    (void)state;
    struct again a = {.d.run = run_again, .w = weir_worker_create(0, 1)};
    weir_worker_defer(a.w, &a.d);
    weir_worker_turn(a.w, 60000); /* does not sleep: work waits */
    unsigned first = a.runs;
    assert_in_range(first, 1, 16);
    weir_worker_turn(a.w, 60000);
    assert_true(a.runs > first);
    weir_worker_undefer(&a.d);
    weir_worker_destroy(a.w);
}

static void test_mail_of_the_own_thread_needs_no_wake_up(void **state)
{
    (void)state;
    struct weir_mail mail = {.deliver = deliver_mark};
    struct weir_worker *w = weir_worker_create_simulated(0, 1, 1);
    trace[0] = 0;
    weir_mailbox_post(w, &mail);
    assert_string_equal(trace, "");
    weir_worker_finish_turn(w);
    assert_string_equal(trace, "m");
    weir_worker_destroy(w);
}

#define SENDERS 4
#define LETTERS 20000
struct letter {
    struct weir_mail mail;
    unsigned sender, number;
};
static unsigned next_of[SENDERS], received;
static void deliver_letter(struct weir_worker *w, struct weir_mail *m)
{
    struct letter *l = WEIR_CONTAINER_OF(m, struct letter, mail);
    if (l->number != next_of[l->sender]++) abort();
    if (++received == SENDERS * LETTERS) w->stop = true;
    free(l);
}
static void *run_worker(void *w)
{
    weir_worker_run(w);
    return NULL;
}
struct sender {
    struct weir_worker *w;
    unsigned index;
};
static void *send_letters(void *arg)
{
    struct sender *s = arg;
    for (unsigned i = 0; i < LETTERS; i++) {
        struct letter *l = calloc(1, sizeof(*l));
        l->mail.deliver = deliver_letter;
        l->sender = s->index;
        l->number = i;
        weir_mailbox_post(s->w, &l->mail);
    }
    return NULL;
}
static void test_mail_of_many_threads_arrives_once_and_in_each_senders_order(void **state)
{
    (void)state;
    struct weir_worker *w = weir_worker_create(0, 1);
    pthread_t loop, threads[SENDERS];
    struct sender senders[SENDERS];
    memset(next_of, 0, sizeof(next_of));
    received = 0;
    assert_int_equal(pthread_create(&loop, NULL, run_worker, w), 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){w, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_letters, &senders[i]), 0);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(loop, NULL);
    assert_int_equal(received, SENDERS * LETTERS);
    weir_worker_destroy(w);
}

/* One letter at a time, each of which must wake a sleeping loop. */
static void deliver_stop(struct weir_worker *w, struct weir_mail *m)
{
    (void)m;
    w->stop = true;
}
static void test_mail_wakes_a_sleeping_loop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        struct weir_worker *w = weir_worker_create(0, 1);
        struct weir_mail mail = {.deliver = deliver_stop};
        pthread_t loop;
        assert_int_equal(pthread_create(&loop, NULL, run_worker, w), 0);
        weir_mailbox_post(w, &mail);
        pthread_join(loop, NULL);
        weir_worker_destroy(w);
    }
}

static void test_mail_left_at_the_end_is_delivered(void **state)
{
    (void)state;
    struct weir_mail mail = {.deliver = deliver_mark};
    struct weir_worker *w = weir_worker_create(0, 1);
    trace[0] = 0;
    weir_mailbox_post(w, &mail);
    weir_worker_destroy(w);
    assert_string_equal(trace, "m");
}

static void test_timer_of_a_loop_fires_and_not_early(void **state)
{
    (void)state;
    struct weir_worker *w = weir_worker_create(0, 1);
    struct weir_timer t = {.on_due = timer_mark};
    trace[0] = 0;
    weir_worker_turn(w, 0);
    uint64_t start_ms = weir_worker_now_ms(w);
    weir_timer_start(&w->timers, &t, 20);
    while (trace[0] == 0)
        weir_worker_turn(w, 1000);
    assert_true(weir_worker_now_ms(w) >= start_ms + 20);
    weir_worker_destroy(w);
}

static void test_date_is_the_imf_fixdate_of_the_second(void **state)
{
    (void)state;
    struct weir_worker *w = weir_worker_create_simulated(0, 1, 1);
    w->wall_ns = 784111777u * 1000000000ull; /* RFC 9110, 5.6.7 */
    struct weir_str d = weir_worker_date(w);
    assert_true(weir_str_eq(d, WEIR_STR("Sun, 06 Nov 1994 08:49:37 GMT")));
    w->wall_ns += 999999999;
    assert_true(weir_str_eq(weir_worker_date(w), WEIR_STR("Sun, 06 Nov 1994 08:49:37 GMT")));
    w->wall_ns += 1;
    assert_true(weir_str_eq(weir_worker_date(w), WEIR_STR("Sun, 06 Nov 1994 08:49:38 GMT")));
    weir_worker_destroy(w);
}

static void test_connection_ids_of_workers_never_meet(void **state)
{
    (void)state;
    bool seen[300] = {false};
    for (uint32_t i = 0; i <= 2; i++) { /* two workers and the control thread */
        struct weir_worker *w = weir_worker_create_simulated(i, 2, 1);
        for (unsigned n = 0; n < 100; n++) {
            uint64_t id = weir_worker_next_connection_id(w);
            assert_true(id < 300 && !seen[id]);
            seen[id] = true;
        }
        weir_worker_destroy(w);
    }
}

struct pipe_end {
    struct weir_watch *watch;
    unsigned readable, writable;
    int fd;
};
static void on_pipe(void *ctx, bool readable, bool writable)
{
    struct pipe_end *p = ctx;
    char c[64];
    p->readable += readable;
    p->writable += writable;
    if (readable) (void)!read(p->fd, c, sizeof(c));
    if (p->writable == 3) weir_watch_want(p->watch, true, false);
}
static void test_watch_repeats_while_wanted_and_leaves_a_borrowed_descriptor_open(void **state)
{
    (void)state;
    struct weir_worker *w = weir_worker_create(0, 1);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct pipe_end p = {.fd = pair[0]};
    p.watch = weir_watch_create(w, pair[0], false, on_pipe, &p);
    weir_watch_want(p.watch, true, true);
    while (p.writable < 3)
        weir_worker_turn(w, 1000);
    weir_worker_turn(w, 0);
    weir_worker_turn(w, 0);
    assert_int_equal(p.writable, 3);
    assert_int_equal(p.readable, 0);
    assert_int_equal(write(pair[1], "y", 1), 1);
    while (p.readable == 0)
        weir_worker_turn(w, 1000);
    weir_watch_destroy(p.watch);
    weir_worker_turn(w, 0);
    assert_int_equal(write(pair[0], "z", 1), 1);
    (void)close(pair[0]);
    (void)close(pair[1]);
    weir_worker_destroy(w);
}

static void test_drain_asks_a_growing_share_to_close(void **state)
{
    (void)state;
    struct weir_random r;
    struct weir_drain d = {0};
    weir_random_seed(&r, 7);
    assert_false(weir_drain_close(&d, 5, &r));
    d = (struct weir_drain){.start_ns = 1000, .duration_ns = 1000000, .active = true};
    unsigned yes[3] = {0};
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned n = 0; n < 1000; n++)
            yes[i] += weir_drain_close(&d, 1000 + i * 500000u, &r);
    }
    assert_int_equal(yes[0], 0);
    assert_in_range(yes[1], 400, 600);
    assert_int_equal(yes[2], 1000);
    d.duration_ns = 0;
    assert_true(weir_drain_close(&d, 1000, &r));
}

struct left {
    struct weir_worker *worker;
    struct weir_watch *watch;
};

static void ignore_event(void *ctx, bool readable, bool writable)
{
    (void)ctx, (void)readable, (void)writable;
}

static void *watch_and_go(void *ctx)
{
    struct left *l = ctx;
    int ends[2];
    if (pipe(ends) != 0) abort();
    (void)close(ends[1]);
    l->watch = weir_watch_create(l->worker, ends[0], true, ignore_event, NULL);
    return NULL;
}

/* What a stopped worker leaves is taken down by another thread, when its own is gone for good. */
static void test_a_watch_outlives_the_thread_that_made_it(void **state)
{
    (void)state;
    struct left l = {.worker = weir_worker_create(0, 1)};
    pthread_attr_t attr;
    pthread_t thread;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, 64u << 20), 0); /* too large to be kept for the next thread */
    assert_int_equal(pthread_create(&thread, &attr, watch_and_go, &l), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)pthread_attr_destroy(&attr);
    assert_non_null(l.watch);
    weir_watch_destroy(l.watch);
    weir_worker_destroy(l.worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turn_runs_events_mail_timers_deferred_writes_and_the_dead_in_order),
        cmocka_unit_test(test_work_that_never_ends_does_not_hold_the_turn),
        cmocka_unit_test(test_mail_of_the_own_thread_needs_no_wake_up),
        cmocka_unit_test(test_mail_of_many_threads_arrives_once_and_in_each_senders_order),
        cmocka_unit_test(test_mail_wakes_a_sleeping_loop),
        cmocka_unit_test(test_mail_left_at_the_end_is_delivered),
        cmocka_unit_test(test_timer_of_a_loop_fires_and_not_early),
        cmocka_unit_test(test_date_is_the_imf_fixdate_of_the_second),
        cmocka_unit_test(test_connection_ids_of_workers_never_meet),
        cmocka_unit_test(test_watch_repeats_while_wanted_and_leaves_a_borrowed_descriptor_open),
        cmocka_unit_test(test_a_watch_outlives_the_thread_that_made_it),
        cmocka_unit_test(test_drain_asks_a_growing_share_to_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
