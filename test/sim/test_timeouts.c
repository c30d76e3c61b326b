/* One side falls silent in the middle of an exchange: the idle timeout ends it, on time, and the others never notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/sim/support/seeds.h"
#include "test/sim/support/world.h"

#define EXCHANGES 40

static void run_stalls(uint64_t seed)
{
    struct world w;
    world_init(&w, seed, &(struct traffic_options){.stalls = true, .body_max = 20000}, EXCHANGES);
    (void)world_add_clients(&w, EXCHANGES);
    (void)world_end(&w);
}

static void test_silence_ends_an_exchange_on_time(void **state)
{
    (void)state;
    run_seeds("stalls", 60, 10, run_stalls);
}

static bool nobody_connected(void *world)
{
    return proxy_stat(((struct world *)world)->proxy, "http.in.downstream_cx_active") == 0;
}

/* Connections that nobody uses end after their idle timeout, whoever holds them. */
static void run_idle_connections(uint64_t seed)
{
    struct world w;
    world_init(&w, seed, &(struct traffic_options){.body_max = 20000}, EXCHANGES);
    world_set_listener(&w, "in", 1, "routes", "'common_http_protocol_options': {'idle_timeout': '3s'},");
    sim_pass(w.sim, SIM_MS);
    (void)world_add_clients(&w, EXCHANGES);
    world_settle(&w);
    assert_false(nobody_connected(&w));
    assert_true(sim_run(w.sim, nobody_connected, &w, 4 * S));
    (void)world_end(&w);
}

static void test_idle_connections_end_on_time(void **state)
{
    (void)state;
    run_seeds("idle-connections", 20, 5, run_idle_connections);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scenario_test(test_silence_ends_an_exchange_on_time),
        scenario_test(test_idle_connections_end_on_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
