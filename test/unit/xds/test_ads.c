/* The ADS client against a control plane that a script drives: requests, verdicts, reconnects, TLS. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <cmocka.h>

#include "envoy/config/core/v3/base.pb-c.h"
#include "test/unit/support/xds_server.h"
#include "xds/ads.h"
#include "xds/wire_check.h"

#define CDS "type.googleapis.com/envoy.config.cluster.v3.Cluster"
#define EDS "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
#define LDS "type.googleapis.com/envoy.config.listener.v3.Listener"
#define RDS "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
#define DEADLINE_S 30

typedef Envoy__Service__Discovery__V3__DiscoveryRequest whole_request;
typedef Envoy__Service__Discovery__V3__DeltaDiscoveryRequest delta_request;

/* Self-signed, for control.test, valid for a hundred years. */
static const char certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBnjCCAUSgAwIBAgIUAK+H1mfXiKILdXV8OfcRNb7PAE0wCgYIKoZIzj0EAwIw\n"
    "FzEVMBMGA1UEAwwMY29udHJvbC50ZXN0MCAXDTI2MTEyNDA3NTY0NVoYDzIxMjYx\n"
    "MDMxMDc1NjQ1WjAXMRUwEwYDVQQDDAxjb250cm9sLnRlc3QwWTATBgcqhkjOPQIB\n"
    "BggqhkjOPQMBBwNCAARAUkDOChk76tsv6SH0UUceceQy6o0dcxKm47b++t6EHPIs\n"
    "XeuJVWqFzabAgrmCWTwGnbdtuLoaUr5Io4NPhyZQo2wwajAdBgNVHQ4EFgQU+nW+\n"
    "fp2tpbOwaeq4J4EWezIfJHcwHwYDVR0jBBgwFoAU+nW+fp2tpbOwaeq4J4EWezIf\n"
    "JHcwDwYDVR0TAQH/BAUwAwEB/zAXBgNVHREEEDAOggxjb250cm9sLnRlc3QwCgYI\n"
    "KoZIzj0EAwIDSAAwRQIhAKaFZPCyjqCN/RVNyj/OkSQHSKvxyHSfv/iyc1MF2jmB\n"
    "AiAp1zMZXQBFRhu4Fxy1hslXvjZsp7G1sRzkb7w0d+S1fw==\n"
    "-----END CERTIFICATE-----\n";
static const char key[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg6HzGWQIKv0W48l6T\n"
    "NWvfcmWgP37x5+4JsVJhkdtx7ruhRANCAARAUkDOChk76tsv6SH0UUceceQy6o0d\n"
    "cxKm47b++t6EHPIsXeuJVWqFzabAgrmCWTwGnbdtuLoaUr5Io4NPhyZQ\n"
    "-----END PRIVATE KEY-----\n";

/* What the client said to its owner. */
struct owner {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct weir_ads_response *responses[16];
    size_t taken, count;
    unsigned ups, downs;
    struct weir_ads *ads;
    struct weir_arena arena;
};

static void on_response(void *ctx, struct weir_ads_response *r)
{
    struct owner *o = ctx;
    pthread_mutex_lock(&o->mutex);
    o->responses[o->count++] = r;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->mutex);
}

static void on_state(void *ctx, bool connected, struct weir_str why)
{
    struct owner *o = ctx;
    (void)why;
    pthread_mutex_lock(&o->mutex);
    *(connected ? &o->ups : &o->downs) += 1;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->mutex);
}

static void owner_wait(struct owner *o, const unsigned *counter, unsigned at_least)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    pthread_mutex_lock(&o->mutex);
    while (*counter < at_least)
        if (pthread_cond_timedwait(&o->changed, &o->mutex, &until) != 0) fail_msg("an event of the client is missing");
    pthread_mutex_unlock(&o->mutex);
}

static struct weir_ads_response *owner_take(struct owner *o)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    pthread_mutex_lock(&o->mutex);
    while (o->taken == o->count)
        if (pthread_cond_timedwait(&o->changed, &o->mutex, &until) != 0) fail_msg("no response came");
    struct weir_ads_response *r = o->responses[o->taken++];
    pthread_mutex_unlock(&o->mutex);
    return r;
}

