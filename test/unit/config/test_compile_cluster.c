/* Clusters and endpoints from their messages: defaults, what each field becomes, what is refused and how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/config/compile_cluster.h"
#include "test/unit/support/pb_text.h"

struct fixture {
    struct weir_stats_registry *registry;
    struct weir_arena scratch;
    struct weir_error error;
    struct weir_cluster_config *config;
    struct weir_endpoints *endpoints;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->registry = weir_stats_registry_create(1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->config != NULL) weir_resource_release(&f->config->resource);
    if (f->endpoints != NULL) weir_resource_release(&f->endpoints->resource);
    weir_arena_deinit(&f->scratch);
    weir_stats_registry_destroy(f->registry);
    free(f);
    return 0;
}

static enum weir_err compile(struct fixture *f, const char *json)
{
    struct weir_compile c = {.error = &f->error, .stats = f->registry, .worker_count = 1, .scratch = &f->scratch};
    f->error.text[0] = '\0';
    if (f->config != NULL) weir_resource_release(&f->config->resource);
    return weir_cluster_compile(&c, pb_text(&f->scratch, &pb_cluster_type, json), &f->config);
}

static enum weir_err compile_endpoints(struct fixture *f, const char *json)
{
    struct weir_compile c = {.error = &f->error, .stats = f->registry, .worker_count = 1, .scratch = &f->scratch};
    f->error.text[0] = '\0';
    if (f->endpoints != NULL) weir_resource_release(&f->endpoints->resource);
    return weir_endpoints_compile(&c, pb_text(&f->scratch, &pb_load_assignment_type, json), &f->endpoints);
}

static void assert_refused(struct fixture *f, const char *json, const char *text)
{
    assert_int_equal(compile(f, json), WEIR_ERR_INVALID);
    assert_null(f->config);
    assert_string_equal(f->error.text, text);
}

#define assert_str(s, literal) assert_true(weir_str_eq((s), WEIR_STR(literal)))
#define ENDPOINT(host, port) "{'endpoint': {'address': {'socket_address': {'address': '" host "', 'port_value': " port "}}}}"
#define STATIC_ONE "'load_assignment': {'cluster_name': 'c', 'endpoints': [{'lb_endpoints': [" ENDPOINT("127.0.0.1", "80") "]}]}"

static void test_a_cluster_that_says_little_has_envoys_defaults(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(compile(f, "{'name': 'a:b'," STATIC_ONE "}"), WEIR_OK);
    const struct weir_cluster_config *c = f->config;
    assert_str(c->resource.name, "a:b");
    assert_str(c->stat_name, "a_b");
    assert_int_equal(c->type, WEIR_CLUSTER_STATIC);
    assert_int_equal(c->connect_timeout_ms, 5000);
    assert_int_equal(c->buffer_limit_bytes, 1048576);
    assert_int_equal(c->lb_policy, WEIR_LB_ROUND_ROBIN);
    assert_int_equal(c->panic_percent, 50);
    assert_int_equal(c->protocol, WEIR_UPSTREAM_H1);
    assert_int_equal(c->idle_timeout_ms, 3600000);
    assert_int_equal(c->h1.header_bytes_max, 80 * 1024);
    assert_int_equal(c->h2.header_bytes_max, 60 * 1024);
    for (int p = 0; p < 2; p++) {
        assert_int_equal(c->limits[p].connections, 1024);
        assert_int_equal(c->limits[p].pending, 1024);
        assert_int_equal(c->limits[p].requests, 1024);
        assert_int_equal(c->limits[p].retries, 3);
    }
    assert_false(c->outlier.enabled);
    assert_null(c->tls);
    assert_non_null(c->stats);
    assert_null(c->outlier_stats);
    assert_int_equal(c->endpoints->count, 1);
}

static void test_breakers_are_by_priority_and_the_first_of_each_counts(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(compile(f, "{'name': 'c', 'circuit_breakers': {'thresholds': ["
                                "{'max_connections': 1, 'max_pending_requests': 2, 'max_requests': 3, 'max_retries': 4},"
                                "{'max_connections': 100},"
                                "{'priority': 'HIGH', 'max_requests': 0, 'retry_budget': {'budget_percent': {'value': 25}}}],"
                                "'per_host_thresholds': [{'max_connections': 7}]}}"),
                     WEIR_OK);
    const struct weir_breaker_limits *l = f->config->limits;
    assert_int_equal(l[0].connections, 1);
    assert_int_equal(l[0].pending, 2);
    assert_int_equal(l[0].requests, 3);
    assert_int_equal(l[0].retries, 4);
    assert_int_equal(l[1].requests, 0);
    assert_int_equal(l[1].connections, 1024);
    assert_true(l[1].has_budget);
    assert_true(l[1].budget_percent == 25);
    assert_int_equal(l[1].budget_min, 3);
    assert_int_equal(f->config->host_connections_max, 7);
}

static void test_an_empty_outlier_detection_has_all_defaults(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(compile(f, "{'name': 'c', 'outlier_detection': {}}"), WEIR_OK);
    const struct weir_outlier_config *o = &f->config->outlier;
    assert_true(o->enabled);
    assert_int_equal(o->consecutive_5xx, 5);
    assert_int_equal(o->enforcing_5xx, 100);
    assert_int_equal(o->enforcing_gateway_failure, 0);
    assert_int_equal(o->interval_ms, 10000);
    assert_int_equal(o->base_ejection_ms, 30000);
    assert_int_equal(o->max_ejection_ms, 300000);
    assert_int_equal(o->max_ejection_percent, 10);
    assert_non_null(f->config->outlier_stats);
    /* A longer base alone takes the maximum with it. */
    assert_int_equal(compile(f, "{'name': 'c', 'outlier_detection': {'base_ejection_time': '400s'}}"), WEIR_OK);
    assert_int_equal(f->config->outlier.max_ejection_ms, 400000);
    assert_refused(f, "{'name': 'c', 'outlier_detection': {'base_ejection_time': '400s', 'max_ejection_time': '10s'}}",
                   "outlier_detection.max_ejection_time: below base_ejection_time");
}

