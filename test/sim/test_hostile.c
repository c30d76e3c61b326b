/* Clients and upstreams that keep to nothing, among others that do: nobody else may notice, and what they began ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "test/sim/support/hostile.h"
#include "test/sim/support/seeds.h"
#include "test/sim/support/world.h"

#define EXCHANGES 40
#define ASSAULTS 24u
#define QUEUED_MAX (4u << 20) /* what one connection may make weir hold for it */

static const char rough_routes[] =
    "{'name': 'rough', 'virtual_hosts': [{'name': 'all', 'domains': ['*'], 'routes': ["
    " {'match': {'path': '/a'}, 'direct_response': {'status': 200, 'body': {'inline_string': 'here'}}},"
    " {'match': {'path': '/b'}, 'route': {'cluster': 'rough2', 'timeout': '2s'}},"
    " {'match': {'connect_matcher': {}}, 'route': {'cluster': 'rough1', 'timeout': '2s'}},"
    " {'match': {'prefix': '/'}, 'route': {'cluster': 'rough1', 'timeout': '2s', 'retry_policy': {'retry_on': '5xx,reset'}}}]}]}";

static void set_rough_cluster(struct world *w, const char *name, bool h2)
{
    char json[512];
    world_set_cluster(w, name, h2, name, "");
    (void)snprintf(json, sizeof(json), "{'cluster_name': '%s', 'endpoints': [{'lb_endpoints': [{'endpoint': {'address': {'socket_address': {"
                   "'address': '10.0.0.%u', 'port_value': 80}}}}]}]}", name, h2 ? 31 : 30);
    world_set(w, WEIR_ENDPOINTS, name, json);
}

struct assault {
    struct hostile *hostile;
    struct weir_address at;
    uint32_t left;
    uint64_t gap_ns;
};

static void strike(struct sim *s, void *ctx)
{
    struct assault *a = ctx;
    hostile_connect(a->hostile, &a->at);
    if (--a->left != 0) sim_at(s, weir_random_below(&s->random, a->gap_ns), strike, a);
}

static bool clients_gone(void *world)
{
    return proxy_stat(((struct world *)world)->proxy, "http.rough.downstream_cx_active") == 0;
}

static void run_hostile(uint64_t seed)
{
    struct world w;
    struct hostile h;
    world_init(&w, seed, &(struct traffic_options){.rough = true, .body_max = 100000}, EXCHANGES);
    hostile_init(&h, w.sim);
    hostile_listen(&h, sim_address(30, 80), false);
    hostile_listen(&h, sim_address(31, 80), true);
    set_rough_cluster(&w, "rough1", false);
    set_rough_cluster(&w, "rough2", true);
    world_set(&w, WEIR_ROUTES, "rough", rough_routes);
    world_set_listener(&w, "rough", 3, "rough", "'request_headers_timeout': '1s', 'stream_idle_timeout': '3s', 'request_timeout': '4s',"
                       " 'common_http_protocol_options': {'idle_timeout': '3s'},");
    proxy_open_port(w.proxy, "rough", sim_address(3, 80));
    sim_pass(w.sim, SIM_MS);
    uint64_t span = world_add_clients(&w, EXCHANGES);
    struct assault a = {&h, sim_address(3, 80), ASSAULTS, 1 + 2 * span / ASSAULTS};
    strike(w.sim, &a);
    world_settle(&w);
    /* Some neither read, nor end, nor let go: their time is over at last. */
    if (!sim_run(w.sim, clients_gone, &w, 60 * S)) fail_msg("a hostile client holds its connection");
    if (w.sim->queued_max > QUEUED_MAX) fail_msg("%zu bytes were queued for one connection", w.sim->queued_max);
    hostile_deinit(&h);
    (void)world_end(&w);
}

static void test_nobody_notices_those_who_keep_to_nothing(void **state)
{
    (void)state;
    run_seeds("hostile", 30, 5, run_hostile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scenario_test(test_nobody_notices_those_who_keep_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
