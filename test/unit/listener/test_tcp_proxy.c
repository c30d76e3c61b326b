/* listener/tcp_proxy.c: a listener, a cluster and real sockets at both ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/cluster/shared.h"
#include "dataplane/config/compile_job.h"
#include "dataplane/config/names.h"
#include "dataplane/listener/listener.h"
#include "dataplane/listener/tcp_proxy.h"
#include "test/unit/support/net.h"
#include "test/unit/support/pb_text.h"

static struct weir_worker *w;
static struct weir_stats_registry *registry;
static struct weir_names *names;
static struct weir_arena arena;
static struct weir_cluster_env cluster_env;
static struct weir_cluster_shared *shared;
static struct weir_listener_sockets *sockets;
static struct weir_listener_config *config;
static struct weir_listener *listener;
static struct weir_address upstream_at;
static int upstream;

static int setup(void **state)
{
    (void)state;
    w = weir_worker_create(0, 1);
    registry = weir_stats_registry_create(1);
    names = weir_names_create();
    weir_arena_init(&arena, 0);
    cluster_env = (struct weir_cluster_env){.control = w, .workers = &w, .worker_count = 1, .stats = registry};
    shared = NULL;
    sockets = NULL;
    upstream = net_listen(&upstream_at, 16);
    net_nonblocking(upstream);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    if (w->snapshot.listeners != NULL) {
        weir_listeners_shutdown(w, &(struct weir_shutdown_order){.part = WEIR_SHUTDOWN_ALL}, NULL, NULL);
        TURN_UNTIL(w, w->snapshot.listeners == NULL);
    }
    if (shared != NULL) weir_cluster_shared_close(shared);
    weir_worker_turn(w, 0);
    weir_clusters_deinit(w);
    weir_worker_turn(w, 0);
    weir_resource_release(&config->resource);
    weir_listener_sockets_release(sockets);
    if (w->room != NULL) weir_block_release(w->room);
    w->room = NULL;
    TURN_UNTIL(w, w->blocks.live == 0);
    weir_worker_destroy(w);
    weir_arena_deinit(&arena);
    weir_stats_registry_destroy(registry);
    weir_names_destroy(names);
    if (upstream >= 0) (void)close(upstream);
    return 0;
}
static void *compile(enum weir_resource_type type, const ProtobufCMessageDescriptor *d, const char *json)
{
    struct weir_compile_env env = {.names = weir_names_for_compile(names), .stats = registry, .worker_count = 1};
    struct weir_resource *out = NULL;
    struct weir_error e = {0};
    if (weir_compile_resource(&env, type, WEIR_STR("r"), pb_text_packed(&arena, d, json), &out, &e) != WEIR_OK) fail_msg("%s", e.text);
    return out;
}
static void start_cluster(const char *more, const char *endpoints)
{
    const char *json = weir_arena_printf(&arena, "{'name':'up','type':'STATIC','connect_timeout':'5s'%s,'load_assignment':{'cluster_name':'up','endpoints':[%s]}}",
                                         more, endpoints)
                           .p;
    struct weir_cluster_config *c = compile(WEIR_CLUSTERS, &pb_cluster_type, json);
    shared = weir_cluster_shared_create(&cluster_env, weir_names_cluster(names, WEIR_STR("up")), c, NULL, NULL);
    weir_cluster_shared_publish(shared);
    weir_resource_release(&c->resource);
    weir_worker_turn(w, 0);
}
static const char *endpoint(const struct weir_address *at)
{
    return weir_arena_printf(&arena, "{'lb_endpoints':[{'endpoint':{'address':{'socket_address':{'address':'127.0.0.1','port_value':%u}}}}]}",
                             weir_address_port(at))
        .p;
}
static void start_listener(const char *more)
{
    struct weir_error e = {0};
    const char *json =
        weir_arena_printf(&arena,
                          "{'name':'l','address':{'socket_address':{'address':'127.0.0.1','port_value':0}},'per_connection_buffer_limit_bytes':65536,"
                          "'filter_chains':[{'filters':[{'name':'t','typed_config':{'@type':"
                          "'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy','stat_prefix':'p'%s}}]}]}",
                          more)
            .p;
    config = compile(WEIR_LISTENERS, &pb_listener_type, json);
    assert_int_equal(weir_listener_sockets_open(config, 1, &e, &sockets), WEIR_OK);
    assert_int_equal(weir_listener_sockets_listen(sockets, &e), WEIR_OK);
    listener = weir_listener_start(w, config, sockets);
}
static void start(const char *more)
{
    start_cluster("", endpoint(&upstream_at));
    start_listener(more);
}
static int dial(void)
{
    int fd = net_connect(weir_listener_sockets_address(sockets));
    net_nonblocking(fd);
    return fd;
}
/* The upstream's end of a connection that the proxy made. */
static int meet(void)
{
    int fd = -1;
    TURN_UNTIL(w, (fd = accept4(upstream, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    return fd;
}
static void expect(int fd, const char *text)
{
    char got[256];
    size_t n = 0, want = strlen(text);
    while (n < want) {
        ssize_t m = 0;
        TURN_UNTIL(w, (m = net_take(fd, got + n, want - n)) != 0);
        assert_true(m > 0);
        n += (size_t)m;
    }
    assert_memory_equal(got, text, want);
}
/* -1: end of the stream, -2: reset. */
static void expect_end(int fd, ssize_t how)
{
    char got[16];
    ssize_t n = 0;
    TURN_UNTIL(w, (n = net_take(fd, got, sizeof(got))) != 0);
    assert_int_equal(n, how);
}
static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}
static int64_t tcp_counted(enum weir_tcp_stat s)
{
    const struct weir_tcp_proxy *t = config->chains[0].filters[0].config;
    return weir_stat_sum(t->stats, s);
}
static int64_t cluster_counted(enum weir_cluster_stat s)
{
    return weir_stat_sum(shared->config->stats, s);
}

static void test_bytes_go_both_ways_and_ends_by_themselves(void **state)
{
    (void)state;
    start(",'cluster':'up'");
    int c = dial();
    say(c, "early"); /* before the upstream is there */
    int u = meet();
    expect(u, "early");
    say(u, "hello");
    expect(c, "hello");
    shutdown(c, SHUT_WR);
    expect_end(u, -1);
    say(u, "still open"); /* the other half goes on */
    expect(c, "still open");
    assert_int_equal(weir_listener_connections(listener), 1);
    (void)close(u);
    expect_end(c, -1);
    TURN_UNTIL(w, weir_listener_connections(listener) == 0);
    assert_int_equal(tcp_counted(WEIR_TCPS_downstream_cx_total), 1);
    assert_int_equal(tcp_counted(WEIR_TCPS_downstream_cx_rx_bytes_total), 5);
    assert_int_equal(tcp_counted(WEIR_TCPS_downstream_cx_tx_bytes_total), 15);
    assert_int_equal(cluster_counted(WEIR_CS_upstream_cx_rx_bytes_total), 15);
    assert_int_equal(cluster_counted(WEIR_CS_upstream_cx_tx_bytes_total), 5);
    assert_int_equal(cluster_counted(WEIR_CS_upstream_cx_active), 0);
    (void)close(c);
}

static void test_upstream_may_end_first(void **state)
{
    (void)state;
    start(",'cluster':'up'");
    int c = dial(), u = meet();
    say(u, "bye");
    shutdown(u, SHUT_WR);
    expect(c, "bye");
    expect_end(c, -1);
    say(c, "last words");
    expect(u, "last words");
    (void)close(c);
    expect_end(u, -1);
    TURN_UNTIL(w, weir_listener_connections(listener) == 0);
    (void)close(u);
}

static void test_resets_are_passed_on(void **state)
{
    (void)state;
    start(",'cluster':'up'");
    int c = dial(), u = meet();
    say(c, "x");
    expect(u, "x");
    net_reset(u);
    expect_end(c, -2);
    (void)close(c);
    c = dial();
    u = meet();
    say(c, "y");
    expect(u, "y");
    net_reset(c);
    expect_end(u, -2);
    (void)close(u);
    TURN_UNTIL(w, weir_listener_connections(listener) == 0);
}

static void test_a_large_transfer_is_bounded_by_the_slow_side(void **state)
{
    (void)state;
    static char chunk[65536];
    start(",'cluster':'up'");
    int c = dial(), u = meet();
    size_t poured = 0, more;
    do { /* as much as fits into kernels and buffers */
        more = 0;
        ssize_t n;
        while ((n = send(c, chunk, sizeof(chunk), MSG_DONTWAIT)) > 0)
            more += (size_t)n;
        poured += more;
        for (int i = 0; i < 20; i++)
            weir_worker_turn(w, 0);
    } while (more != 0);
    assert_true(w->blocks.live < 64);
    assert_true(tcp_counted(WEIR_TCPS_downstream_flow_control_paused_reading_total) > 0);
    size_t taken = 0;
    while (taken < poured) {
        ssize_t n = net_take(u, chunk, sizeof(chunk));
        assert_true(n >= 0);
        taken += (size_t)n;
        if (n == 0) weir_worker_turn(w, 10);
    }
    assert_int_equal(tcp_counted(WEIR_TCPS_downstream_flow_control_resumed_reading_total),
                     tcp_counted(WEIR_TCPS_downstream_flow_control_paused_reading_total));
    (void)close(c);
    (void)close(u);
    TURN_UNTIL(w, weir_listener_connections(listener) == 0);
}

static void test_unknown_cluster_resets(void **state)
{
    (void)state;
    start(",'cluster':'nobody'");
    int c = dial();
    expect_end(c, -2);
    assert_int_equal(tcp_counted(WEIR_TCPS_downstream_cx_no_route), 1);
    (void)close(c);
}

static void test_empty_cluster_resets(void **state)
{
    (void)state;
    start_cluster("", "");
    start_listener(",'cluster':'up'");
    int c = dial();
    expect_end(c, -2);
    assert_int_equal(cluster_counted(WEIR_CS_upstream_cx_none_healthy), 1);
    (void)close(c);
}

static void test_full_cluster_ends(void **state)
{
    (void)state;
    start_cluster(",'circuit_breakers':{'thresholds':[{'max_connections':1}]}", endpoint(&upstream_at));
    start_listener(",'cluster':'up'");
    int c = dial(), u = meet();
    int second = dial();
    expect_end(second, -1);
    assert_int_equal(cluster_counted(WEIR_CS_upstream_cx_overflow), 1);
    (void)close(second);
    (void)close(c);
    (void)close(u);
    TURN_UNTIL(w, weir_listener_connections(listener) == 0);
}

static void test_refused_upstream_is_tried_as_often_as_told(void **state)
{
    (void)state;
    start_cluster("", endpoint(&upstream_at));
    (void)close(upstream);
    upstream = -1;
    start_listener(",'cluster':'up','max_connect_attempts':3");
    int c = dial();
    expect_end(c, -1);
    assert_int_equal(cluster_counted(WEIR_CS_upstream_cx_connect_fail), 3);
    assert_int_equal(cluster_counted(WEIR_CS_upstream_cx_connect_attempts_exceeded), 1);
    (void)close(c);
}

static void test_idle_session_ends(void **state)
{
    (void)state;
    start(",'cluster':'up','idle_timeout':'0.06s'");
    int c = dial(), u = meet();
    expect_end(c, -1);
    expect_end(u, -1);
    assert_int_equal(tcp_counted(WEIR_TCPS_idle_timeout), 1);
    TURN_UNTIL(w, weir_listener_connections(listener) == 0);
    (void)close(c);
    (void)close(u);
}

static void test_client_that_leaves_while_connecting_is_noticed(void **state)
{
    (void)state;
    /* A full accept queue: the connection hangs. */
    struct weir_address at;
    int full = net_listen(&at, 0), filler[3];
    for (int i = 0; i < 3; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], &at.any, at.length);
    }
    start_cluster("", endpoint(&at));
    start_listener(",'cluster':'up'");
    int c = dial();
    TURN_UNTIL(w, weir_listener_connections(listener) == 1);
    (void)close(c);
    TURN_UNTIL(w, weir_listener_connections(listener) == 0);
    assert_int_equal(cluster_counted(WEIR_CS_upstream_cx_active), 0);
    for (int i = 0; i < 3; i++)
        (void)close(filler[i]);
    (void)close(full);
}

