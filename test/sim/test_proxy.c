/* weir between scripted clients and upstreams in a world without kernel and clock. Each seed is a run of its own: random
 * requests, faults, cuts and delays, held against a plain model (support/traffic.c). A seed that fails is kept below. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/sim/support/traffic.h"

#define HOSTS 3
#define S (1000 * (uint64_t)SIM_MS)

static const char listener[] =
    "{'name': 'in', 'address': {'socket_address': {'address': '10.0.0.1', 'port_value': 80}}, 'bind_to_port': false,"
    " 'filter_chains': [{'filters': [{'name': 'hcm', 'typed_config': {"
    "  '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',"
    "  'stat_prefix': 'in', 'rds': {'route_config_name': 'routes', 'config_source': {'ads': {}, 'resource_api_version': 'V3'}},"
    "  'stream_idle_timeout': '%s',"
    "  'http_filters': [{'name': 'router', 'typed_config': {"
    "    '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'}}]}}]}]}";

static const char routes[] =
    "{'name': 'routes', 'virtual_hosts': [{'name': 'all', 'domains': ['*'], 'routes': [%s"
    " {'match': {'prefix': '/h1/plain/'}, 'route': {'cluster': 'h1'}},"
    " {'match': {'prefix': '/h2/plain/'}, 'route': {'cluster': 'h2'}},"
    " {'match': {'prefix': '/h1/short/'}, 'route': {'cluster': 'h1', 'timeout': '0.5s'}},"
    " {'match': {'prefix': '/h2/short/'}, 'route': {'cluster': 'h2', 'timeout': '0.5s'}},"
    " {'match': {'prefix': '/h1/retry/'}, 'route': {'cluster': 'h1', 'retry_policy': {"
    "   'retry_on': 'connect-failure,refused-stream,reset,5xx', 'num_retries': 3}}},"
    " {'match': {'prefix': '/h2/retry/'}, 'route': {'cluster': 'h2', 'retry_policy': {"
    "   'retry_on': 'connect-failure,refused-stream,reset,5xx', 'num_retries': 3}}}]}]}";

static const char cluster_h1[] =
    "{'name': 'h1', 'type': 'EDS', 'eds_cluster_config': {'eds_config': {'ads': {}, 'resource_api_version': 'V3'}},"
    " 'circuit_breakers': {'thresholds': [{'max_retries': 1000}]}, 'connect_timeout': '%s'}";
static const char cluster_h2[] =
    "{'name': 'h2', 'type': 'EDS', 'eds_cluster_config': {'eds_config': {'ads': {}, 'resource_api_version': 'V3'}},"
    " 'circuit_breakers': {'thresholds': [{'max_retries': 1000}]}, 'connect_timeout': '%s',"
    " 'typed_extension_protocol_options': {'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {"
    "   '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',"
    "   'explicit_http_config': {'http2_protocol_options': {}}}}}";

/* Endpoints of a cluster: hosts 10, 11, ... or 20, 21, ...; a bit of `hosts` each. */
static void apply_endpoints(struct proxy *p, bool h2, unsigned hosts)
{
    char json[2048];
    int n = snprintf(json, sizeof(json), "{'cluster_name': '%s', 'endpoints': [{'lb_endpoints': [", h2 ? "h2" : "h1");
    bool first = true;
    for (unsigned i = 0; i < HOSTS; i++) {
        if ((hosts & 1u << i) == 0) continue;
        n += snprintf(json + n, sizeof(json) - (size_t)n,
                      "%s{'endpoint': {'address': {'socket_address': {'address': '10.0.0.%u', 'port_value': 80}}}}", first ? "" : ", ",
                      (h2 ? 20 : 10) + i);
        first = false;
    }
    (void)snprintf(json + n, sizeof(json) - (size_t)n, "]}]}");
    proxy_apply_one(p, WEIR_ENDPOINTS, h2 ? "h2" : "h1", json);
}

static void apply_clusters(struct proxy *p, const char *connect_timeout)
{
    char h1[1024], h2[1024];
    (void)snprintf(h1, sizeof(h1), cluster_h1, connect_timeout);
    (void)snprintf(h2, sizeof(h2), cluster_h2, connect_timeout);
    proxy_apply(p, WEIR_CLUSTERS, (struct proxy_resource[]){{"h1", h1}, {"h2", h2}}, 2, NULL);
}

static void apply_routes(struct proxy *p, const char *first)
{
    char json[4096];
    (void)snprintf(json, sizeof(json), routes, first);
    proxy_apply_one(p, WEIR_ROUTES, "routes", json);
}

static void apply_listener(struct proxy *p, const char *idle_timeout)
{
    char json[2048];
    (void)snprintf(json, sizeof(json), listener, idle_timeout);
    proxy_apply_one(p, WEIR_LISTENERS, "in", json);
}

