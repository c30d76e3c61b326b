/* transport/raw.c, hangup.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/limits.h"
#include "dataplane/transport/raw.h"
#include "test/unit/support/net.h"

static struct weir_worker *w;
static struct net_recorder r;
static int peer; /* the test's end */

static int setup(void **state)
{
    int fd[2];
    static const struct weir_address none;
    (void)state;
    w = weir_worker_create(0, 1);
    r = (struct net_recorder){0};
    net_tcp_pair(fd);
    peer = fd[1];
    struct weir_address remote = none;
    net_recorder_attach(&r, weir_raw_accepted(w, fd[0], &none, &remote));
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    net_recorder_deinit(&r);
    if (peer >= 0) (void)close(peer);
    weir_worker_turn(w, 0);
    if (w->room != NULL) weir_block_release(w->room);
    w->room = NULL;
    assert_int_equal(w->blocks.live, 0);
    weir_worker_destroy(w);
    return 0;
}
static void say(const char *text)
{
    assert_int_equal(send(peer, text, strlen(text), 0), (ssize_t)strlen(text));
}
/* Sends as much as the kernel takes, up to `max`. */
static size_t pour(size_t max)
{
    static char chunk[65536];
    size_t n = 0;
    while (n < max) {
        ssize_t sent = send(peer, chunk, max - n < sizeof(chunk) ? max - n : sizeof(chunk), MSG_DONTWAIT);
        if (sent < 0) break;
        n += (size_t)sent;
    }
    return n;
}

static void test_raw_reads_and_writes_at_the_turns_end(void **state)
{
    char got[16];
    (void)state;
    weir_transport_read(r.t, true);
    say("hello");
    TURN_UNTIL(w, r.bytes == 5);
    assert_string_equal(r.data, "hello");
    net_write(r.t, "a", 1);
    net_write(r.t, "bc", 2);
    assert_int_equal(weir_transport_queued(r.t), 3);
    assert_int_equal(net_take(peer, got, sizeof(got)), 0);
    weir_worker_turn(w, 0);
    assert_int_equal(net_take(peer, got, sizeof(got)), 3);
    assert_memory_equal(got, "abc", 3);
    assert_int_equal(r.t->rx_bytes, 5);
    assert_int_equal(r.t->tx_bytes, 3);
    const struct weir_address local = weir_transport_local(r.t);
    assert_true(weir_address_is_loopback(&local));
}

static void test_raw_does_not_read_before_it_is_told_to(void **state)
{
    (void)state;
    say("early");
    weir_worker_turn(w, 0);
    weir_worker_turn(w, 0);
    assert_int_equal(r.bytes, 0);
    weir_transport_read(r.t, true);
    TURN_UNTIL(w, r.bytes == 5);
}

static void test_raw_pause_holds_what_came_and_the_kernel_holds_the_rest(void **state)
{
    (void)state;
    r.pause_after_read = true;
    weir_transport_read(r.t, true);
    say("x");
    TURN_UNTIL(w, r.bytes == 1);
    size_t poured = 0, more;
    do {
        poured += more = pour(SIZE_MAX);
        weir_worker_turn(w, 0);
        weir_worker_turn(w, 0);
    } while (more != 0);
    assert_int_equal(r.bytes, 1);
    assert_int_equal(r.reads, 1);
    assert_true(w->blocks.live <= 2);
    r.pause_after_read = false;
    weir_transport_read(r.t, true);
    assert_int_equal(r.bytes, 1); /* not from inside the call */
    TURN_UNTIL(w, r.bytes == 1 + poured);
}

static void test_raw_reads_grow_while_they_fill_and_stay_within_the_budget(void **state)
{
    (void)state;
    weir_transport_read(r.t, true);
    size_t poured = 0;
    while (poured < 8u * 1024 * 1024) {
        size_t before = r.bytes;
        poured += pour(1024 * 1024);
        weir_worker_turn(w, 0);
        assert_true(r.bytes - before <= 2 * WEIR_READ_BUDGET_BYTES);
    }
    TURN_UNTIL(w, r.bytes == poured);
    assert_true(r.read_bytes_max > WEIR_BLOCK_BYTES);
}

