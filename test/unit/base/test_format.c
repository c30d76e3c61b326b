/* base/format.c, format_args.c, format_values.c, format_tables.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/format.h"
#include "dataplane/base/format_command.h"
#include "dataplane/base/metadata.h"

#define S WEIR_STR

struct fixture {
    struct weir_arena *arena;
    struct weir_error error;
    struct weir_compile c;
    struct weir_headers request, response, trailers;
    struct weir_address direct, local;
    struct weir_metadata metadata;
    struct weir_request r;
    struct weir_str body;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->arena = weir_arena_create();
    f->c = (struct weir_compile){.arena = f->arena, .error = &f->error, .scratch = f->arena};
    weir_headers_init(&f->request, f->arena);
    weir_headers_init(&f->response, f->arena);
    weir_headers_init(&f->trailers, f->arena);
    weir_headers_add(&f->request, WEIR_H_METHOD, S("GET"));
    weir_headers_add(&f->request, WEIR_H_AUTHORITY, S("a.test"));
    weir_headers_add(&f->request, WEIR_H_PATH, S("/p/q?x=1&y=a%20b&x=2"));
    weir_headers_add(&f->request, WEIR_H_USER_AGENT, S("ua"));
    weir_headers_add(&f->request, WEIR_H_X_REQUEST_ID, S("id-1"));
    weir_headers_add_name(&f->request, S("x-multi"), S("one"));
    weir_headers_add_name(&f->request, S("x-multi"), S("two"));
    weir_headers_add_name(&f->request, S("x-empty"), S(""));
    weir_headers_add(&f->response, WEIR_H_STATUS, S("200"));
    weir_headers_add(&f->response, WEIR_H_X_ENVOY_UPSTREAM_SERVICE_TIME, S("3"));
    f->r.headers = &f->request;
    f->r.response_headers = &f->response;
    f->r.protocol = WEIR_HTTP11;
    f->r.upstream_protocol = WEIR_HTTP2;
    f->r.status = 200;
    f->r.start_wall_ns = 1527590590528123456u;
    f->r.start_ns = 1000000000u;
    f->r.last_downstream_rx_ns = 1002000000u;
    f->r.first_upstream_rx_ns = 1005500000u;
    f->r.end_ns = 1009999999u;
    f->r.request_body_bytes = 12;
    f->r.response_body_bytes = 34;
    f->r.request_id = S("id-1");
    f->r.connection_id = 77;
    (void)weir_address_parse(S("10.1.10.23"), 4000, &f->direct);
    (void)weir_address_parse(S("127.0.0.1"), 8080, &f->local);
    f->r.downstream_direct_remote = &f->direct;
    (void)weir_address_parse(S("1.2.3.4"), 0, &f->r.downstream_remote);
    f->r.downstream_local = &f->local;
    (void)weir_address_parse(S("2001:db8:1234:5678:9abc::1"), 9000, &f->r.upstream_host);
    f->r.metadata = &f->metadata;
    *state = f;
    return 0;
}
static int teardown(void **state)
{
    struct fixture *f = *state;
    weir_arena_destroy(f->arena);
    free(f);
    return 0;
}

static const struct weir_format *compile(struct fixture *f, const char *text)
{
    struct weir_format *out = NULL;
    enum weir_err err = weir_format_compile(&f->c, "format", weir_str_of(text), &out);
    if (err != WEIR_OK) fail_msg("%s: %s", text, f->error.text);
    return out;
}

static void assert_prints(struct fixture *f, const char *text, const char *want)
{
    struct weir_text out = {.arena = f->arena};
    weir_format_print(compile(f, text), &f->r, f->body, S("-"), &out);
    if (!weir_str_eq((struct weir_str){out.p, out.n}, weir_str_of(want)))
        fail_msg("%s gives \"%.*s\", not \"%s\"", text, (int)out.n, out.p != NULL ? out.p : "", want);
}

static void assert_json(struct fixture *f, const char *text, const char *want)
{
    struct weir_text out = {.arena = f->arena};
    weir_format_print_json(compile(f, text), &f->r, f->body, &out);
    if (!weir_str_eq((struct weir_str){out.p, out.n}, weir_str_of(want)))
        fail_msg("%s gives %.*s, not %s", text, (int)out.n, out.p, want);
}

static void assert_refused(struct fixture *f, const char *text, const char *why)
{
    struct weir_format *out = NULL;
    assert_int_equal(weir_format_compile(&f->c, "format", weir_str_of(text), &out), WEIR_ERR_INVALID);
    if (strstr(f->error.text, why) == NULL) fail_msg("%s: \"%s\" does not name \"%s\"", text, f->error.text, why);
}

static void test_text_without_commands_is_constant(void **state)
{
    struct fixture *f = *state;
    assert_true(weir_str_eq(weir_format_constant(compile(f, "100%% sure")), S("100% sure")));
    assert_non_null(weir_format_constant(compile(f, "")).p);
    assert_null(weir_format_constant(compile(f, "%PROTOCOL%")).p);
    assert_false(weir_format_is_single(compile(f, "x")));
    assert_true(weir_format_is_single(compile(f, "%PROTOCOL%")));
    assert_false(weir_format_is_single(compile(f, "%PROTOCOL% ")));
    assert_prints(f, "%%%PROTOCOL%%%", "%HTTP/1.1%");
}

static void test_refusals_name_command_and_position(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, "ab %NOPE% c", "format: format: unknown command at position 3: '%NOPE%'");
    assert_refused(f, "%CEL(1)%", "command is not supported at position 0");
    assert_refused(f, "100%", "no complete command at position 3: '%'");
    assert_refused(f, "a%protocol%", "no complete command at position 1");
    assert_refused(f, "%REQ(x%", "no complete command");
    assert_refused(f, "%REQ(x):%", "no complete command");
    assert_refused(f, "%REQ(x):99999999999%", "no complete command");
    assert_refused(f, "%REQ%", "needs a header name");
    assert_refused(f, "%REQ()%", "needs a header name");
    assert_refused(f, "%REQ(a?b?c)%", "more than one alternative");
    assert_refused(f, "%REQ(a b)%", "invalid header name");
    assert_refused(f, "%PROTOCOL(x)%", "takes no arguments");
    assert_refused(f, "%START_TIME(%Q)%", "invalid time format");
    assert_refused(f, "%GRPC_STATUS(X)%", "CAMEL_STRING");
    assert_refused(f, "%COMMON_DURATION(DS_RX_BEG:DS_RX_END)%", "START:END:PRECISION");
    assert_refused(f, "%COMMON_DURATION(DS_RX_BEG:DS_RX_END:m)%", "precision");
    assert_refused(f, "%DYNAMIC_METADATA(:x)%", "namespace");
    assert_refused(f, "%METADATA(LISTENER:x)%", "metadata type");
    assert_refused(f, "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(129)%", "prefix length");
    assert_refused(f, "%COALESCE({})%", "operators");
    assert_refused(f, "%COALESCE({\"operators\":[\"NOPE\"]})%", "unknown command");
}

static void test_default_line(void **state)
{
    struct fixture *f = *state;
    struct weir_text out = {.arena = f->arena};
    weir_format_print(compile(f, weir_format_default_text.p), &f->r, f->body, S("-"), &out);
    const char *want = "[2018-05-29T10:43:10.528Z] \"GET /p/q?x=1&y=a%20b&x=2 HTTP/1.1\" 200 - 12 34 9 3 \"-\" \"ua\" \"id-1\" "
                       "\"a.test\" \"[2001:db8:1234:5678:9abc::1]:9000\"\n";
    assert_int_equal(out.n, strlen(want));
    assert_memory_equal(out.p, want, out.n);
}

static void test_headers(void **state)
{
    struct fixture *f = *state;
    assert_prints(f, "%REQ(X-MULTI)%", "one");
    assert_prints(f, "%REQ(X-None?User-Agent)%", "ua");
    assert_prints(f, "%REQ(X-None?X-Neither)%", "-");
    assert_prints(f, "%REQ(X-Empty)%", "");
    assert_prints(f, "%REQ(host)%", "a.test");
    assert_prints(f, "%REQ(:PATH):3%", "/p/");
    assert_prints(f, "%REQUEST_HEADER(:PATH):0%", "");
    assert_prints(f, "%RESP(:STATUS)%", "200");
    assert_prints(f, "%TRAILER(x)%", "-");
    assert_prints(f, "%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%", "/p/q");
    f->r.headers = NULL;
    assert_prints(f, "%REQ(:PATH)%", "-");
}

static void test_paths_and_queries(void **state)
{
    struct fixture *f = *state;
    assert_prints(f, "%PATH%", "/p/q?x=1&y=a%20b&x=2");
    assert_prints(f, "%PATH(NQ)%", "/p/q");
    assert_prints(f, "%PATH(NQ:ORIG)%", "-");
    weir_headers_set(&f->request, WEIR_H_X_ENVOY_ORIGINAL_PATH, S("/o?z"));
    assert_prints(f, "%PATH(NQ)%", "/o");
    assert_prints(f, "%PATH(WQ:ORIG)%", "/o?z");
    assert_prints(f, "%PATH(NQ:PATH)%", "/p/q");
    assert_refused(f, "%PATH(XX)%", "unknown argument");
    assert_prints(f, "%QUERY_PARAM(x)%", "1");
    assert_prints(f, "%QUERY_PARAM(y)%", "a b");
    assert_prints(f, "%QUERY_PARAM(z)%", "-");
    assert_prints(f, "%QUERY_PARAMS%", "x=1&y=a%20b&x=2");
    assert_prints(f, "%QUERY_PARAMS(DECODED)%", "x=1&y=a%20b&x=2"); /* only to what can be seen */
    weir_headers_set(&f->request, WEIR_H_PATH, S("/?a=%41%2Fb&e=%zz&c=%C3%A9"));
    assert_prints(f, "%QUERY_PARAMS(DECODED)%", "a=A/b&e=%zz&c=%C3%A9");
    assert_prints(f, "%QUERY_PARAM(c)%", "\xc3\xa9");
}