static void test_each_number_of_outlier_detection_has_its_place(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(compile(f, "{'name': 'c', 'outlier_detection': {'consecutive_5xx': 11, 'interval': '12s', 'base_ejection_time': '13s',"
                                "'max_ejection_percent': 14, 'enforcing_consecutive_5xx': 15, 'enforcing_success_rate': 16,"
                                "'success_rate_minimum_hosts': 17, 'success_rate_request_volume': 18, 'success_rate_stdev_factor': 19,"
                                "'consecutive_gateway_failure': 20, 'enforcing_consecutive_gateway_failure': 21,"
                                "'split_external_local_origin_errors': true, 'consecutive_local_origin_failure': 22,"
                                "'enforcing_consecutive_local_origin_failure': 23, 'enforcing_local_origin_success_rate': 24,"
                                "'failure_percentage_threshold': 25, 'enforcing_failure_percentage': 26,"
                                "'enforcing_failure_percentage_local_origin': 27, 'failure_percentage_minimum_hosts': 28,"
                                "'failure_percentage_request_volume': 29, 'max_ejection_time': '30s', 'max_ejection_time_jitter': '31s',"
                                "'always_eject_one_host': true}}"),
                     WEIR_OK);
    const struct weir_outlier_config *o = &f->config->outlier;
    const uint64_t got[] = {o->consecutive_5xx, o->interval_ms / 1000, o->base_ejection_ms / 1000, o->max_ejection_percent, o->enforcing_5xx,
                            o->enforcing_success_rate, o->success_rate_minimum_hosts, o->success_rate_request_volume,
                            o->success_rate_stdev_factor, o->consecutive_gateway_failure, o->enforcing_gateway_failure,
                            o->consecutive_local_origin_failure, o->enforcing_local_origin_failure, o->enforcing_local_success_rate,
                            o->failure_percentage_threshold, o->enforcing_failure_percentage, o->enforcing_local_failure_percentage,
                            o->failure_percentage_minimum_hosts, o->failure_percentage_request_volume, o->max_ejection_ms / 1000,
                            o->jitter_ms / 1000};
    for (uint64_t i = 0; i < sizeof(got) / sizeof(got[0]); i++)
        assert_int_equal(got[i], 11 + i);
    assert_true(o->split_local_origin && o->always_eject_one);
}

