/* The router between a connection manager over real codecs and attempts that the test plays: what it sends upstream, what
 * the client and the access log get, which counters move. Words and numbers are those of Envoy. */
#include "test/unit/filters/router_world.h"

/* ---- the plain way ---- */

static void test_request_and_response_pass(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    get(&x);
    const char *sent = up_sent();
    assert_non_null(strstr(sent, ":method=GET"));
    assert_non_null(strstr(sent, "x-envoy-expected-rq-timeout-ms=15000 !"));
    rig_advance(&x.rig, 7);
    answer_200(&x);
    rig_assert_got(&x.rig, OK_2 "x-envoy-upstream-service-time: 7\r\n" RIG_TAIL "\r\nok");
    rig_turn(&x.rig);
    assert_access(&x, "200 - via_upstream");
    assert_int_equal(router_stat(&x, WEIR_RS_rq_total), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_200), 1);
    assert_int_equal(stat(&x, WEIR_CS_external_upstream_rq_2xx), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_completed), 1);
    assert_int_equal(weir_stat_sum(x.cluster->stats, WEIR_CS_upstream_rq_time), 1);
    world_deinit(&x);
}
static void test_suppress_envoy_headers(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.router.suppress_envoy_headers = true;
    get(&x);
    assert_null(strstr(up_sent(), "x-envoy-"));
    answer_200(&x);
    rig_assert_got(&x.rig, OK_2 RIG_TAIL "\r\nok");
    world_deinit(&x);
}
static void test_attempt_counts_both_ways(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.vhost.include_request_attempt_count = x.vhost.include_attempt_count_in_response = true;
    get(&x);
    assert_non_null(strstr(up_sent(), "x-envoy-expected-rq-timeout-ms=15000 x-envoy-attempt-count=1 !"));
    up_reset(WEIR_UPSTREAM_REMOTE_RESET, "");
    rig_turn(&x.rig);
    assert_non_null(strstr(rig_take(&x.rig), "x-envoy-attempt-count: 1\r\n"));
    world_deinit(&x);
}
static void test_body_waits_for_the_connection(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    up.next = WEIR_ATTEMPT_WAITING;
    post(&x, "abc");
    assert_sent("");
    up_ready();
    assert_non_null(strstr(up_sent(), "|<abc>"));
    rig_send_text(&x.rig, "def");
    assert_sent("<def>!");
    answer_200(&x);
    assert_reply(&x, "HTTP/1.1 200", "ok");
    world_deinit(&x);
}
/* gRPC: END_STREAM of a request that is a stream stands on DATA; some servers wait for that one. */
static void test_an_end_that_came_apart_from_the_head_goes_apart(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    up.next = WEIR_ATTEMPT_WAITING;
    rig_connect(&x.rig);
    rig_send_text(&x.rig, "POST /p HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    up_ready();
    assert_non_null(strstr(up_sent(), "|<>!"));
    answer_200(&x);
    assert_reply(&x, "HTTP/1.1 200", "ok");
    world_deinit(&x);
}
static void test_a_waiting_body_is_bounded(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.rig.chain.buffer_limit_bytes = 4;
    up.next = WEIR_ATTEMPT_WAITING;
    rig_connect(&x.rig);
    rig_send_text(&x.rig, POST "abcde");
    assert_int_equal(rig_stat(&x.rig, WEIR_HTTP_FLOW_CONTROL_PAUSED_READING_TOTAL), 1);
    up_ready();
    assert_int_equal(rig_stat(&x.rig, WEIR_HTTP_FLOW_CONTROL_RESUMED_READING_TOTAL), 1);
    world_deinit(&x);
}
static void test_a_slow_upstream_stops_the_client(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    post(&x, "abc");
    up.a->events->on_blocked(up.a->ctx, up.a, true);
    assert_int_equal(rig_stat(&x.rig, WEIR_HTTP_FLOW_CONTROL_PAUSED_READING_TOTAL), 1);
    up.a->events->on_blocked(up.a->ctx, up.a, false);
    assert_int_equal(rig_stat(&x.rig, WEIR_HTTP_FLOW_CONTROL_RESUMED_READING_TOTAL), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_flow_control_backed_up_total), 1);
    world_deinit(&x);
}
static void test_an_early_answer_ends_the_request(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    post(&x, "abc");
    up_headers(false, LIST(":status", "413", "content-length", "3"));
    up_data(&x.rig, "big", true);
    assert_null(up.a);
    assert_reply(&x, "HTTP/1.1 413", "big");
    assert_access(&x, "413 - via_upstream");
    world_deinit(&x);
}
static void test_a_client_that_leaves_ends_the_attempt(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    get(&x);
    rig_vanish(&x.rig);
    assert_null(up.a);
    world_deinit(&x);
}
static void test_server_names_for_the_upstream(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.cluster->auto_sni = x.cluster->auto_san_validation = true;
    rig_connect(&x.rig);
    rig_send_text(&x.rig, "GET /p HTTP/1.1\r\nhost: a.test:8443\r\n\r\n");
    assert_string_equal(up.sni.p, "a.test/a.test");
    answer_200(&x);
    text_free(&up.sni);
    up.sni = (struct text){0};
    rig_send_text(&x.rig, "GET /p HTTP/1.1\r\nhost: [::1]:8443\r\n\r\n");
    assert_string_equal(up.sni.p, "/::1");
    world_deinit(&x);
}

