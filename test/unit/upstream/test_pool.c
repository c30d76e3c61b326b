/* Pools over transports in memory and real codecs: who gets which connection, who waits, what an end means to whom. */
#include "test/unit/support/upstream_rig.h"

#include <stdlib.h>

#define OK "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
#define GOT_OK "ready; headers 200; data ok end"

static int setup(void **state)
{
    struct upstream_rig *r = calloc(1, sizeof(*r));
    upstream_rig_init(r, 1);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    upstream_rig_deinit(*state);
    free(*state);
    return 0;
}

#define assert_stat(r, name, expected) assert_int_equal(upstream_rig_stat((r), WEIR_CS_##name), (expected))

/* One request on a fresh connection, answered; the connection is then idle. */
static struct upstream_peer *warm(struct upstream_rig *r)
{
    struct upstream_user *u = upstream_user_start(r);
    struct upstream_peer *p = r->peers[r->peer_count - 1];
    upstream_peer_accept(p, NULL);
    assert_string_equal(upstream_peer_take(p), "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    upstream_peer_say(p, OK);
    upstream_user_assert(u, GOT_OK);
    upstream_user_end(u);
    return p;
}

static void test_pool_reuses_idle_connection(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_peer *p = warm(r);
    for (int i = 0; i < 3; i++) {
        struct upstream_user *u = upstream_user_start(r);
        assert_int_equal(u->state, WEIR_ATTEMPT_READY);
        upstream_peer_say(p, OK);
        upstream_user_assert(u, GOT_OK);
        upstream_user_end(u);
    }
    assert_int_equal(r->peer_count, 1);
    assert_false(p->closed);
    assert_stat(r, upstream_cx_total, 1);
    assert_stat(r, upstream_cx_http1_total, 1);
    assert_stat(r, upstream_rq_total, 4);
    assert_stat(r, upstream_rq_pending_total, 1);
}

static void test_pool_takes_the_connection_used_last(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_user *one = upstream_user_start(r), *two = upstream_user_start(r);
    assert_int_equal(r->peer_count, 2);
    upstream_peer_accept(r->peers[0], NULL);
    upstream_peer_accept(r->peers[1], NULL);
    upstream_peer_say(r->peers[1], OK);
    upstream_peer_say(r->peers[0], OK);
    upstream_user_end(one);
    upstream_user_end(two);
    (void)upstream_peer_take(r->peers[0]);
    (void)upstream_peer_take(r->peers[1]);
    struct upstream_user *u = upstream_user_start(r);
    assert_int_not_equal(r->peers[0]->n, 0);
    assert_int_equal(r->peers[1]->n, 0);
    upstream_peer_say(r->peers[0], OK);
    upstream_user_end(u);
}

static void test_requests_beyond_the_pending_limit_overflow(void **state)
{
    struct upstream_rig *r = *state;
    r->config->limits[0].pending = 1;
    upstream_rig_install(r);
    struct upstream_user *one = upstream_user_start(r), *two = upstream_user_start(r);
    assert_int_equal(one->state, WEIR_ATTEMPT_WAITING);
    assert_int_equal(two->state, WEIR_ATTEMPT_OVERFLOW);
    assert_stat(r, upstream_rq_pending_overflow, 1);
    assert_stat(r, default_rq_pending_open, 1);
    upstream_user_end(two);
    upstream_user_end(one);
    assert_stat(r, upstream_rq_cancelled, 1);
}

static void test_requests_beyond_the_request_limit_overflow(void **state)
{
    struct upstream_rig *r = *state;
    r->config->limits[0].requests = 1;
    upstream_rig_install(r);
    struct upstream_peer *p = warm(r);
    struct upstream_user *one = upstream_user_start(r), *two = upstream_user_start(r);
    upstream_peer_accept(r->peers[1], NULL);
    upstream_user_assert(two, "reset overflow");
    assert_stat(r, upstream_rq_active_overflow, 1);
    upstream_peer_say(p, OK);
    upstream_user_end(one);
    upstream_user_end(two);
}

static void test_at_the_connection_limit_requests_wait_for_a_connection(void **state)
{
    struct upstream_rig *r = *state;
    r->config->limits[0].connections = 1;
    upstream_rig_install(r);
    struct upstream_user *one = upstream_user_start(r), *two = upstream_user_start(r);
    assert_int_equal(r->peer_count, 1);
    assert_stat(r, upstream_cx_overflow, 1);
    upstream_peer_accept(r->peers[0], NULL);
    upstream_user_assert(two, "");
    upstream_peer_say(r->peers[0], OK);
    upstream_user_assert(two, "ready");
    upstream_peer_say(r->peers[0], OK);
    upstream_user_assert(two, GOT_OK);
    upstream_user_end(one);
    upstream_user_end(two);
}

static void test_a_failed_connect_fails_all_who_wait(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_user *one = upstream_user_start(r), *two = upstream_user_start(r);
    upstream_peer_refuse(r->peers[0], WEIR_CLOSE_CONNECT_REFUSED);
    upstream_user_assert(one, "reset remote connection failure|refused");
    upstream_user_assert(two, "reset remote connection failure|refused");
    assert_stat(r, upstream_cx_connect_fail, 1);
    assert_stat(r, upstream_rq_pending_failure_eject, 2);
    assert_stat(r, upstream_cx_destroy_remote, 1);
    upstream_user_end(one);
    upstream_user_end(two);
}

static void test_a_connect_timeout_is_told_as_such(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_peer_refuse(r->peers[0], WEIR_CLOSE_CONNECT_TIMEOUT);
    upstream_user_assert(u, "reset connection timeout");
    assert_stat(r, upstream_cx_connect_timeout, 1);
    assert_stat(r, upstream_cx_connect_fail, 1);
    assert_stat(r, upstream_cx_destroy_local, 1);
    upstream_user_end(u);
}

static void test_connection_close_ends_the_connection_after_the_response(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_peer_accept(r->peers[0], NULL);
    upstream_peer_say(r->peers[0], "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    upstream_user_assert(u, GOT_OK);
    assert_true(r->peers[0]->closed);
    assert_stat(r, upstream_cx_close_notify, 1);
    assert_stat(r, upstream_cx_destroy_local, 1);
    assert_stat(r, upstream_cx_destroy_with_active_rq, 0);
    upstream_user_end(u);
}

static void test_a_body_until_close_is_whole(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_peer_accept(r->peers[0], NULL);
    upstream_peer_say(r->peers[0], "HTTP/1.1 200 OK\r\n\r\nsome");
    upstream_peer_eof(r->peers[0]);
    upstream_user_assert(u, "ready; headers 200; data some; data  end");
    assert_true(r->peers[0]->closed);
    assert_stat(r, upstream_cx_destroy_remote, 1);
    assert_stat(r, upstream_cx_close_notify, 0);
    assert_stat(r, upstream_cx_protocol_error, 0);
    upstream_user_end(u);
}

static void test_an_idle_connection_that_ends_is_forgotten(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_peer *p = warm(r);
    upstream_peer_eof(p);
    assert_true(p->closed);
    assert_stat(r, upstream_cx_destroy_remote, 1);
    assert_stat(r, upstream_cx_destroy_with_active_rq, 0);
    struct upstream_user *u = upstream_user_start(r);
    assert_int_equal(u->state, WEIR_ATTEMPT_WAITING);
    assert_int_equal(r->peer_count, 2);
    upstream_user_end(u);
}

static void test_an_end_before_the_response_is_a_termination(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_peer_accept(r->peers[0], NULL);
    upstream_peer_eof(r->peers[0]);
    upstream_user_assert(u, "ready; reset connection termination");
    upstream_user_end(u);
    u = upstream_user_start(r);
    upstream_peer_accept(r->peers[1], NULL);
    upstream_peer_break(r->peers[1]);
    upstream_user_assert(u, "ready; reset connection termination");
    upstream_user_end(u);
    assert_stat(r, upstream_cx_destroy_remote_with_active_rq, 2);
    assert_stat(r, upstream_cx_protocol_error, 0);
}

static void test_an_end_inside_the_response_breaks_the_protocol(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_peer_accept(r->peers[0], NULL);
    upstream_peer_say(r->peers[0], "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789");
    upstream_peer_break(r->peers[0]);
    upstream_user_assert(u, "ready; headers 200; data 0123456789; reset protocol error");
    assert_stat(r, upstream_cx_protocol_error, 1);
    assert_stat(r, upstream_cx_destroy_remote_with_active_rq, 1);
    upstream_user_end(u);
    u = upstream_user_start(r);
    upstream_peer_accept(r->peers[1], NULL);
    upstream_peer_say(r->peers[1], "no status line\r\n\r\n");
    upstream_user_assert(u, "ready; reset protocol error");
    assert_true(r->peers[1]->closed);
    assert_stat(r, upstream_cx_protocol_error, 2);
    assert_stat(r, upstream_cx_destroy_local_with_active_rq, 1);
    upstream_user_end(u);
}

static void test_giving_up_closes_an_http1_connection(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_peer_accept(r->peers[0], NULL);
    upstream_user_end(u);
    assert_true(r->peers[0]->closed);
    assert_stat(r, upstream_cx_destroy_local_with_active_rq, 1);
    assert_stat(r, upstream_rq_cancelled, 0);
}

static void test_an_answer_before_the_end_of_the_request_costs_the_connection(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start_with(r, "POST", false, false);
    upstream_peer_accept(r->peers[0], NULL);
    upstream_user_send(u, "part", false);
    upstream_peer_say(r->peers[0], "HTTP/1.1 413 x\r\ncontent-length: 3\r\n\r\nbig");
    upstream_user_assert(u, "ready; headers 413; data big end");
    assert_false(r->peers[0]->closed);
    upstream_user_end(u);
    assert_true(r->peers[0]->closed);
    assert_stat(r, upstream_cx_destroy_local_with_active_rq, 1);
}

static void test_a_connection_carries_no_more_than_its_requests(void **state)
{
    struct upstream_rig *r = *state;
    r->config->max_requests_per_connection = 2;
    upstream_rig_install(r);
    struct upstream_peer *p = warm(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_peer_say(p, OK);
    upstream_user_assert(u, GOT_OK);
    assert_true(p->closed);
    assert_stat(r, upstream_cx_max_requests, 1);
    upstream_user_end(u);
}

static void test_an_idle_connection_is_closed_after_its_timeout(void **state)
{
    struct upstream_rig *r = *state;
    r->config->idle_timeout_ms = 300;
    upstream_rig_install(r);
    struct upstream_peer *p = warm(r);
    upstream_rig_advance(r, 200);
    struct upstream_user *u = upstream_user_start(r);
    upstream_rig_advance(r, 200); /* used: the time starts anew with the response */
    upstream_peer_say(p, OK);
    upstream_user_end(u);
    upstream_rig_advance(r, 299);
    assert_false(p->closed);
    upstream_rig_advance(r, 2);
    assert_true(p->closed);
    assert_stat(r, upstream_cx_idle_timeout, 1);
    assert_stat(r, upstream_cx_destroy_local, 1);
}

static void test_an_old_connection_finishes_and_is_not_used_again(void **state)
{
    struct upstream_rig *r = *state;
    r->config->max_connection_duration_ms = 500;
    upstream_rig_install(r);
    struct upstream_peer *p = warm(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_rig_advance(r, 501);
    assert_false(p->closed);
    assert_stat(r, upstream_cx_max_duration_reached, 1);
    upstream_peer_say(p, OK);
    upstream_user_assert(u, GOT_OK);
    assert_true(p->closed);
    upstream_user_end(u);
}

/* ---- HTTP/2 ---- */

static void test_waiting_requests_share_an_http2_connection_in_the_making(void **state)
{
    struct upstream_rig *r = *state;
    r->config->protocol = WEIR_UPSTREAM_H2;
    upstream_rig_install(r);
    struct upstream_user *u[3];
    for (int i = 0; i < 3; i++)
        u[i] = upstream_user_start(r);
    assert_int_equal(r->peer_count, 1);
    upstream_peer_accept_h2(r->peers[0], 100);
    assert_int_equal(r->peers[0]->stream_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        upstream_peer_answer_h2(r->peers[0], 2 - i, "200", true);
        upstream_user_assert(u[2 - i], "ready; headers 200 end");
    }
    for (int i = 0; i < 3; i++)
        upstream_user_end(u[i]);
    assert_false(r->peers[0]->closed);
    assert_stat(r, upstream_cx_http2_total, 1);
    assert_stat(r, upstream_rq_total, 3);
}

static void test_full_http2_connections_get_another_beside_them(void **state)
{
    struct upstream_rig *r = *state;
    r->config->protocol = WEIR_UPSTREAM_H2;
    r->config->h2_streams_max = r->config->h2.h2_max_concurrent_streams = 2;
    upstream_rig_install(r);
    struct upstream_user *u[3];
    for (int i = 0; i < 3; i++)
        u[i] = upstream_user_start(r);
    assert_int_equal(r->peer_count, 2);
    upstream_peer_accept_h2(r->peers[0], 2);
    upstream_peer_accept_h2(r->peers[1], 2);
    assert_int_equal(r->peers[0]->stream_count, 2);
    assert_int_equal(r->peers[1]->stream_count, 1);
    for (int i = 0; i < 3; i++)
        upstream_user_end(u[i]);
}

static void test_goaway_lets_streams_finish_and_takes_no_new_ones(void **state)
{
    struct upstream_rig *r = *state;
    r->config->protocol = WEIR_UPSTREAM_H2;
    upstream_rig_install(r);
    struct upstream_user *one = upstream_user_start(r);
    upstream_peer_accept_h2(r->peers[0], 100);
    upstream_peer_goaway(r->peers[0]);
    assert_stat(r, upstream_cx_close_notify, 1);
    struct upstream_user *two = upstream_user_start(r);
    assert_int_equal(r->peer_count, 2);
    upstream_peer_answer_h2(r->peers[0], 0, "200", true);
    upstream_user_assert(one, "ready; headers 200 end");
    upstream_user_end(one);
    assert_true(r->peers[0]->closed);
    upstream_user_end(two);
}

static void test_giving_up_an_http2_stream_leaves_the_connection(void **state)
{
    struct upstream_rig *r = *state;
    r->config->protocol = WEIR_UPSTREAM_H2;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_peer_accept_h2(r->peers[0], 100);
    upstream_user_end(u);
    assert_true(r->peers[0]->streams[0].closed);
    assert_false(r->peers[0]->closed);
    assert_stat(r, upstream_rq_tx_reset, 1);
    u = upstream_user_start(r);
    assert_int_equal(u->state, WEIR_ATTEMPT_READY);
    upstream_peer_answer_h2(r->peers[0], 1, "204", true);
    upstream_user_assert(u, "ready; headers 204 end");
    upstream_user_end(u);
}

static void test_an_idle_http2_connection_says_goodbye(void **state)
{
    struct upstream_rig *r = *state;
    r->config->protocol = WEIR_UPSTREAM_H2;
    r->config->idle_timeout_ms = 300;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_peer_accept_h2(r->peers[0], 100);
    upstream_peer_answer_h2(r->peers[0], 0, "200", true);
    upstream_user_end(u);
    upstream_rig_advance(r, 301);
    assert_true(r->peers[0]->closed);
    assert_true(r->peers[0]->n > 9);
    assert_int_equal(r->peers[0]->text[3], 7); /* GOAWAY, RFC 9113 6.8 */
    assert_stat(r, upstream_cx_idle_timeout, 1);
}

static void test_a_broken_http2_connection_ends_its_streams(void **state)
{
    struct upstream_rig *r = *state;
    r->config->protocol = WEIR_UPSTREAM_H2;
    upstream_rig_install(r);
    struct upstream_user *one = upstream_user_start(r), *two = upstream_user_start(r);
    upstream_peer_accept_h2(r->peers[0], 100);
    upstream_peer_break(r->peers[0]);
    upstream_user_assert(one, "ready; reset connection termination");
    upstream_user_assert(two, "ready; reset connection termination");
    assert_stat(r, upstream_rq_pending_failure_eject, 2);
    assert_stat(r, upstream_cx_destroy_remote_with_active_rq, 1);
    upstream_user_end(one);
    upstream_user_end(two);
}

static void test_bytes_that_are_no_http2_break_the_protocol(void **state)
{
    struct upstream_rig *r = *state;
    r->config->protocol = WEIR_UPSTREAM_H2;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_peer_accept(r->peers[0], NULL);
    upstream_peer_say(r->peers[0], "HTTP/1.1 400 Bad Request\r\n\r\n");
    upstream_user_assert(u, "ready; reset protocol error");
    assert_true(r->peers[0]->closed);
    assert_stat(r, upstream_cx_protocol_error, 1);
    assert_stat(r, upstream_cx_destroy_local, 1);
    upstream_user_end(u);
}

static void test_a_silent_http2_connection_is_pinged_and_given_up(void **state)
{
    struct upstream_rig *r = *state;
    r->config->protocol = WEIR_UPSTREAM_H2;
    r->config->h2_ping_interval_ms = 1000;
    r->config->h2_ping_timeout_ms = 200;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_peer_accept_h2(r->peers[0], 100);
    upstream_rig_advance(r, 1001); /* answered at once by the far end */
    upstream_rig_advance(r, 300);
    assert_false(r->peers[0]->closed);
    struct weir_codec *deaf = r->peers[0]->h2;
    r->peers[0]->h2 = NULL; /* bytes go nowhere from now on */
    upstream_rig_advance(r, 1001);
    upstream_rig_advance(r, 201);
    assert_true(r->peers[0]->closed);
    upstream_user_assert(u, "ready; reset connection termination");
    upstream_user_end(u);
    r->peers[0]->h2 = deaf;
}

/* ---- ALPN ---- */

static void test_alpn_decides_the_protocol_and_is_remembered(void **state)
{
    struct upstream_rig *r = *state;
    r->config->protocol = WEIR_UPSTREAM_AUTO;
    upstream_rig_install(r);
    struct upstream_user *one = upstream_user_start(r), *two = upstream_user_start(r);
    assert_int_equal(r->peer_count, 1); /* it may become HTTP/2 */
    upstream_peer_accept(r->peers[0], "http/1.1");
    assert_int_equal(r->peer_count, 2); /* it did not: the second needs its own */
    upstream_peer_accept(r->peers[1], "http/1.1");
    upstream_peer_say(r->peers[0], OK);
    upstream_peer_say(r->peers[1], OK);
    upstream_user_assert(one, GOT_OK);
    upstream_user_assert(two, GOT_OK);
    upstream_user_end(one);
    upstream_user_end(two);
    assert_stat(r, upstream_cx_http1_total, 2);
}

static void test_alpn_h2_is_spoken_as_http2(void **state)
{
    struct upstream_rig *r = *state;
    r->config->protocol = WEIR_UPSTREAM_AUTO;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start(r);
    upstream_peer_accept_h2(r->peers[0], 100);
    upstream_peer_answer_h2(r->peers[0], 0, "200", true);
    upstream_user_assert(u, "ready; headers 200 end");
    assert_int_equal(u->attempt.protocol, WEIR_HTTP2);
    assert_stat(r, upstream_cx_http2_total, 1);
    upstream_user_end(u);
}

/* ---- terminated CONNECT ---- */

static void test_raw_attempts_carry_bytes_both_ways(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_user *u = upstream_user_start_with(r, "CONNECT", false, true);
    upstream_peer_accept(r->peers[0], NULL);
    upstream_user_assert(u, "ready; headers 200");
    upstream_user_send(u, "hello", false);
    assert_string_equal(upstream_peer_take(r->peers[0]), "hello");
    upstream_peer_say(r->peers[0], "world");
    upstream_user_assert(u, "ready; headers 200; data world");
    upstream_user_send(u, "", true);
    assert_true(r->peers[0]->fin);
    upstream_peer_say(r->peers[0], "more");
    upstream_peer_eof(r->peers[0]);
    upstream_user_assert(u, "ready; headers 200; data world; data more; data  end");
    assert_true(r->peers[0]->closed);
    upstream_user_end(u);
}

/* ---- updates ---- */

static void test_a_removed_host_finishes_what_it_has(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_peer *idle = warm(r);
    struct upstream_user *busy = upstream_user_start(r), *waiting = upstream_user_start(r);
    struct weir_cluster_config *next = upstream_rig_copy(r, 0);
    upstream_rig_update(r, next);
    upstream_peer_accept(r->peers[1], NULL); /* was asked for before */
    upstream_peer_say(idle, OK);
    upstream_user_assert(busy, GOT_OK);
    assert_true(idle->closed);
    upstream_peer_say(r->peers[1], OK);
    upstream_user_assert(waiting, GOT_OK);
    upstream_user_end(busy);
    upstream_user_end(waiting);
    assert_true(r->peers[1]->closed);
    struct weir_lb_context x = {0};
    assert_null(weir_cluster_pick(upstream_rig_cluster(r), &x));
}

static void test_a_new_configuration_closes_idle_connections_of_the_old(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct upstream_peer *p = warm(r);
    upstream_rig_update(r, upstream_rig_copy(r, 1));
    assert_true(p->closed);
    p = warm(r);
    assert_false(p->closed);
    assert_stat(r, upstream_cx_total, 2);
}

static void test_hosts_keep_their_state_across_updates(void **state)
{
    struct upstream_rig *r = *state;
    upstream_rig_install(r);
    struct weir_host *host = r->shared->hosts->at[0].host;
    host->rq_total = 7;
    upstream_rig_update(r, upstream_rig_copy(r, 3));
    assert_int_equal(r->shared->hosts->count, 3);
    assert_ptr_equal(r->shared->hosts->at[0].host, host);
    assert_int_equal(host->rq_total, 7);
    upstream_rig_update(r, upstream_rig_copy(r, 2));
    assert_int_equal(r->shared->hosts->count, 2);
    assert_ptr_equal(r->shared->hosts->at[0].host, host);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_pool_reuses_idle_connection),
        T(test_pool_takes_the_connection_used_last),
        T(test_requests_beyond_the_pending_limit_overflow),
        T(test_requests_beyond_the_request_limit_overflow),
        T(test_at_the_connection_limit_requests_wait_for_a_connection),
        T(test_a_failed_connect_fails_all_who_wait),
        T(test_a_connect_timeout_is_told_as_such),
        T(test_connection_close_ends_the_connection_after_the_response),
        T(test_a_body_until_close_is_whole),
        T(test_an_idle_connection_that_ends_is_forgotten),
        T(test_an_end_before_the_response_is_a_termination),
        T(test_an_end_inside_the_response_breaks_the_protocol),
        T(test_giving_up_closes_an_http1_connection),
        T(test_an_answer_before_the_end_of_the_request_costs_the_connection),
        T(test_a_connection_carries_no_more_than_its_requests),
        T(test_an_idle_connection_is_closed_after_its_timeout),
        T(test_an_old_connection_finishes_and_is_not_used_again),
        T(test_waiting_requests_share_an_http2_connection_in_the_making),
        T(test_full_http2_connections_get_another_beside_them),
        T(test_goaway_lets_streams_finish_and_takes_no_new_ones),
        T(test_giving_up_an_http2_stream_leaves_the_connection),
        T(test_an_idle_http2_connection_says_goodbye),
        T(test_a_broken_http2_connection_ends_its_streams),
        T(test_bytes_that_are_no_http2_break_the_protocol),
        T(test_a_silent_http2_connection_is_pinged_and_given_up),
        T(test_alpn_decides_the_protocol_and_is_remembered),
        T(test_alpn_h2_is_spoken_as_http2),
        T(test_raw_attempts_carry_bytes_both_ways),
        T(test_a_removed_host_finishes_what_it_has),
        T(test_a_new_configuration_closes_idle_connections_of_the_old),
        T(test_hosts_keep_their_state_across_updates),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
