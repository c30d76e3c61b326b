/* listener/: sockets, accepting, choice of a chain, updates, stopping. Configurations are built by hand; the network filter is
 * one of the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/limits.h"
#include "dataplane/listener/chain_match.h"
#include "dataplane/listener/echo.h"
#include "dataplane/listener/listener.h"
#include "dataplane/transport/tls.h"
#include "test/unit/support/certs.h"
#include "test/unit/support/net.h"

static struct weir_worker *w;
static struct weir_stats_registry *registry;
static struct weir_listener_sockets *sockets;

/* Answers each read with its configuration's text. */
struct talker {
    struct weir_connection *c;
    unsigned drains;
};
static unsigned drains, deadlines, connections_seen;
static void talk_read(void *owner, struct weir_slice bytes)
{
    struct weir_connection *c = owner;
    const char *text = weir_connection_config(c);
    weir_block_release(bytes.block);
    net_write(c->transport, text, strlen(text));
    if (weir_connection_drain_close(c)) {
        weir_transport_finish(c->transport, 1000);
        weir_connection_done(c);
    }
}
static void talk_eof(void *owner)
{
    struct weir_connection *c = owner;
    weir_transport_finish(c->transport, 1000);
    weir_connection_done(c);
}
static void talk_closed(void *owner, enum weir_close_reason reason)
{
    (void)reason;
    weir_connection_done(owner);
}
static const struct weir_transport_events talk_events = {.on_read = talk_read, .on_eof = talk_eof, .on_closed = talk_closed};
static enum weir_network_verdict talk(struct weir_connection *c)
{
    struct talker *t = weir_connection_state(c);
    assert_null(t->c);
    t->c = c;
    connections_seen++;
    weir_transport_attach(c->transport, &talk_events, c);
    weir_transport_read(c->transport, true);
    return WEIR_NETWORK_CONTINUE;
}
static void talk_drain(struct weir_connection *c)
{
    (void)c;
    drains++;
}
static void talk_deadline(struct weir_connection *c)
{
    deadlines++;
    weir_transport_close(c->transport, false);
    weir_connection_done(c);
}
static const struct weir_network_filter talker = {.name = "talker", .terminal = true, .state_size = sizeof(struct talker), .on_connection = talk,
                                                  .on_drain = talk_drain, .on_deadline = talk_deadline};
/* Stands before it. */
static struct weir_connection *paused;
static bool end_all;
static enum weir_network_verdict pausing(struct weir_connection *c)
{
    assert_int_equal(((uintptr_t)weir_connection_state(c)) % 16, 0);
    if (end_all) {
        weir_transport_close(c->transport, true);
        weir_connection_done(c);
        return WEIR_NETWORK_ENDED;
    }
    paused = c;
    return WEIR_NETWORK_PAUSE;
}
static const struct weir_network_filter pauser = {.name = "pauser", .state_size = 24, .on_connection = pausing};