/* ---- what the route answers ---- */

static void test_answers_of_the_route(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    rig_connect(&x.rig);
    rig_send_text(&x.rig, "GET /other HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_reply(&x, "HTTP/1.1 404 Not Found", "");
    x.route.cluster_slot = 5;
    rig_send_text(&x.rig, GET);
    assert_reply(&x, "HTTP/1.1 503", "");
    x.route.cluster_slot = WEIR_CLUSTER_SLOT_NONE;
    x.route.cluster_header = WEIR_STR("x-cluster");
    x.route.cluster_not_found_status = 404;
    rig_send_text(&x.rig, "GET /p HTTP/1.1\r\nhost: a.test\r\nx-cluster: nobody\r\n\r\n");
    assert_reply(&x, "HTTP/1.1 404", "");
    x.route.action = WEIR_ROUTE_DIRECT_RESPONSE;
    x.route.direct_status = 418;
    x.route.direct_body = WEIR_STR("teapot");
    rig_send_text(&x.rig, GET);
    assert_reply(&x, "HTTP/1.1 418", "teapot");
    x.route.direct_status = 304;
    rig_send_text(&x.rig, GET);
    rig_turn(&x.rig);
    assert_non_null(strstr(rig_take(&x.rig), "location: http://a.test/p\r\n"));
    rig_turn(&x.rig);
    assert_access(&x, "404 NR route_not_found\n503 NC cluster_not_found\n404 NC cluster_not_found\n418 - direct_response\n"
                      "304 - direct_response");
    assert_int_equal(router_stat(&x, WEIR_RS_no_route), 1);
    assert_int_equal(router_stat(&x, WEIR_RS_no_cluster), 2);
    assert_int_equal(router_stat(&x, WEIR_RS_rq_direct_response), 2);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_completed), 0);
    world_deinit(&x);
}
static void test_a_cluster_found_by_a_headers_name(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.route.cluster_slot = WEIR_CLUSTER_SLOT_NONE;
    x.route.cluster_header = WEIR_STR("x-cluster");
    rig_connect(&x.rig);
    rig_send_text(&x.rig, "GET /p HTTP/1.1\r\nhost: a.test\r\nx-cluster: c\r\n\r\n");
    answer_200(&x);
    assert_reply(&x, "HTTP/1.1 200", "ok");
    world_deinit(&x);
}
static void test_no_host_and_no_pool(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "{'name': 'c', 'load_assignment': {'cluster_name': 'c'}}");
    get(&x);
    assert_reply(&x, "HTTP/1.1 503", "no healthy upstream");
    rig_turn(&x.rig);
    assert_access(&x, "503 UH no_healthy_upstream");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_503), 1);
    world_deinit(&x);
    world_init(&x, "");
    up.next = WEIR_ATTEMPT_NO_POOL;
    get(&x);
    assert_reply(&x, "HTTP/1.1 503", "no healthy upstream");
    world_deinit(&x);
}
static void test_dropped_overload(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "{'name': 'c', 'load_assignment': {'cluster_name': 'c', 'policy': {'drop_overloads': [{'category': 'x',"
                   "'drop_percentage': {'numerator': 100}}]}}}");
    get(&x);
    rig_turn(&x.rig);
    rig_assert_got(&x.rig, "HTTP/1.1 503 Service Unavailable\r\nx-envoy-unconditional-drop-overload: true\r\ncontent-length: 27\r\n"
                           "content-type: text/plain\r\n" RIG_TAIL "\r\nunconditional drop overload");
    rig_turn(&x.rig);
    assert_access(&x, "503 UDO unconditional_drop_overload");
    world_deinit(&x);
}
static void test_maintenance_mode(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    struct weir_str layer = WEIR_STR("l");
    struct weir_runtime *runtime = weir_runtime_create(&layer, 1);
    weir_runtime_set(runtime, 0, WEIR_STR("upstream.maintenance_mode.c"), WEIR_STR("100"));
    x.rig.w->snapshot.runtime = runtime;
    get(&x);
    rig_turn(&x.rig);
    rig_assert_got(&x.rig, "HTTP/1.1 503 Service Unavailable\r\nx-envoy-overloaded: true\r\ncontent-length: 16\r\n"
                           "content-type: text/plain\r\n" RIG_TAIL "\r\nmaintenance mode");
    rig_turn(&x.rig);
    assert_access(&x, "503 UO maintenance_mode");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_maintenance_mode), 1);
    x.rig.w->snapshot.runtime = NULL;
    weir_resource_release(weir_runtime_resource(runtime));
    world_deinit(&x);
}

