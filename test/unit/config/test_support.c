/* Support classes: what is refused is refused by name, what is ignored is noted once, what is honoured passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/base/pb_facts.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/config/support.h"
#include "test/unit/support/pb_text.h"
#include "xds/wire_check.h"

static enum weir_err check(const ProtobufCMessageDescriptor *type, const char *json, struct weir_support_log *log,
                           struct weir_error *error)
{
    struct weir_arena arena = {0};
    error->text[0] = '\0';
    enum weir_err err = weir_support_check(pb_text(&arena, type, json), log, error);
    weir_arena_deinit(&arena);
    return err;
}

static void test_a_refused_field_is_named_with_its_path(void **state)
{
    (void)state;
    struct weir_error error;
    assert_int_equal(check(&pb_route_configuration_type,
                           "{'virtual_hosts': [{'name': 'a', 'domains': ['*']}, {'name': 'b', 'domains': ['b'], 'routes':"
                           "[{'match': {'prefix': '/', 'filter_state': [{'key': 'k', 'string_match': {'exact': 'v'}}]},"
                           "'route': {'cluster': 'c'}}]}]}",
                           NULL, &error),
                     WEIR_ERR_UNSUPPORTED);
    assert_string_equal(error.text, "virtual_hosts[1].routes[0].match.filter_state: weir does not support filter_state of "
                                    "envoy.config.route.v3.RouteMatch");
}

static void test_a_refusal_carries_the_note_of_the_table(void **state)
{
    (void)state;
    struct weir_error error;
    assert_int_equal(check(&pb_address_type, "{'envoy_internal_address': {'server_listener_name': 'l'}}", NULL, &error),
                     WEIR_ERR_UNSUPPORTED);
    assert_string_equal(error.text, "envoy_internal_address: weir does not support envoy_internal_address of "
                                    "envoy.config.core.v3.Address: there are no internal listeners");
}

static void test_honoured_fields_and_defaults_pass(void **state)
{
    (void)state;
    struct weir_error error;
    assert_int_equal(check(&pb_route_configuration_type, pb_text_route_configuration, NULL, &error), WEIR_OK);
    assert_string_equal(error.text, "");
    /* A refused scalar at its default is not set. */
    assert_int_equal(check(&pb_listener_type, "{'name': 'l', 'enable_mptcp': false}", NULL, &error), WEIR_OK);
    assert_int_equal(check(&pb_listener_type, "{'name': 'l', 'enable_mptcp': true}", NULL, &error), WEIR_ERR_UNSUPPORTED);
}

static void test_a_message_that_nobody_implements_is_refused_by_its_first_set_field(void **state)
{
    (void)state;
    struct weir_error error;
    const ProtobufCMessageDescriptor *type =
        weir_pb_descriptor(weir_pb_find(WEIR_STR("envoy.config.overload.v3.OverloadManager")));
    assert_int_equal(check(type, "{'refresh_interval': '1s'}", NULL, &error), WEIR_ERR_UNSUPPORTED);
    assert_int_equal(check(type, "{}", NULL, &error), WEIR_OK);
}

static void test_values_of_maps_are_judged_by_their_own_message(void **state)
{
    (void)state;
    struct weir_error error;
    assert_int_equal(check(&pb_node_type, "{'dynamic_parameters': {'a': {'params': {'x': 'y'}}, 'b': {}}}", NULL, &error), WEIR_OK);
}

struct met {
    unsigned warnings, listed;
    enum weir_support_kind kind;
    unsigned kinds; /* bits */
    char message[32];
    char field[128], path[128], reason[256];
};

static void on_warn(void *ctx, const struct weir_support_note *n)
{
    struct met *met = ctx;
    met->warnings++;
    met->kind = n->kind;
    met->kinds |= 1u << n->kind;
    snprintf(met->message, sizeof met->message, "%s", n->message);
    snprintf(met->field, sizeof met->field, "%s", n->field);
    snprintf(met->path, sizeof met->path, "%s", n->path);
    snprintf(met->reason, sizeof met->reason, "%s", n->detail);
}

