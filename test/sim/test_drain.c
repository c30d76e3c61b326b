/* weir is told to end under traffic: whatever a client got through to an upstream comes back whole, nothing new is begun, and it is
 * over as soon as nothing is left, or at the deadline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/sim/support/seeds.h"
#include "test/sim/support/world.h"

#define EXCHANGES 40
#define SETTLED_NS (3 * S) /* from the last byte of a connection to its end: what lingers, and the peers' way to notice */

struct order {
    struct world *world;
    uint64_t linger_ms, drain_ms;
};

static void on_order(struct sim *s, void *ctx)
{
    struct order *o = ctx;
    struct traffic *t = &o->world->traffic;
    t->closing_ns = s->worker->now_ns;
    t->deadline_ns = t->closing_ns + o->drain_ms * SIM_MS;
    proxy_shutdown(o->world->proxy, o->linger_ms, o->drain_ms);
}

static uint64_t last_end(const struct traffic *t)
{
    uint64_t last = t->closing_ns;
    for (uint32_t i = 0; i < t->count; i++)
        if (t->exchanges[i].end_ns > last) last = t->exchanges[i].end_ns;
    return last;
}

static void run(uint64_t seed, const struct traffic_options *options, uint64_t drain_ms_min, uint64_t drain_ms_max)
{
    struct world w;
    world_init(&w, seed, options, EXCHANGES);
    struct weir_random *random = &w.sim->random;
    uint64_t span = world_add_clients(&w, EXCHANGES);
    struct order o = {&w, weir_random_below(random, 2) == 0 ? 0 : weir_random_below(random, 100), drain_ms_min + weir_random_below(random, drain_ms_max)};
    sim_at(w.sim, weir_random_below(random, span), on_order, &o);
    assert_true(sim_run(w.sim, traffic_done, &w.traffic, 120 * S));
    bool idle = sim_run(w.sim, proxy_idle, w.proxy, SETTLED_NS);
    sim_pass(w.sim, S);
    traffic_check(&w.traffic, seed);
    if (!idle) fail_msg("not idle %llu ms after the last exchange", (unsigned long long)(SETTLED_NS / SIM_MS));
    if (w.sim->worker->now_ns > w.traffic.deadline_ns + SETTLED_NS && last_end(&w.traffic) > w.traffic.deadline_ns + SETTLED_NS)
        fail_msg("something went on after the deadline");
    (void)world_end(&w);
}

static void run_drain(uint64_t seed)
{
    run(seed, &(struct traffic_options){.body_max = 100000, .tunnels = seed % 3 == 0}, 100000, 600000);
}

static void test_what_has_begun_comes_to_its_end(void **state)
{
    (void)state;
    run_seeds("drain", 60, 10, run_drain);
}

static void run_deadline(uint64_t seed)
{
    run(seed, &(struct traffic_options){.faults = true, .client_faults = true, .body_max = 100000, .tunnels = seed % 3 == 0}, 0, 300);
}

static void test_the_deadline_ends_what_is_left(void **state)
{
    (void)state;
    run_seeds("drain-deadline", 60, 10, run_deadline);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scenario_test(test_what_has_begun_comes_to_its_end),
        scenario_test(test_the_deadline_ends_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
