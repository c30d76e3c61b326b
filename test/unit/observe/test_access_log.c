/* observe/access_log.c, access_log_filter.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dataplane/base/metadata.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/observe/access_log.h"
#include "dataplane/observe/access_log_filter.h"
#include "dataplane/observe/log_sink.h"

#define S WEIR_STR

/* What the next Any holds: unpacking is config/any.c's work. */
static const ProtobufCMessage *any_content;
enum weir_err weir_compile_any(struct weir_compile *c, const char *field, const void *any, const ProtobufCMessage **out)
{
    (void)c;
    (void)field;
    (void)any;
    *out = any_content;
    return WEIR_OK;
}

static struct weir_error error;
static struct weir_compile c;
static struct weir_headers headers;
static struct weir_request r;
static char path[64];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/weir-test-access-log-%ld", (long)getpid());
    c = (struct weir_compile){.arena = weir_arena_create(), .error = &error};
    c.scratch = c.arena;
    weir_headers_init(&headers, c.arena);
    r = (struct weir_request){.status = 200, .headers = &headers, .arena = c.arena, .start_ns = 1000000000u, .end_ns = 1025000000u};
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    weir_arena_destroy(c.arena);
    (void)unlink(path);
    return 0;
}

static bool passes(const pb_access_log_filter *pb, const struct weir_runtime *runtime)
{
    const struct weir_access_log_filter *f;
    if (weir_access_log_filter_compile(&c, pb, &f) != WEIR_OK) fail_msg("%s", error.text);
    return weir_access_log_filter_pass(f, &r, runtime);
}

#define SPECIFIER(name) ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_##name
static Envoy__Config__Core__V3__RuntimeUInt32 number = ENVOY__CONFIG__CORE__V3__RUNTIME_UINT32__INIT;
static Envoy__Config__Accesslog__V3__ComparisonFilter comparison = ENVOY__CONFIG__ACCESSLOG__V3__COMPARISON_FILTER__INIT;
static Envoy__Config__Accesslog__V3__StatusCodeFilter status = ENVOY__CONFIG__ACCESSLOG__V3__STATUS_CODE_FILTER__INIT;

static pb_access_log_filter status_filter(int op, uint32_t value)
{
    number.default_value = value;
    number.runtime_key = (char *)"log.status";
    comparison.op = (Envoy__Config__Accesslog__V3__ComparisonFilter__Op)op;
    comparison.value = &number;
    status.comparison = &comparison;
    pb_access_log_filter pb = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__INIT;
    pb.filter_specifier_case = SPECIFIER(STATUS_CODE_FILTER);
    pb.status_code_filter = &status;
    return pb;
}

static void test_comparisons_with_status_and_duration(void **state)
{
    (void)state;
    static const bool want[4][3] = {/* against 199, 200, 201 */ {false, true, false}, {true, true, false}, {false, true, true}, {true, false, true}};
    for (int op = 0; op < 4; op++) {
        for (uint32_t v = 0; v < 3; v++) {
            pb_access_log_filter pb = status_filter(op, 199 + v);
            assert_int_equal(passes(&pb, NULL), want[op][v]);
        }
    }
    struct weir_str layer = S("admin");
    struct weir_runtime *runtime = weir_runtime_create(&layer, 1);
    weir_runtime_set(runtime, 0, S("log.status"), S("500"));
    pb_access_log_filter pb = status_filter(1, 200);
    assert_false(passes(&pb, runtime));
    weir_resource_release(weir_runtime_resource(runtime));
    Envoy__Config__Accesslog__V3__DurationFilter duration = ENVOY__CONFIG__ACCESSLOG__V3__DURATION_FILTER__INIT;
    number.default_value = 25;
    duration.comparison = &comparison;
    pb.filter_specifier_case = SPECIFIER(DURATION_FILTER);
    pb.duration_filter = &duration;
    assert_true(passes(&pb, NULL));
    number.default_value = 26;
    assert_false(passes(&pb, NULL));
}