static void test_the_first_known_load_balancing_policy_wins(void **state)
{
    struct fixture *f = *state;
#define POLICY(name, rest)                                                                                              \
    "{'typed_extension_config': {'name': 'x', 'typed_config': {'@type': "                                                    \
    "'type.googleapis.com/envoy.extensions.load_balancing_policies." name "'" rest "}}}"
    assert_int_equal(compile(f, "{'name': 'c', 'load_balancing_policy': {'policies': [" POLICY("maglev.v3.Maglev", "") ","
                                POLICY("least_request.v3.LeastRequest", ", 'choice_count': 3, 'active_request_bias': "
                                       "{'default_value': 0.5, 'runtime_key': 'k'}, 'locality_lb_config': "
                                       "{'locality_weighted_lb_config': {}}") ","
                                POLICY("random.v3.Random", "") "]}}"),
                     WEIR_OK);
    assert_int_equal(f->config->lb_policy, WEIR_LB_LEAST_REQUEST);
    assert_int_equal(f->config->choice_count, 3);
    assert_true(f->config->active_request_bias == 0.5);
    assert_true(f->config->locality_weighted);
    assert_refused(f, "{'name': 'c', 'load_balancing_policy': {'policies': [" POLICY("maglev.v3.Maglev", "") "]}}",
                   "load_balancing_policy.policies: none of the 1 policies is supported (round_robin, least_request and random are)");
#undef POLICY
}

static void test_policies_that_hash_are_refused_by_name(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, "{'name': 'c', 'lb_policy': 'RING_HASH'}", "lb_policy: RING_HASH is not supported");
    assert_refused(f, "{'name': 'c', 'lb_policy': 'MAGLEV'}", "lb_policy: MAGLEV is not supported");
}

static void test_http_protocol_options_choose_the_protocol(void **state)
{
    struct fixture *f = *state;
#define OPTIONS(rest)                                                                                                   \
    "'typed_extension_protocol_options': {'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {'@type': "               \
    "'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions'," rest "}}"
    assert_int_equal(compile(f, "{'name': 'c'," OPTIONS("'explicit_http_config': {'http2_protocol_options': {'max_concurrent_streams': 7}},"
                                "'common_http_protocol_options': {'idle_timeout': '2s', 'max_requests_per_connection': 5,"
                                "'max_stream_duration': '3s', 'max_connection_duration': '4s'}") "}"),
                     WEIR_OK);
    assert_int_equal(f->config->protocol, WEIR_UPSTREAM_H2);
    assert_int_equal(f->config->h2_streams_max, 7);
    assert_int_equal(f->config->idle_timeout_ms, 2000);
    assert_int_equal(f->config->max_requests_per_connection, 5);
    assert_int_equal(f->config->max_stream_duration_ms, 3000);
    assert_int_equal(f->config->max_connection_duration_ms, 4000);
    assert_int_equal(compile(f, "{'name': 'c'," OPTIONS("'explicit_http_config': {'http_protocol_options': {'enable_trailers': true}}") "}"),
                     WEIR_OK);
    assert_int_equal(f->config->protocol, WEIR_UPSTREAM_H1);
    assert_true(f->config->h1.h1_enable_trailers);
    assert_int_equal(compile(f, "{'name': 'c'," OPTIONS("'use_downstream_protocol_config': {'http2_protocol_options': {}}") "}"), WEIR_OK);
    assert_int_equal(f->config->protocol, WEIR_UPSTREAM_DOWNSTREAM);
    assert_int_equal(compile(f, "{'name': 'c'," OPTIONS("'explicit_http_config': {'http_protocol_options': {}}, 'retry_policy':"
                                "{'retry_on': '5xx', 'num_retries': 4}") "}"),
                     WEIR_OK);
    assert_int_equal(f->config->retry->on, WEIR_RETRY_5XX);
    assert_int_equal(f->config->retry->num_retries, 4);
    assert_refused(f, "{'name': 'c'," OPTIONS("'auto_config': {}") "}",
                   "typed_extension_protocol_options: auto_config needs a transport socket with ALPN (TLS)");
#undef OPTIONS
}

static void test_deprecated_http2_options_still_mean_http2(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(compile(f, "{'name': 'c', 'http2_protocol_options': {}}"), WEIR_OK);
    assert_int_equal(f->config->protocol, WEIR_UPSTREAM_H2);
}