static void test_durations_and_times(void **state)
{
    struct fixture *f = *state;
    assert_prints(f, "%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%", "9 2 5 -");
    assert_prints(f, "%COMMON_DURATION(DS_RX_BEG:DS_RX_END:us)%", "2000");
    assert_prints(f, "%COMMON_DURATION(US_RX_BEG:DS_RX_END:ns)%", "-3500000");
    assert_prints(f, "%COMMON_DURATION(DS_RX_BEG:MINE:ms)%", "-");
    assert_prints(f, "%START_TIME(%Y/%m/%dT%H:%M:%S%z)%|%START_TIME(%s.%3f)%", "2018/05/29T10:43:10+0000|1527590590.528");
    assert_json(f, "%START_TIME%", "\"2018-05-29T10:43:10.528Z\"");
}

static void test_addresses(void **state)
{
    struct fixture *f = *state;
    assert_prints(f, "%DOWNSTREAM_REMOTE_ADDRESS%", "1.2.3.4:0");
    assert_prints(f, "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_PORT%", "10.1.10.23 4000");
    assert_prints(f, "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT(16)%", "10.1.0.0/16");
    assert_prints(f, "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(64)%", "2001:db8:1234:5678::/64");
    assert_prints(f, "%DOWNSTREAM_LOCAL_ADDRESS%", "127.0.0.1:8080");
    assert_prints(f, "%UPSTREAM_LOCAL_ADDRESS%", "-");
    assert_prints(f, "%UPSTREAM_HOST_NAME%|%UPSTREAM_HOST_NAME_WITHOUT_PORT%",
                  "[2001:db8:1234:5678:9abc::1]:9000|2001:db8:1234:5678:9abc::1");
    f->r.upstream_hostname = S("db.test:9000");
    assert_prints(f, "%UPSTREAM_HOST_NAME%|%UPSTREAM_HOST_NAME_WITHOUT_PORT%", "db.test:9000|db.test");
    assert_json(f, "%DOWNSTREAM_LOCAL_PORT%", "8080");
    f->r.downstream_local = NULL;
    assert_prints(f, "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_PORT%", "- -");
}

