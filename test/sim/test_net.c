/* The simulated network itself: it must behave as sockets do where weir looks, or what is found with it means nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/sim/support/sim.h"

struct side {
    struct weir_transport *t; /* NULL: gone */
    uint64_t received;
    bool connected, eof, order_broken, stop_at_eof;
    int drained, flushed;
    enum weir_close_reason closed;
};

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 31 ^ at >> 8);
}

static void on_connected(void *owner)
{
    ((struct side *)owner)->connected = true;
}

static void on_read(void *owner, struct weir_slice bytes)
{
    struct side *x = owner;
    for (size_t i = 0; i < bytes.n; i++)
        x->order_broken |= bytes.p[i] != pattern(x->received + i);
    x->received += bytes.n;
    weir_block_release(bytes.block);
}

static void on_eof(void *owner)
{
    struct side *x = owner;
    assert_false(x->eof);
    x->eof = true;
    if (x->stop_at_eof) weir_transport_shutdown(x->t);
}

static void on_drained(void *owner)
{
    ((struct side *)owner)->drained++;
}

static void on_flushed(void *owner)
{
    ((struct side *)owner)->flushed++;
}

static void on_closed(void *owner, enum weir_close_reason reason)
{
    struct side *x = owner;
    x->closed = reason;
    x->t = NULL;
}

static const struct weir_transport_events events = {on_connected, on_read, on_eof, on_drained, on_flushed, on_closed};

static void send_pattern(struct sim *s, struct side *x, uint64_t from, size_t n)
{
    struct weir_buffer b;
    weir_buffer_init(&b);
    while (n != 0) {
        size_t m = n < 5000 ? n : 5000;
        struct weir_block *block = weir_block_create(&s->worker->blocks, m);
        for (size_t i = 0; i < m; i++)
            block->data[i] = pattern(from + i);
        weir_buffer_push(&b, (struct weir_slice){block->data, m, block});
        from += m;
        n -= m;
    }
    weir_transport_write(x->t, &b);
    weir_buffer_deinit(&b);
}

struct pair {
    struct sim *s;
    struct side a, b;
};

static struct pair *pair_new(uint64_t seed)
{
    struct pair *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->s = sim_create(seed);
    sim_socket_pair(p->s, &p->a.t, &p->b.t);
    weir_transport_attach(p->a.t, &events, &p->a);
    weir_transport_attach(p->b.t, &events, &p->b);
    return p;
}

static void pair_end(struct pair *p)
{
    if (p->a.t != NULL) weir_transport_close(p->a.t, false);
    if (p->b.t != NULL) weir_transport_close(p->b.t, false);
    sim_destroy(p->s);
    free(p);
}

static bool both_ended(void *ctx)
{
    struct pair *p = ctx;
    return p->a.eof && p->b.eof;
}

static void test_bytes_arrive_in_order_however_they_are_cut(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct pair *p = pair_new(seed);
        if (seed % 2 == 1) p->s->network.piece_max = 1 + seed * 100;
        p->b.stop_at_eof = true;
        weir_transport_read(p->a.t, true);
        weir_transport_read(p->b.t, true);
        send_pattern(p->s, &p->a, 0, 300000);
        send_pattern(p->s, &p->b, 0, 1000);
        weir_transport_shutdown(p->a.t);
        assert_true(sim_run(p->s, both_ended, p, 60000 * (uint64_t)SIM_MS));
        assert_int_equal(p->b.received, 300000);
        assert_int_equal(p->a.received, 1000);
        assert_false(p->a.order_broken || p->b.order_broken);
        assert_int_equal(p->a.closed, WEIR_CLOSE_NONE); /* that is up to their owners */
        assert_int_equal(p->b.closed, WEIR_CLOSE_NONE);
        pair_end(p);
    }
}

static void test_a_reader_that_stops_stops_the_writer(void **state)
{
    (void)state;
    struct pair *p = pair_new(1);
    weir_transport_set_water(p->a.t, 100000, 50000);
    send_pattern(p->s, &p->a, 0, 300000);
    assert_true(p->a.t->above_high);
    sim_pass(p->s, 1000 * SIM_MS);
    assert_int_equal(p->b.received, 0);
    assert_int_equal(weir_transport_queued(p->a.t), 300000 - 65536);
    weir_transport_notify_flushed(p->a.t);
    sim_pass(p->s, 1000 * SIM_MS);
    assert_int_equal(p->a.flushed, 0);
    weir_transport_read(p->b.t, true);
    sim_pass(p->s, 1000 * SIM_MS);
    assert_int_equal(p->b.received, 300000);
    assert_int_equal(p->a.drained, 1);
    assert_int_equal(p->a.flushed, 1);
    assert_false(p->b.order_broken);
    pair_end(p);
}

static void test_a_reset_overtakes_what_was_not_read(void **state)
{
    (void)state;
    struct pair *p = pair_new(2);
    send_pattern(p->s, &p->a, 0, 1000);
    sim_pass(p->s, 10 * SIM_MS);
    weir_transport_close(p->a.t, true);
    p->a.t = NULL;
    sim_pass(p->s, 10 * SIM_MS);
    assert_int_equal(p->b.received, 0);
    assert_int_equal(p->b.closed, WEIR_CLOSE_RESET);
    pair_end(p);
}

static void test_closing_with_unread_bytes_resets(void **state)
{
    (void)state;
    struct pair *p = pair_new(3);
    send_pattern(p->s, &p->a, 0, 1000);
    sim_pass(p->s, 10 * SIM_MS);
    weir_transport_close(p->b.t, false);
    p->b.t = NULL;
    sim_pass(p->s, 10 * SIM_MS);
    assert_int_equal(p->a.closed, WEIR_CLOSE_RESET);
    pair_end(p);
}