static void test_names_need_a_cluster_that_resolves(void **state)
{
    struct fixture *f = *state;
#define NAMED "'load_assignment': {'cluster_name': 'c', 'endpoints': [{'lb_endpoints': [" ENDPOINT("up.test", "80") "]}]}"
    assert_refused(f, "{'name': 'c'," NAMED "}",
                   "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: malformed IP address: "
                   "up.test. Consider setting the cluster's type to STRICT_DNS or LOGICAL_DNS");
    assert_int_equal(compile(f, "{'name': 'c', 'type': 'STRICT_DNS', 'dns_lookup_family': 'V4_ONLY', 'dns_refresh_rate': '1s',"
                                "'respect_dns_ttl': true, 'dns_resolvers': [{'socket_address': {'address': '127.0.0.1', 'port_value': 5353}}],"
                                "'dns_failure_refresh_rate': {'base_interval': '2s'}," NAMED "}"),
                     WEIR_OK);
    const struct weir_cluster_config *c = f->config;
    assert_int_equal(c->type, WEIR_CLUSTER_STRICT_DNS);
    assert_str(c->endpoints->at[0].dns_name, "up.test");
    assert_str(c->endpoints->at[0].hostname, "up.test");
    assert_int_equal(c->dns.family, WEIR_DNS_V4_ONLY);
    assert_int_equal(c->dns.refresh_ms, 1000);
    assert_int_equal(c->dns.failure_base_ms, 2000);
    assert_int_equal(c->dns.failure_max_ms, 20000);
    assert_true(c->dns.respect_ttl);
    assert_int_equal(c->dns.resolver_count, 1);
#undef NAMED
}

static void test_the_dns_cluster_extension_is_a_dns_cluster(void **state)
{
    struct fixture *f = *state;
#define DNS(rest)                                                                                                       \
    "{'name': 'c', 'cluster_type': {'name': 'dns', 'typed_config': {'@type': "                                               \
    "'type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster'" rest "}}, 'load_assignment': {'cluster_name': 'c',"   \
    "'endpoints': [{'lb_endpoints': [" ENDPOINT("up.test", "80") "]}]}}"
    assert_int_equal(compile(f, DNS(", 'dns_refresh_rate': '30s', 'dns_lookup_family': 'V4_PREFERRED', 'respect_dns_ttl': true,"
                                    "'dns_min_refresh_rate': '2s', 'typed_dns_resolver_config': {'name': 'r', 'typed_config': {'@type':"
                                    "'type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig',"
                                    "'resolvers': [{'socket_address': {'address': '127.0.0.1', 'port_value': 53}}],"
                                    "'dns_resolver_options': {'use_tcp_for_dns_lookups': true}}}")),
                     WEIR_OK);
    const struct weir_cluster_config *c = f->config;
    assert_int_equal(c->type, WEIR_CLUSTER_STRICT_DNS);
    assert_int_equal(c->dns.refresh_ms, 30000);
    assert_int_equal(c->dns.min_refresh_ms, 2000);
    assert_int_equal(c->dns.family, WEIR_DNS_V4_PREFERRED);
    assert_true(c->dns.respect_ttl && c->dns.tcp_only);
    assert_int_equal(c->dns.resolver_count, 1);
    assert_int_equal(compile(f, DNS(", 'all_addresses_in_single_endpoint': true")), WEIR_OK);
    assert_int_equal(f->config->type, WEIR_CLUSTER_LOGICAL_DNS);
#undef DNS
}