static void test_flags_and_details(void **state)
{
    struct fixture *f = *state;
    assert_prints(f, "%RESPONSE_FLAGS%", "-");
    f->r.flags = WEIR_FLAG(UPSTREAM_REQUEST_TIMEOUT);
    assert_prints(f, "%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%", "UT UpstreamRequestTimeout");
    f->r.flags |= WEIR_FLAG(NO_ROUTE_FOUND) | WEIR_FLAG(UNCONDITIONAL_DROP_OVERLOAD);
    assert_prints(f, "%RESPONSE_FLAGS%", "UT,NR,UDO");
    f->r.flags_first = WEIR_FLAG(UNCONDITIONAL_DROP_OVERLOAD);
    assert_prints(f, "%RESPONSE_FLAGS%", "UDO,UT,NR");
    assert_prints(f, "%RESPONSE_CODE_DETAILS%", "-");
    f->r.code_details = S("via upstream");
    assert_prints(f, "%RESPONSE_CODE_DETAILS% %RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%", "via_upstream via upstream");
    f->body = S("no \"route\"\n");
    assert_prints(f, "%LOCAL_REPLY_BODY%", "no \"route\"\n");
    assert_json(f, "%LOCAL_REPLY_BODY%", "\"no \\\"route\\\"\\n\"");
}

