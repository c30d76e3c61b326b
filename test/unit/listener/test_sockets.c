/* Listening sockets: what the listener asks for is what the kernel has, on the listening socket and on accepted ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/listener/internal.h"
#include "test/unit/support/net.h"

static struct weir_listener_config *config(void)
{
    struct weir_listener_config *l = weir_resource_create(sizeof(*l), WEIR_STR("l"));
    assert_true(weir_address_parse(WEIR_STR("127.0.0.1"), 0, &l->socket.address));
    l->socket.bind_to_port = l->socket.reuse_port = true;
    l->socket.fast_open_queue = -1;
    return l;
}

static struct weir_listener_sockets *opened(struct weir_listener_config *l, uint32_t workers, bool listen)
{
    struct weir_error e = {0};
    struct weir_listener_sockets *s = NULL;
    if (weir_listener_sockets_open(l, workers, &e, &s) != WEIR_OK) fail_msg("%s", e.text);
    if (listen && weir_listener_sockets_listen(s, &e) != WEIR_OK) fail_msg("%s", e.text);
    return s;
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t n = sizeof(value);
    if (getsockopt(fd, level, name, &value, &n) != 0) fail_msg("getsockopt(%d, %d): errno %d", level, name, errno);
    return value;
}

static void end(struct weir_listener_sockets *s, struct weir_listener_config *l)
{
    weir_listener_sockets_release(s);
    weir_resource_release(&l->resource);
}

static void test_clients_are_refused_until_it_listens(void **state)
{
    (void)state;
    struct weir_listener_config *l = config();
    struct weir_listener_sockets *s = opened(l, 2, false);
    struct weir_error e = {0};
    const struct weir_address *at = weir_listener_sockets_address(s);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, &at->any, at->length), -1);
    assert_int_equal(errno, ECONNREFUSED);
    (void)close(fd);
    assert_int_equal(weir_listener_sockets_listen(s, &e), WEIR_OK);
    assert_int_equal(weir_listener_sockets_listen(s, &e), WEIR_OK);
    for (uint32_t i = 0; i < 2; i++) assert_int_equal(option(weir_listener_sockets_fd(s, i), SOL_SOCKET, SO_ACCEPTCONN), 1);
    (void)close(net_connect(at));
    end(s, l);
}

static void test_the_kernel_has_what_the_listener_asks_for(void **state)
{
    (void)state;
    struct weir_listener_config *l = config();
    l->socket.backlog = 7;
    l->socket.freebind = l->socket.keepalive = true;
    l->socket.keepalive_probes = 4;
    l->socket.keepalive_time_s = 50;
    l->socket.keepalive_interval_s = 6;
    l->socket.fast_open_queue = 3;
    struct weir_listener_sockets *s = opened(l, 1, true);
    int fd = weir_listener_sockets_fd(s, 0);
    assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEPORT), 1);
    assert_int_equal(option(fd, IPPROTO_IP, IP_FREEBIND), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_FASTOPEN), 3);
    struct tcp_info info;
    socklen_t n = sizeof(info);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n), 0);
    assert_int_equal(info.tcpi_sacked, 7); /* of a listening socket: its backlog */
    int client = net_connect(weir_listener_sockets_address(s)), taken;
    while ((taken = accept(fd, NULL, NULL)) < 0) assert_int_equal(errno, EAGAIN);
    assert_int_equal(option(taken, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(taken, IPPROTO_TCP, TCP_KEEPCNT), 4);
    assert_int_equal(option(taken, IPPROTO_TCP, TCP_KEEPIDLE), 50);
    assert_int_equal(option(taken, IPPROTO_TCP, TCP_KEEPINTVL), 6);
    assert_int_equal(option(taken, IPPROTO_TCP, TCP_NODELAY), 1);
    (void)close(taken);
    (void)close(client);
    end(s, l);
}

static void test_without_reuse_port_workers_share_one_socket(void **state)
{
    (void)state;
    struct weir_listener_config *l = config();
    l->socket.reuse_port = false;
    struct weir_listener_sockets *s = opened(l, 2, true);
    assert_int_equal(weir_listener_sockets_fd(s, 0), weir_listener_sockets_fd(s, 1));
    assert_int_equal(option(weir_listener_sockets_fd(s, 0), SOL_SOCKET, SO_REUSEPORT), 0);
    end(s, l);
}