/* A configuration with chains of a name, a text and a rule. */
struct chain_spec {
    const char *name, *text, *sni;
    const struct weir_tls_server *tls;
    const struct weir_network_filter *before;
    const char *socket; /* part of the identity */
};
static struct weir_listener_config *config(const struct chain_spec *specs, uint32_t count, bool has_default)
{
    struct weir_listener_config *l = weir_resource_create(sizeof(*l), WEIR_STR("l"));
    struct weir_arena *a = &l->resource.arena;
    struct weir_chain_config *chains = WEIR_NEW(a, struct weir_chain_config, count);
    struct weir_chain_match *match = weir_chain_match_create(a);
    assert_true(weir_address_parse(WEIR_STR("127.0.0.1"), 0, &l->socket.address));
    l->socket.bind_to_port = l->socket.reuse_port = true;
    l->socket.fast_open_queue = -1;
    l->stat_prefix = WEIR_STR("listener.l.");
    l->accepts_per_event = 64;
    l->buffer_limit_bytes = 1024 * 1024;
    l->listener_filters_timeout_ms = 15000;
    l->chain_count = count;
    l->chains = chains;
    l->has_default = has_default;
    l->match = match;
    l->stats = weir_stats_acquire(registry, l->stat_prefix, weir_listener_stat_descs, WEIR_LS_COUNT);
    for (uint32_t i = 0; i < count; i++) {
        struct weir_network_filter_use *uses = WEIR_NEW(a, struct weir_network_filter_use, 2);
        uint32_t n = 0, other;
        if (specs[i].before != NULL) uses[n++] = (struct weir_network_filter_use){.filter = specs[i].before};
        uses[n++] = (struct weir_network_filter_use){.filter = &talker, .config = specs[i].text};
        chains[i] = (struct weir_chain_config){.name = weir_str_of(specs[i].name), .tls = specs[i].tls, .filters = uses, .filter_count = n};
        chains[i].identity = weir_arena_printf(a, "%s/%s/%u", specs[i].name, specs[i].socket != NULL ? specs[i].socket : "", n);
        chains[i].state_bytes = specs[i].before != NULL ? 32 + 16 : 16;
        struct weir_str sni = weir_str_of(specs[i].sni);
        struct weir_chain_rule rule = {.server_names = &sni, .server_name_count = sni.n != 0};
        if (sni.n != 0) l->inspect_tls = true;
        if (!has_default || i + 1 != count) assert_int_equal(weir_chain_match_add(match, &rule, i, &other), WEIR_OK);
    }
    return l;
}
static void drop(struct weir_listener_config *l)
{
    weir_stats_release(l->stats);
    weir_resource_release(&l->resource);
}
static struct weir_listener *start(struct weir_listener_config *l)
{
    struct weir_error e = {0};
    if (weir_listener_sockets_open(l, 1, &e, &sockets) != WEIR_OK || weir_listener_sockets_listen(sockets, &e) != WEIR_OK) fail_msg("%s", e.text);
    return weir_listener_start(w, l, sockets);
}
static int64_t counted(struct weir_listener_config *l, enum weir_listener_stat s)
{
    return weir_stat_sum(l->stats, s);
}
static int dial(void)
{
    return net_connect(weir_listener_sockets_address(sockets));
}
/* Sends and waits for an answer; "" at the end of the stream. */
static const char *ask(int fd, const char *text)
{
    static char got[256];
    ssize_t n = 0;
    if (text[0] != 0) (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
    TURN_UNTIL(w, (n = net_take(fd, got, sizeof(got) - 1)) != 0);
    got[n > 0 ? n : 0] = 0;
    return got;
}

static int setup(void **state)
{
    (void)state;
    w = weir_worker_create(0, 1);
    registry = weir_stats_registry_create(1);
    sockets = NULL;
    drains = deadlines = connections_seen = 0;
    end_all = false;
    paused = NULL;
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    for (struct weir_listener *l = w->snapshot.listeners; l != NULL; l = w->snapshot.listeners) {
        weir_listeners_shutdown(w, &(struct weir_shutdown_order){.part = WEIR_SHUTDOWN_ALL}, NULL, NULL);
        TURN_UNTIL(w, w->snapshot.listeners == NULL);
    }
    weir_worker_turn(w, 0);
    weir_listener_sockets_release(sockets);
    weir_worker_destroy(w);
    weir_stats_registry_destroy(registry);
    return 0;
}

static void test_listener_accepts_counts_and_forgets(void **state)
{
    (void)state;
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "hello", "", NULL, NULL, NULL}}, 1, false);
    struct weir_listener *l = start(a);
    int fd = dial();
    assert_string_equal(ask(fd, "x"), "hello");
    assert_int_equal(weir_listener_connections(l), 1);
    assert_int_equal(counted(a, WEIR_LS_downstream_cx_total), 1);
    assert_int_equal(counted(a, WEIR_LS_downstream_cx_active), 1);
    (void)close(fd);
    TURN_UNTIL(w, weir_listener_connections(l) == 0);
    assert_int_equal(counted(a, WEIR_LS_downstream_cx_active), 0);
    assert_int_equal(counted(a, WEIR_LS_downstream_cx_destroy), 1);
    assert_ptr_equal(weir_listener_find(w, WEIR_STR("l")), l);
    drop(a);
}

