/* See pb_text.h. */
#include "test/unit/support/pb_text.h"

#include <stdio.h>
#include <stdlib.h>

#include "xds/pb_tree.h"

ProtobufCMessage *pb_text(struct weir_arena *arena, const ProtobufCMessageDescriptor *type, const char *json)
{
    struct weir_str text = weir_arena_str(arena, weir_str_of(json));
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\'')
            ((char *)(uintptr_t)text.p)[i] = '"';
    struct weir_error error = {0};
    const struct weir_tree *tree = NULL;
    ProtobufCMessage *m = NULL;
    if (weir_json_parse(arena, "test", text, &tree, &error) != WEIR_OK ||
        weir_tree_to_pb(arena, "test", tree, type, &m, &error) != WEIR_OK) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    return m;
}

struct weir_str pb_pack(struct weir_arena *arena, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = weir_arena_alloc(arena, n + 1);
    protobuf_c_message_pack(m, bytes);
    return (struct weir_str){(const char *)bytes, n};
}

struct weir_str pb_text_packed(struct weir_arena *arena, const ProtobufCMessageDescriptor *type, const char *json)
{
    return pb_pack(arena, pb_text(arena, type, json));
}

const char pb_text_cluster[] =
    "{'name': 'one', 'type': 'EDS', 'connect_timeout': '0.250s', 'lb_policy': 'LEAST_REQUEST',"
    " 'eds_cluster_config': {'service_name': 'näme', 'eds_config': {'ads': {}, 'resource_api_version': 'V3'}},"
    " 'least_request_lb_config': {'choice_count': 3, 'active_request_bias': {'default_value': -1.5, 'runtime_key': 'k'}},"
    " 'per_connection_buffer_limit_bytes': 32768,"
    " 'circuit_breakers': {'thresholds': [{'priority': 'HIGH', 'max_connections': 7}, {}]},"
    " 'outlier_detection': {'consecutive_5xx': 5, 'base_ejection_time': '30s', 'max_ejection_percent': 10},"
    " 'health_checks': [{'timeout': '1s', 'interval': '2s', 'unhealthy_threshold': 2, 'healthy_threshold': 1,"
    "   'http_health_check': {'path': '/h', 'expected_statuses': [{'start': '200', 'end': '300'}]}}],"
    " 'metadata': {'filter_metadata': {'weir': {'n': 1.5, 'list': [true, null, 'x', {}]}, 'empty': {}}},"
    " 'upstream_bind_config': {'source_address': {'address': '::1', 'port_value': 0}},"
    " 'typed_extension_protocol_options': {'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {"
    "   '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',"
    "   'explicit_http_config': {'http2_protocol_options': {'max_concurrent_streams': 100}}}},"
    " 'load_assignment': {'cluster_name': 'one', 'endpoints': [{'locality': {'zone': 'z'}, 'priority': 1, 'lb_endpoints': ["
    "   {'endpoint': {'address': {'socket_address': {'address': '127.0.0.1', 'port_value': 80}}}, 'health_status': 'HEALTHY'},"
    "   {'endpoint': {'address': {'pipe': {'path': '/tmp/p', 'mode': 511}}}, 'load_balancing_weight': 2}]}]}}";

const char pb_text_route_configuration[] =
    "{'name': 'routes', 'virtual_hosts': [{'name': 'a', 'domains': ['a.example', '*.b.example'], 'routes': ["
    "   {'match': {'prefix': '/x', 'headers': [{'name': 'h', 'string_match': {'exact': ''}, 'invert_match': true}]},"
    "    'route': {'cluster': 'one', 'timeout': '15s', 'retry_policy': {'retry_on': '5xx', 'num_retries': 2,"
    "      'retriable_status_codes': [500, 503]}}},"
    "   {'match': {'safe_regex': {'regex': '/y.*'}}, 'direct_response': {'status': 404, 'body': {'inline_string': 'no'}}},"
    "   {'match': {'path': '/z'}, 'redirect': {'host_redirect': 'z.example', 'response_code': 'FOUND'},"
    "    'response_headers_to_add': [{'header': {'key': 'k', 'value': 'v'}, 'append_action': 'ADD_IF_ABSENT'}]}]},"
    "  {'name': 'b', 'domains': ['*'], 'routes': [{'match': {'path_separated_prefix': '/w'}, 'route': {'weighted_clusters':"
    "     {'clusters': [{'name': 'one', 'weight': 3}, {'name': 'two', 'weight': 1}]}}}]}]}";
