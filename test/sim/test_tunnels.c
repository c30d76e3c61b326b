/* WebSocket and CONNECT beside ordinary requests, every pairing of versions: bytes in both directions at once, each side ends when
 * it likes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/sim/support/seeds.h"
#include "test/sim/support/world.h"

#define EXCHANGES 30

static void run(uint64_t seed, const struct traffic_options *o)
{
    struct world w;
    world_init(&w, seed, o, EXCHANGES);
    (void)world_add_clients(&w, EXCHANGES);
    (void)world_end(&w);
}

static void run_tunnels(uint64_t seed)
{
    run(seed, &(struct traffic_options){.tunnels = true, .body_max = 100000});
}

static void test_tunnels_of_every_pairing_carry_every_byte_both_ways(void **state)
{
    (void)state;
    run_seeds("tunnels", 60, 10, run_tunnels);
}

static void run_broken_tunnels(uint64_t seed)
{
    run(seed, &(struct traffic_options){.tunnels = true, .faults = true, .client_faults = true, .body_max = 50000});
}

static void test_tunnels_that_break_leave_nothing_behind(void **state)
{
    (void)state;
    run_seeds("tunnels-broken", 60, 10, run_broken_tunnels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scenario_test(test_tunnels_of_every_pairing_carry_every_byte_both_ways),
        scenario_test(test_tunnels_that_break_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