static void test_listener_accepts_many_at_once(void **state)
{
    (void)state;
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "!", "", NULL, NULL, NULL}}, 1, false);
    struct weir_listener *l = start(a);
    int fds[200];
    for (int i = 0; i < 200; i++)
        fds[i] = dial();
    TURN_UNTIL(w, weir_listener_connections(l) == 200);
    for (int i = 0; i < 200; i++) {
        assert_string_equal(ask(fds[i], "x"), "!");
        (void)close(fds[i]);
    }
    TURN_UNTIL(w, weir_listener_connections(l) == 0);
    drop(a);
}

static void test_listener_tells_why_it_cannot_bind(void **state)
{
    (void)state;
    struct weir_error e = {0};
    struct weir_address at;
    char expected[256], text[WEIR_ADDRESS_TEXT_MAX];
    struct weir_listener_sockets *s = NULL;
    int other = net_listen(&at, 1);
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "", "", NULL, NULL, NULL}}, 1, false);
    a->socket.address = at;
    assert_int_equal(weir_listener_sockets_open(a, 2, &e, &s), WEIR_ERR_IO);
    (void)weir_address_print(&at, text);
    snprintf(expected, sizeof(expected), "cannot bind '%s': Address already in use", text);
    assert_string_equal(e.text, expected);
    (void)close(other);
    drop(a);
}

static void test_listener_on_a_unix_path(void **state)
{
    (void)state;
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/tmp/weir-unit-%d.sock", (int)getpid());
    FILE *stale = fopen(path, "w");
    assert_non_null(stale);
    (void)fclose(stale);
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "unix", "", NULL, NULL, NULL}}, 1, false);
    assert_true(weir_address_unix(weir_str_of(path), &a->socket.address));
    a->socket.unix_mode = 0600;
    struct weir_listener *l = start(a);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    int fd = dial();
    assert_string_equal(ask(fd, "x"), "unix");
    (void)close(fd);
    TURN_UNTIL(w, weir_listener_connections(l) == 0);
    weir_listener_stop(l, 0, true, NULL, NULL);
    weir_worker_turn(w, 0);
    weir_listener_sockets_release(sockets);
    sockets = NULL;
    assert_int_equal(stat(path, &st), -1);
    drop(a);
}

static void test_listener_without_a_matching_chain_resets(void **state)
{
    (void)state;
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "", "only.test", NULL, NULL, NULL}}, 1, false);
    start(a);
    int fd = dial();
    ssize_t n;
    char got[8];
    assert_int_equal(send(fd, "GET / HTTP/1.1\r\n", 16, 0), 16);
    TURN_UNTIL(w, (n = net_take(fd, got, 8)) != 0);
    assert_int_equal(n, -2);
    assert_int_equal(counted(a, WEIR_LS_no_filter_chain_match), 1);
    assert_int_equal(counted(a, WEIR_LS_downstream_cx_total), 0);
    assert_int_equal(counted(a, WEIR_LS_downstream_pre_cx_active), 0);
    (void)close(fd);
    drop(a);
}

static void test_listener_default_chain_takes_what_none_else_does(void **state)
{
    (void)state;
    struct weir_listener_config *a =
        config((struct chain_spec[]){{"c", "never", "only.test", NULL, NULL, NULL}, {"d", "default", "", NULL, NULL, NULL}}, 2, true);
    start(a);
    int fd = dial();
    assert_string_equal(ask(fd, "GET / HTTP/1.1\r\n"), "default"); /* the peeked bytes are not lost */
    (void)close(fd);
    drop(a);
}

static void test_listener_peek_has_its_time(void **state)
{
    (void)state;
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "", "only.test", NULL, NULL, NULL}}, 1, false);
    a->listener_filters_timeout_ms = 30;
    start(a);
    int fd = dial();
    assert_string_equal(ask(fd, "\x16"), "");
    assert_int_equal(counted(a, WEIR_LS_downstream_pre_cx_timeout), 1);
    (void)close(fd);
    drop(a);
}

static void test_listener_peek_may_go_on_after_its_time(void **state)
{
    (void)state;
    struct weir_listener_config *a =
        config((struct chain_spec[]){{"c", "", "only.test", NULL, NULL, NULL}, {"d", "late", "", NULL, NULL, NULL}}, 2, true);
    a->listener_filters_timeout_ms = 30;
    a->continue_on_listener_filters_timeout = true;
    start(a);
    int fd = dial();
    assert_string_equal(ask(fd, "\x16"), "late");
    (void)close(fd);
    drop(a);
}

