/* Route tables from their messages: which route and cluster a request gets, what it is turned into, where redirects lead, what
 * is refused and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"
#include "dataplane/route/rate_limit.h"
#include "dataplane/route/route.h"
#include "test/unit/support/pb_text.h"

struct fixture {
    struct weir_arena *arena;
    struct weir_error error;
    struct weir_compile c;
    struct weir_route_table *table;
    struct weir_headers h;
    struct weir_request r;
    struct weir_route_result m;
};
static struct fixture f;

static uint32_t cluster_slot(void *ctx, struct weir_str name)
{
    (void)ctx;
    return (uint32_t)name.n;
}
static const struct weir_compile_names names = {.cluster_slot = cluster_slot};

static int marker;
static enum weir_err compile_filter(struct weir_compile *c, struct weir_str name, const void *any, struct weir_filter_route_config *out)
{
    (void)any;
    if (weir_str_eq(name, WEIR_STR("optional")))
        return WEIR_OK;
    if (weir_str_eq(name, WEIR_STR("bad")))
        return weir_reject(c, NULL, "no such filter");
    out->filter = &marker;
    out->config = c->arena;
    return WEIR_OK;
}
static const struct weir_compile_filters filters = {.compile_route = compile_filter};

static int setup(void **state)
{
    (void)state;
    f = (struct fixture){.arena = weir_arena_create()};
    f.c = (struct weir_compile){.error = &f.error, .scratch = f.arena, .names = &names};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (f.table != NULL)
        weir_resource_release(&f.table->resource);
    weir_arena_destroy(f.arena);
    return 0;
}

static void load(const char *json)
{
    const ProtobufCMessage *pb = pb_text(f.arena, &pb_route_configuration_type, json);
    if (f.table != NULL)
        weir_resource_release(&f.table->resource);
    f.table = NULL;
    if (weir_route_table_compile(&f.c, pb, &filters, &f.table) == WEIR_OK)
        return;
    print_error("%s\n", f.error.text);
    _fail(__FILE__, __LINE__);
}
/* One virtual host of every domain with these routes. */
static void load_routes(const char *routes)
{
    load(weir_arena_printf(f.arena, "{'name': 'r', 'virtual_hosts': [{'name': 'v', 'domains': ['*'], 'routes': [%s]}]}", routes).p);
}

static void refused(const char *json, const char *text)
{
    const ProtobufCMessage *pb = pb_text(f.arena, &pb_route_configuration_type, json);
    struct weir_route_table *t = NULL;
    f.c.path_length = 0;
    f.c.path[0] = '\0';
    assert_int_not_equal(weir_route_table_compile(&f.c, pb, &filters, &t), WEIR_OK);
    assert_null(t);
    assert_null(f.c.resource);
    assert_string_equal(f.error.text, text);
}
static void refused_route(const char *route, const char *text)
{
    refused(weir_arena_printf(f.arena, "{'name': 'r', 'virtual_hosts': [{'name': 'v', 'domains': ['*'], 'routes': [%s]}]}", route).p, text);
}

/* GET http://a.test PATH and more headers ("name: value", NULL ends). */
static void request(const char *path, ...)
{
    weir_headers_init(&f.h, f.arena);
    weir_headers_add(&f.h, WEIR_H_AUTHORITY, WEIR_STR("a.test"));
    weir_headers_add(&f.h, WEIR_H_PATH, weir_str_of(path));
    weir_headers_add(&f.h, WEIR_H_METHOD, WEIR_STR("GET"));
    weir_headers_add(&f.h, WEIR_H_SCHEME, WEIR_STR("http"));
    weir_headers_add(&f.h, WEIR_H_X_FORWARDED_PROTO, WEIR_STR("http"));
    va_list args;
    va_start(args, path);
    for (const char *line; (line = va_arg(args, const char *)) != NULL;) {
        const char *colon = strchr(line + 1, ':');
        struct weir_str name = {line, (size_t)(colon - line)};
        if (line[0] == ':')
            weir_headers_set_name(&f.h, name, weir_str_of(colon + 2));
        else
            weir_headers_add_name(&f.h, name, weir_str_of(colon + 2));
    }
    va_end(args);
    f.r = (struct weir_request){.headers = &f.h, .arena = f.arena};
    weir_route_find(f.table, &f.r, NULL, &f.m);
}

static int chosen(void)
{
    return f.m.route != NULL ? (int)f.m.route->order : -1;
}

static void assert_str(struct weir_str s, const char *expected)
{
    if (weir_str_eq(s, weir_str_of(expected)))
        return;
    print_error("have: %.*s\nwant: %s\n", WEIR_STR_ARG(s), expected);
    _fail(__FILE__, __LINE__);
}
static void assert_header(const char *name, const char *expected)
{
    struct weir_str value = weir_headers_get_joined(&f.h, weir_str_of(name), f.arena);
    if (expected == NULL)
        assert_null(value.p);
    else
        assert_str(value, expected);
}