static void test_raw_knows_of_bytes_that_were_not_read(void **state)
{
    (void)state;
    assert_false(weir_transport_unread(r.t));
    say("x");
    while (!weir_transport_unread(r.t))
        weir_worker_turn(w, 1);
    weir_transport_read(r.t, true);
    TURN_UNTIL(w, r.bytes == 1);
    assert_false(weir_transport_unread(r.t));
}

static void test_raw_idle_connection_holds_no_block(void **state)
{
    (void)state;
    r.echo = true;
    weir_transport_read(r.t, true);
    say("ping");
    TURN_UNTIL(w, r.t->tx_bytes == 4);
    weir_transport_idle(r.t);
    assert_true(w->blocks.live <= 1); /* the worker's own, shared by all its sockets */
}

static void test_raw_eof_leaves_writing_open(void **state)
{
    char got[16];
    (void)state;
    weir_transport_read(r.t, true);
    say("bye");
    shutdown(peer, SHUT_WR);
    TURN_UNTIL(w, r.eof == 1);
    assert_string_equal(r.data, "bye");
    assert_int_equal(r.closed, 0);
    net_write(r.t, "answer", 6);
    weir_transport_shutdown(r.t);
    TURN_UNTIL(w, net_take(peer, got, sizeof(got)) == 6);
    TURN_UNTIL(w, net_take(peer, got, sizeof(got)) == -1);
    assert_int_equal(r.eof, 1);
    assert_int_equal(r.closed, 0);
}

static void test_raw_eof_behind_held_bytes_waits_for_them(void **state)
{
    (void)state;
    r.pause_after_read = true;
    weir_transport_read(r.t, true);
    say("1");
    TURN_UNTIL(w, r.bytes == 1);
    say("2");
    shutdown(peer, SHUT_WR);
    for (int i = 0; i < 5; i++)
        weir_worker_turn(w, 1);
    assert_int_equal(r.eof, 0);
    r.pause_after_read = false;
    weir_transport_read(r.t, true);
    TURN_UNTIL(w, r.eof == 1);
    assert_string_equal(r.data, "12");
}

static void test_raw_eof_is_told_while_reading_is_off(void **state)
{
    (void)state;
    r.pause_after_read = true;
    weir_transport_read(r.t, true);
    say("1");
    TURN_UNTIL(w, r.bytes == 1);
    shutdown(peer, SHUT_WR);
    TURN_UNTIL(w, r.eof == 1);
}

/* Who owns it may not be done with what has come. */
static void test_raw_shutdown_then_eof_leaves_the_close_to_the_owner(void **state)
{
    (void)state;
    weir_transport_read(r.t, true);
    weir_transport_shutdown(r.t);
    weir_worker_turn(w, 0);
    assert_int_equal(r.closed, 0);
    say("late");
    TURN_UNTIL(w, r.bytes == 4);
    (void)close(peer);
    peer = -1;
    TURN_UNTIL(w, r.eof == 1);
    weir_worker_turn(w, 0);
    assert_int_equal(r.closed, 0);
}

static void test_raw_reset_is_told(void **state)
{
    (void)state;
    weir_transport_read(r.t, true);
    weir_worker_turn(w, 0);
    net_reset(peer);
    peer = -1;
    TURN_UNTIL(w, r.closed == 1);
    assert_int_equal(r.reason, WEIR_CLOSE_RESET);
    assert_int_equal(r.eof, 0);
}

