/* The API's rules: each kind refused with path and reason, and what Envoy accepts accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "dataplane/base/pb_facts.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/config/validate.h"
#include "test/unit/support/pb_text.h"

static void accepts(const ProtobufCMessageDescriptor *type, const char *json)
{
    struct weir_arena arena = {0};
    struct weir_error error = {0};
    enum weir_err err = weir_validate(pb_text(&arena, type, json), &error);
    weir_arena_deinit(&arena);
    assert_string_equal(error.text, "");
    assert_int_equal(err, WEIR_OK);
}

static void refuses(const ProtobufCMessageDescriptor *type, const char *json, const char *text)
{
    struct weir_arena arena = {0};
    struct weir_error error = {0};
    enum weir_err err = weir_validate(pb_text(&arena, type, json), &error);
    weir_arena_deinit(&arena);
    assert_string_equal(error.text, text);
    assert_int_equal(err, WEIR_ERR_INVALID);
}

static void test_samples_keep_the_rules(void **state)
{
    (void)state;
    accepts(&pb_cluster_type, pb_text_cluster);
    accepts(&pb_route_configuration_type, pb_text_route_configuration);
}

/* The broken configurations that Envoy was seen to refuse or accept for a rule. */
static void test_clusters_as_envoy_judges_them(void **state)
{
    (void)state;
    refuses(&pb_cluster_type, "{}", "name: value must have at least 1 character");
    refuses(&pb_cluster_type, "{'name': 'a', 'connect_timeout': '0s'}", "connect_timeout: value must be greater than 0s");
    refuses(&pb_cluster_type, "{'name': 'a', 'lb_policy': 99}",
            "lb_policy: value must be one that envoy.config.cluster.v3.Cluster.LbPolicy defines, 99 is none");
    accepts(&pb_cluster_type, "{'name': 'a'}");
    refuses(&pb_cluster_type, "{'name': 'a', 'outlier_detection': {'max_ejection_percent': 101}}",
            "outlier_detection.max_ejection_percent: value must be at most 100");
    accepts(&pb_cluster_type, "{'name': 'a', 'outlier_detection': {'max_ejection_percent': 100}}");
    refuses(&pb_cluster_type, "{'name': 'a', 'health_checks': [{'interval': '1s', 'unhealthy_threshold': 1,"
                              "'healthy_threshold': 1, 'tcp_health_check': {}}]}",
            "health_checks[0].timeout: value must be set");
    refuses(&pb_cluster_type, "{'name': 'a', 'health_checks': [{'timeout': '1s', 'interval': '1s', 'unhealthy_threshold': 1,"
                              "'healthy_threshold': 1, 'http_health_check': {'path': '\\u0001'}}]}",
            "health_checks[0].http_health_check.path: value must be a header value, without control characters");
}

static void test_addresses_as_envoy_judges_them(void **state)
{
    (void)state;
    refuses(&pb_socket_address_type, "{'address': '::1'}",
            "envoy.config.core.v3.SocketAddress: port_specifier must be set: one of port_value, named_port");
    refuses(&pb_listener_type, "{'address': {}}",
            "address: address must be set: one of socket_address, pipe, envoy_internal_address");
    refuses(&pb_socket_address_type, "{'address': '::1', 'port_value': 70000}", "port_value: value must be at most 65535");
    accepts(&pb_socket_address_type, "{'address': '::1', 'port_value': 0}");
    refuses(&pb_load_assignment_type,
            "{'cluster_name': 'a', 'endpoints': [{'lb_endpoints': [{'endpoint': {'address': {'socket_address':"
            "{'address': '::1', 'port_value': 70000}}}}]}]}",
            "endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value: value must be at most 65535");
}

static void test_routes_as_envoy_judges_them(void **state)
{
    (void)state;
    refuses(&pb_hcm_type, "{'route_config': {}}", "stat_prefix: value must have at least 1 character");
    refuses(&pb_hcm_type, "{'stat_prefix': 'x'}",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager: route_specifier must be set: "
            "one of rds, route_config, scoped_routes");
    refuses(&pb_virtual_host_type, "{'name': 'a'}", "domains: value must have at least 1 element");
    refuses(&pb_route_type, "{'direct_response': {'status': 200}}", "match: value must be set");
    refuses(&pb_route_type, "{'match': {'prefix': ''}}",
            "envoy.config.route.v3.Route: action must be set: one of route, redirect, direct_response, filter_action, "
            "non_forwarding_action");
    refuses(&pb_direct_response_type, "{'status': 99}", "status: value must be at least 200");
    refuses(&pb_direct_response_type, "{'status': 600}", "status: value must be less than 600");
    refuses(&pb_header_value_type, "{'key': 'a', 'value': 'b\\nc'}", "value: value must not contain NUL, CR or LF");
    refuses(&pb_virtual_host_type, "{'name': 'a', 'domains': ['*'], 'request_headers_to_remove': ['b', 'a\\nb']}",
            "request_headers_to_remove[1]: value must not contain NUL, CR or LF");
    accepts(&pb_virtual_host_type, "{'name': 'a', 'domains': ['*'], 'request_headers_to_remove': ['a b']}");
    refuses(&pb_virtual_host_type, "{'name': 'a', 'domains': ['*'], 'request_headers_to_remove': ['']}",
            "request_headers_to_remove[0]: value must have at least 1 character");
    refuses(&pb_weighted_cluster_type, "{}", "clusters: value must have at least 1 element");
    refuses(&pb_retry_policy_type, "{'retry_back_off': {'base_interval': '0s'}}",
            "retry_back_off.base_interval: value must be greater than 0s");
    refuses(&pb_route_match_type, "{'path_separated_prefix': '/a/'}",
            "path_separated_prefix: value must match \"^[^?#]+[^?#/]$\"");
    accepts(&pb_route_match_type, "{'path_separated_prefix': '/a'}");
    refuses(&pb_route_configuration_type,
            "{'virtual_hosts': [{'name': 'a', 'domains': ['a'], 'routes': [{'match': {'path': '/'}, 'redirect':"
            "{'host_redirect': 'a\\nb'}}]}]}",
            "virtual_hosts[0].routes[0].redirect.host_redirect: value must not contain NUL, CR or LF");
}

