#include "test/sim/support/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char listener[] =
    "{'name': '%s', 'address': {'socket_address': {'address': '10.0.0.%u', 'port_value': 80}}, 'bind_to_port': false,"
    " 'filter_chains': [{'filters': [{'name': 'hcm', 'typed_config': {"
    "  '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',"
    "  'stat_prefix': '%s', 'rds': {'route_config_name': '%s', 'config_source': {'ads': {}, 'resource_api_version': 'V3'}}, %s"
    "  'upgrade_configs': [{'upgrade_type': 'websocket'}, {'upgrade_type': 'CONNECT'}], 'http2_protocol_options': {'allow_connect': true},"
    "  'http_filters': [{'name': 'router', 'typed_config': {"
    "    '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'}}]}}]}]}";

static const char routes[] =
    "{'name': '%s', 'virtual_hosts': [{'name': 'all', 'domains': ['*'], 'routes': [%s"
    " {'match': {'prefix': '/h1/plain/'}, 'route': {'cluster': 'h1'}},"
    " {'match': {'prefix': '/h2/plain/'}, 'route': {'cluster': 'h2'}},"
    " {'match': {'prefix': '/h1/short/'}, 'route': {'cluster': 'h1', 'timeout': '0.5s'}},"
    " {'match': {'prefix': '/h2/short/'}, 'route': {'cluster': 'h2', 'timeout': '0.5s'}},"
    " {'match': {'prefix': '/h1/retry/'}, 'route': {'cluster': 'h1', 'retry_policy': {"
    "   'retry_on': 'connect-failure,refused-stream,reset,5xx', 'num_retries': 3}}},"
    " {'match': {'prefix': '/h2/retry/'}, 'route': {'cluster': 'h2', 'retry_policy': {"
    "   'retry_on': 'connect-failure,refused-stream,reset,5xx', 'num_retries': 3}}},"
    " {'match': {'prefix': '/h1/idle/'}, 'route': {'cluster': 'h1', 'timeout': '0s', 'idle_timeout': '1s'}},"
    " {'match': {'prefix': '/h2/idle/'}, 'route': {'cluster': 'h2', 'timeout': '0s', 'idle_timeout': '1s'}},"
    " {'match': {'prefix': '/h1/rough/'}, 'route': {'cluster': 'rough1', 'timeout': '2s'}},"
    " {'match': {'prefix': '/h2/rough/'}, 'route': {'cluster': 'rough2', 'timeout': '2s'}},"
    " {'match': {'connect_matcher': {}, 'headers': [{'name': 'x-up', 'string_match': {'exact': 'h1'}}]}, 'route': {'cluster': 'h1'}},"
    " {'match': {'connect_matcher': {}, 'headers': [{'name': 'x-up', 'string_match': {'exact': 'h2'}}]}, 'route': {'cluster': 'h2'}},"
    " {'match': {'prefix': '/h1/fading/'}, 'route': {'cluster': 'fading1'}},"
    " {'match': {'prefix': '/h2/fading/'}, 'route': {'cluster': 'fading2'}}]}]}";

static const char cluster[] =
    "{'name': '%s', 'type': 'EDS', 'eds_cluster_config': {'service_name': '%s',"
    "  'eds_config': {'ads': {}, 'resource_api_version': 'V3'}}, %s%s%s 'lb_policy': 'ROUND_ROBIN'}";
static const char many_retries[] = " 'circuit_breakers': {'thresholds': [{'max_retries': 1000}]},";
static const char speaks_h2[] =
    " 'typed_extension_protocol_options': {'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {"
    "   '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',"
    "   'explicit_http_config': {'http2_protocol_options': {'allow_connect': true}}}},";

void world_set(struct world *w, enum weir_resource_type type, const char *name, const char *json)
{
    if (w->plane != NULL)
        plane_set(w->plane, type, name, json);
    else
        proxy_apply_one(w->proxy, type, name, json);
}