static void owner_start(struct owner *o, struct weir_ads_config *config)
{
    static const struct weir_ads_events events = {on_response, on_state};
    Envoy__Config__Core__V3__Node node = ENVOY__CONFIG__CORE__V3__NODE__INIT;
    struct weir_error e;
    *o = (struct owner){0};
    pthread_mutex_init(&o->mutex, NULL);
    pthread_cond_init(&o->changed, NULL);
    node.id = (char *)"node-1";
    config->node = &node.base;
    config->back_off_base_ms = 20;
    config->back_off_max_ms = 200;
    if (weir_ads_create(config, &events, o, &o->ads, &e) != WEIR_OK) fail_msg("%s", e.text);
}

static void owner_stop(struct owner *o)
{
    weir_ads_destroy(o->ads);
    for (; o->taken < o->count; o->taken++)
        weir_arena_destroy(o->responses[o->taken]->arena);
    weir_arena_deinit(&o->arena);
    pthread_cond_destroy(&o->changed);
    pthread_mutex_destroy(&o->mutex);
}

static void send_whole(struct xds_stream *s, const char *type, const char *version, const char *nonce, const char *name)
{
    struct weir_wire_out out = {0};
    xds_whole_response(&out, type, version, nonce, &name, 1);
    xds_stream_write(s, weir_wire_out_str(&out));
    weir_wire_out_deinit(&out);
}

static void send_delta(struct xds_stream *s, const char *type, const char *version, const char *nonce, const char *name,
                       const char *removed)
{
    struct weir_wire_out out = {0};
    xds_delta_response(&out, type, version, nonce, &name, name != NULL, removed);
    xds_stream_write(s, weir_wire_out_str(&out));
    weir_wire_out_deinit(&out);
}

static void expect_whole(struct owner *o, struct xds_stream *s, const char *type, const char *version, const char *nonce,
                         const char *name)
{
    whole_request *r = xds_stream_read_whole(s, &o->arena);
    assert_non_null(r);
    assert_string_equal(r->type_url, type);
    assert_string_equal(r->version_info, version);
    assert_string_equal(r->response_nonce, nonce);
    assert_int_equal(r->n_resource_names, name != NULL);
    if (name != NULL) assert_string_equal(r->resource_names[0], name);
    assert_null(r->error_detail);
    assert_non_null(r->node);
    assert_string_equal(r->node->id, "node-1");
}

static void test_acks_and_nacks_state_of_the_world(void **state)
{
    (void)state;
    struct xds_server server;
    struct xds_stream s;
    struct owner o;
    xds_server_start(&server, 0, NULL, NULL);
    owner_start(&o, &(struct weir_ads_config){.target = server.target, .authority = "xds_cluster"});
    xds_server_accept(&server, &s);
    assert_string_equal(s.method, "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources");
    owner_wait(&o, &o.ups, 1);
    weir_ads_subscribe(o.ads, WEIR_CLUSTERS, true, NULL, 0);
    expect_whole(&o, &s, CDS, "", "", NULL);
    send_whole(&s, CDS, "v1", "n1", "c1");
    struct weir_ads_response *r = owner_take(&o);
    assert_int_equal(r->type, WEIR_CLUSTERS);
    assert_int_equal(r->count, 1);
    assert_true(weir_str_eq(r->resources[0].name, WEIR_STR("c1")));
    assert_true(weir_str_eq(r->resources[0].version, WEIR_STR("v1")));
    assert_true(weir_str_eq(r->resources[0].type_url, WEIR_STR(CDS)));
    weir_ads_verdict(o.ads, r, NULL);
    expect_whole(&o, &s, CDS, "v1", "n1", NULL);
    send_whole(&s, CDS, "v2", "n2", "c2");
    weir_ads_verdict(o.ads, owner_take(&o), "c2: no \xff good");
    whole_request *nack = xds_stream_read_whole(&s, &o.arena);
    assert_string_equal(nack->version_info, "v1");
    assert_string_equal(nack->response_nonce, "n2");
    assert_int_equal(nack->error_detail->code, 13);
    assert_string_equal(nack->error_detail->message, "c2: no ? good");
    xds_stream_end(&s, GRPC_STATUS_OK);
    owner_stop(&o);
    xds_server_stop(&server);
}

