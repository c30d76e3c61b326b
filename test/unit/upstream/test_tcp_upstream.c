/* Raw connections for tcp_proxy: what is counted, and what is given back, however they end. */
#include "dataplane/upstream/tcp_upstream.h"

#include <stdio.h>
#include <stdlib.h>

#include "test/unit/support/upstream_rig.h"

struct fixture {
    struct upstream_rig rig;
    struct weir_tcp_upstream *u;
    int connected, failed;
    enum weir_tcp_failure why;
    char reason[64];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    upstream_rig_init(&f->rig, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    upstream_rig_deinit(&f->rig);
    free(f);
    return 0;
}

static void on_connected(void *ctx, struct weir_tcp_upstream *u)
{
    struct fixture *f = ctx;
    assert_ptr_equal(u, f->u);
    f->connected++;
}

static void on_failed(void *ctx, enum weir_tcp_failure why, struct weir_str reason)
{
    struct fixture *f = ctx;
    f->failed++;
    f->why = why;
    (void)snprintf(f->reason, sizeof(f->reason), "%.*s", WEIR_STR_ARG(reason));
}

static enum weir_tcp_failure open_one(struct fixture *f)
{
    static const struct weir_tcp_upstream_events events = {.on_connected = on_connected, .on_failed = on_failed};
    struct weir_lb_context x = {0};
    return weir_tcp_upstream_open(upstream_rig_cluster(&f->rig), &x, &events, f, &f->u);
}

#define assert_stat(f, name, expected) assert_int_equal(upstream_rig_stat(&(f)->rig, WEIR_CS_##name), (expected))

static void test_a_connection_is_counted_from_its_start_to_its_end(void **state)
{
    struct fixture *f = *state;
    upstream_rig_install(&f->rig);
    assert_int_equal(open_one(f), WEIR_TCP_OK);
    assert_stat(f, upstream_cx_active, 1);
    assert_stat(f, upstream_rq_pending_active, 1);
    upstream_peer_accept(f->rig.peers[0], NULL);
    assert_int_equal(f->connected, 1);
    assert_stat(f, upstream_rq_active, 1);
    assert_int_equal(f->u->host->host->cx_active, 1);
    f->u->transport->rx_bytes = 30;
    f->u->transport->tx_bytes = 12;
    weir_tcp_upstream_close(f->u, false, false, false);
    upstream_rig_turn(&f->rig);
    assert_true(f->rig.peers[0]->closed);
    assert_stat(f, upstream_cx_rx_bytes_total, 30);
    assert_stat(f, upstream_cx_tx_bytes_total, 12);
    assert_stat(f, upstream_cx_destroy_local_with_active_rq, 1);
}

static void test_a_refused_connection_is_told_with_its_reason(void **state)
{
    struct fixture *f = *state;
    upstream_rig_install(&f->rig);
    assert_int_equal(open_one(f), WEIR_TCP_OK);
    upstream_peer_refuse(f->rig.peers[0], WEIR_CLOSE_CONNECT_REFUSED);
    assert_int_equal(f->failed, 1);
    assert_int_equal(f->why, WEIR_TCP_CONNECT_FAILED);
    assert_string_equal(f->reason, "refused");
    assert_stat(f, upstream_cx_connect_fail, 1);
    assert_int_equal(open_one(f), WEIR_TCP_OK);
    upstream_peer_refuse(f->rig.peers[1], WEIR_CLOSE_CONNECT_TIMEOUT);
    assert_int_equal(f->why, WEIR_TCP_CONNECT_TIMEOUT);
    assert_stat(f, upstream_cx_connect_timeout, 1);
}

static void test_giving_up_while_connecting_says_nothing(void **state)
{
    struct fixture *f = *state;
    upstream_rig_install(&f->rig);
    assert_int_equal(open_one(f), WEIR_TCP_OK);
    weir_tcp_upstream_close(f->u, false, false, false);
    upstream_rig_turn(&f->rig);
    assert_int_equal(f->connected + f->failed, 0);
    assert_stat(f, upstream_rq_cancelled, 1);
}

static void test_the_connection_limit_and_an_empty_cluster_are_told_at_once(void **state)
{
    struct fixture *f = *state;
    f->rig.config->limits[0].connections = 1;
    upstream_rig_install(&f->rig);
    assert_int_equal(open_one(f), WEIR_TCP_OK);
    struct weir_tcp_upstream *first = f->u;
    assert_int_equal(open_one(f), WEIR_TCP_OVERFLOW);
    assert_stat(f, upstream_cx_overflow, 1);
    weir_tcp_upstream_close(first, false, false, false);
    upstream_rig_turn(&f->rig);
    upstream_rig_update(&f->rig, upstream_rig_copy(&f->rig, 0));
    assert_int_equal(open_one(f), WEIR_TCP_NO_HEALTHY_UPSTREAM);
    assert_stat(f, upstream_cx_none_healthy, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_connection_is_counted_from_its_start_to_its_end),
        T(test_a_refused_connection_is_told_with_its_reason),
        T(test_giving_up_while_connecting_says_nothing),
        T(test_the_connection_limit_and_an_empty_cluster_are_told_at_once),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
