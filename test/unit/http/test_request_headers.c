/* http/request_headers.c: what upstreams are told of the client, row by row. */
#include "test/unit/support/http_rig.h"

/* The request's headers as the terminal filter sees them, without method, path and host; a generated x-request-id is ID. */
static const char *upstream_of(struct rig *r, const char *extra)
{
    static char out[2048];
    char request[1024];
    int n = snprintf(request, sizeof(request), "GET /p HTTP/1.1\r\nhost: a.test\r\n%s\r\n", extra);
    r->answer = false;
    rig_connect(r);
    rig_send(r, request, (size_t)n);
    assert_non_null(r->stream);
    const struct weir_headers *h = weir_stream_request_headers(r->stream);
    size_t at = 0, id_at = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct weir_header *x = &h->at[i];
        if (x->id == WEIR_H_METHOD || x->id == WEIR_H_PATH || x->id == WEIR_H_AUTHORITY || x->id == WEIR_H_SCHEME) continue;
        bool uuid = x->id == WEIR_H_X_REQUEST_ID && x->value.n == 36;
        if (uuid) id_at = at;
        at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%.*s=%.*s", at > 0 ? " " : "", WEIR_STR_ARG(x->name), uuid ? 2 : (int)x->value.n,
                               uuid ? "ID" : x->value.p);
    }
    (void)id_at;
    rig_vanish(r);
    return out;
}
static void edge(struct rig *r)
{
    rig_init(r);
    r->hcm->generate_request_id = true;
    r->hcm->use_remote_address = true;
    r->hcm->local_ip = WEIR_STR("192.0.2.9");
}
static void middle(struct rig *r)
{
    rig_init(r);
    r->hcm->generate_request_id = true;
}
#define ROW(set, extra, expected)                                                                                       \
    do {                                                                                                                \
        struct rig r;                                                                                                   \
        set;                                                                                                            \
        assert_string_equal(upstream_of(&r, extra), expected);                                                          \
        rig_deinit(&r);                                                                                                 \
    } while (0)

