/* config/compile_listener.c, compile_tls.c, network_filters.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/config/compile_job.h"
#include "dataplane/config/compile_listener.h"
#include "dataplane/config/names.h"
#include "dataplane/listener/chain_match.h"
#include "dataplane/listener/tcp_proxy.h"
#include "test/unit/support/certs.h"
#include "test/unit/support/pb_text.h"

static struct weir_names *names;
static struct weir_stats_registry *registry;
static struct weir_arena arena;
static struct weir_error error;
static struct test_cert cert;

#define ADDRESS "'address':{'socket_address':{'address':'127.0.0.1','port_value':8080}}"
#define ECHO "'filters':[{'name':'e','typed_config':{'@type':'type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo'}}]"

static int setup(void **state)
{
    (void)state;
    names = weir_names_create();
    registry = weir_stats_registry_create(2);
    weir_arena_init(&arena, 0);
    cert = test_cert_make("c", "DNS:c.test", NULL, TEST_CERT_CA);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    weir_arena_deinit(&arena);
    weir_stats_registry_destroy(registry);
    weir_names_destroy(names);
    test_cert_free(&cert);
    return 0;
}
static struct weir_listener_config *compile(const char *json)
{
    struct weir_compile_env env = {.names = weir_names_for_compile(names), .stats = registry, .worker_count = 2};
    struct weir_resource *out = NULL;
    error = (struct weir_error){0};
    enum weir_err err = weir_compile_resource(&env, WEIR_LISTENERS, WEIR_STR("given"), pb_text_packed(&arena, &pb_listener_type, json), &out, &error);
    assert_int_equal(err == WEIR_OK, out != NULL);
    return (struct weir_listener_config *)(void *)out;
}
static void refused(const char *json, const char *text)
{
    struct weir_listener_config *l = compile(json);
    assert_null(l);
    if (strstr(error.text, text) == NULL) fail_msg("'%s' is not in '%s'", text, error.text);
}
static void drop(struct weir_listener_config *l)
{
    weir_resource_release(&l->resource);
}

static void test_listener_has_envoys_defaults(void **state)
{
    (void)state;
    struct weir_listener_config *l = compile("{" ADDRESS ",'filter_chains':[{" ECHO "}]}");
    assert_non_null(l);
    assert_true(weir_str_eq(l->resource.name, WEIR_STR("given")));
    assert_true(weir_str_eq(l->stat_prefix, WEIR_STR("listener.127.0.0.1_8080.")));
    assert_int_equal(l->buffer_limit_bytes, 1048576);
    assert_int_equal(l->listener_filters_timeout_ms, 15000);
    assert_true(l->socket.bind_to_port && l->socket.reuse_port);
    assert_false(l->socket.freebind || l->socket.transparent || l->socket.keepalive || l->inspect_tls || l->has_default);
    assert_int_equal(l->socket.backlog, 0);
    assert_int_equal(l->socket.fast_open_queue, -1);
    assert_int_equal(l->chain_count, 1);
    assert_null(l->chains[0].tls);
    assert_string_equal(l->chains[0].filters[0].filter->name, "envoy.filters.network.echo");
    assert_non_null(l->worker_stats[1]);
    drop(l);
}

static void test_listener_of_original_destinations(void **state)
{
    (void)state;
    struct weir_listener_config *l = compile("{" ADDRESS ",'filter_chains':[{" ECHO "}],'listener_filters':[{'name':'o','typed_config':"
                                             "{'@type':'type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst'}}]}");
    if (l == NULL) fail_msg("%s", error.text);
    assert_true(l->original_dst && l->socket.bind_to_port);
    assert_false(l->use_original_dst);
    drop(l);
    l = compile("{" ADDRESS ",'use_original_dst':true,'deprecated_v1':{'bind_to_port':false},'filter_chains':[{" ECHO "}]}");
    if (l == NULL) fail_msg("%s", error.text);
    assert_true(l->original_dst && l->use_original_dst);
    assert_false(l->socket.bind_to_port);
    drop(l);
}

static bool disabled_at(const struct weir_listener_config *l, uint16_t port)
{
    struct weir_address a;
    assert_true(weir_address_parse(WEIR_STR("10.0.0.1"), port, &a));
    return weir_port_set_has(&l->tls_off, &a);
}

static struct weir_listener_config *disabled(const char *predicate)
{
    char text[1024];
    snprintf(text, sizeof(text), "{" ADDRESS ",'filter_chains':[{" ECHO "}],'listener_filters':[{'name':'t','filter_disabled':%s,'typed_config':"
                                 "{'@type':'type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector'}}]}", predicate);
    struct weir_listener_config *l = compile(text);
    if (l == NULL) fail_msg("%s", error.text);
    return l;
}

static void test_listener_filter_is_disabled_by_port(void **state)
{
    (void)state;
#define RANGE(first, end) "{'destination_port_range':{'start':" first ",'end':" end "}}"
    struct weir_address path;
    struct weir_listener_config *l = disabled(RANGE("80", "82"));
    assert_true(l->inspect_tls && disabled_at(l, 80) && disabled_at(l, 81));
    assert_false(disabled_at(l, 79) || disabled_at(l, 82) || disabled_at(l, 0));
    drop(l);
    l = disabled("{'not_match':{'or_match':{'rules':[" RANGE("80", "90") "," RANGE("85", "100") "," RANGE("443", "444") "]}}}");
    assert_int_equal(l->tls_off.count, 3);
    assert_true(disabled_at(l, 0) && disabled_at(l, 79) && disabled_at(l, 100) && disabled_at(l, 444) && disabled_at(l, 65535));
    assert_false(disabled_at(l, 80) || disabled_at(l, 89) || disabled_at(l, 99) || disabled_at(l, 443));
    drop(l);
    l = disabled("{'and_match':{'rules':[" RANGE("80", "90") ",{'not_match':" RANGE("85", "86") "}]}}");
    assert_int_equal(l->tls_off.count, 2);
    assert_true(disabled_at(l, 84) && disabled_at(l, 86));
    assert_false(disabled_at(l, 85) || disabled_at(l, 90));
    drop(l);
    l = disabled("{'any_match':true}");
    assert_true(weir_address_unix(WEIR_STR("/x"), &path));
    assert_true(disabled_at(l, 1) && weir_port_set_has(&l->tls_off, &path));
    drop(l);
}

static void test_listener_takes_its_fields(void **state)
{
    (void)state;
    struct weir_listener_config *l = compile(
        "{'name':'n','stat_prefix':'pre',"
        "'address':{'socket_address':{'address':'::','port_value':0,'ipv4_compat':true}},"
        "'per_connection_buffer_limit_bytes':32768,'listener_filters_timeout':'0s','continue_on_listener_filters_timeout':true,"
        "'tcp_backlog_size':7,'enable_reuse_port':false,'bind_to_port':false,'freebind':true,'transparent':true,"
        "'tcp_fast_open_queue_length':3,'traffic_direction':'INBOUND','max_connections_to_accept_per_socket_event':1,"
        "'tcp_keepalive':{'keepalive_probes':1,'keepalive_time':2,'keepalive_interval':3},"
        "'listener_filters':[{'name':'a','typed_config':{'@type':'type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector'}},"
        "{'name':'b','typed_config':{'@type':'type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector'}},"
        "{'name':'c','typed_config':{'@type':'type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',"
        "'allow_requests_without_proxy_protocol':true}}],"
        "'default_filter_chain':{'name':'d','transport_socket_connect_timeout':'1.5s'," ECHO "}}");
    if (l == NULL) fail_msg("%s", error.text);
    assert_true(weir_str_eq(l->resource.name, WEIR_STR("n")));
    assert_true(weir_str_eq(l->stat_prefix, WEIR_STR("listener.pre.")));
    assert_int_equal(l->buffer_limit_bytes, 32768);
    assert_int_equal(l->listener_filters_timeout_ms, 0);
    assert_true(l->continue_on_listener_filters_timeout && l->inspect_tls && l->inspect_http && l->proxy_protocol && l->proxy_protocol_optional);
    assert_int_equal(l->socket.backlog, 7);
    assert_false(l->socket.reuse_port || l->socket.bind_to_port);
    assert_true(l->socket.freebind && l->socket.transparent && l->socket.ipv4_compat && l->socket.keepalive);
    assert_int_equal(l->socket.keepalive_probes, 1);
    assert_int_equal(l->socket.keepalive_time_s, 2);
    assert_int_equal(l->socket.keepalive_interval_s, 3);
    assert_int_equal(l->socket.fast_open_queue, 3);
    assert_int_equal(l->traffic_direction, 1);
    assert_int_equal(l->accepts_per_event, 1);
    assert_true(l->has_default);
    assert_int_equal(l->chains[0].transport_socket_connect_timeout_ms, 1500);
    drop(l);
}

static void test_listener_takes_the_socket_options_that_are_for_its_kind(void **state)
{
    (void)state;
    static const int four = 4;
    struct weir_listener_config *l = compile(
        "{" ADDRESS ",'filter_chains':[{" ECHO "}],'socket_options':["
        "{'description':'a','level':1,'name':8,'int_value':4},"
        "{'level':6,'name':23,'buf_value':'AQI=','state':'STATE_LISTENING'},"
        "{'level':6,'name':9,'int_value':1,'state':'STATE_BOUND','type':{'stream':{}},'ip_version':'SOCKET_IP_VERSION_IPV4'},"
        "{'level':6,'name':10,'int_value':1,'type':{'datagram':{}}},"
        "{'level':6,'name':11,'int_value':1,'ip_version':'SOCKET_IP_VERSION_IPV6'}]}");
    if (l == NULL) fail_msg("%s", error.text);
    const struct weir_socket_option *o = l->socket.extra;
    assert_int_equal(l->socket.extra_count, 3);
    assert_true(o[0].level == 1 && o[0].name == 8 && o[0].moment == WEIR_SOCKET_PREBIND);
    assert_true(weir_str_eq(o[0].value, (struct weir_str){(const char *)&four, sizeof(four)}));
    assert_true(o[1].level == 6 && o[1].name == 23 && o[1].moment == WEIR_SOCKET_LISTENING);
    assert_true(weir_str_eq(o[1].value, WEIR_STR("\1\2")));
    assert_true(o[2].name == 9 && o[2].moment == WEIR_SOCKET_BOUND);
    drop(l);
}

static void test_listener_on_a_pipe(void **state)
{
    (void)state;
    struct weir_listener_config *l = compile("{'address':{'pipe':{'path':'/tmp/a:b','mode':384}},'filter_chains':[{" ECHO "}]}");
    assert_non_null(l);
    assert_int_equal(l->socket.unix_mode, 0600);
    assert_true(weir_str_eq(l->stat_prefix, WEIR_STR("listener./tmp/a_b.")));
    drop(l);
}

static void test_chain_match_is_compiled_and_asks_for_the_hello(void **state)
{
    (void)state;
    struct weir_listener_config *l = compile(
        "{" ADDRESS ",'filter_chains':[{'name':'a','filter_chain_match':{'server_names':['A.test','*.b.test'],"
        "'application_protocols':['h2'],'prefix_ranges':[{'address_prefix':'127.0.0.0','prefix_len':8}],'source_type':'SAME_IP_OR_LOOPBACK',"
        "'source_ports':[7],'destination_port':8080,'source_prefix_ranges':[{'address_prefix':'127.0.0.1','prefix_len':32}],"
        "'direct_source_prefix_ranges':[{'address_prefix':'127.0.0.1','prefix_len':32}]}," ECHO "}]}");
    if (l == NULL) fail_msg("%s", error.text);
    assert_true(l->inspect_tls);
    struct weir_address local, remote;
    assert_true(weir_address_parse(WEIR_STR("127.0.0.1"), 8080, &local));
    assert_true(weir_address_parse(WEIR_STR("127.0.0.1"), 7, &remote));
    struct weir_chain_input in = {&local, &remote, &remote, WEIR_STR("a.test"), WEIR_STR("tls"), WEIR_STR("\x02h2")};
    assert_int_equal(weir_chain_match_find(l->match, &in), 0);
    in.server_name = WEIR_STR("x.b.test");
    assert_int_equal(weir_chain_match_find(l->match, &in), 0);
    in.server_name = WEIR_STR("b.test");
    assert_int_equal(weir_chain_match_find(l->match, &in), WEIR_CHAIN_NONE);
    in.server_name = WEIR_STR("a.test");
    weir_address_set_port(&remote, 8);
    assert_int_equal(weir_chain_match_find(l->match, &in), WEIR_CHAIN_NONE);
    drop(l);
    /* Only what is plain may be asked without a look at the hello. */
    l = compile("{" ADDRESS ",'filter_chains':[{'filter_chain_match':{'transport_protocol':'raw_buffer'}," ECHO "}]}");
    assert_false(l->inspect_tls);
    drop(l);
    l = compile("{" ADDRESS ",'filter_chains':[{'filter_chain_match':{'transport_protocol':'tls'}," ECHO "}]}");
    assert_true(l->inspect_tls);
    drop(l);
}

