/* weir between scripted clients and upstreams in a world without kernel and clock: random requests, faults, cuts and delays,
 * held against a plain model (support/model.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/sim/support/seeds.h"
#include "test/sim/support/world.h"

#define EXCHANGES 40

static uint64_t run(uint64_t seed, const struct traffic_options *o)
{
    struct world w;
    world_init(&w, seed, o, EXCHANGES);
    (void)world_add_clients(&w, EXCHANGES);
    return world_end(&w);
}

static void run_pairings(uint64_t seed)
{
    (void)run(seed, &(struct traffic_options){.body_max = 200000});
}

static void test_every_pairing_carries_every_byte(void **state)
{
    (void)state;
    run_seeds("pairings", 60, 10, run_pairings);
}

static void run_faults(uint64_t seed)
{
    (void)run(seed, &(struct traffic_options){.faults = true, .body_max = 50000});
}

static void test_what_policy_allows_to_succeed_succeeds(void **state)
{
    (void)state;
    run_seeds("faults", 60, 10, run_faults);
}

static void run_departures(uint64_t seed)
{
    (void)run(seed, &(struct traffic_options){.faults = true, .client_faults = true, .body_max = 100000});
}

static void test_clients_that_go_leave_nothing_behind(void **state)
{
    (void)state;
    run_seeds("departures", 60, 10, run_departures);
}

static void test_the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    const struct traffic_options o = {.faults = true, .client_faults = true, .body_max = 100000};
    assert_int_equal(run(3, &o), run(3, &o));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scenario_test(test_every_pairing_carries_every_byte),
        scenario_test(test_what_policy_allows_to_succeed_succeeds),
        scenario_test(test_clients_that_go_leave_nothing_behind),
        cmocka_unit_test(test_the_same_seed_is_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