static void test_listener_client_that_leaves_while_peeked_at(void **state)
{
    (void)state;
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "", "only.test", NULL, NULL, NULL}}, 1, false);
    start(a);
    int fd = dial();
    TURN_UNTIL(w, counted(a, WEIR_LS_downstream_pre_cx_active) == 1);
    (void)close(fd);
    TURN_UNTIL(w, counted(a, WEIR_LS_downstream_pre_cx_active) == 0);
    assert_int_equal(counted(a, WEIR_LS_downstream_listener_filter_remote_close), 1);
    drop(a);
}

static void test_listener_proxy_header_names_the_client(void **state)
{
    (void)state;
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "ok", "", NULL, &pauser, NULL}}, 1, false);
    a->proxy_protocol = true;
    start(a);
    int fd = dial();
    assert_int_equal(send(fd, "PROXY TCP4 192.0.2.9 10.0.0.1 7 80\r\nhi", 38, 0), 38);
    TURN_UNTIL(w, paused != NULL);
    char text[WEIR_ADDRESS_TEXT_MAX];
    const struct weir_address remote = weir_transport_remote(paused->transport);
    (void)weir_address_print(&remote, text);
    assert_string_equal(text, "192.0.2.9:7");
    assert_true(weir_address_is_loopback(paused->direct_remote));
    weir_connection_resume(paused);
    assert_string_equal(ask(fd, ""), "ok"); /* answers "hi" */
    (void)close(fd);
    fd = dial();
    char got[8];
    ssize_t n;
    assert_int_equal(send(fd, "GET /", 5, 0), 5);
    TURN_UNTIL(w, (n = net_take(fd, got, 8)) != 0);
    assert_int_equal(n, -2);
    assert_int_equal(counted(a, WEIR_LS_downstream_listener_filter_error), 1);
    (void)close(fd);
    drop(a);
}

static void test_filters_before_the_terminal_one_pause_and_end(void **state)
{
    (void)state;
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "ok", "", NULL, &pauser, NULL}}, 1, false);
    struct weir_listener *l = start(a);
    int fd = dial();
    TURN_UNTIL(w, paused != NULL);
    assert_int_equal(connections_seen, 0);
    weir_connection_resume(paused);
    assert_int_equal(connections_seen, 1);
    assert_string_equal(ask(fd, "x"), "ok");
    /* One that leaves while paused. */
    paused = NULL;
    int gone = dial();
    TURN_UNTIL(w, paused != NULL);
    weir_transport_read(paused->transport, true);
    net_reset(gone);
    TURN_UNTIL(w, weir_listener_connections(l) == 1);
    /* One that the filter ends. */
    end_all = true;
    int ended = dial();
    ssize_t n;
    char got[8];
    TURN_UNTIL(w, (n = net_take(ended, got, 8)) != 0);
    assert_int_equal(n, -2);
    assert_int_equal(weir_listener_connections(l), 1);
    (void)close(ended);
    (void)close(fd);
    drop(a);
}

static void test_update_in_place_changes_new_streams_of_old_connections(void **state)
{
    (void)state;
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "old", "", NULL, NULL, NULL}}, 1, false);
    struct weir_listener *l = start(a);
    int fd = dial();
    assert_string_equal(ask(fd, "x"), "old");
    struct weir_listener_config *b = config((struct chain_spec[]){{"c", "new", "", NULL, NULL, NULL}}, 1, false);
    weir_listener_update(l, b, 600000, false);
    drop(a);
    assert_string_equal(ask(fd, "x"), "new");
    int other = dial();
    assert_string_equal(ask(other, "x"), "new");
    assert_int_equal(drains, 0);
    (void)close(fd);
    (void)close(other);
    drop(b);
}

static void test_update_drains_chains_that_are_gone(void **state)
{
    (void)state;
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "old", "", NULL, NULL, "s1"}}, 1, false);
    struct weir_listener *l = start(a);
    int fd = dial();
    assert_string_equal(ask(fd, "x"), "old");
    struct weir_listener_config *b = config((struct chain_spec[]){{"c", "new", "", NULL, NULL, "s2"}}, 1, false);
    weir_listener_update(l, b, 600000, true);
    drop(a);
    assert_int_equal(drains, 1);
    int other = dial();
    assert_string_equal(ask(other, "x"), "new");
    assert_string_equal(ask(fd, "x"), "old"); /* under the old one, and the last answer */
    assert_string_equal(ask(fd, ""), "");
    assert_int_equal(deadlines, 0);
    (void)close(fd);
    (void)close(other);
    drop(b);
}