static void test_bad_listeners_are_refused_with_path_and_reason(void **state)
{
    (void)state;
    refused("{'filter_chains':[{" ECHO "}]}", "address is necessary");
    refused("{'address':{'socket_address':{'address':'localhost','port_value':1}},'filter_chains':[{" ECHO "}]}", "malformed IP address: localhost");
    refused("{'address':{'socket_address':{'protocol':'UDP','address':'::1','port_value':1}},'filter_chains':[{" ECHO "}]}", "only TCP");
    refused("{" ADDRESS "}", "no filter chains specified");
    refused("{" ADDRESS ",'filter_chains':[{}]}", "filter_chains[0].filters");
    refused("{" ADDRESS ",'filter_chains':[{'name':'one'," ECHO "},{'name':'two'," ECHO "}]}",
            "filter_chains[1]: filter chain 'two' has the same matching rules defined as 'one'");
    refused("{" ADDRESS ",'filter_chains':[{'filter_chain_match':{'server_names':['a*b']}," ECHO "}]}", "partial wildcards are not supported");
    refused("{" ADDRESS ",'filter_chains':[{'filter_chain_match':{'server_names':['*']}," ECHO "}]}", "partial wildcards are not supported");
    refused("{" ADDRESS ",'filter_chains':[{'filter_chain_match':{'prefix_ranges':[{'address_prefix':'x','prefix_len':8}]}," ECHO "}]}",
            "filter_chains[0].filter_chain_match.prefix_ranges: invalid ip/mask combo 'x/8'");
    refused("{" ADDRESS ",'filter_chains':[{'filters':[{'name':'e','typed_config':{'@type':"
            "'type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo'}},{'name':'f','typed_config':{'@type':"
            "'type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo'}}]}]}",
            "filter_chains[0].filters[0]: terminal filter named e of type envoy.filters.network.echo must be the last filter");
    refused("{" ADDRESS ",'filter_chains':[{'filters':[{'name':'h','typed_config':{'@type':"
            "'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'}}]}]}",
            "Didn't find a registered implementation for 'h'");
    refused("{" ADDRESS ",'drain_type':'MODIFY_ONLY','filter_chains':[{" ECHO "}]}", "drain_type");
}