static void test_a_scalar_in_a_oneof_is_judged_only_when_it_is_the_member(void **state)
{
    (void)state;
    accepts(&pb_string_matcher_type, "{'exact': ''}");
    refuses(&pb_string_matcher_type, "{'prefix': ''}", "prefix: value must have at least 1 character");
}

static void test_header_names_are_tokens(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *type = weir_pb_descriptor(
        weir_pb_find(WEIR_STR("envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig")));
    accepts(type, "{'header_name': 'X-My!#$%&*+.^_|~9'}");
    accepts(type, "{'header_name': ':path'}");
    refuses(type, "{'header_name': 'a b'}", "header_name: value must be a header name");
    refuses(type, "{'header_name': 'a:b'}", "header_name: value must be a header name");
    refuses(type, "{'header_name': ':'}", "header_name: value must be a header name");
    refuses(type, "{'header_name': 'ü'}", "header_name: value must be a header name");
}

static void test_lengths_count_characters_and_bytes(void **state)
{
    (void)state;
    char json[1200];
    char text[600] = "";
    for (int i = 0; i < 256; i++)
        strcat(text, "é");
    const ProtobufCMessageDescriptor *type =
        weir_pb_descriptor(weir_pb_find(WEIR_STR("envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig")));
    snprintf(json, sizeof json, "{'path_template': '%s'}", text);
    accepts(type, json);
    snprintf(json, sizeof json, "{'path_template': '%sa'}", text);
    refuses(type, json, "path_template: value must have at most 256 characters");
    text[2 * 127] = '\0';
    snprintf(json, sizeof json, "{'sni': '%sa'}", text);
    accepts(&pb_upstream_tls_type, json);
    snprintf(json, sizeof json, "{'sni': '%sab'}", text);
    refuses(&pb_upstream_tls_type, json, "sni: value must have at most 255 bytes");
}

static void test_empty_values_pass_where_they_are_ignored(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *type =
        weir_pb_descriptor(weir_pb_find(WEIR_STR("envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames")));
    accepts(type, "{}");
    accepts(type, "{'bearer_token': 'x'}");
    refuses(type, "{'bearer_token': 'x y'}", "bearer_token: value must be a header name");
}

static void test_maps_are_judged_by_key_and_value(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *type = weir_pb_descriptor(weir_pb_find(WEIR_STR("xds.data.orca.v3.OrcaLoadReport")));
    accepts(type, "{'utilization': {'a': 1}}");
    refuses(type, "{'utilization': {'a': 0.5, 'b\\nc': 1.5}}", "utilization[\"b?c\"]: value must be at most 1");
    type = weir_pb_descriptor(weir_pb_find(WEIR_STR("xds.type.matcher.v3.Matcher.MatcherTree.MatchMap")));
    refuses(type, "{}", "map: value must have at least 1 entry");
    refuses(type, "{'map': {'k': {'action': {'name': ''}}}}",
            "map[\"k\"].action.name: value must have at least 1 character");
}

static void test_elements_must_be_unique_where_the_api_says_so(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *type =
        weir_pb_descriptor(weir_pb_find(WEIR_STR("envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig")));
    accepts(type, "{'uncompressible_response_codes': [206, 207]}");
    refuses(type, "{'uncompressible_response_codes': [206, 207, 206]}",
            "uncompressible_response_codes: value must not have an element twice");
    refuses(type, "{'uncompressible_response_codes': [206, 100]}",
            "uncompressible_response_codes[1]: value must be at least 200");
}