static void test_kinds_of_paths(void **state)
{
    (void)state;
    load_routes("{'match': {'path': '/exact'}, 'route': {'cluster': 'a'}},"
                "{'match': {'path': '/CASE', 'case_sensitive': false}, 'route': {'cluster': 'a'}},"
                "{'match': {'path_separated_prefix': '/api'}, 'route': {'cluster': 'a'}},"
                "{'match': {'safe_regex': {'regex': '/n[0-9]+'}}, 'route': {'cluster': 'a'}},"
                "{'match': {'connect_matcher': {}}, 'route': {'cluster': 'a'}},"
                "{'match': {'prefix': '/p'}, 'route': {'cluster': 'abc'}}");
    static const struct {
        const char *path;
        int order;
    } rows[] = {{"/exact", 0},  {"/exact?q", 0}, {"/exact/", -1},  {"/caSe", 1}, {"/api", 2},   {"/api/x", 2}, {"/apix", -1},
                {"/n12", 3},    {"/n12/", -1},   {"/n12?x=/n", 3}, {"/p", 5},    {"/pp?x", 5},  {"/P", -1},    {"/", -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        request(rows[i].path, NULL);
        if (chosen() != rows[i].order) {
            print_error("%s: %d\n", rows[i].path, chosen());
            _fail(__FILE__, __LINE__);
        }
    }
    request("/p", NULL);
    assert_int_equal(f.m.cluster_slot, 3);
    assert_str(f.m.cluster_name, "abc");
    request("/", ":method: CONNECT", NULL);
    weir_headers_remove(&f.h, WEIR_H_PATH);
    weir_route_find(f.table, &f.r, NULL, &f.m);
    assert_int_equal(chosen(), 4);
}

static void test_headers_and_query(void **state)
{
    (void)state;
    load_routes("{'match': {'prefix': '/', 'headers': [{'name': 'X-A', 'string_match': {'exact': '1'}}]}, 'route': {'cluster': 'a'}},"
                "{'match': {'prefix': '/', 'headers': [{'name': 'x-n', 'range_match': {'start': 5, 'end': 7}}]}, 'route': {'cluster': 'a'}},"
                "{'match': {'prefix': '/', 'headers': [{'name': ':method', 'string_match': {'exact': 'PUT'}}]}, 'route': {'cluster': 'a'}},"
                "{'match': {'prefix': '/', 'query_parameters': [{'name': 'q', 'string_match': {'prefix': 'v'}}]}, 'route': {'cluster': 'a'}},"
                "{'match': {'prefix': '/', 'query_parameters': [{'name': 'p', 'present_match': true}]}, 'route': {'cluster': 'a'}},"
                "{'match': {'prefix': '/', 'grpc': {}}, 'route': {'cluster': 'a'}},"
                "{'match': {'prefix': '/', 'query_parameters': [{'name': 'o', 'present_match': false}]}, 'route': {'cluster': 'a'}}");
    request("/", "x-a: 1", NULL);
    assert_int_equal(chosen(), 0);
    request("/", "x-a: 2", "x-n: 5", NULL);
    assert_int_equal(chosen(), 1);
    request("/", "x-n: 7", NULL);
    assert_int_equal(chosen(), 6);
    request("/", ":method: PUT", NULL);
    assert_int_equal(chosen(), 2);
    request("/?o&q=v1&q=x", NULL);
    assert_int_equal(chosen(), 3);
    request("/?o&q=x&q=v1", NULL);
    assert_int_equal(chosen(), -1);
    request("/?o=1&p", NULL);
    assert_int_equal(chosen(), 4);
    request("/?o=1&pp=1#p", NULL);
    assert_int_equal(chosen(), -1);
    request("/?o", NULL);
    f.r.is_grpc = true;
    weir_route_find(f.table, &f.r, NULL, &f.m);
    assert_int_equal(chosen(), 5);
}

static void test_tls_context_and_fraction(void **state)
{
    (void)state;
    load_routes("{'match': {'prefix': '/', 'tls_context': {'presented': true, 'validated': false}}, 'route': {'cluster': 'a'}},"
                "{'match': {'prefix': '/', 'runtime_fraction': {'default_value': {'numerator': 30}}}, 'route': {'cluster': 'a'}},"
                "{'match': {'prefix': '/'}, 'route': {'cluster': 'a'}}");
    request("/", NULL);
    assert_int_equal(chosen(), 1);
    f.r.random = 130;
    weir_route_find(f.table, &f.r, NULL, &f.m);
    assert_int_equal(chosen(), 2);
    struct weir_tls_info tls = {.peer_certificate_presented = true};
    f.r.tls = &tls;
    weir_route_find(f.table, &f.r, NULL, &f.m);
    assert_int_equal(chosen(), 0);
    tls.peer_certificate_validated = true;
    weir_route_find(f.table, &f.r, NULL, &f.m);
    assert_int_equal(chosen(), 2);
}

static void test_dynamic_metadata(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int order; /* by what the key holds: null, true, "text", nothing */
    } rows[] = {{"'null_match': {}", 0},
                {"'bool_match': true", 1},
                {"'string_match': {'contains': 'ex'}", 2},
                {"'or_match': {'value_matchers': [{'null_match': {}}, {'string_match': {'exact': 'text'}}]}", 0},
                {"'present_match': true", 0}};
    struct weir_value values[] = {{.kind = WEIR_VALUE_NULL}, {.kind = WEIR_VALUE_BOOL, .boolean = true}, {.kind = WEIR_VALUE_STRING, .string = WEIR_STR("text")}};
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        load_routes(weir_arena_printf(f.arena, "{'match': {'prefix': '/', 'dynamic_metadata': [{'filter': 'ns', 'path': [{'key': 'k'}],"
                                               " 'value': {%s}}]}, 'route': {'cluster': 'a'}},"
                                               "{'match': {'prefix': '/'}, 'route': {'cluster': 'b'}}", rows[row].value).p);
        request("/", NULL);
        assert_int_equal(chosen(), 1);
        for (int i = 0; i < 3; i++) {
            struct weir_value_field field = {WEIR_STR("k"), values[i]};
            struct weir_value tree = weir_value_struct(f.arena, &field, 1);
            struct weir_metadata metadata = {0};
            weir_metadata_merge(&metadata, f.arena, WEIR_STR("ns"), &tree);
            f.r.metadata = &metadata;
            weir_route_find(f.table, &f.r, NULL, &f.m);
            bool expected = row == 4 || i == rows[row].order || (row == 3 && i == 2);
            assert_int_equal(chosen(), expected ? 0 : 1);
        }
    }
    load_routes("{'match': {'prefix': '/', 'dynamic_metadata': [{'filter': 'ns', 'path': [{'key': 'k'}], 'invert': true,"
                " 'value': {'present_match': true}}]}, 'route': {'cluster': 'a'}}");
    request("/", NULL);
    assert_int_equal(chosen(), 0);
}