/* PEM as a JSON string. */
static const char *quote(const char *pem)
{
    char *out = weir_arena_alloc(&arena, strlen(pem) * 2 + 1), *at = out;
    for (; *pem != 0; pem++) {
        if (*pem == '\n') *at++ = '\\';
        *at++ = *pem == '\n' ? 'n' : *pem;
    }
    return out;
}
static const char *with_tls(const char *context)
{
    struct weir_str s = weir_arena_printf(&arena,
                                          "{" ADDRESS ",'filter_chains':[{" ECHO ",'transport_socket':{'name':'t','typed_config':{'@type':"
                                          "'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',%s}}}]}",
                                          context);
    return s.p;
}
static const char *common(const char *more)
{
    return weir_arena_printf(&arena,
                             "'common_tls_context':{'tls_certificates':[{'certificate_chain':{'inline_string':'%s'},'private_key':{'inline_string':'%s'}}]%s%s}",
                             quote(cert.pem), quote(cert.key_pem), more[0] != 0 ? "," : "", more)
        .p;
}

static void test_tls_context_is_compiled(void **state)
{
    (void)state;
    struct weir_listener_config *l = compile(with_tls(common(
        weir_arena_printf(&arena,
                          "'alpn_protocols':['h2','http/1.1'],'tls_params':{'tls_minimum_protocol_version':'TLSv1_2','tls_maximum_protocol_version':"
                          "'TLSv1_3','cipher_suites':['[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]','ECDHE-RSA-AES128-GCM-SHA256'],"
                          "'ecdh_curves':['X25519','P-256'],'signature_algorithms':['ecdsa_secp256r1_sha256']},"
                          "'validation_context':{'trusted_ca':{'inline_string':'%s'},'match_typed_subject_alt_names':[{'san_type':'DNS',"
                          "'matcher':{'exact':'a'}},{'san_type':'URI','matcher':{'suffix':'b'}}],'verify_certificate_hash':["
                          "'df6ff72fe9116521268f6f2dd4966f51df479883fe7037b39f75916ac3049d1a'],'max_verify_depth':3,"
                          "'verify_certificate_spki':['NvqYIYSbgK2vCJpQhObf77vv+bQWtc5ek5RIOwPiC9A=']}",
                          quote(cert.pem))
            .p)));
    if (l == NULL) fail_msg("%s", error.text);
    assert_non_null(l->chains[0].tls);
    assert_false(l->inspect_tls); /* nothing depends on the hello */
    drop(l);
}