static void test_raw_reset_is_told_while_reading_is_off_with_bytes_waiting(void **state)
{
    (void)state;
    r.pause_after_read = true;
    weir_transport_read(r.t, true);
    say("x");
    TURN_UNTIL(w, r.bytes == 1);
    while (pour(SIZE_MAX) != 0) {
        weir_worker_turn(w, 0);
        weir_worker_turn(w, 0);
    }
    net_reset(peer);
    peer = -1;
    TURN_UNTIL(w, r.closed == 1);
    assert_int_equal(r.reason, WEIR_CLOSE_RESET);
}

static void test_raw_answer_before_a_reset_is_read(void **state)
{
    static char big[4 * 1024 * 1024];
    (void)state;
    weir_transport_read(r.t, true);
    weir_transport_set_water(r.t, 65536, 32768);
    net_write(r.t, big, sizeof(big));
    weir_worker_turn(w, 0);
    say("413");
    (void)close(peer); /* with unread bytes: the kernel resets */
    peer = -1;
    net_write(r.t, big, 1);
    TURN_UNTIL(w, r.closed == 1);
    assert_string_equal(r.data, "413");
    assert_int_equal(r.reason, WEIR_CLOSE_RESET);
}

static void test_raw_watermarks_and_flush(void **state)
{
    static char big[8 * 1024 * 1024], got[65536];
    (void)state;
    weir_transport_set_water(r.t, 100000, 50000);
    net_write(r.t, big, 99999);
    assert_false(r.t->above_high);
    weir_worker_turn(w, 0);
    assert_int_equal(r.drained, 0);
    net_write(r.t, big, sizeof(big));
    assert_true(r.t->above_high);
    weir_transport_notify_flushed(r.t);
    weir_worker_turn(w, 0);
    assert_true(weir_transport_queued(r.t) > 0);
    assert_int_equal(r.drained + r.flushed, 0);
    size_t taken = 0;
    while (r.flushed == 0) {
        ssize_t n = net_take(peer, got, sizeof(got));
        assert_true(n >= 0);
        taken += (size_t)n;
        weir_worker_turn(w, 0);
        if (r.drained == 0) assert_true(r.t->above_high);
        if (r.drained == 1) assert_true(weir_transport_queued(r.t) < 50000);
    }
    assert_int_equal(r.drained, 1);
    assert_int_equal(r.flushed, 1);
    while (taken < 99999 + sizeof(big)) {
        ssize_t n = net_take(peer, got, sizeof(got));
        assert_true(n >= 0);
        taken += (size_t)n;
    }
}

static void test_raw_finish_delivers_everything_though_the_peer_still_talks(void **state)
{
    static char big[3 * 1024 * 1024], got[65536];
    (void)state;
    weir_transport_read(r.t, true);
    weir_worker_turn(w, 0);
    net_write(r.t, big, sizeof(big));
    say("this is never read");
    weir_transport_finish(r.t, 5000);
    r.t = NULL;
    size_t taken = 0;
    ssize_t n;
    while ((n = net_take(peer, got, sizeof(got))) >= 0) {
        taken += (size_t)n;
        if (taken < 100000) (void)pour(1000);
        weir_worker_turn(w, 0);
    }
    assert_int_equal(n, -1);
    assert_int_equal(taken, sizeof(big));
    assert_int_equal(r.closed, 0);
    assert_int_equal(r.bytes, 0);
}

static void test_raw_finish_ends_after_the_linger_time(void **state)
{
    char got[8];
    (void)state;
    net_write(r.t, "end", 3);
    weir_transport_finish(r.t, 30);
    r.t = NULL;
    TURN_UNTIL(w, net_take(peer, got, sizeof(got)) == -1);
    /* The peer keeps its side open: after the time the socket is gone, and what it sends meets a reset. */
    TURN_UNTIL(w, send(peer, "x", 1, MSG_NOSIGNAL) < 0);
}