static void test_a_new_stream_asks_in_order_with_the_last_versions(void **state)
{
    (void)state;
    struct xds_server server;
    struct xds_stream s;
    struct owner o;
    struct weir_str name = WEIR_STR("x");
    xds_server_start(&server, 0, NULL, NULL);
    owner_start(&o, &(struct weir_ads_config){.target = server.target});
    weir_ads_subscribe(o.ads, WEIR_ROUTES, false, &name, 1);
    weir_ads_subscribe(o.ads, WEIR_LISTENERS, true, NULL, 0);
    weir_ads_subscribe(o.ads, WEIR_ENDPOINTS, false, &name, 1);
    xds_server_accept(&server, &s);
    for (int i = 0; i < 3; i++)
        assert_non_null(xds_stream_read_whole(&s, &o.arena));
    send_whole(&s, RDS, "r7", "n1", "x");
    weir_ads_verdict(o.ads, owner_take(&o), NULL);
    expect_whole(&o, &s, RDS, "r7", "n1", "x");
    send_whole(&s, LDS, "l1", "n2", "x");
    struct weir_ads_response *late = owner_take(&o);
    weir_ads_subscribe(o.ads, WEIR_CLUSTERS, true, NULL, 0);
    expect_whole(&o, &s, CDS, "", "", NULL);
    xds_stream_end(&s, GRPC_STATUS_UNAVAILABLE);
    owner_wait(&o, &o.downs, 1);
    weir_ads_verdict(o.ads, late, NULL); /* accepted, though its stream is gone */
    xds_server_accept(&server, &s);
    expect_whole(&o, &s, CDS, "", "", NULL);
    expect_whole(&o, &s, EDS, "", "", "x");
    expect_whole(&o, &s, LDS, "l1", "", NULL);
    expect_whole(&o, &s, RDS, "r7", "", "x");
    xds_stream_forget(&s);
    owner_stop(&o);
    xds_server_stop(&server);
}

static void test_finds_a_control_plane_that_comes_back(void **state)
{
    (void)state;
    struct xds_server server;
    struct xds_stream s;
    struct owner o;
    xds_server_start(&server, 0, NULL, NULL);
    owner_start(&o, &(struct weir_ads_config){.target = server.target});
    weir_ads_subscribe(o.ads, WEIR_CLUSTERS, true, NULL, 0);
    xds_server_accept(&server, &s);
    expect_whole(&o, &s, CDS, "", "", NULL);
    xds_stream_forget(&s);
    int port = server.port;
    xds_server_stop(&server);
    owner_wait(&o, &o.downs, 3);
    xds_server_start(&server, port, NULL, NULL);
    xds_server_accept(&server, &s);
    expect_whole(&o, &s, CDS, "", "", NULL);
    xds_stream_forget(&s);
    owner_stop(&o);
    xds_server_stop(&server);
}

static void test_delta_resumes_with_the_versions_it_holds(void **state)
{
    (void)state;
    struct xds_server server;
    struct xds_stream s;
    struct owner o;
    xds_server_start(&server, 0, NULL, NULL);
    owner_start(&o, &(struct weir_ads_config){.target = server.target, .delta = true, .node_on_first_message_only = true});
    weir_ads_subscribe(o.ads, WEIR_CLUSTERS, true, NULL, 0);
    xds_server_accept(&server, &s);
    assert_string_equal(s.method, "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources");
    delta_request *r = xds_stream_read_delta(&s, &o.arena);
    assert_int_equal(r->n_resource_names_subscribe, 0);
    assert_non_null(r->node);
    send_delta(&s, CDS, "1", "n1", "a", NULL);
    weir_ads_verdict(o.ads, owner_take(&o), NULL);
    r = xds_stream_read_delta(&s, &o.arena);
    assert_string_equal(r->response_nonce, "n1");
    assert_null(r->node);
    assert_null(r->error_detail);
    send_delta(&s, CDS, "2", "n2", "b", "a");
    struct weir_ads_response *got = owner_take(&o);
    assert_int_equal(got->removed_count, 1);
    assert_true(weir_str_eq(got->removed[0], WEIR_STR("a")));
    weir_ads_verdict(o.ads, got, NULL);
    assert_string_equal(xds_stream_read_delta(&s, &o.arena)->response_nonce, "n2");
    send_delta(&s, CDS, "3", "n3", "c", NULL);
    weir_ads_verdict(o.ads, owner_take(&o), "c is bad");
    r = xds_stream_read_delta(&s, &o.arena);
    assert_string_equal(r->response_nonce, "n3");
    assert_string_equal(r->error_detail->message, "c is bad");
    xds_stream_end(&s, GRPC_STATUS_UNAVAILABLE);
    xds_server_accept(&server, &s);
    r = xds_stream_read_delta(&s, &o.arena);
    assert_non_null(r->node);
    assert_string_equal(r->response_nonce, "");
    assert_int_equal(r->n_initial_resource_versions, 1);
    assert_string_equal(r->initial_resource_versions[0]->key, "b");
    assert_string_equal(r->initial_resource_versions[0]->value, "2");
    xds_stream_forget(&s);
    owner_stop(&o);
    xds_server_stop(&server);
}