static void test_freebind_binds_where_no_interface_is(void **state)
{
    (void)state;
    struct weir_listener_config *l = config();
    struct weir_error e = {0};
    struct weir_listener_sockets *s = NULL;
    assert_true(weir_address_parse(WEIR_STR("192.0.2.77"), 0, &l->socket.address));
    assert_int_equal(weir_listener_sockets_open(l, 1, &e, &s), WEIR_ERR_IO);
    assert_string_equal(e.text, "cannot bind '192.0.2.77:0': Cannot assign requested address");
    l->socket.freebind = true;
    end(opened(l, 1, true), l);
}

/* Needs CAP_NET_ADMIN: where that is missing, the refusal is what must be seen. */
static void test_transparent_is_set_or_refused(void **state)
{
    (void)state;
    struct weir_listener_config *l = config();
    struct weir_error e = {0};
    struct weir_listener_sockets *s = NULL;
    l->socket.transparent = true;
    if (weir_listener_sockets_open(l, 1, &e, &s) == WEIR_OK)
        assert_int_equal(option(weir_listener_sockets_fd(s, 0), IPPROTO_IP, IP_TRANSPARENT), 1);
    else
        assert_string_equal(e.text, "ListenSocket: Setting socket options failed: transparent: Operation not permitted");
    end(s, l);
}

static struct weir_socket_option number(int level, int name, const int *value, enum weir_socket_moment moment)
{
    return (struct weir_socket_option){level, name, moment, {(const char *)value, sizeof(*value)}};
}

static void test_socket_options_are_set_at_their_moment(void **state)
{
    (void)state;
    static const int bytes = 100000, mark = 1, seconds = 3;
    const struct weir_socket_option extra[] = {number(SOL_SOCKET, SO_RCVBUF, &bytes, WEIR_SOCKET_PREBIND),
                                               number(SOL_SOCKET, SO_OOBINLINE, &mark, WEIR_SOCKET_BOUND),
                                               number(IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, WEIR_SOCKET_LISTENING)};
    struct weir_listener_config *l = config();
    struct weir_error e = {0};
    l->socket.extra = extra;
    l->socket.extra_count = 3;
    struct weir_listener_sockets *s = opened(l, 1, false);
    int fd = weir_listener_sockets_fd(s, 0);
    assert_int_equal(option(fd, SOL_SOCKET, SO_RCVBUF), 2 * bytes);
    assert_int_equal(option(fd, SOL_SOCKET, SO_OOBINLINE), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
    assert_int_equal(weir_listener_sockets_listen(s, &e), WEIR_OK);
    assert_true(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0);
    l->socket.extra_count = 2;
    assert_false(weir_listener_sockets_fit(s, l));
    l->socket.extra_count = 3;
    assert_true(weir_listener_sockets_fit(s, l));
    end(s, l);
}

static void test_a_socket_option_that_the_kernel_refuses_is_told(void **state)
{
    (void)state;
    static const int one = 1;
    struct weir_listener_config *l = config();
    for (int moment = WEIR_SOCKET_PREBIND; moment <= WEIR_SOCKET_LISTENING; moment++) {
        struct weir_error e = {0};
        struct weir_listener_sockets *s = NULL;
        const struct weir_socket_option bad = number(SOL_SOCKET, 9999, &one, (enum weir_socket_moment)moment);
        l->socket.extra = &bad;
        l->socket.extra_count = 1;
        enum weir_err err = weir_listener_sockets_open(l, 1, &e, &s);
        if (moment == WEIR_SOCKET_LISTENING && err == WEIR_OK) err = weir_listener_sockets_listen(s, &e);
        assert_int_equal(err, WEIR_ERR_IO);
        assert_string_equal(e.text, "ListenSocket: Setting socket options failed: socket_options: Protocol not available");
        weir_listener_sockets_release(s);
    }
    weir_resource_release(&l->resource);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clients_are_refused_until_it_listens),
        cmocka_unit_test(test_the_kernel_has_what_the_listener_asks_for),
        cmocka_unit_test(test_without_reuse_port_workers_share_one_socket),
        cmocka_unit_test(test_freebind_binds_where_no_interface_is),
        cmocka_unit_test(test_transparent_is_set_or_refused),
        cmocka_unit_test(test_socket_options_are_set_at_their_moment),
        cmocka_unit_test(test_a_socket_option_that_the_kernel_refuses_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