static void test_and_or_and_health_checks(void **state)
{
    (void)state;
    pb_access_log_filter yes = status_filter(0, 200), no = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__INIT;
    Envoy__Config__Accesslog__V3__NotHealthCheckFilter none = ENVOY__CONFIG__ACCESSLOG__V3__NOT_HEALTH_CHECK_FILTER__INIT;
    no.filter_specifier_case = SPECIFIER(NOT_HEALTH_CHECK_FILTER);
    no.not_health_check_filter = &none;
    assert_true(passes(&no, NULL));
    r.health_check = true;
    assert_false(passes(&no, NULL));
    pb_access_log_filter *both[] = {&yes, &no}, *all[] = {&yes, &yes}, *neither[] = {&no, &no};
    pb_access_log_filter **lists[] = {both, all, neither};
    static const bool want_and[] = {false, true, false}, want_or[] = {true, true, false};
    for (int i = 0; i < 3; i++) {
        Envoy__Config__Accesslog__V3__AndFilter and = ENVOY__CONFIG__ACCESSLOG__V3__AND_FILTER__INIT;
        Envoy__Config__Accesslog__V3__OrFilter or = ENVOY__CONFIG__ACCESSLOG__V3__OR_FILTER__INIT;
        and.n_filters = or.n_filters = 2;
        and.filters = or.filters = lists[i];
        pb_access_log_filter pb = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__INIT;
        pb.filter_specifier_case = SPECIFIER(AND_FILTER);
        pb.and_filter = &and;
        assert_int_equal(passes(&pb, NULL), want_and[i]);
        pb.filter_specifier_case = SPECIFIER(OR_FILTER);
        pb.or_filter = &or;
        assert_int_equal(passes(&pb, NULL), want_or[i]);
    }
}

static void test_headers_flags_and_grpc_status(void **state)
{
    (void)state;
    pb_access_log_filter pb = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__INIT;
    pb_header_matcher matcher = ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__INIT;
    matcher.name = (char *)"x-log";
    Envoy__Config__Accesslog__V3__HeaderFilter header = ENVOY__CONFIG__ACCESSLOG__V3__HEADER_FILTER__INIT;
    header.header = &matcher;
    pb.filter_specifier_case = SPECIFIER(HEADER_FILTER);
    pb.header_filter = &header;
    assert_false(passes(&pb, NULL));
    weir_headers_add_name(&headers, S("x-log"), S("1"));
    assert_true(passes(&pb, NULL));
    r.headers = NULL;
    assert_false(passes(&pb, NULL));

    Envoy__Config__Accesslog__V3__ResponseFlagFilter flags = ENVOY__CONFIG__ACCESSLOG__V3__RESPONSE_FLAG_FILTER__INIT;
    pb.filter_specifier_case = SPECIFIER(RESPONSE_FLAG_FILTER);
    pb.response_flag_filter = &flags;
    assert_false(passes(&pb, NULL)); /* no names: any flag */
    r.flags = WEIR_FLAG(NO_ROUTE_FOUND);
    assert_true(passes(&pb, NULL));
    char *names[] = {(char *)"UF", (char *)"URX"};
    flags.n_flags = 2;
    flags.flags = names;
    assert_false(passes(&pb, NULL));
    r.flags |= WEIR_FLAG(RETRY_LIMIT_EXCEEDED);
    assert_true(passes(&pb, NULL));

    Envoy__Config__Accesslog__V3__GrpcStatusFilter grpc = ENVOY__CONFIG__ACCESSLOG__V3__GRPC_STATUS_FILTER__INIT;
    Envoy__Config__Accesslog__V3__GrpcStatusFilter__Status statuses[] = {14, 5};
    grpc.n_statuses = 2;
    grpc.statuses = statuses;
    pb.filter_specifier_case = SPECIFIER(GRPC_STATUS_FILTER);
    pb.grpc_status_filter = &grpc;
    assert_false(passes(&pb, NULL));
    r.status = 503; /* Unavailable, where no gRPC status came */
    assert_true(passes(&pb, NULL));
    grpc.exclude = true;
    assert_false(passes(&pb, NULL));
}