static void on_each(void *ctx, const char *field, const char *reason)
{
    struct met *met = ctx;
    met->listed++;
    assert_string_equal(field, met->field);
    assert_string_equal(reason, met->reason);
}

static void test_an_ignored_field_is_warned_of_once_and_counted(void **state)
{
    (void)state;
    struct weir_error error;
    struct met met = {0};
    struct weir_support_log *log = weir_support_log_create(on_warn, &met, WEIR_UNKNOWN_TELL);
    const char *json = "{'name': 'r', 'virtual_hosts': [{'name': 'a', 'domains': ['*'], 'virtual_clusters': [{'name': 'v'}]}]}";
    for (int i = 0; i < 3; i++)
        assert_int_equal(check(&pb_route_configuration_type, json, log, &error), WEIR_OK);
    assert_int_equal(met.warnings, 1);
    assert_string_equal(met.field, "envoy.config.route.v3.VirtualHost.virtual_clusters");
    assert_string_equal(met.path, "virtual_hosts[0].virtual_clusters");
    assert_string_equal(met.reason, "only statistics");
    assert_int_equal(weir_support_log_count(log, WEIR_SUPPORT_IGNORED), 3);
    weir_support_log_each(log, on_each, &met);
    assert_int_equal(met.listed, 1);
    weir_support_log_destroy(log);
}

static void test_deprecated_fields_are_told_once_for_each_message_and_counted_each_time(void **state)
{
    (void)state;
    struct weir_error error;
    struct met met = {0};
    struct weir_support_log *log = weir_support_log_create(on_warn, &met, WEIR_UNKNOWN_TELL);
    const char *json = "{'name': 'r', 'virtual_hosts': [{'name': 'a', 'domains': ['*'], 'routes': ["
                       "{'match': {'prefix': '/', 'headers': [{'name': 'x', 'exact_match': 'y'}, {'name': 'z', 'exact_match': 'y'}]},"
                       " 'route': {'cluster': 'c'}}]}]}";
    assert_int_equal(check(&pb_route_configuration_type, json, log, &error), WEIR_OK);
    assert_int_equal(met.warnings, 1);
    assert_int_equal(met.kind, WEIR_SUPPORT_DEPRECATED);
    assert_string_equal(met.field, "envoy.config.route.v3.HeaderMatcher.exact_match");
    assert_string_equal(met.message, "r");
    assert_string_equal(met.path, "virtual_hosts[0].routes[0].match.headers[0].exact_match");
    assert_int_equal(weir_support_log_count(log, WEIR_SUPPORT_DEPRECATED), 2);
    for (int i = 0; i < 200; i++)
        assert_int_equal(check(&pb_route_configuration_type, json, log, &error), WEIR_OK);
    assert_int_equal(met.warnings, 100);
    assert_int_equal(weir_support_log_count(log, WEIR_SUPPORT_DEPRECATED), 402);
    weir_support_log_destroy(log);
}

static void test_unfinished_fields_are_told_and_counted(void **state)
{
    (void)state;
    struct weir_error error;
    struct met met = {0};
    struct weir_support_log *log = weir_support_log_create(on_warn, &met, WEIR_UNKNOWN_TELL);
    assert_int_equal(check(&pb_http2_protocol_options_type, "{'use_oghttp2_codec': false}", log, &error), WEIR_OK);
    assert_int_equal(met.kinds, 1u << WEIR_SUPPORT_WORK_IN_PROGRESS | 1u << WEIR_SUPPORT_IGNORED);
    assert_string_equal(met.field, "envoy.config.core.v3.Http2ProtocolOptions.use_oghttp2_codec");
    assert_int_equal(weir_support_log_count(log, WEIR_SUPPORT_WORK_IN_PROGRESS), 1);
    weir_support_log_destroy(log);
}