static void test_weighted_clusters_share(void **state)
{
    (void)state;
    start(",'weighted_clusters':{'clusters':[{'name':'up','weight':3},{'name':'nobody','weight':1}]}");
    int reached = 0;
    for (int i = 0; i < 60; i++) {
        int c = dial(), u = -1;
        char b;
        ssize_t n = 0;
        TURN_UNTIL(w, (u = accept4(upstream, NULL, NULL, SOCK_NONBLOCK)) >= 0 || (n = net_take(c, &b, 1)) != 0);
        reached += u >= 0;
        if (u >= 0) (void)close(u);
        (void)close(c);
    }
    assert_in_range(reached, 25, 59);
    TURN_UNTIL(w, weir_listener_connections(listener) == 0);
}

static void test_running_session_ends_under_its_own_configuration(void **state)
{
    (void)state;
    start(",'cluster':'up'");
    int c = dial(), u = meet();
    struct weir_listener_config *old = config;
    struct weir_error e = {0};
    (void)e;
    config = compile(WEIR_LISTENERS, &pb_listener_type,
                     "{'name':'l','address':{'socket_address':{'address':'127.0.0.1','port_value':0}},'filter_chains':[{'filters':[{'name':'t',"
                     "'typed_config':{'@type':'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy','stat_prefix':'p',"
                     "'cluster':'nobody'}}]}]}");
    weir_listener_update(listener, config, 600000, true);
    weir_resource_release(&old->resource);
    say(c, "old");
    expect(u, "old");
    int second = dial();
    expect_end(second, -2);
    (void)close(second);
    (void)close(c);
    (void)close(u);
    TURN_UNTIL(w, weir_listener_connections(listener) == 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_bytes_go_both_ways_and_ends_by_themselves),
        T(test_upstream_may_end_first),
        T(test_resets_are_passed_on),
        T(test_a_large_transfer_is_bounded_by_the_slow_side),
        T(test_unknown_cluster_resets),
        T(test_empty_cluster_resets),
        T(test_full_cluster_ends),
        T(test_refused_upstream_is_tried_as_often_as_told),
        T(test_idle_session_ends),
        T(test_client_that_leaves_while_connecting_is_noticed),
        T(test_weighted_clusters_share),
        T(test_running_session_ends_under_its_own_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