/* ---- what becomes of attempts ---- */

static void test_resets_before_the_response(void **state)
{
    (void)state;
    static const struct {
        enum weir_upstream_reset why;
        const char *failure, *status, *body, *access;
    } cases[] = {
        {WEIR_UPSTREAM_REMOTE_CONNECTION_FAILURE, "delayed connect error: Connection refused", "HTTP/1.1 503",
         UCE "reset reason: remote connection failure",
         "503 UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"},
        {WEIR_UPSTREAM_CONNECTION_TIMEOUT, "", "HTTP/1.1 503", UCE "reset reason: connection timeout",
         "503 UF upstream_reset_before_response_started{connection_timeout}"},
        {WEIR_UPSTREAM_CONNECTION_TERMINATION, "", "HTTP/1.1 503", UCE "reset reason: connection termination",
         "503 UC upstream_reset_before_response_started{connection_termination}"},
        {WEIR_UPSTREAM_PROTOCOL_ERROR, "", "HTTP/1.1 502", UCE "reset reason: protocol error",
         "502 UPE upstream_reset_before_response_started{protocol_error}"},
        {WEIR_UPSTREAM_REMOTE_REFUSED, "", "HTTP/1.1 503", UCE "reset reason: remote refused stream reset",
         "503 UR upstream_reset_before_response_started{remote_refused_stream_reset}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world x;
        world_init(&x, "");
        up.next = WEIR_ATTEMPT_WAITING;
        get(&x);
        up_reset(cases[i].why, cases[i].failure);
        assert_reply(&x, cases[i].status, cases[i].body);
        rig_turn(&x.rig);
        assert_access(&x, cases[i].access);
        assert_int_equal(stat(&x, WEIR_CS_upstream_rq_5xx), 1);
        world_deinit(&x);
    }
}
static void test_an_open_circuit_breaker(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 3); /* makes no difference */
    up.next = WEIR_ATTEMPT_OVERFLOW;
    get(&x);
    rig_turn(&x.rig);
    rig_assert_got(&x.rig, "HTTP/1.1 503 Service Unavailable\r\nx-envoy-overloaded: true\r\ncontent-length: 81\r\n"
                           "content-type: text/plain\r\n" RIG_TAIL "\r\n" UCE "reset reason: overflow");
    rig_turn(&x.rig);
    assert_access(&x, "503 UO upstream_reset_before_response_started{overflow}");
    assert_int_equal(up.started, 1);
    world_deinit(&x);
}
static void test_a_reset_within_the_response(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    get(&x);
    up_headers(false, LIST(":status", "200", "content-length", "100"));
    up_data(&x.rig, "0123456789", false);
    rig_turn(&x.rig);
    up_reset(WEIR_UPSTREAM_PROTOCOL_ERROR, "");
    rig_turn(&x.rig);
    assert_reply(&x, "HTTP/1.1 200", "0123456789");
    assert_true(x.rig.finished || x.rig.closed);
    assert_access(&x, "200 UPE upstream_reset_after_response_started{protocol_error}");
    world_deinit(&x);
}
static void test_headers_that_no_wire_takes(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 3);
    up.refuse_headers = true;
    get(&x);
    assert_reply(&x, "HTTP/1.1 503", UCE "reset reason: local reset");
    assert_int_equal(up.started, 1);
    world_deinit(&x);
}