/* The last bytes of a tunnel: nobody would ask for them again. */
static void test_raw_finish_waits_for_a_slow_peer_as_long_as_it_is_told(void **state)
{
    static char big[3 * 1024 * 1024], got[65536];
    (void)state;
    net_write(r.t, big, sizeof(big));
    r.t->stall_ms = 20 * WEIR_UNWRITTEN_STALL_MS;
    weir_transport_finish(r.t, 0);
    r.t = NULL;
    uint64_t start_ns = w->now_ns;
    TURN_UNTIL(w, w->now_ns - start_ns > (WEIR_UNWRITTEN_STALL_MS + 100) * UINT64_C(1000000));
    size_t taken = 0;
    ssize_t n;
    while ((n = net_take(peer, got, sizeof(got))) >= 0) {
        taken += (size_t)n;
        weir_worker_turn(w, 0);
    }
    assert_int_equal(n, -1);
    assert_int_equal(taken, sizeof(big));
}

static void test_raw_close_with_reset_sends_rst(void **state)
{
    char got[8];
    (void)state;
    net_write(r.t, "lost", 4);
    weir_transport_close(r.t, true);
    r.t = NULL;
    ssize_t n;
    TURN_UNTIL(w, (n = net_take(peer, got, sizeof(got))) != 0);
    assert_int_equal(n, -2);
}

static void client(struct net_recorder *c, const struct weir_connect_options *o)
{
    *c = (struct net_recorder){0};
    c->t = weir_transport_connect(w, o, &net_recorder_events, c);
}

static void test_raw_connects_and_talks(void **state)
{
    struct weir_address at;
    struct net_recorder c;
    char got[8];
    (void)state;
    int l = net_listen(&at, 4);
    client(&c, &(struct weir_connect_options){.remote = &at, .connect_timeout_ms = 5000, .keepalive = true, .keepalive_probes = 3,
                                              .keepalive_time_s = 60, .keepalive_interval_s = 5});
    net_write(c.t, "first", 5); /* before it is connected */
    weir_transport_read(c.t, true);
    TURN_UNTIL(w, c.connected == 1);
    int fd = net_accept(l);
    TURN_UNTIL(w, net_take(fd, got, sizeof(got)) == 5);
    const struct weir_address remote = weir_transport_remote(c.t), local = weir_transport_local(c.t);
    assert_true(weir_address_equal(&remote, &at, true));
    assert_true(weir_address_port(&local) != 0);
    assert_int_equal(send(fd, "second", 6, 0), 6);
    TURN_UNTIL(w, c.bytes == 6);
    net_recorder_deinit(&c);
    (void)close(fd);
    (void)close(l);
}

static void test_raw_connect_refused_says_so(void **state)
{
    struct weir_address at;
    struct net_recorder c;
    (void)state;
    (void)close(net_listen(&at, 4));
    client(&c, &(struct weir_connect_options){.remote = &at, .connect_timeout_ms = 5000});
    assert_int_equal(c.closed, 0);
    TURN_UNTIL(w, c.closed == 1);
    assert_int_equal(c.reason, WEIR_CLOSE_CONNECT_REFUSED);
    assert_string_equal(c.failure, "delayed_connect_error:_Connection_refused");
    assert_int_equal(c.connected, 0);
}

static void test_raw_connect_to_a_missing_unix_socket_says_so(void **state)
{
    struct weir_address at;
    struct net_recorder c;
    (void)state;
    assert_true(weir_address_unix(WEIR_STR("/nonexistent/socket"), &at));
    client(&c, &(struct weir_connect_options){.remote = &at});
    net_write(c.t, "x", 1);
    weir_transport_read(c.t, true);
    assert_int_equal(c.closed, 0);
    TURN_UNTIL(w, c.closed == 1);
    assert_int_equal(c.reason, WEIR_CLOSE_CONNECT_REFUSED);
    assert_string_equal(c.failure, "immediate_connect_error:_No_such_file_or_directory");
}