void world_set_endpoints(struct world *w, const char *name, bool h2, unsigned hosts)
{
    char json[2048];
    int n = snprintf(json, sizeof(json), "{'cluster_name': '%s', 'endpoints': [{'lb_endpoints': [", name);
    bool first = true;
    for (unsigned i = 0; i < WORLD_HOSTS; i++) {
        if ((hosts & 1u << i) == 0) continue;
        n += snprintf(json + n, sizeof(json) - (size_t)n,
                      "%s{'endpoint': {'address': {'socket_address': {'address': '10.0.0.%u', 'port_value': 80}}}}", first ? "" : ", ",
                      (h2 ? 20 : 10) + i);
        first = false;
    }
    (void)snprintf(json + n, sizeof(json) - (size_t)n, "]}]}");
    world_set(w, WEIR_ENDPOINTS, name, json);
}

void world_set_cluster(struct world *w, const char *name, bool h2, const char *endpoints, const char *more)
{
    char json[2048];
    (void)snprintf(json, sizeof(json), cluster, name, endpoints, h2 ? speaks_h2 : "", more, strstr(more, "circuit_breakers") == NULL ? many_retries : "");
    world_set(w, WEIR_CLUSTERS, name, json);
}

void world_set_routes(struct world *w, const char *name, const char *first)
{
    char json[8192];
    (void)snprintf(json, sizeof(json), routes, name, first);
    world_set(w, WEIR_ROUTES, name, json);
}

void world_set_listener(struct world *w, const char *name, uint8_t host, const char *table, const char *more)
{
    char json[4096];
    (void)snprintf(json, sizeof(json), listener, name, host, name, table, more);
    world_set(w, WEIR_LISTENERS, name, json);
}

void world_init(struct world *w, uint64_t seed, const struct traffic_options *o, uint32_t exchanges)
{
    *w = (struct world){.seed = seed, .sim = sim_create(seed)};
    struct weir_random *random = &w->sim->random;
    w->sim->network.latency_max_ns = 10000 + weir_random_below(random, 5 * SIM_MS);
    w->sim->network.window_bytes = 4096 << weir_random_below(random, 6);
    if (weir_random_below(random, 2) == 0) w->sim->network.piece_max = 1 + weir_random_below(random, 5000);
    w->proxy = proxy_create(w->sim, 1 + (uint32_t)weir_random_below(random, 2));
    if (o->plane) w->plane = plane_create(w->proxy, weir_random_below(random, 2) == 0);
    world_set_cluster(w, "h1", false, "h1", "");
    world_set_cluster(w, "h2", true, "h2", "");
    world_set_endpoints(w, "h1", false, 7);
    world_set_endpoints(w, "h2", true, 7);
    world_set_routes(w, "routes", "");
    world_set_listener(w, "in", 1, "routes", "");
    sim_pass(w->sim, o->plane ? 200 * SIM_MS : 0);
    proxy_start(w->proxy);
    sim_pass(w->sim, SIM_MS);
    proxy_open_port(w->proxy, "in", sim_address(1, 80));
    traffic_init(&w->traffic, w->sim, w->proxy, o, sim_address(1, 80), exchanges);
    for (uint8_t i = 0; i < WORLD_HOSTS; i++) {
        traffic_add_upstream(&w->traffic, sim_address((uint8_t)(10 + i), 80), false);
        traffic_add_upstream(&w->traffic, sim_address((uint8_t)(20 + i), 80), true);
    }
}

uint64_t world_add_clients(struct world *w, uint32_t exchanges)
{
    struct weir_random *random = &w->sim->random;
    uint64_t span = 1 + weir_random_below(random, 400) * (uint64_t)SIM_MS;
    for (uint32_t left = exchanges; left != 0;) {
        uint32_t n = 1 + (uint32_t)weir_random_below(random, left < 10 ? left : 10);
        traffic_add_client(&w->traffic, weir_random_below(random, 2) == 0, n, span);
        left -= n;
    }
    return span;
}

void world_settle(struct world *w)
{
    bool done = sim_run(w->sim, traffic_done, &w->traffic, 120 * S);
    sim_pass(w->sim, S); /* what is still on its way arrives */
    traffic_check(&w->traffic, w->seed);
    if (!done) fail_msg("seed %llu: not all has ended", (unsigned long long)w->seed);
}

uint64_t world_end(struct world *w)
{
    world_settle(w);
    uint64_t trace = w->sim->trace;
    if (w->plane != NULL) sim_pass(w->sim, S); /* what is under way arrives */
    traffic_deinit(&w->traffic, w->seed);
    if (w->plane != NULL) plane_destroy(w->plane);
    proxy_destroy(w->proxy);
    return trace;
}
