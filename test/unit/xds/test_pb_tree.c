/* Messages from YAML and back to JSON, by descriptor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "dataplane/base/str.h"
#include "xds/pb_tree.h"

static ProtobufCMessage *build(struct weir_arena *a, const char *type, const char *yaml, struct weir_error *e)
{
    const struct weir_tree **documents;
    size_t count;
    ProtobufCMessage *m = NULL;
    const struct weir_pb_message *facts = weir_pb_find(weir_str_of(type));
    assert_non_null(facts);
    assert_int_equal(weir_yaml_parse(a, "t.yaml", weir_str_of(yaml), &documents, &count, e), WEIR_OK);
    if (weir_tree_to_pb(a, "t.yaml", documents[0], weir_pb_descriptor(facts), &m, e) != WEIR_OK) return NULL;
    return m;
}

/* yaml → message → packed → unpacked → JSON */
static void round_trip(const char *type, const char *yaml, const char *json)
{
    struct weir_arena a = {0};
    struct weir_error e = {0};
    ProtobufCMessage *m = build(&a, type, yaml, &e);
    if (m == NULL) fail_msg("%s", e.text);
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *packed = weir_arena_alloc(&a, n + 1);
    assert_int_equal(protobuf_c_message_pack(m, packed), n);
    ProtobufCMessage *back = protobuf_c_message_unpack(m->descriptor, NULL, n, packed);
    assert_non_null(back);
    struct weir_out out = {0};
    weir_pb_to_json(back, &(struct weir_json_options){.redact = true}, &out);
    assert_string_equal(out.p, json);
    weir_out_deinit(&out);
    protobuf_c_message_free_unpacked(back, NULL);
    weir_arena_deinit(&a);
}

static void refused(const char *type, const char *yaml, const char *because)
{
    struct weir_arena a = {0};
    struct weir_error e = {0};
    assert_null(build(&a, type, yaml, &e));
    if (strstr(e.text, because) == NULL) fail_msg("'%s' lacks '%s'", e.text, because);
    weir_arena_deinit(&a);
}

static void test_cluster_with_any_wrappers_durations_and_enums(void **state)
{
    (void)state;
    round_trip("envoy.config.cluster.v3.Cluster",
               "name: y\n"
               "type: STATIC\n"
               "connect_timeout: 0.25s\n"
               "lbPolicy: 1\n"
               "per_connection_buffer_limit_bytes: 32768\n"
               "track_cluster_stats: {request_response_sizes: true}\n"
               "typed_extension_protocol_options:\n"
               "  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
               "    \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n"
               "    explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 100}}\n",
               "{\"name\":\"y\",\"type\":\"STATIC\",\"connect_timeout\":\"0.250s\",\"per_connection_buffer_limit_bytes\":32768,"
               "\"lb_policy\":\"LEAST_REQUEST\","
               "\"typed_extension_protocol_options\":{\"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\":{\"@type\":"
               "\"type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\",\"explicit_http_config\":{"
               "\"http2_protocol_options\":{\"max_concurrent_streams\":100}}}},"
               "\"track_cluster_stats\":{\"request_response_sizes\":true}}");
}

static void test_struct_keeps_its_types(void **state)
{
    (void)state;
    round_trip("envoy.config.core.v3.Metadata", "filter_metadata: {a.b: {s: text, q: \"1\", n: 1.5, t: true, z: null, l: [1, {k: v}]}}",
               "{\"filter_metadata\":{\"a.b\":{\"s\":\"text\",\"q\":\"1\",\"n\":1.5,\"t\":true,\"z\":null,\"l\":[1,{\"k\":\"v\"}]}}}");
}

static void test_bytes_timestamps_and_64_bit_numbers(void **state)
{
    (void)state;
    round_trip("envoy.config.core.v3.DataSource", "inline_bytes: aGk", "{\"inline_bytes\":\"aGk=\"}");
    round_trip("envoy.admin.v3.CertificateDetails", "{serial_number: a, valid_from: \"2026-01-31T12:00:00.5+01:00\", days_until_expiration: \"12\"}",
               "{\"serial_number\":\"a\",\"days_until_expiration\":\"12\",\"valid_from\":\"2026-01-31T11:00:00.500Z\"}");
}

static void test_sensitive_fields_are_redacted_with_all_inside(void **state)
{
    (void)state;
    round_trip("envoy.extensions.transport_sockets.tls.v3.TlsCertificate", "{certificate_chain: {inline_string: c}, private_key: {inline_bytes: aGk=}}",
               "{\"certificate_chain\":{\"inline_string\":\"c\"},\"private_key\":{\"inline_bytes\":\"W3JlZGFjdGVkXQ==\"}}");
}

static void test_yaml_booleans_stay_strings_in_string_fields(void **state)
{
    (void)state;
    round_trip("envoy.config.core.v3.Node", "{id: y, cluster: off}", "{\"id\":\"y\",\"cluster\":\"off\"}");
}

static void test_errors_name_place_path_and_nearest_field(void **state)
{
    (void)state;
    const char *cluster = "envoy.config.cluster.v3.Cluster";
    refused(cluster, "name: a\nconect_timeout: 1s\n", "t.yaml:2:1: envoy.config.cluster.v3.Cluster has no field 'conect_timeout'; did you mean 'connect_timeout'?");
    refused(cluster, "connect_timeout: 5\n", "t.yaml:1:18: connect_timeout: a duration such as 1.5s was expected, not '5'");
    refused(cluster, "type: STATICK\n", "'STATICK' is not a value of DiscoveryType");
    refused(cluster, "load_assignment: {endpoints: [{}, {priority: x}]}", "load_assignment.endpoints[1].priority: an integer");
    refused(cluster, "type: STATIC\ncluster_type: {name: x}\n", "t.yaml:2:1: 'cluster_type' stands beside another member of the oneof 'cluster_discovery_type'");
    refused(cluster, "lb_policy: RANDOM\nlbPolicy: RANDOM\n", "given twice, under both spellings");
    refused(cluster, "name: [a]\n", "name: a string was expected, not a list");
    refused(cluster, "dns_refresh_rate: 1s\nrespect_dns_ttl: \"true\"\n", "true or false was expected");
    refused(cluster, "typed_extension_protocol_options: {x: {a: 1}}", "typed_extension_protocol_options[\"x\"]: a map with @type was expected");
    refused(cluster, "typed_extension_protocol_options: {x: {\"@type\": foo.Bar}}", "unknown type 'foo.Bar'");
    refused("envoy.config.core.v3.SocketAddress", "port_value: 5000000000\n", "an integer of 32 bits");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cluster_with_any_wrappers_durations_and_enums), cmocka_unit_test(test_struct_keeps_its_types),
        cmocka_unit_test(test_bytes_timestamps_and_64_bit_numbers),           cmocka_unit_test(test_yaml_booleans_stay_strings_in_string_fields),
        cmocka_unit_test(test_sensitive_fields_are_redacted_with_all_inside), cmocka_unit_test(test_errors_name_place_path_and_nearest_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