struct run {
    uint64_t seed;
    struct sim *sim;
    struct proxy *proxy;
    struct traffic traffic;
};

/* A world with upstreams, weir configured and serving. */
static void run_init(struct run *r, uint64_t seed, const struct traffic_options *o, uint32_t exchanges)
{
    *r = (struct run){.seed = seed, .sim = sim_create(seed)};
    struct weir_random *random = &r->sim->random;
    r->sim->network.latency_max_ns = 10000 + weir_random_below(random, 5 * SIM_MS);
    r->sim->network.window_bytes = 4096 << weir_random_below(random, 6);
    if (weir_random_below(random, 2) == 0) r->sim->network.piece_max = 1 + weir_random_below(random, 5000);
    r->proxy = proxy_create(r->sim, 1 + (uint32_t)weir_random_below(random, 2));
    apply_clusters(r->proxy, "5s");
    apply_endpoints(r->proxy, false, 7);
    apply_endpoints(r->proxy, true, 7);
    apply_routes(r->proxy, "");
    apply_listener(r->proxy, "300s");
    proxy_start(r->proxy);
    sim_pass(r->sim, SIM_MS);
    proxy_open_port(r->proxy, "in", sim_address(1, 80));
    traffic_init(&r->traffic, r->sim, r->proxy, o, sim_address(1, 80), exchanges);
    for (uint8_t i = 0; i < HOSTS; i++) {
        traffic_add_upstream(&r->traffic, sim_address((uint8_t)(10 + i), 80), false);
        traffic_add_upstream(&r->traffic, sim_address((uint8_t)(20 + i), 80), true);
    }
}

static void run_clients(struct run *r, uint32_t exchanges)
{
    uint64_t span = 1 + weir_random_below(&r->sim->random, 400) * (uint64_t)SIM_MS;
    for (uint32_t left = exchanges; left != 0;) {
        uint32_t n = 1 + (uint32_t)weir_random_below(&r->sim->random, left < 10 ? left : 10);
        traffic_add_client(&r->traffic, weir_random_below(&r->sim->random, 2) == 0, n, span);
        left -= n;
    }
}

/* Everything ends, is as the plans say, and nothing is left. */
static uint64_t run_end(struct run *r)
{
    if (!sim_run(r->sim, traffic_done, &r->traffic, 120 * S)) {
        traffic_check(&r->traffic, r->seed);
        fail_msg("seed %llu: not all has ended", (unsigned long long)r->seed);
    }
    traffic_check(&r->traffic, r->seed);
    uint64_t trace = r->sim->trace;
    traffic_deinit(&r->traffic, r->seed);
    proxy_destroy(r->proxy);
    return trace;
}

#define EXCHANGES 40
static uint64_t run_plain(uint64_t seed, const struct traffic_options *o)
{
    struct run r;
    run_init(&r, seed, o, EXCHANGES);
    run_clients(&r, EXCHANGES);
    return run_end(&r);
}

/* So many seeds of a kind; WEIR_SIM_SEEDS=N runs N times as many, WEIR_SIM_SEED=N that one alone. */
static void run_seeds(uint64_t first, uint64_t count, const struct traffic_options *o, uint64_t (*run)(uint64_t, const struct traffic_options *))
{
    const char *factor = getenv("WEIR_SIM_SEEDS"), *one = getenv("WEIR_SIM_SEED");
    if (one != NULL) {
        first = strtoull(one, NULL, 10);
        count = 1;
    } else if (factor != NULL) {
        count *= strtoull(factor, NULL, 10);
    }
    for (uint64_t seed = first; seed < first + count; seed++)
        (void)run(seed, o);
}

static void test_every_pairing_carries_every_byte(void **state)
{
    (void)state;
    run_seeds(0, 60, &(struct traffic_options){.body_max = 200000}, run_plain);
}

static void test_what_policy_allows_to_succeed_succeeds(void **state)
{
    (void)state;
    run_seeds(100000, 60, &(struct traffic_options){.faults = true, .body_max = 50000}, run_plain);
}

static void test_clients_that_go_leave_nothing_behind(void **state)
{
    (void)state;
    run_seeds(200000, 60, &(struct traffic_options){.faults = true, .client_faults = true, .body_max = 100000}, run_plain);
}

static void test_the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    const struct traffic_options o = {.faults = true, .client_faults = true, .body_max = 100000};
    assert_int_equal(run_plain(3, &o), run_plain(3, &o));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pairing_carries_every_byte),
        cmocka_unit_test(test_what_policy_allows_to_succeed_succeeds),
        cmocka_unit_test(test_clients_that_go_leave_nothing_behind),
        cmocka_unit_test(test_the_same_seed_is_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