static void test_path_parameters_are_ignored(void **state)
{
    (void)state;
    load("{'name': 'r', 'ignore_path_parameters_in_path_matching': true, 'ignore_port_in_host_matching': true, 'virtual_hosts':"
         " [{'name': 'v', 'domains': ['a.test'], 'routes': [{'match': {'path': '/a'}, 'route': {'cluster': 'a'}}]}]}");
    request("/a;v=1?q", ":authority: A.test:81", NULL);
    assert_int_equal(chosen(), 0);
}

static void test_clusters(void **state)
{
    (void)state;
    load_routes("{'match': {'prefix': '/h'}, 'route': {'cluster_header': 'X-Cluster'}},"
                "{'match': {'prefix': '/w'}, 'route': {'weighted_clusters': {'clusters': ["
                "   {'name': 'one', 'weight': 1}, {'name': 'three', 'weight': 0}, {'cluster_header': 'x-c', 'weight': 3}]}}},"
                "{'match': {'prefix': '/n'}, 'route': {'weighted_clusters': {'header_name': 'x-draw', 'clusters': ["
                "   {'name': 'one', 'weight': 1}, {'name': 'two', 'weight': 1}]}}},"
                "{'match': {'prefix': '/'}, 'non_forwarding_action': {}}");
    request("/h", "x-cluster: abc", NULL);
    assert_str(f.m.cluster_name, "abc");
    assert_int_equal(f.m.cluster_slot, WEIR_CLUSTER_SLOT_NONE);
    request("/h", NULL);
    assert_int_equal(f.m.cluster_name.n, 0);
    request("/w", "x-c: other", NULL);
    assert_str(f.m.cluster_name, "one");
    assert_int_equal(f.m.cluster_slot, 3);
    f.r.random = 4 * 1000 + 1;
    weir_route_find(f.table, &f.r, NULL, &f.m);
    assert_str(f.m.cluster_name, "other");
    assert_int_equal(f.m.cluster_slot, WEIR_CLUSTER_SLOT_NONE);
    request("/n", "x-draw: 7", NULL);
    assert_str(f.m.cluster_name, "two");
    request("/n", "x-draw: junk", NULL);
    assert_str(f.m.cluster_name, "one");
    request("/", NULL);
    assert_int_equal(f.m.route->action, WEIR_ROUTE_NON_FORWARDING);
}

static void test_weights_from_runtime(void **state)
{
    (void)state;
    load_routes("{'match': {'prefix': '/'}, 'route': {'weighted_clusters': {'runtime_key_prefix': 'w', 'clusters': ["
                "   {'name': 'one', 'weight': 100}, {'name': 'two', 'weight': 0}]}}}");
    struct weir_str layer = WEIR_STR("static");
    struct weir_runtime *runtime = weir_runtime_create(&layer, 1);
    weir_runtime_set(runtime, 0, WEIR_STR("w.one"), WEIR_STR("0"));
    weir_runtime_set(runtime, 0, WEIR_STR("w.two"), WEIR_STR("5"));
    request("/", NULL);
    assert_str(f.m.cluster_name, "one");
    weir_route_find(f.table, &f.r, runtime, &f.m);
    assert_str(f.m.cluster_name, "two");
    weir_resource_release(weir_runtime_resource(runtime));
}