static void test_fixed_sets_of_strings(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *type =
        weir_pb_descriptor(weir_pb_find(WEIR_STR("envoy.extensions.filters.http.ratelimit.v3.RateLimit")));
    const char *rest = "'domain': 'd', 'rate_limit_service': {'grpc_service': {'envoy_grpc': {'cluster_name': 'c'}}}}";
    char json[256];
    snprintf(json, sizeof json, "{'request_type': 'sideways', %s", rest);
    refuses(type, json, "request_type: value must be one of \"internal\", \"external\", \"both\", \"\"");
    snprintf(json, sizeof json, "{'request_type': 'both', %s", rest);
    accepts(type, json);
    snprintf(json, sizeof json, "{%s", rest);
    accepts(type, json);
}

static void test_disallowed_fields_and_values_are_refused(void **state)
{
    (void)state;
    refuses(&pb_rate_limit_action_type, "{'dynamic_metadata': {'descriptor_key': 'a', 'metadata_key': {'key': 'a', 'path':"
                                        "[{'key': 'b'}]}}}",
            "dynamic_metadata: the API no longer allows this field");
    refuses(&pb_api_config_source_type, "{}", "api_type: the API no longer allows this value");
    accepts(&pb_api_config_source_type, "{'api_type': 'GRPC'}");
}

static void test_durations_out_of_range_are_refused(void **state)
{
    (void)state;
    pb_duration d;
    google__protobuf__duration__init(&d);
    pb_retry_policy policy;
    envoy__config__route__v3__retry_policy__init(&policy);
    policy.per_try_timeout = &d;
    struct weir_error error = {0};
    d.seconds = 1;
    assert_int_equal(weir_validate(&policy.base, &error), WEIR_OK);
    d.nanos = -1;
    assert_int_equal(weir_validate(&policy.base, &error), WEIR_ERR_INVALID);
    assert_non_null(strstr(error.text, "per_try_timeout: value must be a duration"));
    d.nanos = 1000000000;
    assert_int_equal(weir_validate(&policy.base, &error), WEIR_ERR_INVALID);
    d.nanos = 0;
    d.seconds = INT64_C(315576000001);
    assert_int_equal(weir_validate(&policy.base, &error), WEIR_ERR_INVALID);
}

static void test_bounds_with_a_gap_take_values_on_either_side(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *type =
        weir_pb_descriptor(weir_pb_find(WEIR_STR("envoy.config.core.v3.QuicKeepAliveSettings")));
    accepts(type, "{'initial_interval': '0s'}");
    accepts(type, "{'initial_interval': '0.001s'}");
    refuses(type, "{'initial_interval': '0.0005s'}", "initial_interval: value must be at least 0.001s or at most 0s");
}

static void test_a_number_that_is_none_is_within_no_bound(void **state)
{
    (void)state;
    pb_percent p;
    envoy__type__v3__percent__init(&p);
    struct weir_error error = {0};
    p.value = 100;
    assert_int_equal(weir_validate(&p.base, &error), WEIR_OK);
    p.value = __builtin_nan("");
    assert_int_equal(weir_validate(&p.base, &error), WEIR_ERR_INVALID);
    p.value = -0.001;
    assert_int_equal(weir_validate(&p.base, &error), WEIR_ERR_INVALID);
    assert_string_equal(error.text, "value: value must be at least 0");
}

static void test_the_empty_form_of_every_message_is_judged_without_a_crash(void **state)
{
    (void)state;
    struct weir_arena arena = {0};
    size_t good = 0, bad = 0;
    for (size_t i = 0; i < weir_pb_count(); i++) {
        const ProtobufCMessageDescriptor *d = weir_pb_descriptor(weir_pb_at(i));
        ProtobufCMessage *m = weir_arena_alloc(&arena, d->sizeof_message);
        d->message_init(m);
        struct weir_error error = {0};
        if (weir_validate(m, &error) == WEIR_OK)
            good++;
        else
            bad++;
    }
    assert_true(good > 500 && bad > 200);
    weir_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_keep_the_rules),
        cmocka_unit_test(test_clusters_as_envoy_judges_them),
        cmocka_unit_test(test_addresses_as_envoy_judges_them),
        cmocka_unit_test(test_routes_as_envoy_judges_them),
        cmocka_unit_test(test_a_scalar_in_a_oneof_is_judged_only_when_it_is_the_member),
        cmocka_unit_test(test_header_names_are_tokens),
        cmocka_unit_test(test_lengths_count_characters_and_bytes),
        cmocka_unit_test(test_empty_values_pass_where_they_are_ignored),
        cmocka_unit_test(test_maps_are_judged_by_key_and_value),
        cmocka_unit_test(test_elements_must_be_unique_where_the_api_says_so),
        cmocka_unit_test(test_fixed_sets_of_strings),
        cmocka_unit_test(test_disallowed_fields_and_values_are_refused),
        cmocka_unit_test(test_durations_out_of_range_are_refused),
        cmocka_unit_test(test_bounds_with_a_gap_take_values_on_either_side),
        cmocka_unit_test(test_a_number_that_is_none_is_within_no_bound),
        cmocka_unit_test(test_the_empty_form_of_every_message_is_judged_without_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