static void test_options_of_dns_connections_and_warming(void **state)
{
    struct fixture *f = *state;
#define NAMED "'load_assignment': {'cluster_name': 'c', 'endpoints': [{'lb_endpoints': [" ENDPOINT("up.test", "80") "]}]}"
    assert_int_equal(compile(f, "{'name': 'c', 'type': 'STRICT_DNS', 'dns_jitter': '0.3s', 'round_robin_lb_config': {},"
                                "'dns_failure_refresh_rate': {'base_interval': '2s', 'max_interval': '7s'}, 'wait_for_warm_on_init': false,"
                                "'upstream_connection_options': {'tcp_keepalive': {'keepalive_probes': 3, 'keepalive_time': 20,"
                                "'keepalive_interval': 5}}," NAMED "}"),
                     WEIR_OK);
    assert_int_equal(f->config->dns.jitter_ms, 300);
    assert_int_equal(f->config->dns.failure_base_ms, 2000);
    assert_int_equal(f->config->dns.failure_max_ms, 7000);
    assert_int_equal(f->config->lb_policy, WEIR_LB_ROUND_ROBIN);
    assert_false(f->config->wait_for_warm_on_init);
    assert_true(f->config->keepalive);
    assert_int_equal(f->config->keepalive_probes, 3);
    assert_int_equal(f->config->keepalive_time_s, 20);
    assert_int_equal(f->config->keepalive_interval_s, 5);
    assert_refused(f, "{'name': 'c', 'type': 'STRICT_DNS', 'dns_failure_refresh_rate': {'base_interval': '2s', 'max_interval': '1s'}," NAMED "}",
                   "dns_failure_refresh_rate.max_interval: below base_interval");
    assert_int_equal(compile(f, "{'name': 'c', 'cluster_type': {'name': 'dns', 'typed_config': {'@type':"
                                "'type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster', 'dns_jitter': '0.4s',"
                                "'dns_failure_refresh_rate': {'base_interval': '3s', 'max_interval': '9s'}}}," NAMED "}"),
                     WEIR_OK);
    assert_int_equal(f->config->dns.jitter_ms, 400);
    assert_int_equal(f->config->dns.failure_max_ms, 9000);
    assert_true(f->config->wait_for_warm_on_init);
    assert_false(f->config->keepalive);
#undef NAMED
}

static void test_an_eds_cluster_needs_its_source(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, "{'name': 'c', 'type': 'EDS'}",
                   "eds_cluster_config.eds_config: cannot create an EDS cluster without an EDS config");
    assert_refused(f, "{'name': 'c', 'type': 'EDS', 'eds_cluster_config': {'eds_config': {'path_config_source': {'path': '/x'}}}}",
                   "eds_cluster_config.eds_config.path_config_source: only listeners and clusters are taken from files, this comes by ads");
    assert_refused(f, "{'name': 'c', 'type': 'EDS', 'eds_cluster_config': {'eds_config': {'ads': {}, 'resource_api_version': 'V2'}}}",
                   "eds_cluster_config.eds_config.resource_api_version: only V3 is supported");
    assert_int_equal(compile(f, "{'name': 'c', 'type': 'EDS', 'eds_cluster_config': {'eds_config': {'ads': {}}}}"), WEIR_OK);
    assert_str(f->config->eds_service_name, "c");
    assert_int_equal(compile(f, "{'name': 'c', 'type': 'EDS', 'eds_cluster_config': {'eds_config': {'ads': {}}, 'service_name': 's'}}"),
                     WEIR_OK);
    assert_str(f->config->eds_service_name, "s");
}

static void test_a_cluster_of_original_destinations(void **state)
{
    struct fixture *f = *state;
#define ORIGINAL "{'name': 'c', 'type': 'ORIGINAL_DST', 'lb_policy': 'CLUSTER_PROVIDED'"
    assert_int_equal(compile(f, ORIGINAL "}"), WEIR_OK);
    assert_int_equal(f->config->type, WEIR_CLUSTER_ORIGINAL_DST);
    assert_int_equal(f->config->original_dst.cleanup_interval_ms, 5000);
    assert_int_equal(f->config->original_dst.header.n, 0);
    assert_false(f->config->original_dst.has_port);
    assert_int_equal(compile(f, ORIGINAL ", 'cleanup_interval': '0.5s', 'outlier_detection': {}, 'original_dst_lb_config': {'use_http_header': true,"
                                         "'upstream_port_override': 81, 'metadata_key': {'key': 'n', 'path': [{'key': 'a'}, {'key': 'b'}]}}}"),
                     WEIR_OK);
    assert_int_equal(f->config->original_dst.cleanup_interval_ms, 500);
    assert_str(f->config->original_dst.header, "x-envoy-original-dst-host");
    assert_int_equal(f->config->original_dst.port, 81);
    assert_str(f->config->original_dst.metadata_key, "n");
    assert_int_equal(f->config->original_dst.metadata_path_count, 2);
    assert_str(f->config->original_dst.metadata_path[1], "b");
    assert_false(f->config->outlier.enabled);
    assert_int_equal(compile(f, ORIGINAL ", 'original_dst_lb_config': {'use_http_header': true, 'http_header_name': 'X-To'}}"), WEIR_OK);
    assert_str(f->config->original_dst.header, "x-to");
    assert_refused(f, "{'name': 'c', 'type': 'ORIGINAL_DST'}",
                   "lb_policy: Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'");
    assert_refused(f, "{'name': 'c', 'type': 'STATIC', 'lb_policy': 'CLUSTER_PROVIDED'}",
                   "lb_policy: cluster provided LB specified but cluster 'c' did not provide one");
    assert_refused(f, ORIGINAL ", 'load_assignment': {'cluster_name': 'c'}}",
                   "load_assignment: ORIGINAL_DST clusters must have no load assignment configured");
    assert_refused(f, ORIGINAL ", 'original_dst_lb_config': {'http_header_name': 'x-to'}}",
                   "original_dst_lb_config.http_header_name: set, while use_http_header is false");
    assert_refused(f, ORIGINAL ", 'original_dst_lb_config': {'use_http_header': true, 'http_header_name': 'x to'}}",
                   "original_dst_lb_config.http_header_name: 'x to' is no header name");
}