static void test_runtime_fraction_follows_the_request_id(void **state)
{
    (void)state;
    Envoy__Type__V3__FractionalPercent percent = ENVOY__TYPE__V3__FRACTIONAL_PERCENT__INIT;
    Envoy__Config__Accesslog__V3__RuntimeFilter runtime = ENVOY__CONFIG__ACCESSLOG__V3__RUNTIME_FILTER__INIT;
    runtime.runtime_key = (char *)"log.fraction";
    pb_access_log_filter pb = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__INIT;
    pb.filter_specifier_case = SPECIFIER(RUNTIME_FILTER);
    pb.runtime_filter = &runtime;
    assert_false(passes(&pb, NULL)); /* 0% by default */
    percent.numerator = 50;
    runtime.percent_sampled = &percent;
    r.random = 99;
    r.request_id = S("00000031-0000-4000-8000-000000000000"); /* 49 */
    assert_true(passes(&pb, NULL));
    r.request_id = S("00000032-0000-4000-8000-000000000000"); /* 50 */
    assert_false(passes(&pb, NULL));
    r.random = 7;
    assert_false(passes(&pb, NULL));
    runtime.use_independent_randomness = true;
    assert_true(passes(&pb, NULL));
}

static void test_metadata_and_log_type(void **state)
{
    (void)state;
    Envoy__Type__Matcher__V3__MetadataMatcher__PathSegment key = ENVOY__TYPE__MATCHER__V3__METADATA_MATCHER__PATH_SEGMENT__INIT;
    Envoy__Type__Matcher__V3__MetadataMatcher__PathSegment *keys[] = {&key};
    key.segment_case = ENVOY__TYPE__MATCHER__V3__METADATA_MATCHER__PATH_SEGMENT__SEGMENT_KEY;
    key.key = (char *)"b";
    pb_value_matcher value = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__INIT;
    value.match_pattern_case = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_BOOL_MATCH;
    value.bool_match = true;
    pb_metadata_matcher matcher = ENVOY__TYPE__MATCHER__V3__METADATA_MATCHER__INIT;
    matcher.filter = (char *)"ns";
    matcher.n_path = 1;
    matcher.path = keys;
    matcher.value = &value;
    Google__Protobuf__BoolValue missing = GOOGLE__PROTOBUF__BOOL_VALUE__INIT;
    Envoy__Config__Accesslog__V3__MetadataFilter filter = ENVOY__CONFIG__ACCESSLOG__V3__METADATA_FILTER__INIT;
    filter.matcher = &matcher;
    pb_access_log_filter pb = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__INIT;
    pb.filter_specifier_case = SPECIFIER(METADATA_FILTER);
    pb.metadata_filter = &filter;
    assert_true(passes(&pb, NULL)); /* a missing key matches by default */
    filter.match_if_key_not_found = &missing;
    assert_false(passes(&pb, NULL));
    struct weir_metadata metadata = {0};
    struct weir_value_field field = {S("b"), {.kind = WEIR_VALUE_BOOL, .boolean = true}};
    struct weir_value tree = weir_value_struct(c.arena, &field, 1);
    weir_metadata_merge(&metadata, c.arena, S("ns"), &tree);
    r.metadata = &metadata;
    assert_true(passes(&pb, NULL));
    value.bool_match = false;
    assert_false(passes(&pb, NULL));

    Envoy__Config__Accesslog__V3__LogTypeFilter types = ENVOY__CONFIG__ACCESSLOG__V3__LOG_TYPE_FILTER__INIT;
    Envoy__Data__Accesslog__V3__AccessLogType end[] = {6}, start[] = {4};
    types.n_types = 1;
    types.types = end;
    pb.filter_specifier_case = SPECIFIER(LOG_TYPE_FILTER);
    pb.log_type_filter = &types;
    assert_true(passes(&pb, NULL));
    types.types = start;
    assert_false(passes(&pb, NULL));
    types.exclude = true;
    assert_true(passes(&pb, NULL));
}