static void test_unknown_fields_are_told_once_for_each_set_of_numbers(void **state)
{
    (void)state;
    struct weir_error error;
    struct met met = {0};
    struct weir_wire_report report = {.unknown_count = 1, .unknown = {{&pb_cluster_type, 3, {9999, 9999, 9998}}}};
    struct weir_support_log *log = weir_support_log_create(on_warn, &met, WEIR_UNKNOWN_TELL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(weir_support_check_unknown(log, &report, &error), WEIR_OK);
    assert_int_equal(met.warnings, 1);
    assert_string_equal(met.field, "envoy.config.cluster.v3.Cluster");
    assert_string_equal(met.reason, "9999, 9999, 9998");
    report.unknown[0].count = 2;
    assert_int_equal(weir_support_check_unknown(log, &report, &error), WEIR_OK);
    assert_int_equal(weir_support_log_count(log, WEIR_SUPPORT_DYNAMIC_UNKNOWN), 2);
    for (uint32_t i = 0; i < 5000; i++) { /* bounded */
        report.unknown[0].numbers[0] = 10000 + i;
        assert_int_equal(weir_support_check_unknown(log, &report, &error), WEIR_OK);
    }
    assert_int_equal(weir_support_log_count(log, WEIR_SUPPORT_DYNAMIC_UNKNOWN), 1024);
    weir_support_log_destroy(log);
}

static void test_unknown_fields_are_ignored_or_refused_as_the_policy_says(void **state)
{
    (void)state;
    struct weir_error error;
    struct met met = {0};
    struct weir_wire_report report = {.unknown_count = 1, .unknown = {{&pb_cluster_type, 1, {9999}}}};
    struct weir_support_log *log = weir_support_log_create(on_warn, &met, WEIR_UNKNOWN_IGNORE);
    assert_int_equal(weir_support_check_unknown(log, &report, &error), WEIR_OK);
    weir_support_log_destroy(log);
    log = weir_support_log_create(on_warn, &met, WEIR_UNKNOWN_REJECT);
    assert_int_equal(weir_support_check_unknown(log, &report, &error), WEIR_ERR_INVALID);
    assert_string_equal(error.text, "envoy.config.cluster.v3.Cluster has unknown fields {9999}");
    assert_int_equal(met.warnings, 0);
    weir_support_log_destroy(log);
}

static void test_the_table_prints_every_field_once(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0, lines = 0, fields = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    weir_support_print(out);
    fclose(out);
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    for (size_t i = 0; i < weir_pb_count(); i++)
        fields += weir_pb_at(i)->kind != WEIR_PB_MAP_ENTRY ? weir_pb_at(i)->field_count : 0;
    assert_int_equal(lines, fields);
    assert_int_equal(fields, 4446);
    assert_non_null(strstr(text, "\nenvoy.config.cluster.v3.Cluster.name  honoured\n"));
    assert_non_null(strstr(text, "\nenvoy.config.route.v3.VirtualHost.virtual_clusters  ignored: only statistics\n"));
    assert_non_null(strstr(text, "\nenvoy.config.overload.v3.OverloadManager.actions  refused\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refused_field_is_named_with_its_path),
        cmocka_unit_test(test_a_refusal_carries_the_note_of_the_table),
        cmocka_unit_test(test_honoured_fields_and_defaults_pass),
        cmocka_unit_test(test_a_message_that_nobody_implements_is_refused_by_its_first_set_field),
        cmocka_unit_test(test_values_of_maps_are_judged_by_their_own_message),
        cmocka_unit_test(test_an_ignored_field_is_warned_of_once_and_counted),
        cmocka_unit_test(test_deprecated_fields_are_told_once_for_each_message_and_counted_each_time),
        cmocka_unit_test(test_unfinished_fields_are_told_and_counted),
        cmocka_unit_test(test_unknown_fields_are_told_once_for_each_set_of_numbers),
        cmocka_unit_test(test_unknown_fields_are_ignored_or_refused_as_the_policy_says),
        cmocka_unit_test(test_the_table_prints_every_field_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