static void test_endpoints_keep_weight_health_priority_and_locality(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        compile_endpoints(f, "{'cluster_name': 's', 'policy': {'overprovisioning_factor': 200, 'drop_overloads': [{'category': 'd',"
                             "'drop_percentage': {'numerator': 5, 'denominator': 'TEN_THOUSAND'}}]},"
                             "'endpoints': [{'locality': {'region': 'r', 'zone': 'z'}, 'load_balancing_weight': 3, 'lb_endpoints': ["
                             "{'load_balancing_weight': 9, 'health_status': 'DRAINING', 'metadata': {'filter_metadata': {'envoy.lb':"
                             "{'canary': true}}}, 'endpoint': {'hostname': 'h', 'address': {'socket_address': {'address': '::1',"
                             "'port_value': 80}}}}]}, {'priority': 2, 'lb_endpoints': [{'health_status': 'DEGRADED', 'endpoint':"
                             "{'address': {'pipe': {'path': '/tmp/s'}}}}]}]}"),
        WEIR_OK);
    const struct weir_endpoints *e = f->endpoints;
    assert_str(e->resource.name, "s");
    assert_int_equal(e->count, 2);
    assert_int_equal(e->priority_count, 3);
    assert_int_equal(e->overprovisioning_percent, 200);
    assert_int_equal(e->drop_numerator, 5);
    assert_int_equal(e->drop_denominator, 10000);
    assert_int_equal(e->at[0].weight, 9);
    assert_int_equal(e->at[0].health, WEIR_HOST_UNHEALTHY);
    assert_true(e->at[0].canary);
    assert_str(e->at[0].hostname, "h");
    assert_int_equal(e->at[1].weight, 1);
    assert_int_equal(e->at[1].health, WEIR_HOST_DEGRADED);
    assert_int_equal(e->at[1].address.any.sa_family, AF_UNIX);
    assert_str(e->localities[0].zone, "z");
    assert_int_equal(e->localities[0].weight, 3);
    assert_int_equal(e->localities[1].priority, 2);
    assert_int_equal(e->localities[1].weight, 0);
}

static void test_endpoints_by_eds_are_numeric(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(compile_endpoints(f, "{'cluster_name': 's', 'endpoints': [{'lb_endpoints': [" ENDPOINT("localhost", "80") "]}]}"),
                     WEIR_ERR_INVALID);
    assert_non_null(strstr(f->error.text, "malformed IP address: localhost"));
    assert_null(f->endpoints);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_cluster_that_says_little_has_envoys_defaults),
        T(test_breakers_are_by_priority_and_the_first_of_each_counts),
        T(test_an_empty_outlier_detection_has_all_defaults),
        T(test_each_number_of_outlier_detection_has_its_place),
        T(test_the_first_known_load_balancing_policy_wins),
        T(test_policies_that_hash_are_refused_by_name),
        T(test_http_protocol_options_choose_the_protocol),
        T(test_deprecated_http2_options_still_mean_http2),
        T(test_names_need_a_cluster_that_resolves),
        T(test_the_dns_cluster_extension_is_a_dns_cluster),
        T(test_options_of_dns_connections_and_warming),
        T(test_an_eds_cluster_needs_its_source),
        T(test_a_cluster_of_original_destinations),
        T(test_endpoints_keep_weight_health_priority_and_locality),
        T(test_endpoints_by_eds_are_numeric),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