static void test_a_malformed_response_resets_the_stream(void **state)
{
    (void)state;
    struct xds_server server;
    struct xds_stream s;
    struct owner o;
    xds_server_start(&server, 0, NULL, NULL);
    owner_start(&o, &(struct weir_ads_config){.target = server.target});
    weir_ads_subscribe(o.ads, WEIR_CLUSTERS, true, NULL, 0);
    xds_server_accept(&server, &s);
    expect_whole(&o, &s, CDS, "", "", NULL);
    xds_stream_write(&s, WEIR_STR("\x0a\x7f"));
    owner_wait(&o, &o.downs, 1);
    xds_stream_forget(&s);
    xds_server_accept(&server, &s);
    expect_whole(&o, &s, CDS, "", "", NULL);
    send_whole(&s, "type.googleapis.com/envoy.Unknown", "1", "n0", "x"); /* ignored, the stream goes on */
    send_whole(&s, CDS, "v1", "n1", "c1");
    weir_ads_verdict(o.ads, owner_take(&o), NULL);
    expect_whole(&o, &s, CDS, "v1", "n1", NULL);
    xds_stream_forget(&s);
    owner_stop(&o);
    xds_server_stop(&server);
}

static void test_takes_wrapped_resources_and_large_messages(void **state)
{
    (void)state;
    struct xds_server server;
    struct xds_stream s;
    struct owner o;
    xds_server_start(&server, 0, NULL, NULL);
    owner_start(&o, &(struct weir_ads_config){.target = server.target});
    weir_ads_subscribe(o.ads, WEIR_CLUSTERS, true, NULL, 0);
    xds_server_accept(&server, &s);
    expect_whole(&o, &s, CDS, "", "", NULL);
    struct weir_wire_out inner = {0}, wrapper = {0}, any = {0}, out = {0}, ttl = {0};
    size_t n = 6u << 20;
    char *name = weir_arena_alloc(&o.arena, n);
    memset(name, 'x', n);
    weir_wire_put_text(&inner, 1, WEIR_STR(CDS));
    struct weir_wire_out body = {0};
    weir_wire_put_bytes(&body, 1, (struct weir_str){name, n});
    weir_wire_put_bytes(&inner, 2, weir_wire_out_str(&body));
    weir_wire_put_text(&wrapper, 1, WEIR_STR("own"));
    weir_wire_put_bytes(&wrapper, 2, weir_wire_out_str(&inner));
    weir_wire_put_varint(&ttl, 1, 2);
    weir_wire_put_varint(&ttl, 2, 500000000);
    weir_wire_put_bytes(&wrapper, 6, weir_wire_out_str(&ttl));
    weir_wire_put_text(&any, 1, WEIR_STR("type.googleapis.com/envoy.service.discovery.v3.Resource"));
    weir_wire_put_bytes(&any, 2, weir_wire_out_str(&wrapper));
    weir_wire_put_text(&out, 1, WEIR_STR("v1"));
    weir_wire_put_bytes(&out, 2, weir_wire_out_str(&any));
    weir_wire_put_text(&out, 4, WEIR_STR(CDS));
    weir_wire_put_text(&out, 5, WEIR_STR("n1"));
    xds_stream_write(&s, weir_wire_out_str(&out));
    struct weir_ads_response *r = owner_take(&o);
    assert_int_equal(r->resources[0].name.n, n);
    assert_true(weir_str_eq(r->resources[0].version, WEIR_STR("v1"))); /* not the wrapper's own */
    assert_false(r->resources[0].heartbeat);
    assert_int_equal(r->resources[0].ttl_ms, 2500);
    assert_true(weir_str_eq(r->resources[0].type_url, WEIR_STR(CDS)));
    weir_ads_verdict(o.ads, r, NULL);
    expect_whole(&o, &s, CDS, "v1", "n1", NULL);
    struct weir_wire_out *all[] = {&inner, &wrapper, &any, &out, &ttl, &body};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        weir_wire_out_deinit(all[i]);
    xds_stream_forget(&s);
    owner_stop(&o);
    xds_server_stop(&server);
}