static void test_tls_context_that_is_broken_is_refused_with_its_path(void **state)
{
    (void)state;
    const char *at = "filter_chains[0].transport_socket.typed_config.common_tls_context";
    refused(with_tls("'common_tls_context':{}"), at);
    refused(with_tls("'common_tls_context':{}"), "Server TlsCertificates must have a certificate specified");
    refused(with_tls("'common_tls_context':{'tls_certificates':[{'private_key':{'inline_string':'x'}}]}"), "tls_certificates[0].certificate_chain");
    refused(with_tls("'common_tls_context':{'tls_certificates':[{'certificate_chain':{'inline_string':'x'},'private_key':{'inline_string':'x'}}]}"),
            "Failed to load certificate chain");
    refused(with_tls(common("'tls_params':{'cipher_suites':['NOPE']}")), "NOPE");
    refused(with_tls(common("'alpn_protocols':['']")), "Invalid ALPN protocol string");
    refused(with_tls(common("'tls_certificate_sds_secret_configs':[{'name':'s'}]")), "tls_certificate_sds_secret_configs");
    refused(with_tls(common("'validation_context':{'match_typed_subject_alt_names':[{'san_type':'DNS','matcher':{'exact':'a'}}]}")),
            "without trusted CA is insecure");
    refused("{" ADDRESS ",'filter_chains':[{" ECHO ",'transport_socket':{'name':'t','typed_config':{'@type':"
            "'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'}}}]}",
            "is not supported here");
}

