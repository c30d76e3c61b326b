/* base/timer.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dataplane/base/random.h"
#include "dataplane/base/timer.h"

struct probe {
    struct weir_timer timer;
    struct weir_timer_wheel *wheel;
    struct probe *other;
    uint64_t fired_at, period;
    int fired;
};
static int sequence[64], fired_count;

static void on_due(struct weir_timer *t)
{
    struct probe *p = WEIR_CONTAINER_OF(t, struct probe, timer);
    assert_false(weir_timer_running(t));
    p->fired++;
    p->fired_at = p->wheel->now_ms;
    if (p->period != 0) weir_timer_start(p->wheel, t, p->period);
    if (p->other != NULL) weir_timer_stop(p->wheel, &p->other->timer);
}

static void probe_start(struct weir_timer_wheel *w, struct probe *p, uint64_t delay)
{
    p->wheel = w;
    p->timer.on_due = on_due;
    weir_timer_start(w, &p->timer, delay);
}

static void test_timer_is_never_early_and_fires_once(void **state)
{
    (void)state;
    static const uint64_t delays[] = {0, 1, 63, 64, 65, 4095, 4096, 4097, 262143, 262144, 1u << 30, (uint64_t)1 << 40};
    static const uint64_t starts[] = {0, 1, 63, 4095, 1000003};
    for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
        for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
            struct weir_timer_wheel w;
            struct probe p = {0};
            weir_timer_wheel_init(&w, starts[s]);
            probe_start(&w, &p, delays[i]);
            if (delays[i] != 0) {
                weir_timer_wheel_advance(&w, starts[s] + delays[i] - 1);
                assert_int_equal(p.fired, 0);
            }
            weir_timer_wheel_advance(&w, starts[s] + delays[i]);
            assert_int_equal(p.fired, 1);
            weir_timer_wheel_advance(&w, starts[s] + delays[i] * 2 + 1);
            assert_int_equal(p.fired, 1);
            assert_true(weir_timer_wheel_wait_ms(&w) == UINT64_MAX);
        }
    }
}

static void test_delay_beyond_all_bounds_never_fires(void **state)
{
    (void)state;
    struct weir_timer_wheel w;
    struct probe p = {0};
    weir_timer_wheel_init(&w, 12345);
    probe_start(&w, &p, UINT64_MAX);
    weir_timer_wheel_advance(&w, (uint64_t)1 << 41);
    assert_int_equal(p.fired, 0);
    weir_timer_stop(&w, &p.timer);
    assert_true(weir_timer_wheel_wait_ms(&w) == UINT64_MAX);
}

static void test_timer_restarted_in_its_callback_waits_for_the_next_advance(void **state)
{
    (void)state;
    struct weir_timer_wheel w;
    struct probe p = {.period = 1};
    weir_timer_wheel_init(&w, 0);
    probe_start(&w, &p, 1);
    weir_timer_wheel_advance(&w, 1000000); /* a stalled loop gets one call, not a million */
    assert_int_equal(p.fired, 1);
    weir_timer_wheel_advance(&w, 1000001);
    assert_int_equal(p.fired, 2);
}

static void test_callback_may_stop_another_due_timer(void **state)
{
    (void)state;
    struct weir_timer_wheel w;
    struct probe a = {0}, b = {0};
    weir_timer_wheel_init(&w, 0);
    a.other = &b;
    probe_start(&w, &a, 5);
    probe_start(&w, &b, 6);
    weir_timer_wheel_advance(&w, 10);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 0);
    assert_false(weir_timer_running(&b.timer));
}

static void on_sequence(struct weir_timer *t)
{
    sequence[fired_count++] = (int)t->due_ms;
}

static void test_due_timers_are_called_oldest_first(void **state)
{
    (void)state;
    struct weir_timer_wheel w;
    struct weir_timer t[40] = {0};
    struct weir_random r;
    weir_random_seed(&r, 5);
    weir_timer_wheel_init(&w, 100);
    fired_count = 0;
    for (int i = 0; i < 40; i++) {
        t[i].on_due = on_sequence;
        weir_timer_start(&w, &t[i], weir_random_below(&r, 20000));
    }
    weir_timer_wheel_advance(&w, 30000);
    assert_int_equal(fired_count, 40);
    for (int i = 1; i < 40; i++)
        assert_true(sequence[i - 1] <= sequence[i]);
}

static void test_random_operations_agree_with_a_list(void **state)
{
    (void)state;
    enum { TIMERS = 200 };
    static struct probe probes[TIMERS];
    static struct { uint64_t due; bool running; int fired; } reference[TIMERS];
    struct weir_random r;
    memset(probes, 0, sizeof(probes));
    memset(reference, 0, sizeof(reference));
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct weir_timer_wheel w;
        weir_random_seed(&r, seed);
        uint64_t now = weir_random_below(&r, 1u << 20);
        weir_timer_wheel_init(&w, now);
        for (int i = 0; i < TIMERS; i++) {
            probes[i] = (struct probe){0};
            reference[i].running = false;
            reference[i].fired = 0;
        }
        for (int step = 0; step < 3000; step++) {
            size_t i = weir_random_below(&r, TIMERS);
            uint64_t delay = weir_random_u64(&r) & (((uint64_t)1 << weir_random_below(&r, 24)) - 1);
            switch (weir_random_below(&r, 3)) {
            case 0:
                probe_start(&w, &probes[i], delay);
                reference[i].due = now + delay;
                reference[i].running = true;
                break;
            case 1:
                weir_timer_stop(&w, &probes[i].timer);
                reference[i].running = false;
                break;
            default: {
                uint64_t soonest = UINT64_MAX, wait = weir_timer_wheel_wait_ms(&w);
                for (int k = 0; k < TIMERS; k++)
                    if (reference[k].running && reference[k].due < soonest) soonest = reference[k].due;
                if (soonest == UINT64_MAX) assert_true(wait == UINT64_MAX);
                else assert_true(now + wait <= soonest);
                now += weir_random_below(&r, 10) == 0 ? delay : delay % 100;
                weir_timer_wheel_advance(&w, now);
                for (int k = 0; k < TIMERS; k++) {
                    if (!reference[k].running || reference[k].due > now) continue;
                    reference[k].running = false;
                    reference[k].fired++;
                }
            }
            }
            for (int k = 0; k < TIMERS; k++) {
                assert_int_equal(probes[k].fired, reference[k].fired);
                assert_int_equal(weir_timer_running(&probes[k].timer), reference[k].running);
            }
        }
    }
}

static void test_timer_delay_counts_from_the_clock_not_from_the_last_advance(void **state)
{
    (void)state;
    struct weir_timer_wheel w;
    struct probe p = {0};
    weir_timer_wheel_init(&w, 100);
    weir_timer_wheel_set_clock(&w, 5000);
    probe_start(&w, &p, 10);
    weir_timer_wheel_advance(&w, 5009);
    assert_int_equal(p.fired, 0);
    weir_timer_wheel_advance(&w, 5010);
    assert_int_equal(p.fired, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer_delay_counts_from_the_clock_not_from_the_last_advance),
        cmocka_unit_test(test_timer_is_never_early_and_fires_once),
        cmocka_unit_test(test_delay_beyond_all_bounds_never_fires),
        cmocka_unit_test(test_timer_restarted_in_its_callback_waits_for_the_next_advance),
        cmocka_unit_test(test_callback_may_stop_another_due_timer),
        cmocka_unit_test(test_due_timers_are_called_oldest_first),
        cmocka_unit_test(test_random_operations_agree_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