static void test_drained_chain_is_closed_at_its_deadline(void **state)
{
    (void)state;
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "old", "", NULL, NULL, "s1"}}, 1, false);
    struct weir_listener *l = start(a);
    int fd = dial();
    assert_string_equal(ask(fd, "x"), "old");
    struct weir_listener_config *b = config((struct chain_spec[]){{"c", "new", "", NULL, NULL, "s2"}}, 1, false);
    weir_listener_update(l, b, 40, false);
    assert_int_equal(drains, 0); /* spread: each answer draws */
    assert_string_equal(ask(fd, ""), "");
    assert_int_equal(deadlines, 1);
    assert_int_equal(weir_listener_connections(l), 0);
    (void)close(fd);
    drop(a);
    drop(b);
}

static unsigned gone;
static void deliver_gone(struct weir_worker *to, struct weir_mail *m)
{
    (void)to, (void)m;
    gone++;
}

static void test_stop_serves_what_waits_in_the_queue_and_ends_with_the_last(void **state)
{
    (void)state;
    struct weir_mail mail = {.deliver = deliver_gone};
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "bye", "", NULL, NULL, NULL}}, 1, false);
    struct weir_listener *l = start(a);
    int fd = dial();
    assert_string_equal(ask(fd, "x"), "bye");
    int waiting = dial(); /* in the kernel's queue only */
    gone = 0;
    weir_listener_stop(l, 600000, true, &mail, w);
    assert_null(weir_listener_find(w, WEIR_STR("l")));
    assert_int_equal(drains, 1);
    assert_string_equal(ask(waiting, "x"), "bye");
    assert_string_equal(ask(waiting, ""), "");
    assert_int_equal(gone, 0);
    (void)close(fd);
    TURN_UNTIL(w, gone == 1);
    assert_null(w->snapshot.listeners);
    const struct weir_address at = *weir_listener_sockets_address(sockets);
    weir_listener_sockets_release(sockets);
    sockets = NULL;
    int late = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late, &at.any, at.length), -1);
    assert_int_equal(errno, ECONNREFUSED);
    (void)close(late);
    (void)close(waiting);
    drop(a);
}

static void test_shutdown_tells_when_all_is_gone(void **state)
{
    (void)state;
    struct weir_mail mail = {.deliver = deliver_gone};
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "x", "", NULL, NULL, NULL}}, 1, false);
    struct weir_listener *l = start(a);
    int one = dial(), two = dial();
    TURN_UNTIL(w, weir_listener_connections(l) == 2);
    gone = 0;
    weir_listeners_shutdown(w, &(struct weir_shutdown_order){WEIR_SHUTDOWN_ALL, 0, 50}, &mail, w);
    assert_int_equal(drains, 2);
    assert_true(w->draining);
    (void)close(one);
    TURN_UNTIL(w, weir_listeners_connections(w) == 1);
    assert_int_equal(gone, 0);
    TURN_UNTIL(w, gone == 1); /* the other at the deadline */
    assert_int_equal(deadlines, 1);
    (void)close(two);
    drop(a);
}

static void test_shutdown_of_an_idle_worker_is_told_at_once(void **state)
{
    (void)state;
    struct weir_mail mail = {.deliver = deliver_gone};
    gone = 0;
    weir_listeners_shutdown(w, &(struct weir_shutdown_order){WEIR_SHUTDOWN_ALL, 0, 600000}, &mail, w);
    TURN_UNTIL(w, gone == 1);
}

/* The clock of a simulated worker goes on to so many milliseconds after its start. */
static void clock_to(struct weir_worker *sim, uint64_t ms)
{
    sim->now_ns = (1000 + ms) * 1000000u;
    for (int i = 0; i < 4; i++) weir_worker_finish_turn(sim);
}