static void test_without_use_remote_address_the_client_is_believed(void **state)
{
    (void)state;
    ROW(middle(&r), "", "x-forwarded-proto=http x-request-id=ID");
    ROW(middle(&r), "x-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: https\r\nx-request-id: mine\r\n",
        "x-forwarded-for=1.2.3.4 x-forwarded-proto=https x-request-id=mine");
    ROW(middle(&r), "x-forwarded-proto: junk\r\n", "x-forwarded-proto=junk x-request-id=ID");
    ROW(middle(&r), "x-envoy-external-address: 9.9.9.9\r\nx-envoy-internal: true\r\nx-envoy-original-path: /o\r\n",
        "x-envoy-external-address=9.9.9.9 x-envoy-original-path=/o x-forwarded-proto=http x-request-id=ID");
}
static void test_edge_writes_down_who_the_client_is(void **state)
{
    (void)state;
    ROW(edge(&r), "", "x-forwarded-for=192.0.2.9 x-forwarded-proto=http x-envoy-external-address=127.0.0.1 x-request-id=ID");
    ROW(edge(&r), "x-forwarded-for: 1.2.3.4, 10.0.0.1\r\n",
        "x-forwarded-for=1.2.3.4, 10.0.0.1,192.0.2.9 x-forwarded-proto=http x-envoy-external-address=127.0.0.1 x-request-id=ID");
    ROW(edge(&r), "x-forwarded-for: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2\r\n",
        "x-forwarded-for=1.1.1.1,2.2.2.2,192.0.2.9 x-forwarded-proto=http x-envoy-external-address=127.0.0.1 x-request-id=ID");
    ROW(edge(&r), "x-forwarded-proto: https\r\nx-request-id: mine\r\n",
        "x-forwarded-proto=http x-request-id=ID x-forwarded-for=192.0.2.9 x-envoy-external-address=127.0.0.1");
    ROW((edge(&r), r.hcm->preserve_external_request_id = true), "x-request-id: mine\r\n",
        "x-request-id=mine x-forwarded-for=192.0.2.9 x-forwarded-proto=http x-envoy-external-address=127.0.0.1");
    ROW((edge(&r), r.hcm->skip_xff_append = true), "x-forwarded-for: 1.2.3.4\r\n",
        "x-forwarded-for=1.2.3.4 x-forwarded-proto=http x-envoy-external-address=127.0.0.1 x-request-id=ID");
    ROW((edge(&r), r.hcm->append_x_forwarded_port = true), "",
        "x-forwarded-for=192.0.2.9 x-forwarded-proto=http x-forwarded-port=8080 x-envoy-external-address=127.0.0.1 x-request-id=ID");
}
static void test_trusted_hops(void **state)
{
    (void)state;
    ROW((edge(&r), r.hcm->xff_num_trusted_hops = 1), "x-forwarded-for: 1.2.3.4, 10.0.0.1\r\nx-forwarded-proto: https\r\n",
        "x-forwarded-for=1.2.3.4, 10.0.0.1,192.0.2.9 x-forwarded-proto=https x-envoy-external-address=10.0.0.1 x-request-id=ID");
    ROW((edge(&r), r.hcm->xff_num_trusted_hops = 2), "x-forwarded-for: 1.2.3.4, 10.0.0.1\r\n",
        "x-forwarded-for=1.2.3.4, 10.0.0.1,192.0.2.9 x-forwarded-proto=http x-envoy-external-address=1.2.3.4 x-request-id=ID");
    ROW((edge(&r), r.hcm->xff_num_trusted_hops = 3), "x-forwarded-for: 1.2.3.4, 10.0.0.1\r\n",
        "x-forwarded-for=1.2.3.4, 10.0.0.1,192.0.2.9 x-forwarded-proto=http x-envoy-external-address=127.0.0.1 x-request-id=ID");
    ROW((edge(&r), r.hcm->xff_num_trusted_hops = 1), "",
        "x-forwarded-for=192.0.2.9 x-forwarded-proto=http x-envoy-external-address=127.0.0.1 x-request-id=ID");
}
static void test_internal_requests_keep_what_only_they_may_say(void **state)
{
    (void)state;
    struct weir_cidr loopback;
    assert_true(weir_cidr_make(WEIR_STR("127.0.0.0"), 8, &loopback));
    ROW((edge(&r), r.hcm->internal_cidr_count = 1, r.hcm->internal_cidrs = &loopback), "x-envoy-retry-on: 5xx\r\nx-request-id: mine\r\n",
        "x-envoy-retry-on=5xx x-request-id=mine x-forwarded-for=192.0.2.9 x-forwarded-proto=http x-envoy-internal=true");
    /* With x-forwarded-for a request at the edge is never internal. */
    ROW((edge(&r), r.hcm->internal_cidr_count = 1, r.hcm->internal_cidrs = &loopback),
        "x-forwarded-for: 127.0.0.1\r\nx-envoy-retry-on: 5xx\r\n",
        "x-forwarded-for=127.0.0.1,192.0.2.9 x-forwarded-proto=http x-envoy-external-address=127.0.0.1 x-request-id=ID");
    ROW((middle(&r), r.hcm->internal_cidr_count = 1, r.hcm->internal_cidrs = &loopback),
        "x-forwarded-for: 127.0.0.9\r\nx-envoy-retry-on: 5xx\r\n",
        "x-forwarded-for=127.0.0.9 x-envoy-retry-on=5xx x-forwarded-proto=http x-envoy-internal=true x-request-id=ID");
    ROW((middle(&r), r.hcm->internal_cidr_count = 1, r.hcm->internal_cidrs = &loopback),
        "x-forwarded-for: 127.0.0.9, 127.0.0.1\r\nx-envoy-retry-on: 5xx\r\n",
        "x-forwarded-for=127.0.0.9, 127.0.0.1 x-forwarded-proto=http x-request-id=ID");
}
static void test_external_clients_cannot_steer_the_proxy(void **state)
{
    (void)state;
#define CONTROL                                                                                                         \
    "x-envoy-retry-on: 5xx\r\nx-envoy-retry-grpc-on: cancelled\r\nx-envoy-max-retries: 9\r\n"                           \
    "x-envoy-upstream-rq-timeout-ms: 1\r\nx-envoy-upstream-rq-per-try-timeout-ms: 1\r\nx-envoy-upstream-alt-stat-name: a\r\n" \
    "x-envoy-upstream-rq-timeout-alt-response: 1\r\nx-envoy-hedge-on-per-try-timeout: true\r\n"                         \
    "x-envoy-retriable-status-codes: 1\r\nx-envoy-retriable-header-names: a\r\nx-envoy-ip-tags: a\r\n"                  \
    "x-envoy-force-trace: a\r\nx-envoy-expected-rq-timeout-ms: 7\r\nx-envoy-internal: true\r\n"
    ROW(middle(&r), CONTROL "x-envoy-foo: kept\r\nx-envoy-attempt-count: 3\r\n",
        "x-envoy-foo=kept x-envoy-attempt-count=3 x-forwarded-proto=http x-request-id=ID");
    ROW(edge(&r),
        CONTROL "x-envoy-downstream-service-cluster: c\r\nx-envoy-downstream-service-node: n\r\nx-envoy-original-path: /\r\n"
                "x-envoy-original-host: h\r\nx-envoy-decorator-operation: o\r\nx-envoy-external-address: 9.9.9.9\r\n",
        "x-envoy-external-address=127.0.0.1 x-forwarded-for=192.0.2.9 x-forwarded-proto=http x-request-id=ID");
}
static void test_headers_of_one_hop_go(void **state)
{
    (void)state;
    ROW(middle(&r), "keep-alive: 5\r\nproxy-connection: x\r\nconnection: x-foo\r\nx-foo: 1\r\nte: gzip\r\nproxy-authorization: kept\r\n",
        "proxy-authorization=kept x-forwarded-proto=http x-request-id=ID");
    ROW(middle(&r), "te: trailers, gzip\r\n", "te=trailers x-forwarded-proto=http x-request-id=ID");
    ROW(middle(&r), "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAA\r\n",
        "x-forwarded-proto=http x-request-id=ID");
}
static void test_client_certificates_are_not_believed_over_cleartext(void **state)
{
    (void)state;
    ROW(middle(&r), "x-forwarded-client-cert: By=x\r\n", "x-forwarded-proto=http x-request-id=ID");
    ROW((middle(&r), r.hcm->client_cert = WEIR_XFCC_FORWARD_ONLY), "x-forwarded-client-cert: By=x\r\n",
        "x-forwarded-proto=http x-request-id=ID");
    ROW((middle(&r), r.hcm->client_cert = WEIR_XFCC_ALWAYS_FORWARD_ONLY), "x-forwarded-client-cert: By=x\r\n",
        "x-forwarded-client-cert=By=x x-forwarded-proto=http x-request-id=ID");
}
static void test_client_certificate_details_are_written(void **state)
{
    (void)state;
    struct weir_str uri = WEIR_STR("spiffe://a/b"), dns = WEIR_STR("d.test"), own = WEIR_STR("spiffe://me");
    for (int append = 0; append < 2; append++) {
        struct rig r;
        middle(&r);
        r.tls = (struct weir_tls_info){
            .alpn = WEIR_STR("http/1.1"),
            .peer_certificate_presented = true,
            .peer_fingerprint_256 = WEIR_STR("abcd"),
            .peer_subject = WEIR_STR("CN=\"x\""),
            .peer_uri_sans = &uri,
            .peer_uri_san_count = 1,
            .peer_dns_sans = &dns,
            .peer_dns_san_count = 1,
            .local_uri_sans = &own,
            .local_uri_san_count = 1,
        };
        r.hcm->client_cert = append ? WEIR_XFCC_APPEND_FORWARD : WEIR_XFCC_SANITIZE_SET;
        r.hcm->xfcc_subject = r.hcm->xfcc_uri = r.hcm->xfcc_dns = true;
#define DETAILS "By=spiffe://me;Hash=abcd;Subject=\"CN=\\\"x\\\"\";URI=spiffe://a/b;DNS=d.test"
        assert_string_equal(upstream_of(&r, "x-forwarded-client-cert: By=x\r\n"),
                            append ? "x-forwarded-client-cert=By=x," DETAILS " x-forwarded-proto=https x-request-id=ID"
                                   : "x-forwarded-client-cert=" DETAILS " x-forwarded-proto=https x-request-id=ID");
        rig_deinit(&r);
    }
}
static void test_user_agent_via_and_scheme(void **state)
{
    (void)state;
    ROW((middle(&r), r.hcm->add_user_agent = true, r.hcm->node_cluster = WEIR_STR("c"), r.hcm->node_id = WEIR_STR("n")), "",
        "x-forwarded-proto=http x-envoy-downstream-service-cluster=c user-agent=c x-envoy-downstream-service-node=n x-request-id=ID");
    ROW((middle(&r), r.hcm->via = WEIR_STR("weir-via")), "via: 1.0 x\r\n", "via=1.0 x, weir-via x-forwarded-proto=http x-request-id=ID");
    ROW((middle(&r), r.hcm->scheme_overwrite = WEIR_STR("https")), "", "x-forwarded-proto=https x-request-id=ID");
    ROW((middle(&r), r.hcm->generate_request_id = false), "", "x-forwarded-proto=http");
}
static void test_the_trusted_address_is_the_downstream_remote(void **state)
{
    (void)state;
    struct rig r;
    middle(&r);
    rig_connect(&r);
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 9.9.9.9, [2001:db8::1]\r\n\r\n");
    char text[WEIR_ADDRESS_TEXT_MAX];
    (void)weir_address_print(&weir_stream_request(r.stream)->downstream_remote, text);
    assert_string_equal(text, "127.0.0.1:40000"); /* not an address as the header has them */
    rig_vanish(&r);
    rig_connect(&r);
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 9.9.9.9, 1.2.3.4\r\n\r\n");
    (void)weir_address_print(&weir_stream_request(r.stream)->downstream_remote, text);
    assert_string_equal(text, "1.2.3.4:0");
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_use_remote_address_the_client_is_believed),
        cmocka_unit_test(test_edge_writes_down_who_the_client_is),
        cmocka_unit_test(test_trusted_hops),
        cmocka_unit_test(test_internal_requests_keep_what_only_they_may_say),
        cmocka_unit_test(test_external_clients_cannot_steer_the_proxy),
        cmocka_unit_test(test_headers_of_one_hop_go),
        cmocka_unit_test(test_client_certificates_are_not_believed_over_cleartext),
        cmocka_unit_test(test_client_certificate_details_are_written),
        cmocka_unit_test(test_user_agent_via_and_scheme),
        cmocka_unit_test(test_the_trusted_address_is_the_downstream_remote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