static void test_grpc_status(void **state)
{
    struct fixture *f = *state;
    assert_json(f, "%GRPC_STATUS%", "null");
    f->r.is_grpc = true;
    assert_prints(f, "%GRPC_STATUS% %GRPC_STATUS_NUMBER%", "Unknown 2"); /* a gRPC answer without a status */
    f->r.status = 404;
    assert_prints(f, "%GRPC_STATUS%", "Unimplemented");
    weir_headers_set(&f->response, WEIR_H_GRPC_STATUS, S("5"));
    assert_prints(f, "%GRPC_STATUS(SNAKE_STRING)%", "NOT_FOUND");
    f->r.response_trailers = &f->trailers;
    weir_headers_set(&f->trailers, WEIR_H_GRPC_STATUS, S("14"));
    assert_json(f, "%GRPC_STATUS%", "\"Unavailable\"");
    assert_json(f, "%GRPC_STATUS(NUMBER)%", "14");
    weir_headers_set(&f->trailers, WEIR_H_GRPC_STATUS, S("99"));
    assert_prints(f, "%GRPC_STATUS%", "99");
    weir_headers_set(&f->trailers, WEIR_H_GRPC_STATUS, S("x"));
    assert_prints(f, "%GRPC_STATUS_NUMBER%", "-1");
}