static void test_writing_to_who_has_left_gets_a_reset(void **state)
{
    (void)state;
    struct pair *p = pair_new(4);
    weir_transport_read(p->a.t, true);
    weir_transport_close(p->b.t, false);
    p->b.t = NULL;
    sim_pass(p->s, 10 * SIM_MS);
    assert_true(p->a.eof);
    assert_non_null(p->a.t);
    send_pattern(p->s, &p->a, 0, 10);
    sim_pass(p->s, 10 * SIM_MS);
    assert_int_equal(p->a.closed, WEIR_CLOSE_RESET);
    pair_end(p);
}

static void test_finish_sends_all_and_waits_for_the_other(void **state)
{
    (void)state;
    struct pair *p = pair_new(5);
    weir_transport_read(p->b.t, true);
    send_pattern(p->s, &p->a, 0, 200000);
    weir_transport_finish(p->a.t, 500);
    p->a.t = NULL;
    sim_pass(p->s, 300 * SIM_MS);
    assert_int_equal(p->b.received, 200000);
    assert_true(p->b.eof);
    send_pattern(p->s, &p->b, 0, 1000); /* dropped, and no reset for it */
    sim_pass(p->s, 100 * SIM_MS);
    assert_non_null(p->b.t);
    assert_int_equal(p->s->end_count, 2);
    sim_pass(p->s, 2000 * SIM_MS);
    assert_int_equal(p->s->end_count, 1);
    pair_end(p);
}

struct accepting {
    struct sim_listener listener;
    struct side server;
};

static void on_accept(void *ctx, struct weir_transport *t)
{
    struct accepting *a = ctx;
    a->server.t = t;
    weir_transport_attach(t, &events, &a->server);
    weir_transport_read(t, true);
}

static bool closed(void *ctx)
{
    return ((struct side *)ctx)->t == NULL;
}

static void test_connections_are_accepted_refused_or_lost(void **state)
{
    (void)state;
    struct sim *s = sim_create(6);
    struct accepting a = {.listener = {.address = sim_address(1, 80), .on_accept = on_accept, .ctx = &a}};
    sim_listen(s, &a.listener);
    struct side c = {0};
    struct weir_connect_options o = {.remote = &a.listener.address, .connect_timeout_ms = 300};
    c.t = weir_transport_connect(s->worker, &o, &events, &c);
    send_pattern(s, &c, 0, 100);
    sim_pass(s, 100 * SIM_MS);
    assert_true(c.connected);
    assert_int_equal(a.server.received, 100);
    const struct weir_address remote = weir_transport_remote(a.server.t), local = weir_transport_local(c.t);
    assert_true(weir_address_equal(&remote, &local, true));
    weir_transport_close(c.t, false);
    sim_pass(s, 100 * SIM_MS);
    assert_true(a.server.eof);
    weir_transport_close(a.server.t, false);

    struct side refused = {0}, lost = {0}, given_up = {0};
    struct weir_address nobody = sim_address(1, 81);
    o.remote = &nobody;
    refused.t = weir_transport_connect(s->worker, &o, &events, &refused);
    assert_true(sim_run(s, closed, &refused, 100 * SIM_MS));
    assert_int_equal(refused.closed, WEIR_CLOSE_CONNECT_REFUSED);

    a.listener.mode = SIM_BLACK_HOLE;
    o.remote = &a.listener.address;
    uint64_t before = s->worker->now_ns;
    lost.t = weir_transport_connect(s->worker, &o, &events, &lost);
    given_up.t = weir_transport_connect(s->worker, &o, &events, &given_up);
    weir_transport_close(given_up.t, false);
    assert_true(sim_run(s, closed, &lost, 1000 * SIM_MS));
    assert_int_equal(lost.closed, WEIR_CLOSE_CONNECT_TIMEOUT);
    assert_in_range(s->worker->now_ns - before, 299 * (uint64_t)SIM_MS, 302 * (uint64_t)SIM_MS);
    sim_unlisten(&a.listener);
    sim_destroy(s);
}

static uint64_t trace_of(uint64_t seed)
{
    struct pair *p = pair_new(seed);
    p->s->network.piece_max = 3000;
    p->b.stop_at_eof = true;
    weir_transport_read(p->a.t, true);
    weir_transport_read(p->b.t, true);
    send_pattern(p->s, &p->a, 0, 100000);
    send_pattern(p->s, &p->b, 0, 100000);
    weir_transport_shutdown(p->a.t);
    assert_true(sim_run(p->s, both_ended, p, 60000 * (uint64_t)SIM_MS));
    uint64_t trace = p->s->trace;
    pair_end(p);
    return trace;
}

static void test_the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    assert_int_equal(trace_of(7), trace_of(7));
    assert_int_not_equal(trace_of(7), trace_of(8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_arrive_in_order_however_they_are_cut),
        cmocka_unit_test(test_a_reader_that_stops_stops_the_writer),
        cmocka_unit_test(test_a_reset_overtakes_what_was_not_read),
        cmocka_unit_test(test_closing_with_unread_bytes_resets),
        cmocka_unit_test(test_writing_to_who_has_left_gets_a_reset),
        cmocka_unit_test(test_finish_sends_all_and_waits_for_the_other),
        cmocka_unit_test(test_connections_are_accepted_refused_or_lost),
        cmocka_unit_test(test_the_same_seed_is_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