static void test_shutdown_waits_for_last_bytes_but_not_for_ever(void **state)
{
    (void)state;
    const uint64_t drain_ms = 200, bound_ms = drain_ms + WEIR_UNFLUSHED_WAIT_MS;
    for (int leave = 0; leave < 2; leave++) {
        struct weir_worker *sim = weir_worker_create_simulated(0, 1, 1);
        struct weir_mail mail = {.deliver = deliver_gone};
        gone = 0;
        clock_to(sim, 0);
        sim->unflushed = 1;
        weir_listeners_shutdown(sim, &(struct weir_shutdown_order){WEIR_SHUTDOWN_ALL, 0, drain_ms}, &mail, sim);
        for (uint64_t ms = 0; ms < bound_ms - 50; ms += 50) clock_to(sim, ms);
        assert_int_equal(gone, 0);
        if (leave == 0) sim->unflushed = 0;
        clock_to(sim, bound_ms - 20);
        assert_int_equal(gone, leave == 0);
        clock_to(sim, bound_ms + 20);
        assert_int_equal(gone, 1);
        weir_worker_destroy(sim);
    }
}

static void test_sockets_are_kept_for_versions_that_fit(void **state)
{
    (void)state;
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "x", "", NULL, NULL, NULL}}, 1, false),
                                *b = config((struct chain_spec[]){{"c", "y", "", NULL, NULL, NULL}}, 1, false);
    start(a);
    assert_true(weir_listener_sockets_fit(sockets, b)); /* port 0 is as asked for, not as bound */
    b->socket.backlog = 5;
    assert_false(weir_listener_sockets_fit(sockets, b));
    b->socket.backlog = 0;
    assert_true(weir_address_parse(WEIR_STR("127.0.0.1"), 1, &b->socket.address));
    assert_false(weir_listener_sockets_fit(sockets, b));
    drop(a);
    drop(b);
}

static void test_accepting_goes_on_after_descriptors_ran_out(void **state)
{
    (void)state;
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "again", "", NULL, NULL, NULL}}, 1, false);
    struct weir_listener *l = start(a);
    struct rlimit before, tight;
    int fd = dial();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    int lowest = dup(0);
    (void)close(lowest);
    tight.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    weir_worker_turn(w, 100);
    weir_worker_turn(w, 10);
    assert_int_equal(weir_listener_connections(l), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_string_equal(ask(fd, "x"), "again");
    (void)close(fd);
    drop(a);
}

static void test_tls_chain_is_chosen_by_the_hello(void **state)
{
    (void)state;
    struct test_cert one = test_cert_make("one", "DNS:one.test", NULL, 0), two = test_cert_make("two", "DNS:two.test", NULL, 0);
    struct weir_tls_server *s1 = NULL, *s2 = NULL;
    struct weir_tls_client *client = NULL;
    struct weir_error e = {0};
    struct weir_tls_certificate c1 = {weir_str_of(one.pem), weir_str_of(one.key_pem), {0}, {0}}, c2 = {weir_str_of(two.pem), weir_str_of(two.key_pem), {0}, {0}};
    struct weir_tls_spec p1 = {.arena = weir_arena_create(), .verify_depth = -1, .certificates = &c1, .certificate_count = 1},
                         p2 = {.arena = weir_arena_create(), .verify_depth = -1, .certificates = &c2, .certificate_count = 1,
                               .require_client_certificate = true, .min = WEIR_TLS_1_2},
                         pc = {.arena = weir_arena_create(), .verify_depth = -1};
    assert_int_equal(weir_tls_server_create(&p1, &e, &s1), WEIR_OK);
    assert_int_equal(weir_tls_server_create(&p2, &e, &s2), WEIR_OK);
    assert_int_equal(weir_tls_client_create(&pc, &e, &client), WEIR_OK);
    struct weir_listener_config *a = config(
        (struct chain_spec[]){{"1", "from one", "one.test", s1, NULL, NULL}, {"2", "from two", "*.two.test", s2, NULL, NULL}}, 2, false);
    struct weir_listener *l = start(a);
    struct net_recorder r = {0};
    struct weir_connect_options o = {.remote = weir_listener_sockets_address(sockets), .tls = client, .sni = WEIR_STR("ONE.test"), .connect_timeout_ms = 5000};
    r.t = weir_transport_connect(w, &o, &net_recorder_events, &r);
    TURN_UNTIL(w, r.connected == 1);
    assert_true(weir_str_eq(r.t->tls->peer_subject, WEIR_STR("CN=one,O=Test")));
    weir_transport_read(r.t, true);
    net_write(r.t, "x", 1);
    TURN_UNTIL(w, r.bytes == 8);
    assert_string_equal(r.data, "from one");
    net_recorder_deinit(&r);
    /* The chain's own verify mode holds: no certificate, no connection. */
    o.sni = WEIR_STR("a.two.test");
    r.t = weir_transport_connect(w, &o, &net_recorder_events, &r);
    TURN_UNTIL(w, r.closed == 1);
    assert_int_equal(r.reason, WEIR_CLOSE_TLS);
    TURN_UNTIL(w, weir_listener_connections(l) == 0);
    assert_int_equal(counted(a, WEIR_LS_downstream_cx_total), 2);
    net_recorder_deinit(&r);
    weir_listener_stop(l, 0, true, NULL, NULL);
    weir_worker_turn(w, 0);
    drop(a);
    weir_tls_server_release(s1);
    weir_tls_server_release(s2);
    weir_tls_client_release(client);
    test_cert_free(&one);
    test_cert_free(&two);
}