static void test_identity_follows_name_socket_and_kinds_not_settings(void **state)
{
    (void)state;
    struct weir_listener_config *a = compile("{" ADDRESS ",'filter_chains':[{'name':'x'," ECHO "}]}"),
                                *b = compile("{" ADDRESS ",'filter_chains':[{'name':'x','filter_chain_match':{'destination_port':8080}," ECHO "}]}"),
                                *c = compile("{" ADDRESS ",'filter_chains':[{'name':'y'," ECHO "}]}"),
                                *d = compile(with_tls(common(""))), *e = compile(with_tls(common("'alpn_protocols':['h2']"))),
                                *f = compile("{" ADDRESS ",'default_filter_chain':{'name':'x'," ECHO "}}");
    assert_true(weir_str_eq(a->chains[0].identity, b->chains[0].identity));
    assert_false(weir_str_eq(a->chains[0].identity, c->chains[0].identity));
    assert_false(weir_str_eq(d->chains[0].identity, e->chains[0].identity));
    assert_false(weir_str_eq(a->chains[0].identity, f->chains[0].identity));
    drop(a);
    drop(b);
    drop(c);
    drop(d);
    drop(e);
    drop(f);
}

static void test_tcp_proxy_is_compiled(void **state)
{
    (void)state;
#define TCP "'filters':[{'name':'t','typed_config':{'@type':'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',"
    struct weir_listener_config *l = compile("{" ADDRESS ",'filter_chains':[{" TCP "'stat_prefix':'p','cluster':'c'}}]}]}");
    if (l == NULL) fail_msg("%s", error.text);
    const struct weir_tcp_proxy *t = l->chains[0].filters[0].config;
    assert_true(weir_str_eq(t->stat_prefix, WEIR_STR("tcp.p.")));
    assert_int_equal(t->idle_timeout_ms, 3600000);
    assert_int_equal(t->connect_attempts_max, 1);
    assert_int_equal(t->cluster_count, 1);
    assert_int_equal(t->clusters[0].slot, weir_names_cluster(names, WEIR_STR("c")));
    drop(l);
    l = compile("{" ADDRESS ",'filter_chains':[{" TCP "'stat_prefix':'p','idle_timeout':'0s','max_connect_attempts':3,'weighted_clusters':"
                "{'clusters':[{'name':'a','weight':1},{'name':'b','weight':4000000000}]}}}]}]}");
    if (l == NULL) fail_msg("%s", error.text);
    t = l->chains[0].filters[0].config;
    assert_int_equal(t->idle_timeout_ms, 0);
    assert_int_equal(t->connect_attempts_max, 3);
    assert_int_equal(t->weight_total, 4000000001);
    drop(l);
    refused("{" ADDRESS ",'filter_chains':[{" TCP "'stat_prefix':'p','cluster':'c','tunneling_config':{'hostname':'h'}}}]}]}", "tunneling_config");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_listener_has_envoys_defaults),
        T(test_listener_takes_its_fields),
        T(test_listener_of_original_destinations),
        T(test_listener_filter_is_disabled_by_port),
        T(test_listener_takes_the_socket_options_that_are_for_its_kind),
        T(test_listener_on_a_pipe),
        T(test_chain_match_is_compiled_and_asks_for_the_hello),
        T(test_bad_listeners_are_refused_with_path_and_reason),
        T(test_tls_context_is_compiled),
        T(test_tls_context_that_is_broken_is_refused_with_its_path),
        T(test_tcp_proxy_is_compiled),
        T(test_identity_follows_name_socket_and_kinds_not_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