/* ---- gRPC, upgrades ---- */

#define GRPC "POST /p HTTP/1.1\r\nhost: a.test\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n"
static void test_grpc_counts_by_its_own_status(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    rig_connect(&x.rig);
    rig_send_text(&x.rig, GRPC "\r\n");
    struct weir_host *host = up.a->host->host;
    up_headers(true, LIST(":status", "200", "grpc-status", "14"));
    assert_int_equal(host->rq_error, 1);
    rig_turn(&x.rig);
    rig_send_text(&x.rig, GRPC "\r\n");
    up_headers(false, LIST(":status", "200"));
    struct weir_attempt *a = up.a;
    a->events->on_trailers(a->ctx, a, rig_headers(a->arena, LIST("grpc-status", "0")));
    assert_int_equal(host->rq_success, 1);
    rig_turn(&x.rig);
    rig_send_text(&x.rig, GRPC "\r\n");
    up_headers(false, LIST(":status", "200"));
    up_reset(WEIR_UPSTREAM_CONNECTION_TERMINATION, "");
    assert_int_equal(host->rq_error, 2);
    assert_int_equal(router_stat(&x, WEIR_RS_rq_reset_after_downstream_response_started), 1);
    world_deinit(&x);
}
static void test_grpc_timeout_bounds_the_route_timeout_where_asked(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.route.max_grpc_timeout_ms = 0;
    rig_connect(&x.rig);
    rig_send_text(&x.rig, GRPC "grpc-timeout: 200m\r\n\r\n");
    assert_non_null(strstr(up_sent(), "x-envoy-expected-rq-timeout-ms=200"));
    rig_advance(&x.rig, 201);
    assert_non_null(strstr(rig_take(&x.rig), "grpc-status: 14\r\ngrpc-message: upstream request timeout\r\n"));
    world_deinit(&x);
    world_init(&x, "");
    rig_connect(&x.rig);
    rig_send_text(&x.rig, GRPC "grpc-timeout: 200m\r\n\r\n");
    const char *sent = up_sent();
    assert_non_null(strstr(sent, "x-envoy-expected-rq-timeout-ms=15000"));
    assert_non_null(strstr(sent, "grpc-timeout=200m"));
    world_deinit(&x);
}
#define WEBSOCKET "GET /p HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
static void upgrade(struct world *x)
{
    static const struct weir_upgrade_config on = {.type = WEIR_STR_INIT("websocket"), .enabled = true};
    x->route.upgrades = &on;
    x->route.upgrade_count = 1;
    rig_connect(&x->rig);
    rig_send_text(&x->rig, WEBSOCKET "early");
}
static void test_an_upgrade_opens_with_the_101(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    upgrade(&x);
    assert_null(strstr(up_sent(), "early"));
    up_headers(false, LIST(":status", "101", "upgrade", "websocket"));
    rig_turn(&x.rig);
    assert_sent("<early>");
    const char *got = rig_take(&x.rig);
    assert_non_null(strstr(got, "HTTP/1.1 101"));
    assert_null(strstr(got, "x-envoy-upstream-service-time"));
    rig_send_text(&x.rig, "more");
    assert_sent("<more>");
    up_data(&x.rig, "back", false);
    rig_turn(&x.rig);
    rig_assert_got(&x.rig, "back");
    rig_advance(&x.rig, 100000); /* no timeout */
    up_data(&x.rig, "bye", true);
    rig_turn(&x.rig);
    rig_assert_got(&x.rig, "bye");
    world_deinit(&x);
}
static void test_a_refused_upgrade(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    upgrade(&x);
    up_headers(false, LIST(":status", "403", "content-length", "2"));
    up_data(&x.rig, "no", true);
    assert_reply(&x, "HTTP/1.1 403", "no");
    assert_null(strstr(up_sent(), "early"));
    assert_access(&x, "403 - via_upstream");
    world_deinit(&x);
    world_init(&x, "");
    upgrade(&x);
    up_headers(false, LIST(":status", "200", "content-length", "2"));
    assert_reply(&x, "HTTP/1.1 200", "");
    assert_access(&x, "200 - websocket_handshake_unsuccessful");
    world_deinit(&x);
}
static void test_connect_that_ends_here(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    static const struct weir_upgrade_config on = {.type = WEIR_STR_INIT("connect"), .enabled = true, .connect_terminated = true};
    x.route.upgrades = &on;
    x.route.upgrade_count = 1;
    use_route(&x, WEIR_PATH_CONNECT);
    rig_connect(&x.rig);
    rig_send_text(&x.rig, "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n");
    assert_true(up.raw);
    up_headers(false, LIST(":status", "200"));
    rig_turn(&x.rig);
    rig_assert_got(&x.rig, "HTTP/1.1 200 OK\r\n" RIG_TAIL "\r\n");
    (void)up_sent();
    rig_send_text(&x.rig, "bytes");
    assert_sent("<bytes>");
    world_deinit(&x);
}
static void test_a_slow_client_stops_the_attempt(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    get(&x);
    x.rig.slow_client = true;
    up_headers(false, LIST(":status", "200"));
    static char big[200000];
    memset(big, 'x', sizeof(big) - 1);
    up_data(&x.rig, big, false);
    rig_turn(&x.rig);
    if (x.rig.queue >= x.rig.transport.high_water) x.rig.transport.above_high = true;
    rig_turn(&x.rig);
    up_data(&x.rig, big, false);
    rig_turn(&x.rig);
    assert_true(up.paused);
    world_deinit(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_and_response_pass),
        cmocka_unit_test(test_suppress_envoy_headers),
        cmocka_unit_test(test_attempt_counts_both_ways),
        cmocka_unit_test(test_body_waits_for_the_connection),
        cmocka_unit_test(test_an_end_that_came_apart_from_the_head_goes_apart),
        cmocka_unit_test(test_a_waiting_body_is_bounded),
        cmocka_unit_test(test_a_slow_upstream_stops_the_client),
        cmocka_unit_test(test_a_slow_client_stops_the_attempt),
        cmocka_unit_test(test_an_early_answer_ends_the_request),
        cmocka_unit_test(test_a_client_that_leaves_ends_the_attempt),
        cmocka_unit_test(test_server_names_for_the_upstream),
        cmocka_unit_test(test_answers_of_the_route),
        cmocka_unit_test(test_a_cluster_found_by_a_headers_name),
        cmocka_unit_test(test_no_host_and_no_pool),
        cmocka_unit_test(test_dropped_overload),
        cmocka_unit_test(test_maintenance_mode),
        cmocka_unit_test(test_resets_before_the_response),
        cmocka_unit_test(test_an_open_circuit_breaker),
        cmocka_unit_test(test_a_reset_within_the_response),
        cmocka_unit_test(test_headers_that_no_wire_takes),
        cmocka_unit_test(test_grpc_counts_by_its_own_status),
        cmocka_unit_test(test_grpc_timeout_bounds_the_route_timeout_where_asked),
        cmocka_unit_test(test_an_upgrade_opens_with_the_101),
        cmocka_unit_test(test_a_refused_upgrade),
        cmocka_unit_test(test_connect_that_ends_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
