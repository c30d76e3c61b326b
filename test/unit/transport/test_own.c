/* Connections of one's own are known when they come back, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/transport/own.h"
#include "dataplane/transport/raw.h"
#include "test/unit/support/net.h"

static struct weir_address local_of(int fd)
{
    struct weir_address a = {.length = sizeof(a.un)};
    assert_int_equal(getsockname(fd, &a.any, &a.length), 0);
    return a;
}

static void test_a_connection_is_known_by_both_its_ends(void **state)
{
    (void)state;
    struct weir_own_connections *o = weir_own_connections_create();
    struct weir_address to, elsewhere, from, mapped, stranger;
    int listening = net_listen(&to, 1), fd = net_connect(&to);
    from = stranger = local_of(fd);
    assert_false(weir_own_has(o, &from, &to));
    uint16_t port = weir_own_add(o, fd, &to);
    assert_int_equal(port, weir_address_port(&from));
    assert_true(weir_own_has(o, &from, &to));
    elsewhere = to;
    weir_address_set_port(&elsewhere, (uint16_t)(weir_address_port(&to) ^ 1));
    assert_false(weir_own_has(o, &from, &elsewhere)); /* an application may use the same port towards another address */
    stranger.v4.sin_addr.s_addr ^= htonl(1);
    assert_false(weir_own_has(o, &stranger, &to));
    assert_true(weir_address_parse(WEIR_STR("::ffff:127.0.0.1"), port, &mapped)); /* as a socket for both versions has it */
    assert_true(weir_own_has(o, &mapped, &to));
    weir_own_remove(o, port);
    assert_false(weir_own_has(o, &from, &to));
    (void)close(fd);
    (void)close(listening);
    weir_own_connections_destroy(o);
}

static void on_closed(void *owner, enum weir_close_reason reason)
{
    (void)owner, (void)reason;
}
static const struct weir_transport_events events = {.on_closed = on_closed};

static void test_transports_are_noted_while_they_live(void **state)
{
    (void)state;
    struct weir_worker *w = weir_worker_create(0, 1);
    struct weir_own_connections *o = w->own = weir_own_connections_create();
    struct weir_address to, from = {.length = sizeof(from.un)};
    int listening = net_listen(&to, 1);
    struct weir_connect_options options = {.remote = &to};
    struct weir_transport *t = weir_raw_connect(w, &options, &events, NULL);
    int accepted = accept(listening, &from.any, &from.length);
    assert_true(accepted >= 0);
    assert_true(weir_own_has(o, &from, &to)); /* before the loop has turned */
    weir_transport_close(t, false);
    assert_false(weir_own_has(o, &from, &to));
    weir_worker_turn(w, 0);
    (void)close(accepted);
    (void)close(listening);
    weir_worker_destroy(w);
    weir_own_connections_destroy(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_is_known_by_both_its_ends),
        cmocka_unit_test(test_transports_are_noted_while_they_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