static void test_tls_handshake_has_its_time(void **state)
{
    (void)state;
    struct test_cert one = test_cert_make("one", "DNS:one.test", NULL, 0);
    struct weir_tls_server *s1 = NULL;
    struct weir_error e = {0};
    struct weir_tls_certificate c1 = {weir_str_of(one.pem), weir_str_of(one.key_pem), {0}, {0}};
    struct weir_tls_spec p1 = {.arena = weir_arena_create(), .verify_depth = -1, .certificates = &c1, .certificate_count = 1};
    assert_int_equal(weir_tls_server_create(&p1, &e, &s1), WEIR_OK);
    struct weir_listener_config *a = config((struct chain_spec[]){{"1", "", "", s1, NULL, NULL}}, 1, false);
    ((struct weir_chain_config *)(uintptr_t)a->chains)[0].transport_socket_connect_timeout_ms = 30;
    struct weir_listener *l = start(a);
    int fd = dial();
    assert_string_equal(ask(fd, ""), "");
    assert_int_equal(counted(a, WEIR_LS_downstream_cx_transport_socket_connect_timeout), 1);
    assert_int_equal(weir_listener_connections(l), 0);
    (void)close(fd);
    weir_listener_stop(l, 0, true, NULL, NULL);
    weir_worker_turn(w, 0);
    drop(a);
    weir_tls_server_release(s1);
    test_cert_free(&one);
}

static void test_listener_does_not_wait_for_bytes_where_its_filter_is_disabled(void **state)
{
    (void)state;
    static const struct weir_port_span all = {0, 65536}, seven = {7, 8};
    struct weir_listener_config *a = config((struct chain_spec[]){{"c", "ok", "", NULL, &pauser, NULL}}, 1, false);
    a->inspect_http = true;
    a->http_off = (struct weir_port_set){1, &all, false};
    start(a);
    int fd = dial();
    TURN_UNTIL(w, paused != NULL); /* the client has said nothing */
    weir_connection_resume(paused);
    assert_string_equal(ask(fd, "x"), "ok");
    (void)close(fd);
    a->http_off.at = &seven;
    paused = NULL;
    fd = dial();
    TURN_UNTIL(w, counted(a, WEIR_LS_downstream_pre_cx_active) == 1);
    assert_null(paused);
    (void)close(fd);
    TURN_UNTIL(w, counted(a, WEIR_LS_downstream_pre_cx_active) == 0);
    drop(a);
}

/* A listener without a socket, at an address. */
static struct weir_listener *reached_by_hand_over(struct weir_listener_config *l, const char *ip, uint16_t port)
{
    struct weir_listener_sockets *s = NULL;
    struct weir_error e = {0};
    l->socket.bind_to_port = false;
    l->resource.name = weir_str_of(ip);
    assert_true(weir_address_parse(weir_str_of(ip), port, &l->socket.address));
    assert_int_equal(weir_listener_sockets_open(l, 1, &e, &s), WEIR_OK);
    struct weir_listener *made = weir_listener_start(w, l, s);
    weir_listener_sockets_release(s);
    return made;
}