/* Whether a client with these settings gets its stream up on the TLS server. */
static bool tls_works(struct weir_ads_config config)
{
    struct xds_server server;
    struct xds_stream s;
    struct owner o;
    xds_server_start(&server, 0, certificate, key);
    config.target = server.target;
    config.authority = "xds_cluster";
    config.tls = true;
    struct weir_san_match sans[4]; /* gone before the handshake: the client has its own */
    char text[4][32] = {{0}};
    assert_true(config.san_count <= 4);
    for (uint32_t i = 0; i < config.san_count; i++) {
        sans[i] = config.sans[i];
        memcpy(text[i], config.sans[i].matcher.text.p, config.sans[i].matcher.text.n);
        sans[i].matcher.text.p = text[i];
    }
    config.sans = sans;
    owner_start(&o, &config);
    memset(sans, 0, sizeof sans);
    memset(text, 'x', sizeof text);
    weir_ads_subscribe(o.ads, WEIR_CLUSTERS, true, NULL, 0);
    unsigned *either[] = {&o.ups, &o.downs};
    bool up = false;
    for (bool known = false; !known;) {
        pthread_mutex_lock(&o.mutex);
        known = *either[0] > 0 || *either[1] > 0;
        up = *either[0] > 0;
        if (!known) pthread_cond_wait(&o.changed, &o.mutex);
        pthread_mutex_unlock(&o.mutex);
    }
    if (up) {
        xds_server_accept(&server, &s);
        expect_whole(&o, &s, CDS, "", "", NULL);
        xds_stream_forget(&s);
    }
    owner_stop(&o);
    xds_server_stop(&server);
    return up;
}

static void test_tls_checks_what_it_is_told_to(void **state)
{
    (void)state;
    assert_true(tls_works((struct weir_ads_config){0}));
    assert_true(tls_works((struct weir_ads_config){.root_pem = certificate}));
    assert_true(tls_works((struct weir_ads_config){.root_pem = certificate, .server_name = "other.test"}));
    struct weir_san_match right = {WEIR_SAN_DNS, {.kind = WEIR_MATCH_EXACT, .text = WEIR_STR("control.test")}};
    struct weir_san_match suffix = {WEIR_SAN_DNS, {.kind = WEIR_MATCH_SUFFIX, .text = WEIR_STR(".test")}};
    struct weir_san_match wrong[] = {{WEIR_SAN_DNS, {.kind = WEIR_MATCH_EXACT, .text = WEIR_STR("other.test")}},
                                     {WEIR_SAN_URI, {.kind = WEIR_MATCH_EXACT, .text = WEIR_STR("control.test")}}};
    assert_true(tls_works((struct weir_ads_config){.root_pem = certificate, .sans = &right, .san_count = 1}));
    assert_true(tls_works((struct weir_ads_config){.root_pem = certificate, .server_name = "other.test", .sans = &suffix, .san_count = 1}));
    assert_true(tls_works((struct weir_ads_config){.certificate_pem = certificate, .key_pem = key}));
    assert_false(tls_works((struct weir_ads_config){.root_pem = certificate, .server_name = "control.test", .sans = wrong, .san_count = 2}));
}

static void test_refuses_headers_that_grpc_can_not_send(void **state)
{
    (void)state;
    static const struct weir_ads_events events = {on_response, on_state};
    struct weir_str metadata[] = {WEIR_STR("Not Legal"), WEIR_STR("x")};
    struct weir_ads *ads;
    struct weir_error e;
    struct weir_ads_config config = {.target = "ipv4:127.0.0.1:1", .metadata = metadata, .metadata_count = 1};
    assert_int_equal(weir_ads_create(&config, &events, NULL, &ads, &e), WEIR_ERR_INVALID);
    assert_non_null(strstr(e.text, "Not Legal"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acks_and_nacks_state_of_the_world),
        cmocka_unit_test(test_a_new_stream_asks_in_order_with_the_last_versions),
        cmocka_unit_test(test_finds_a_control_plane_that_comes_back),
        cmocka_unit_test(test_delta_resumes_with_the_versions_it_holds),
        cmocka_unit_test(test_a_malformed_response_resets_the_stream),
        cmocka_unit_test(test_takes_wrapped_resources_and_large_messages),
        cmocka_unit_test(test_tls_checks_what_it_is_told_to),
        cmocka_unit_test(test_refuses_headers_that_grpc_can_not_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