static void test_rules_of_all_levels(void **state)
{
    (void)state;
    static const char config[] =
        "{'name': 'r', %s 'request_headers_to_add': [{'header': {'key': 'x-o', 'value': 'table'}, 'append_action': 'OVERWRITE_IF_EXISTS_OR_ADD'},"
        "   {'header': {'key': 'x-l', 'value': 't'}}], 'response_headers_to_remove': ['x-gone'],"
        " 'virtual_hosts': [{'name': 'v', 'domains': ['*'], 'request_headers_to_add': [{'header': {'key': 'x-l', 'value': 'v'}}],"
        " 'routes': [{'match': {'prefix': '/'}, 'request_headers_to_add': [{'header': {'key': 'X-L', 'value': '%%REQ(x-in)%%!'}},"
        "   {'header': {'key': 'x-o', 'value': 'route'}, 'append_action': 'OVERWRITE_IF_EXISTS_OR_ADD'},"
        "   {'header': {'key': 'x-abs', 'value': 'r'}, 'append_action': 'ADD_IF_ABSENT'},"
        "   {'header': {'key': 'x-none', 'value': 'r'}, 'append_action': 'OVERWRITE_IF_EXISTS'},"
        "   {'header': {'key': 'x-empty', 'value': '%%REQ(x-not-there)%%'}},"
        "   {'header': {'key': 'x-kept', 'value': '%%REQ(x-not-there)%%'}, 'keep_empty_value': true}],"
        "  'request_headers_to_remove': ['X-Secret'],"
        "  'route': {'weighted_clusters': {'clusters': [{'name': 'a', 'weight': 1,"
        "    'request_headers_to_add': [{'header': {'key': 'x-l', 'value': 'w'}}]}]}}}]}]}";
    for (int specific = 0; specific < 2; specific++) {
        load(weir_arena_printf(f.arena, config, specific ? "'most_specific_header_mutations_wins': true," : "").p);
        request("/", "x-in: i", "x-secret: s", "x-abs: c", NULL);
        weir_route_apply_request(&f.m, &f.r, &f.h, true);
        assert_header("x-l", specific ? "t,v,i!,w" : "w,i!,v,t");
        assert_header("x-o", specific ? "route" : "table");
        assert_header("x-secret", NULL);
        assert_header("x-abs", "c");
        assert_header("x-none", NULL);
        assert_header("x-empty", NULL);
        assert_header("x-kept", "");
        weir_headers_add_name(&f.h, WEIR_STR("x-gone"), WEIR_STR("1"));
        weir_route_apply_response(&f.m, &f.r, &f.h);
        assert_header("x-gone", NULL);
    }
}