static const char *ask_as(const char *local, const char *more)
{
    char text[256];
    int fd = dial();
    snprintf(text, sizeof(text), "PROXY TCP%s 7 %s", local, more);
    const char *answer = ask(fd, text);
    (void)close(fd);
    return answer;
}

static void test_listener_hands_over_to_the_listener_of_the_destination(void **state)
{
    (void)state;
    struct weir_listener_config *front = config((struct chain_spec[]){{"c", "front", "", NULL, NULL, NULL}}, 1, false);
    struct weir_listener_config *one = config((struct chain_spec[]){{"c", "one", "", NULL, NULL, NULL}}, 1, false);
    struct weir_listener_config *any = config((struct chain_spec[]){{"c", "any", "", NULL, NULL, NULL}}, 1, false);
    struct weir_listener_config *six = config((struct chain_spec[]){{"c", "six", "", NULL, NULL, NULL}}, 1, false);
    struct weir_listener_config *both = config((struct chain_spec[]){{"c", "both", "", NULL, NULL, NULL}}, 1, false);
    front->proxy_protocol = true;
    front->use_original_dst = true;
    one->inspect_http = true; /* what the first one has looked at is looked at again */
    both->socket.ipv4_compat = true;
    (void)start(front);
    struct weir_listener *exact = reached_by_hand_over(one, "10.0.0.1", 80);
    (void)reached_by_hand_over(any, "0.0.0.0", 80);
    (void)reached_by_hand_over(six, "2001:db8::1", 80);
    (void)reached_by_hand_over(both, "::", 81);

    assert_string_equal(ask_as("4 192.0.2.9 10.0.0.1", "80\r\nGET / HTTP/1.1\r\n"), "one");
    assert_string_equal(ask_as("4 192.0.2.9 10.0.0.2", "80\r\nhi"), "any");
    assert_string_equal(ask_as("6 2001:db8::9 2001:db8::1", "80\r\nhi"), "six");
    assert_string_equal(ask_as("6 2001:db8::9 2001:db8::2", "80\r\nhi"), "front");
    assert_string_equal(ask_as("6 2001:db8::9 2001:db8::2", "81\r\nhi"), "both");
    assert_string_equal(ask_as("4 192.0.2.9 10.0.0.1", "81\r\nhi"), "both");
    assert_string_equal(ask_as("4 192.0.2.9 10.0.0.1", "82\r\nhi"), "front");

    weir_listener_stop(exact, 0, true, NULL, NULL);
    assert_string_equal(ask_as("4 192.0.2.9 10.0.0.1", "80\r\nhi"), "any");
    struct weir_listener_config *all[] = {front, one, any, six, both};
    for (size_t i = 0; i < 5; i++) drop(all[i]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_listener_accepts_counts_and_forgets),
        T(test_listener_accepts_many_at_once),
        T(test_listener_tells_why_it_cannot_bind),
        T(test_listener_on_a_unix_path),
        T(test_listener_without_a_matching_chain_resets),
        T(test_listener_default_chain_takes_what_none_else_does),
        T(test_listener_peek_has_its_time),
        T(test_listener_peek_may_go_on_after_its_time),
        T(test_listener_client_that_leaves_while_peeked_at),
        T(test_listener_proxy_header_names_the_client),
        T(test_filters_before_the_terminal_one_pause_and_end),
        T(test_update_in_place_changes_new_streams_of_old_connections),
        T(test_update_drains_chains_that_are_gone),
        T(test_drained_chain_is_closed_at_its_deadline),
        T(test_stop_serves_what_waits_in_the_queue_and_ends_with_the_last),
        T(test_shutdown_tells_when_all_is_gone),
        T(test_shutdown_of_an_idle_worker_is_told_at_once),
        T(test_shutdown_waits_for_last_bytes_but_not_for_ever),
        T(test_sockets_are_kept_for_versions_that_fit),
        T(test_accepting_goes_on_after_descriptors_ran_out),
        T(test_tls_chain_is_chosen_by_the_hello),
        T(test_tls_handshake_has_its_time),
        T(test_listener_hands_over_to_the_listener_of_the_destination),
        T(test_listener_does_not_wait_for_bytes_where_its_filter_is_disabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
