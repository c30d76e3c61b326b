/* The router's retries and times: when an attempt is made again, with what, and which timeout ends it with which answer. Words
 * and numbers are those of Envoy. */
#include "test/unit/filters/router_world.h"

/* ---- retries ---- */

static void test_a_retry_sends_the_whole_request_again(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 2);
    x.vhost.include_request_attempt_count = true;
    post(&x, "abc");
    rig_send_text(&x.rig, "def");
    assert_non_null(strstr(up_sent(), "|<abc><def>!"));
    up_headers(false, LIST(":status", "503"));
    assert_null(up.a);
    assert_int_equal(stat(&x, WEIR_CS_default_rq_retry_open), 0);
    assert_int_equal(x.shared->breakers[0].held[WEIR_BREAKER_RETRIES], 1);
    rig_advance(&x.rig, 25);
    assert_non_null(up.a);
    const char *sent = up_sent();
    assert_non_null(strstr(sent, "x-envoy-attempt-count=2 "));
    assert_non_null(strstr(sent, "|<abcdef>!"));
    answer_200(&x);
    assert_reply(&x, "HTTP/1.1 200", "ok");
    rig_turn(&x.rig);
    assert_access(&x, "200 - via_upstream");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry_backoff_exponential), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry_success), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_completed), 1);
    world_deinit(&x);
}
static void test_the_rest_of_a_body_may_come_between_two_attempts(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_CONNECT_FAILURE, 1);
    up.next = WEIR_ATTEMPT_WAITING;
    post(&x, "abc");
    up_reset(WEIR_UPSTREAM_REMOTE_CONNECTION_FAILURE, "");
    rig_send_text(&x.rig, "def");
    assert_sent("");
    up.next = WEIR_ATTEMPT_READY;
    rig_advance(&x.rig, 25);
    assert_non_null(strstr(up_sent(), "|<abcdef>!"));
    answer_200(&x);
    world_deinit(&x);
}
static void test_retries_end(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 2);
    get(&x);
    for (int i = 0; i < 2; i++) {
        up_reset(WEIR_UPSTREAM_CONNECTION_TERMINATION, "");
        rig_advance(&x.rig, 250);
    }
    up_reset(WEIR_UPSTREAM_CONNECTION_TERMINATION, "");
    assert_reply(&x, "HTTP/1.1 503", UCE "retried and the latest reset reason: connection termination");
    rig_turn(&x.rig);
    assert_access(&x, "503 UC,URX upstream_reset_before_response_started{connection_termination}");
    assert_int_equal(up.started, 3);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry), 2);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry_limit_exceeded), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_503), 1);
    world_deinit(&x);
}
static void test_the_last_answer_passes_when_retries_end(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_GATEWAY_ERROR, 1);
    get(&x);
    up_headers(true, LIST(":status", "503", "content-length", "0"));
    rig_advance(&x.rig, 25);
    up_headers(true, LIST(":status", "503", "content-length", "0"));
    rig_turn(&x.rig);
    assert_access(&x, "503 URX via_upstream");
    world_deinit(&x);
}
static void test_conditions(void **state)
{
    (void)state;
    static const struct {
        uint32_t on;
        const char *status, *grpc; /* status NULL: a reset */
        enum weir_upstream_reset why;
        bool again;
    } cases[] = {
        {WEIR_RETRY_5XX, "500", NULL, 0, true},
        {WEIR_RETRY_5XX, "499", NULL, 0, false},
        {WEIR_RETRY_GATEWAY_ERROR, "500", NULL, 0, false},
        {WEIR_RETRY_GATEWAY_ERROR, "504", NULL, 0, true},
        {WEIR_RETRY_RETRIABLE_4XX, "409", NULL, 0, true},
        {WEIR_RETRY_RETRIABLE_STATUS_CODES, "418", NULL, 0, true},
        {WEIR_RETRY_RETRIABLE_STATUS_CODES, "503", NULL, 0, false},
        {WEIR_RETRY_CONNECT_FAILURE, "503", NULL, 0, false},
        {WEIR_RETRY_GRPC_UNAVAILABLE, "200", "14", 0, true},
        {WEIR_RETRY_GRPC_UNAVAILABLE, "200", "13", 0, false},
        {WEIR_RETRY_CONNECT_FAILURE, NULL, NULL, WEIR_UPSTREAM_REMOTE_CONNECTION_FAILURE, true},
        {WEIR_RETRY_CONNECT_FAILURE, NULL, NULL, WEIR_UPSTREAM_CONNECTION_TIMEOUT, true},
        {WEIR_RETRY_CONNECT_FAILURE, NULL, NULL, WEIR_UPSTREAM_CONNECTION_TERMINATION, false},
        {WEIR_RETRY_REFUSED_STREAM, NULL, NULL, WEIR_UPSTREAM_REMOTE_REFUSED, true},
        {WEIR_RETRY_REFUSED_STREAM, NULL, NULL, WEIR_UPSTREAM_REMOTE_RESET, false},
        {WEIR_RETRY_RESET, NULL, NULL, WEIR_UPSTREAM_REMOTE_RESET, true},
        {WEIR_RETRY_RETRIABLE_4XX, NULL, NULL, WEIR_UPSTREAM_REMOTE_RESET, false},
    };
    static const uint32_t codes[] = {418};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world x;
        world_init(&x, "");
        retry_on(&x, cases[i].on, 1);
        x.retry.status_codes = codes;
        x.retry.status_code_count = 1;
        get(&x);
        if (cases[i].status == NULL) {
            up_reset(cases[i].why, "");
        } else if (cases[i].grpc != NULL) {
            up_headers(true, LIST(":status", cases[i].status, "grpc-status", cases[i].grpc));
        } else {
            up_headers(true, LIST(":status", cases[i].status));
        }
        rig_advance(&x.rig, 25);
        if ((up.started == 2) != cases[i].again) fail_msg("case %zu", i);
        world_deinit(&x);
    }
}
static void test_max_retries_of_the_cluster(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, ", 'circuit_breakers': {'thresholds': [{'max_retries': 0}]}");
    retry_on(&x, WEIR_RETRY_5XX, 2);
    get(&x);
    up_headers(true, LIST(":status", "503", "content-length", "0"));
    rig_turn(&x.rig);
    assert_access(&x, "503 UO via_upstream");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry_overflow), 1);
    world_deinit(&x);
}
static void test_a_large_body_is_not_sent_again(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 2);
    x.route.retry_buffer_bytes = 4;
    post(&x, "abc");
    rig_send_text(&x.rig, "def");
    assert_non_null(strstr(up_sent(), "|<abc><def>!"));
    up_headers(true, LIST(":status", "503", "content-length", "0"));
    rig_turn(&x.rig);
    assert_access(&x, "503 - via_upstream");
    assert_int_equal(stat(&x, WEIR_CS_retry_or_shadow_abandoned), 1);
    world_deinit(&x);
}
static void test_a_large_body_between_two_attempts(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 2);
    x.route.retry_buffer_bytes = 4;
    post(&x, "abc");
    up_reset(WEIR_UPSTREAM_CONNECTION_TERMINATION, "");
    rig_send_text(&x.rig, "def");
    assert_reply(&x, "HTTP/1.1 507", "exceeded request buffer limit while retrying upstream");
    assert_access(&x, "507 - request_payload_exceeded_retry_buffer_limit");
    world_deinit(&x);
}
static void test_no_retry_once_the_response_has_begun(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_RESET | WEIR_RETRY_5XX, 2);
    get(&x);
    up_headers(false, LIST(":status", "200"));
    up_reset(WEIR_UPSTREAM_REMOTE_RESET, "");
    rig_advance(&x.rig, 300);
    assert_int_equal(up.started, 1);
    assert_access(&x, "200 UR upstream_reset_after_response_started{remote_reset}");
    world_deinit(&x);
}
static void test_a_retry_finds_the_cluster_anew(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 2);
    get(&x);
    up_reset(WEIR_UPSTREAM_CONNECTION_TERMINATION, "");
    weir_cluster_remove(x.rig.w, 0);
    rig_advance(&x.rig, 25);
    assert_reply(&x, "HTTP/1.1 503", "no healthy upstream");
    world_deinit(&x);
}