static void test_unsupported_filters_are_refused_by_name(void **state)
{
    (void)state;
    const struct weir_access_log_filter *f;
    pb_access_log_filter pb = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__INIT;
    assert_int_equal(weir_access_log_filter_compile(&c, &pb, &f), WEIR_ERR_INVALID);
    pb.filter_specifier_case = SPECIFIER(TRACEABLE_FILTER);
    assert_int_equal(weir_access_log_filter_compile(&c, &pb, &f), WEIR_ERR_INVALID);
    assert_string_equal(error.text, "traceable_filter: is not supported");
}

static pb_access_log log_pb(void)
{
    static Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    pb_access_log pb = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG__INIT;
    pb.config_type_case = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG__CONFIG_TYPE_TYPED_CONFIG;
    pb.typed_config = &any;
    return pb;
}

static void assert_file(const char *want)
{
    char got[1024];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
    (void)fclose(f);
    assert_string_equal(got, want);
}

static void test_lines_of_passing_streams_reach_the_file(void **state)
{
    (void)state;
    struct weir_log_sinks *sinks = weir_log_sinks_create(1, 60000, NULL);
    c.log_sinks = sinks;
    pb_file_access_log file = ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__INIT;
    file.path = path;
    file.access_log_format_case = ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_FORMAT;
    file.format = (char *)"%RESPONSE_CODE% %DURATION%\n";
    any_content = &file.base;
    pb_access_log_filter filter = status_filter(1, 400);
    pb_access_log all = log_pb(), errors = log_pb(), *both[] = {&all, &errors};
    errors.filter = &filter;
    struct weir_access_logs logs;
    assert_int_equal(weir_access_logs_compile(&c, "access_log", 2, (void *const *)both, &logs), WEIR_OK);
    weir_access_logs_write(&logs, &r, NULL, 0);
    r.status = 404;
    weir_access_logs_write(&logs, &r, NULL, 0);
    weir_log_sinks_flush(sinks);
    assert_file("200 25\n404 25\n404 25\n");
    weir_arena_destroy(c.arena); /* gives the sinks back */
    c.arena = weir_arena_create();
    weir_log_sinks_destroy(sinks);
}

static void test_without_sinks_nothing_is_opened_or_written(void **state)
{
    (void)state;
    pb_file_access_log file = ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__INIT;
    file.path = (char *)"/nonexistent/x";
    any_content = &file.base;
    pb_access_log one = log_pb(), *list[] = {&one};
    struct weir_access_logs logs;
    assert_int_equal(weir_access_logs_compile(&c, "access_log", 1, (void *const *)list, &logs), WEIR_OK);
    weir_access_logs_write(&logs, &r, NULL, 0);
}

static void test_refusals_name_the_log(void **state)
{
    (void)state;
    struct weir_log_sinks *sinks = weir_log_sinks_create(1, 60000, NULL);
    c.log_sinks = sinks;
    pb_file_access_log file = ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__INIT;
    file.path = (char *)"/nonexistent/x";
    any_content = &file.base;
    pb_access_log one = log_pb(), *list[] = {&one};
    struct weir_access_logs logs;
    assert_int_equal(weir_access_logs_compile(&c, "access_log", 1, (void *const *)list, &logs), WEIR_ERR_INVALID);
    assert_string_equal(error.text, "access_log[0].typed_config.path: cannot open '/nonexistent/x': No such file or directory");
    any_content = &one.base;
    assert_int_equal(weir_access_logs_compile(&c, "access_log", 1, (void *const *)list, &logs), WEIR_ERR_INVALID);
    assert_string_equal(error.text, "access_log[0].typed_config: access logger 'envoy.config.accesslog.v3.AccessLog' is not supported");
    one.config_type_case = ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG__CONFIG_TYPE__NOT_SET;
    assert_int_equal(weir_access_logs_compile(&c, "access_log", 1, (void *const *)list, &logs), WEIR_ERR_INVALID);
    assert_int_equal(c.path_length, 0);
    weir_log_sinks_destroy(sinks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_comparisons_with_status_and_duration, setup, teardown),
        cmocka_unit_test_setup_teardown(test_and_or_and_health_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_headers_flags_and_grpc_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_runtime_fraction_follows_the_request_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metadata_and_log_type, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unsupported_filters_are_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_of_passing_streams_reach_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_sinks_nothing_is_opened_or_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals_name_the_log, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