static void test_raw_connects_to_a_unix_socket(void **state)
{
    struct weir_address at;
    struct net_recorder c;
    (void)state;
    assert_true(weir_address_unix(WEIR_STR("@weir-unit-raw"), &at));
    int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(l, &at.any, at.length), 0);
    assert_int_equal(listen(l, 1), 0);
    client(&c, &(struct weir_connect_options){.remote = &at, .connect_timeout_ms = 5000});
    weir_transport_read(c.t, true);
    TURN_UNTIL(w, c.connected == 1);
    int fd = net_accept(l);
    assert_int_equal(send(fd, "unix", 4, 0), 4);
    TURN_UNTIL(w, c.bytes == 4);
    net_recorder_deinit(&c);
    (void)close(fd);
    (void)close(l);
}

static void test_raw_connect_times_out(void **state)
{
    struct weir_address at;
    struct net_recorder filler[3], c;
    (void)state;
    /* A full accept queue: further SYNs are dropped. */
    int l = net_listen(&at, 0);
    for (int i = 0; i < 3; i++)
        client(&filler[i], &(struct weir_connect_options){.remote = &at});
    for (int i = 0; i < 10; i++)
        weir_worker_turn(w, 1);
    client(&c, &(struct weir_connect_options){.remote = &at, .connect_timeout_ms = 50});
    TURN_UNTIL(w, c.closed == 1);
    assert_int_equal(c.reason, WEIR_CLOSE_CONNECT_TIMEOUT);
    for (int i = 0; i < 3; i++)
        net_recorder_deinit(&filler[i]);
    (void)close(l);
}

static void test_raw_closed_while_connecting_tells_nobody(void **state)
{
    struct weir_address at;
    struct net_recorder c;
    (void)state;
    int l = net_listen(&at, 4);
    client(&c, &(struct weir_connect_options){.remote = &at, .connect_timeout_ms = 1});
    weir_transport_close(c.t, false);
    c.t = NULL;
    for (int i = 0; i < 10; i++)
        weir_worker_turn(w, 1);
    assert_int_equal(c.connected + c.closed, 0);
    (void)close(l);
}

#define RAW_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        RAW_TEST(test_raw_reads_and_writes_at_the_turns_end),
        RAW_TEST(test_raw_does_not_read_before_it_is_told_to),
        RAW_TEST(test_raw_pause_holds_what_came_and_the_kernel_holds_the_rest),
        RAW_TEST(test_raw_reads_grow_while_they_fill_and_stay_within_the_budget),
        RAW_TEST(test_raw_knows_of_bytes_that_were_not_read),
        RAW_TEST(test_raw_idle_connection_holds_no_block),
        RAW_TEST(test_raw_eof_leaves_writing_open),
        RAW_TEST(test_raw_eof_behind_held_bytes_waits_for_them),
        RAW_TEST(test_raw_eof_is_told_while_reading_is_off),
        RAW_TEST(test_raw_shutdown_then_eof_leaves_the_close_to_the_owner),
        RAW_TEST(test_raw_reset_is_told),
        RAW_TEST(test_raw_reset_is_told_while_reading_is_off_with_bytes_waiting),
        RAW_TEST(test_raw_answer_before_a_reset_is_read),
        RAW_TEST(test_raw_watermarks_and_flush),
        RAW_TEST(test_raw_finish_delivers_everything_though_the_peer_still_talks),
        RAW_TEST(test_raw_finish_ends_after_the_linger_time),
        RAW_TEST(test_raw_finish_waits_for_a_slow_peer_as_long_as_it_is_told),
        RAW_TEST(test_raw_close_with_reset_sends_rst),
        RAW_TEST(test_raw_connects_and_talks),
        RAW_TEST(test_raw_connect_refused_says_so),
        RAW_TEST(test_raw_connect_to_a_missing_unix_socket_says_so),
        RAW_TEST(test_raw_connects_to_a_unix_socket),
        RAW_TEST(test_raw_connect_times_out),
        RAW_TEST(test_raw_closed_while_connecting_tells_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