/* ---- times ---- */

static void test_the_route_timeout(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.route.timeout_ms = 300;
    post(&x, "abc");
    assert_non_null(strstr(up_sent(), "x-envoy-expected-rq-timeout-ms=300 |"));
    rig_advance(&x.rig, 1000); /* the request has not ended */
    rig_assert_got(&x.rig, "");
    rig_send_text(&x.rig, "def");
    rig_advance(&x.rig, 299);
    rig_assert_got(&x.rig, "");
    rig_advance(&x.rig, 2);
    assert_reply(&x, "HTTP/1.1 504", "upstream request timeout");
    assert_access(&x, "504 UT response_timeout");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_timeout), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_504), 1);
    world_deinit(&x);
}
static void test_the_route_timeout_within_the_response(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.route.timeout_ms = 300;
    get(&x);
    up_headers(false, LIST(":status", "200", "content-length", "100"));
    rig_advance(&x.rig, 301);
    assert_null(up.a);
    assert_access(&x, "200 UT response_timeout");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_504), 0);
    world_deinit(&x);
}
static void test_no_route_timeout(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.route.timeout_ms = 0;
    get(&x);
    assert_null(strstr(up_sent(), "x-envoy-expected-rq-timeout-ms"));
    rig_advance(&x.rig, 1000000);
    answer_200(&x);
    assert_reply(&x, "HTTP/1.1 200", "ok");
    world_deinit(&x);
}
static void test_per_try_timeout(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 1);
    x.retry.per_try_timeout_ms = 300;
    get(&x);
    assert_non_null(strstr(up_sent(), "x-envoy-expected-rq-timeout-ms=300 !"));
    rig_advance(&x.rig, 301);
    rig_advance(&x.rig, 26);
    assert_int_equal(up.started, 2);
    rig_advance(&x.rig, 301);
    assert_reply(&x, "HTTP/1.1 504", "upstream request timeout");
    assert_access(&x, "504 UT,URX upstream_per_try_timeout");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_per_try_timeout), 2);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry_limit_exceeded), 1);
    world_deinit(&x);
}
static void test_per_try_timeout_ends_with_the_head(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 1);
    x.retry.per_try_timeout_ms = 300;
    get(&x);
    up_headers(false, LIST(":status", "200", "content-length", "2"));
    rig_advance(&x.rig, 1000);
    up_data(&x.rig, "ok", true);
    assert_reply(&x, "HTTP/1.1 200", "ok");
    world_deinit(&x);
}
static void test_per_try_idle_timeout(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 0);
    x.retry.per_try_idle_timeout_ms = 300;
    get(&x);
    rig_advance(&x.rig, 301);
    assert_reply(&x, "HTTP/1.1 504", "upstream request timeout");
    assert_access(&x, "504 UT,URX upstream_per_try_idle_timeout");
    world_deinit(&x);
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 0);
    x.retry.per_try_idle_timeout_ms = 300;
    get(&x);
    up_headers(false, LIST(":status", "200", "content-length", "20"));
    for (int i = 0; i < 3; i++) {
        rig_advance(&x.rig, 200);
        up_data(&x.rig, "01", false);
    }
    rig_advance(&x.rig, 301);
    assert_access(&x, "200 UT upstream_per_try_idle_timeout");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_per_try_idle_timeout), 1);
    world_deinit(&x);
}
static void test_max_stream_duration_of_the_cluster(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.cluster->max_stream_duration_ms = 300;
    get(&x);
    rig_advance(&x.rig, 301);
    assert_reply(&x, "HTTP/1.1 504", "upstream max stream duration reached");
    assert_access(&x, "504 UMSDR upstream_max_stream_duration_reached");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_504), 0);
    world_deinit(&x);
}
static void test_the_back_off_counts_in_the_route_timeout(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 100);
    x.route.timeout_ms = 500;
    get(&x);
    while (up.a != NULL || x.rig.access.n == 0) {
        if (up.a != NULL) up_reset(WEIR_UPSTREAM_REMOTE_RESET, "");
        rig_advance(&x.rig, 10);
        assert_true(x.rig.w->now_ns < 3000000000u);
    }
    assert_reply(&x, "HTTP/1.1 504", "upstream request timeout");
    assert_access(&x, "504 UT response_timeout");
    world_deinit(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_retry_sends_the_whole_request_again),
        cmocka_unit_test(test_the_rest_of_a_body_may_come_between_two_attempts),
        cmocka_unit_test(test_retries_end),
        cmocka_unit_test(test_the_last_answer_passes_when_retries_end),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_max_retries_of_the_cluster),
        cmocka_unit_test(test_a_large_body_is_not_sent_again),
        cmocka_unit_test(test_a_large_body_between_two_attempts),
        cmocka_unit_test(test_no_retry_once_the_response_has_begun),
        cmocka_unit_test(test_a_retry_finds_the_cluster_anew),
        cmocka_unit_test(test_the_route_timeout),
        cmocka_unit_test(test_the_route_timeout_within_the_response),
        cmocka_unit_test(test_no_route_timeout),
        cmocka_unit_test(test_per_try_timeout),
        cmocka_unit_test(test_per_try_timeout_ends_with_the_head),
        cmocka_unit_test(test_per_try_idle_timeout),
        cmocka_unit_test(test_max_stream_duration_of_the_cluster),
        cmocka_unit_test(test_the_back_off_counts_in_the_route_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