static void test_path_rewrites(void **state)
{
    (void)state;
    load_routes("{'match': {'prefix': '/p/'}, 'route': {'cluster': 'a', 'prefix_rewrite': '/'}},"
                "{'match': {'path': '/e'}, 'route': {'cluster': 'a', 'prefix_rewrite': '/new'}},"
                "{'match': {'safe_regex': {'regex': '/x.*'}}, 'route': {'cluster': 'a', 'prefix_rewrite': '/y'}},"
                "{'match': {'prefix': '/r'}, 'route': {'cluster': 'a', 'regex_rewrite': {'pattern': {'regex': '/r/([^/]+)/(.*)'},"
                "   'substitution': '/\\\\2/\\\\1'}}}");
    static const struct {
        const char *path, *rewritten;
    } rows[] = {{"/p/a?q=/p/", "/a?q=/p/"}, {"/p/", "/"},           {"/e?q", "/new?q"},
                {"/x/y/z?q", "/y?q"},       {"/r/a/b?q", "/b/a?q"}, {"/r?q", "/r?q"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        request(rows[i].path, NULL);
        weir_route_apply_request(&f.m, &f.r, &f.h, true);
        assert_header(":path", rows[i].rewritten);
        assert_header("x-envoy-original-path", rows[i].path);
        assert_str(f.r.original_path, rows[i].path);
        request(rows[i].path, NULL);
        weir_route_apply_request(&f.m, &f.r, &f.h, false);
        assert_header("x-envoy-original-path", NULL);
    }
}

static void test_host_rewrites(void **state)
{
    (void)state;
    load_routes("{'match': {'prefix': '/l'}, 'route': {'cluster': 'a', 'host_rewrite_literal': 'new.test', 'append_x_forwarded_host': true}},"
                "{'match': {'prefix': '/h'}, 'route': {'cluster': 'a', 'host_rewrite_header': 'X-Host'}},"
                "{'match': {'prefix': '/r'}, 'route': {'cluster': 'a', 'host_rewrite_path_regex': {'pattern': {'regex': '^/r/(.+)/.*$'},"
                "   'substitution': '\\\\1'}}},"
                "{'match': {'prefix': '/w'}, 'route': {'host_rewrite_literal': 'route', 'weighted_clusters': {'clusters': ["
                "   {'name': 'a', 'weight': 1, 'host_rewrite_literal': 'weighted'}]}}}");
    request("/l", "x-forwarded-host: first", NULL);
    weir_route_apply_request(&f.m, &f.r, &f.h, true);
    assert_header(":authority", "new.test");
    assert_header("x-envoy-original-host", "a.test");
    assert_header("x-forwarded-host", "first,a.test");
    request("/h", "x-host: by.header", NULL);
    weir_route_apply_request(&f.m, &f.r, &f.h, false);
    assert_header(":authority", "by.header");
    assert_header("x-envoy-original-host", NULL);
    request("/h", NULL);
    weir_route_apply_request(&f.m, &f.r, &f.h, true);
    assert_header(":authority", "a.test");
    assert_header("x-envoy-original-host", NULL);
    request("/r/b.test/x?q=/r/c/", NULL);
    weir_route_apply_request(&f.m, &f.r, &f.h, true);
    assert_header(":authority", "b.test");
    request("/w", NULL);
    weir_route_apply_request(&f.m, &f.r, &f.h, true);
    assert_header(":authority", "weighted");
}

static void test_redirects(void **state)
{
    (void)state;
    static const struct {
        const char *redirect, *path, *host;
        uint32_t status;
        const char *location;
    } rows[] = {
        {"'host_redirect': 'other.test'", "/d/x?q=1", "a.test", 301, "http://other.test/d/x?q=1"},
        {"'https_redirect': true", "/d/x?q=1", "a.test", 301, "https://a.test/d/x?q=1"},
        {"'https_redirect': true", "/d/x", "a.test:8080", 301, "https://a.test:8080/d/x"},
        {"'https_redirect': true", "/d/x", "a.test:80", 301, "https://a.test/d/x"},
        {"'https_redirect': true", "/d", "[::1]:80", 301, "https://[::1]/d"},
        {"'https_redirect': true", "/d", "[::1]", 301, "https://[::1]/d"},
        {"'scheme_redirect': 'HTTPS', 'port_redirect': 8443", "/d/x", "a.test:80", 301, "HTTPS://a.test:8443/d/x"},
        {"'port_redirect': 8080", "/d/x", "a.test", 301, "http://a.test:8080/d/x"},
        {"'path_redirect': '/new', 'response_code': 'FOUND'", "/d?q=1", "a.test", 302, "http://a.test/new?q=1"},
        {"'path_redirect': '/new?z=1'", "/d?q=1", "a.test", 301, "http://a.test/new?z=1"},
        {"'path_redirect': '/new', 'strip_query': true, 'response_code': 'SEE_OTHER'", "/d?q=1", "a.test", 303, "http://a.test/new"},
        {"'prefix_rewrite': '/p2/', 'response_code': 'TEMPORARY_REDIRECT'", "/d/x?q=1", "a.test", 307, "http://a.test/p2//x?q=1"},
        {"'regex_rewrite': {'pattern': {'regex': '^/d'}, 'substitution': '/x'}, 'response_code': 'PERMANENT_REDIRECT'", "/d/x?q=1",
         "a.test", 308, "http://a.test/x/x?q=1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        load_routes(weir_arena_printf(f.arena, "{'match': {'prefix': '/d'}, 'redirect': {%s}}", rows[i].redirect).p);
        request(rows[i].path, weir_arena_printf(f.arena, ":authority: %s", rows[i].host).p, NULL);
        assert_int_equal(f.m.route->action, WEIR_ROUTE_REDIRECT);
        assert_int_equal(f.m.route->redirect->status, rows[i].status);
        assert_str(weir_route_location(f.m.route, &f.r), rows[i].location);
    }
}

static void test_require_tls(void **state)
{
    (void)state;
    load("{'name': 'r', 'virtual_hosts': [{'name': 'v', 'domains': ['a.test'], 'require_tls': 'ALL', 'routes': ["
         "{'match': {'prefix': '/'}, 'route': {'cluster': 'a'}}]}, {'name': 'w', 'domains': ['b.test'], 'require_tls': 'EXTERNAL_ONLY'}]}");
    request("/x?y=1", NULL);
    assert_true(f.m.tls_redirect);
    assert_null(f.m.route);
    assert_str(weir_route_tls_location(&f.r), "https://a.test/x?y=1");
    weir_headers_set(&f.h, WEIR_H_X_FORWARDED_PROTO, WEIR_STR("https"));
    weir_route_find(f.table, &f.r, NULL, &f.m);
    assert_false(f.m.tls_redirect);
    assert_int_equal(chosen(), 0);
    request("/", ":authority: b.test", NULL);
    assert_true(f.m.tls_redirect);
    f.r.internal = true;
    weir_route_find(f.table, &f.r, NULL, &f.m);
    assert_false(f.m.tls_redirect);
}

static void test_action_options(void **state)
{
    (void)state;
    load("{'name': 'r', 'internal_only_headers': ['X-In'], 'validate_clusters': false, 'virtual_hosts': [{'name': 'v', 'domains': ['*'],"
         " 'include_request_attempt_count': true, 'retry_policy': {'retry_on': 'reset', 'num_retries': 7}, 'request_body_buffer_limit': 5,"
         " 'routes': [{'name': 'n', 'match': {'prefix': '/a'}, 'request_body_buffer_limit': 9, 'route': {'cluster': 'c', 'timeout': '0s',"
         "   'idle_timeout': '1.5s', 'priority': 'HIGH', 'cluster_not_found_response_code': 'NOT_FOUND',"
         "   'max_stream_duration': {'max_stream_duration': '2s', 'grpc_timeout_header_max': '0s'},"
         "   'upgrade_configs': [{'upgrade_type': 'WebSocket'}, {'upgrade_type': 'CONNECT', 'enabled': false, 'connect_config': {}}],"
         "   'retry_policy': {'retry_on': '5xx, connect-failure,unknown', 'per_try_timeout': '0.25s', 'retriable_status_codes': [409],"
         "     'retry_back_off': {'base_interval': '0.1s'}}}},"
         "  {'match': {'prefix': '/d'}, 'direct_response': {'status': 418, 'body': {'inline_string': 'teapot'}}},"
         "  {'match': {'prefix': '/'}, 'route': {'cluster': 'c'}}]}]}");
    request("/a", NULL);
    const struct weir_route *r = f.m.route;
    assert_str(r->name, "n");
    assert_int_equal(r->timeout_ms, 0);
    assert_int_equal(r->idle_timeout_ms, 1500);
    assert_int_equal(r->max_stream_duration_ms, 2000);
    assert_int_equal(r->grpc_timeout_header_max_ms, 0);
    assert_true(r->max_grpc_timeout_ms == UINT64_MAX);
    assert_int_equal(r->priority, 1);
    assert_int_equal(r->cluster_not_found_status, 404);
    assert_int_equal(r->retry_buffer_bytes, 9);
    assert_int_equal(r->upgrade_count, 2);
    assert_str(r->upgrades[0].type, "websocket");
    assert_true(r->upgrades[0].enabled && !r->upgrades[1].enabled && r->upgrades[1].connect_terminated);
    assert_int_equal(r->retry->on, WEIR_RETRY_5XX | WEIR_RETRY_CONNECT_FAILURE);
    assert_int_equal(r->retry->num_retries, 1);
    assert_int_equal(r->retry->per_try_timeout_ms, 250);
    assert_int_equal(r->retry->back_off_base_ms, 100);
    assert_int_equal(r->retry->back_off_max_ms, 1000);
    assert_int_equal(r->retry->status_codes[0], 409);
    request("/d", NULL);
    assert_int_equal(f.m.route->direct_status, 418);
    assert_str(f.m.route->direct_body, "teapot");
    request("/", NULL);
    assert_int_equal(f.m.route->timeout_ms, 15000);
    assert_int_equal(f.m.route->retry->num_retries, 7);
    assert_int_equal(f.m.route->retry_buffer_bytes, 5);
    assert_true(f.m.vhost->include_request_attempt_count);
    assert_str(f.table->internal_only[0], "x-in");
}

static void test_filter_configs_of_all_levels(void **state)
{
    (void)state;
#define ANY "{'@type': 'type.googleapis.com/google.protobuf.StringValue', 'value': 'x'}"
    load("{'name': 'r', 'typed_per_filter_config': {'t': " ANY "}, 'virtual_hosts': [{'name': 'v', 'domains': ['*'],"
         " 'typed_per_filter_config': {'v': " ANY ", 'optional': " ANY "}, 'routes': ["
         "  {'match': {'prefix': '/w'}, 'typed_per_filter_config': {'r': " ANY "}, 'route': {'weighted_clusters': {'clusters': ["
         "     {'name': 'a', 'weight': 1, 'typed_per_filter_config': {'w': " ANY "}}]}}},"
         "  {'match': {'prefix': '/'}, 'route': {'cluster': 'a'}}]}]}");
    request("/w", NULL);
    const struct weir_filter_route_configs *all = weir_route_filter_configs(&f.m);
    static const char *const order[] = {"w", "r", "v", "t"};
    assert_int_equal(all->count, 4);
    for (int i = 0; i < 4; i++)
        assert_str(all->at[i].filter_name, order[i]);
    request("/", NULL);
    assert_ptr_equal(weir_route_filter_configs(&f.m), f.m.vhost->filter_configs);
    assert_int_equal(f.m.vhost->filter_configs->count, 2);
}

static void test_rate_limit_descriptors(void **state)
{
    (void)state;
    load_routes("{'match': {'prefix': '/'}, 'route': {'cluster': 'c', 'rate_limits': [{'stage': 1, 'actions': ["
                "   {'generic_key': {'descriptor_value': 'g'}}, {'request_headers': {'header_name': 'X-U', 'descriptor_key': 'u'}},"
                "   {'remote_address': {}}, {'destination_cluster': {}}, {'header_value_match': {'descriptor_value': 'm', 'headers': ["
                "      {'name': 'x-u', 'present_match': true}]}}]},"
                "  {'actions': [{'request_headers': {'header_name': 'x-not', 'descriptor_key': 'n', 'skip_if_absent': true}},"
                "      {'generic_key': {'descriptor_value': 'g', 'descriptor_key': 'k'}}]}]}}");
    request("/", "x-u: me", NULL);
    f.r.cluster_name = f.m.cluster_name;
    assert_true(weir_address_parse(WEIR_STR("10.1.2.3"), 99, &f.r.downstream_remote));
    const struct weir_rate_limit *l = f.m.route->rate_limits;
    struct weir_descriptor_entry e[5];
    assert_int_equal(l[0].stage, 1);
    assert_int_equal(weir_rate_limit_descriptor(&l[0], &f.r, f.arena, e), 5);
    static const char *const entries[][2] = {
        {"generic_key", "g"}, {"u", "me"}, {"remote_address", "10.1.2.3"}, {"destination_cluster", "c"}, {"header_match", "m"}};
    for (int i = 0; i < 5; i++) {
        assert_str(e[i].key, entries[i][0]);
        assert_str(e[i].value, entries[i][1]);
    }
    assert_int_equal(weir_rate_limit_descriptor(&l[1], &f.r, f.arena, e), 1);
    assert_str(e[0].key, "k");
    weir_headers_remove_name(&f.h, WEIR_STR("x-u"));
    assert_int_equal(weir_rate_limit_descriptor(&l[0], &f.r, f.arena, e), -1);
}

#define ROUTE(action) "{'match': {'prefix': '/'}, " action "}"
static void test_what_is_refused(void **state)
{
    (void)state;
    refused("{'name': 'r1', 'virtual_hosts': [{'name': 'v', 'domains': ['*']}, {'name': 'w', 'domains': ['*']}]}",
            "virtual_hosts[1].domains: only a single wildcard domain is permitted in route r1");
    refused("{'name': 'r', 'virtual_hosts': [{'name': 'v', 'domains': ['a.com', 'A.com']}]}",
            "virtual_hosts[0].domains: only unique values for domains are permitted, duplicate entry of domain A.com in route r");
    refused_route("{'match': {'safe_regex': {'regex': '('}}, 'route': {'cluster': 'a'}}",
                  "virtual_hosts[0].routes[0].match.safe_regex.regex: \"(\" is no regular expression: missing ): (");
    refused_route(ROUTE("'route': {'cluster': 'a'}, 'request_headers_to_add': [{'header': {'key': ':path', 'value': 'x'}}]"),
                  "virtual_hosts[0].routes[0].request_headers_to_add[0].header.key: :-prefixed or host headers may not be modified");
    refused_route(ROUTE("'route': {'cluster': 'a'}, 'request_headers_to_add': [{'header': {'key': 'a b', 'value': 'x'}}]"),
                  "virtual_hosts[0].routes[0].request_headers_to_add[0].header.key: \"a b\" is no header name");
    refused_route(ROUTE("'route': {'cluster': 'a'}, 'response_headers_to_remove': ['Host']"),
                  "virtual_hosts[0].routes[0].response_headers_to_remove[0]: :-prefixed or host headers may not be removed");
    refused_route(ROUTE("'route': {'cluster': 'a', 'prefix_rewrite': '/', 'regex_rewrite': {'pattern': {'regex': 'a'}, 'substitution': ''}}"),
                  "virtual_hosts[0].routes[0].route.regex_rewrite: cannot be given together with prefix_rewrite");
    refused_route(ROUTE("'route': {'weighted_clusters': {'clusters': [{'name': 'a', 'weight': 0}]}}"),
                  "virtual_hosts[0].routes[0].route.weighted_clusters.clusters: the sum of the weights must be greater than 0");
    refused_route(ROUTE("'route': {'weighted_clusters': {'total_weight': 3, 'clusters': [{'name': 'a', 'weight': 2}]}}"),
                  "virtual_hosts[0].routes[0].route.weighted_clusters.total_weight: the sum of the weights should add up to 3");
    refused_route(ROUTE("'route': {'cluster': 'a', 'upgrade_configs': [{'upgrade_type': 'x'}, {'upgrade_type': 'X'}]}"),
                  "virtual_hosts[0].routes[0].route.upgrade_configs[1].upgrade_type: duplicate upgrade x");
    refused_route(ROUTE("'route': {'cluster': 'a', 'upgrade_configs': [{'upgrade_type': 'x', 'connect_config': {}}]}"),
                  "virtual_hosts[0].routes[0].route.upgrade_configs[0].connect_config: only upgrade_type CONNECT can have one");
    refused_route(ROUTE("'route': {'cluster': 'a'}, 'typed_per_filter_config': {'bad': " ANY "}"),
                  "virtual_hosts[0].routes[0].typed_per_filter_config[\"bad\"]: no such filter");
    refused_route(ROUTE("'route': {'cluster': 'a', 'retry_policy': {'retry_back_off': {'base_interval': '1s', 'max_interval': '0.5s'}}}"),
                  "virtual_hosts[0].routes[0].route.retry_policy.retry_back_off.max_interval: must be greater than or equal to the "
                  "base_interval");
    char body[4200];
    memset(body, 'x', 4097);
    body[4097] = '\0';
    refused_route(weir_arena_printf(f.arena, ROUTE("'direct_response': {'status': 200, 'body': {'inline_string': '%s'}}"), body).p,
                  "virtual_hosts[0].routes[0].direct_response.body: response body size is 4097 bytes; maximum is 4096");
}

static bool only_a_is_known(void *ctx, struct weir_str name)
{
    (void)ctx;
    return weir_str_eq(name, WEIR_STR("a"));
}
#define TO_ZZ(fields) "{'name': 'r', " fields "'virtual_hosts': [{'name': 'v', 'domains': ['*'], 'routes': [{'match': {'prefix': '/'}, 'route': {'cluster': 'zz'}}]}]}"
#define ONE_ROUTE(route) "{'name': 'r', 'virtual_hosts': [{'name': 'v', 'domains': ['*'], 'routes': [" route "]}]}"
#define WEIGHTED(name) ROUTE("'route': {'weighted_clusters': {'clusters': [{'name': 'a', 'weight': 1}, {" name ", 'weight': 0}]}}")

static void test_clusters_of_a_table_of_its_own_need_not_be_known(void **state)
{
    (void)state;
    static const struct weir_compile_names strict = {.cluster_slot = cluster_slot, .cluster_known = only_a_is_known};
    f.c.names = &strict;
    load(TO_ZZ(""));
    load(TO_ZZ("'validate_clusters': false, "));
    refused(TO_ZZ("'validate_clusters': true, "), "virtual_hosts[0].routes[0].route.cluster: route: unknown cluster 'zz'");
}

static enum weir_err compile_inline(const char *json)
{
    struct weir_resource *listener = weir_resource_create(sizeof(struct weir_resource), WEIR_STR("l"));
    struct weir_route_table *t = NULL;
    struct weir_compile c = {.error = &f.error, .scratch = f.arena, .names = f.c.names, .resource = listener, .arena = &listener->arena};
    enum weir_err err = weir_route_table_compile(&c, pb_text(f.arena, &pb_route_configuration_type, json), &filters, &t);
    weir_resource_release(listener);
    return err;
}

static void test_clusters_of_an_inline_table_must_be_known(void **state)
{
    (void)state;
    static const struct weir_compile_names strict = {.cluster_slot = cluster_slot, .cluster_known = only_a_is_known};
    f.c.names = &strict;
    assert_int_equal(compile_inline(TO_ZZ("'validate_clusters': false, ")), WEIR_OK);
    assert_int_equal(compile_inline(TO_ZZ("")), WEIR_ERR_INVALID);
    assert_string_equal(f.error.text, "virtual_hosts[0].routes[0].route.cluster: route: unknown cluster 'zz'");
    assert_int_equal(compile_inline(TO_ZZ("'validate_clusters': true, ")), WEIR_ERR_INVALID);
    assert_int_equal(compile_inline(ONE_ROUTE(WEIGHTED("'name': 'zz'"))), WEIR_ERR_INVALID);
    assert_string_equal(f.error.text, "virtual_hosts[0].routes[0].route.weighted_clusters.clusters[1].name: route: unknown weighted cluster 'zz'");
    assert_int_equal(compile_inline(ONE_ROUTE(WEIGHTED("'cluster_header': 'zz'"))), WEIR_OK);
    assert_int_equal(compile_inline(ONE_ROUTE(ROUTE("'route': {'cluster_header': 'zz'}"))), WEIR_OK);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_kinds_of_paths),
        T(test_headers_and_query),
        T(test_tls_context_and_fraction),
        T(test_dynamic_metadata),
        T(test_path_parameters_are_ignored),
        T(test_clusters),
        T(test_weights_from_runtime),
        T(test_rules_of_all_levels),
        T(test_path_rewrites),
        T(test_host_rewrites),
        T(test_redirects),
        T(test_require_tls),
        T(test_action_options),
        T(test_filter_configs_of_all_levels),
        T(test_rate_limit_descriptors),
        T(test_what_is_refused),
        T(test_clusters_of_a_table_of_its_own_need_not_be_known),
        T(test_clusters_of_an_inline_table_must_be_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