static void test_metadata_by_path(void **state)
{
    struct fixture *f = *state;
    struct weir_value_field inner[] = {{S("inner_key"), {.kind = WEIR_VALUE_STRING, .string = S("bar")}}};
    struct weir_value_field outer[] = {{S("test_key"), {.kind = WEIR_VALUE_STRING, .string = S("foo")}},
                                       {S("test_object"), weir_value_struct(f->arena, inner, 1)},
                                       {S("n"), {.kind = WEIR_VALUE_NUMBER, .number = 1.5}},
                                       {S("none"), {.kind = WEIR_VALUE_NULL}}};
    struct weir_value tree = weir_value_struct(f->arena, outer, 4);
    weir_metadata_merge(&f->metadata, f->arena, S("com.test"), &tree);
    assert_prints(f, "%DYNAMIC_METADATA(com.test:test_key)%", "foo");
    assert_prints(f, "%DYNAMIC_METADATA(com.test:test_key):2%", "fo");
    assert_prints(f, "%DYNAMIC_METADATA(com.test:test_object):2%", "{\"inner_key\":\"bar\"}");
    assert_prints(f, "%DYNAMIC_METADATA(com.test:test_object:inner_key)%", "bar");
    assert_prints(f, "%METADATA(DYNAMIC:com.test)%",
                  "{\"n\":1.5,\"none\":null,\"test_key\":\"foo\",\"test_object\":{\"inner_key\":\"bar\"}}");
    assert_prints(f, "%DYNAMIC_METADATA(com.test:unknown)% %DYNAMIC_METADATA(x)% %DYNAMIC_METADATA(com.test:none)%", "- - -");
    assert_json(f, "%DYNAMIC_METADATA(com.test:n)%", "1.5");
    assert_json(f, "%DYNAMIC_METADATA(com.test:test_key)%", "\"foo\"");
    assert_json(f, "%DYNAMIC_METADATA(com.test:test_object)%", "{\"inner_key\":\"bar\"}");
    assert_prints(f, "%CLUSTER_METADATA(com.test)%", "-");
    f->r.cluster_metadata = &f->metadata;
    assert_prints(f, "%CLUSTER_METADATA(com.test:test_key)% %METADATA(CLUSTER:com.test:test_key)%", "foo foo");
}

static void test_tls(void **state)
{
    struct fixture *f = *state;
    assert_prints(f, "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_CERT_V_START%", "- - -");
    struct weir_str uris[] = {S("spiffe://a"), S("spiffe://b")};
    struct weir_tls_info tls = {.version = S("TLSv1.3"), .peer_uri_sans = uris, .peer_uri_san_count = 2, .peer_valid_from_s = 1527590590};
    f->r.tls = &tls;
    assert_prints(f, "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_DNS_SAN%", "TLSv1.3 spiffe://a,spiffe://b -");
    assert_prints(f, "%DOWNSTREAM_PEER_CERT_V_START% %DOWNSTREAM_PEER_CERT_V_START(%s)%", "2018-05-29T10:43:10.000Z 1527590590");
    assert_prints(f, "%REQUESTED_SERVER_NAME% %REQUESTED_SERVER_NAME(SNI_FIRST:HOST)%", "- a.test");
    f->r.requested_server_name = S("sni.test");
    assert_prints(f, "%REQUESTED_SERVER_NAME% %REQUESTED_SERVER_NAME(HOST_FIRST)%", "sni.test a.test");
}

static void test_json_keeps_numbers_and_shows_absent_as_null(void **state)
{
    struct fixture *f = *state;
    assert_json(f, "%RESPONSE_CODE%", "200");
    assert_json(f, "%CONNECTION_ID%", "77");
    assert_json(f, "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "0");
    assert_json(f, "%ROUTE_NAME%", "null");
    assert_json(f, "%ROUTE_NAME%/%RESPONSE_CODE%", "\"-/200\"");
    assert_json(f, "plain", "\"plain\"");
    assert_json(f, "", "\"\"");
    assert_json(f, "%LOCAL_REPLY_BODY%", "\"\"");
}

static void test_json_strings_are_escaped_and_stay_json_for_any_bytes(void **state)
{
    struct fixture *f = *state;
    struct weir_text t = {.arena = f->arena};
    weir_text_add_json_string(&t, (struct weir_str){"\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9", 13});
    assert_int_equal(t.n, strlen("\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9\""));
    assert_memory_equal(t.p, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9\"", t.n);
    t.n = 0;
    weir_text_add_json_string(&t, S("a\xff\xc3"));
    assert_int_equal(t.n, strlen("\"a\\u00ff\\u00c3\""));
    assert_memory_equal(t.p, "\"a\\u00ff\\u00c3\"", t.n);
}

static void test_coalesce_takes_the_first_value(void **state)
{
    struct fixture *f = *state;
    const char *text = "%COALESCE({\"operators\": [\"REQUESTED_SERVER_NAME\", {\"command\": \"REQ\", \"param\": \":authority\", \"max_length\": 4}]})%";
    assert_prints(f, text, "a.te");
    f->r.requested_server_name = S("sni.test");
    assert_prints(f, text, "sni.test");
    assert_prints(f, "%COALESCE({\"operators\": [\"ROUTE_NAME\"]})%", "-");
}

static void test_values_that_are_never_absent(void **state)
{
    struct fixture *f = *state;
    assert_json(f, "%ENVIRONMENT(WEIR_TEST_UNSET)%", "\"-\"");
    assert_json(f, "%CUSTOM_FLAGS%", "\"\"");
    assert_json(f, "%DOWNSTREAM_DETECTED_CLOSE_TYPE%", "\"Normal\"");
    assert_json(f, "%UPSTREAM_DETECTED_CLOSE_TYPE%", "\"Normal\"");
    f->r.upstream_host = (struct weir_address){0};
    assert_json(f, "%UPSTREAM_DETECTED_CLOSE_TYPE%", "null");
    f->r.downstream_close_type = S("RemoteReset");
    assert_json(f, "%DOWNSTREAM_DETECTED_CLOSE_TYPE%", "\"RemoteReset\"");
}

static void test_environment_and_host(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(setenv("WEIR_TEST_VARIABLE", "here", 1), 0);
    assert_prints(f, "%ENVIRONMENT(WEIR_TEST_VARIABLE):3% %ENVIRONMENT(WEIR_TEST_UNSET)%", "her -");
    struct weir_text out = {.arena = f->arena};
    weir_format_print(compile(f, "%HOSTNAME%"), &f->r, f->body, S("-"), &out);
    assert_true(out.n != 0);
}

static void test_every_command_prints_for_an_empty_request(void **state)
{
    struct fixture *f = *state;
    struct weir_request empty = {0};
    for (size_t i = 0; i < weir_format_command_count; i++) {
        static const char *const arguments[] = {"", "(x)", "(DYNAMIC:x)", "(DS_RX_BEG:DS_RX_END:ms)", "({\"operators\":[\"PROTOCOL\"]})"};
        bool compiled = false;
        for (size_t k = 0; k < sizeof(arguments) / sizeof(arguments[0]); k++) {
            struct weir_format *format = NULL;
            struct weir_str text = weir_arena_printf(f->arena, "%%%s%s%%", weir_format_commands[i].name, arguments[k]);
            if (weir_format_compile(&f->c, NULL, text, &format) != WEIR_OK) continue;
            compiled = true;
            struct weir_text out = {.arena = f->arena}, json = {.arena = f->arena};
            weir_format_print(format, &empty, S(""), S("-"), &out);
            weir_format_print_json(format, &empty, S(""), &json);
            assert_true(json.n != 0);
        }
        if (!compiled) fail_msg("%s", weir_format_commands[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text_without_commands_is_constant, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals_name_command_and_position, setup, teardown),
        cmocka_unit_test_setup_teardown(test_default_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paths_and_queries, setup, teardown),
        cmocka_unit_test_setup_teardown(test_durations_and_times, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flags_and_details, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grpc_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metadata_by_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_keeps_numbers_and_shows_absent_as_null, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_strings_are_escaped_and_stay_json_for_any_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_coalesce_takes_the_first_value, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values_that_are_never_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_environment_and_host, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_command_prints_for_an_empty_request, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
