/* The admin server over real sockets: long pages leave piece by piece, and only as fast as they are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/observe/admin.h"
#include "dataplane/transport/raw.h"
#include "test/unit/support/net.h"

#define PIECES 2000u
#define PIECE 8192u
#define ROUNDS 4u /* of deferred work in a turn (worker/worker.c) */

static struct weir_worker *w;
static struct weir_admin *admin;
static unsigned given, destroyed;

static struct source {
    struct weir_admin_source source;
    unsigned pieces;
    size_t bytes;
} source;

static bool more(struct weir_admin_source *s, struct weir_out *out)
{
    static char text[PIECE];
    (void)s;
    memset(text, '#', sizeof(text));
    weir_out_add(out, (struct weir_str){text, source.bytes});
    return ++given < source.pieces;
}

static void destroy(struct weir_admin_source *s)
{
    (void)s;
    destroyed++;
}

static void long_page(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)ctx;
    (void)r;
    reply->source = &source.source;
}

static void short_page(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)ctx;
    (void)r;
    weir_out_add(&reply->body, WEIR_STR("short"));
}

static const struct weir_admin_page pages[] = {{"/long", "", false, long_page, NULL}, {"/short", "", false, short_page, NULL}};

static int setup(void **state)
{
    struct weir_error e = {0};
    struct weir_address at;
    (void)state;
    given = destroyed = 0;
    source = (struct source){{more, destroy}, PIECES, PIECE};
    w = weir_worker_create(1, 1);
    assert_true(weir_address_parse(WEIR_STR("127.0.0.1"), 0, &at));
    if (weir_admin_create(w, &at, pages, 2, NULL, &admin, &e) != WEIR_OK) fail_msg("%s", e.text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    weir_admin_destroy(admin);
    weir_raw_close_lingering(w);
    weir_worker_destroy(w);
    return 0;
}

static int asked(const char *request)
{
    int fd = net_connect(weir_admin_address(admin));
    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    net_nonblocking(fd);
    return fd;
}

/* Reads to the end; returns the number of '#' among the bytes. */
static size_t read_all(int fd)
{
    static char got[65536];
    size_t n = 0;
    ssize_t r = 0;
    TURN_UNTIL(w, ({
                   while ((r = net_take(fd, got, sizeof(got))) > 0)
                       for (ssize_t i = 0; i < r; i++) n += got[i] == '#';
                   r < 0;
               }));
    return n;
}

#define LONG "GET /long HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"

static void test_a_turn_renders_a_few_pieces_and_others_are_served_between(void **state)
{
    (void)state;
    static char got[65536];
    int fd = asked(LONG), other = -1;
    unsigned before = 0, turns = 0;
    bool answered = false;
    ssize_t r = 0;
    size_t n = 0;
    while (r >= 0) {
        weir_worker_turn(w, 10);
        assert_true(given - before <= ROUNDS + 1); /* one more as the request comes */
        before = given;
        if (++turns == 20) other = asked("GET /short HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        if (other >= 0 && !answered && net_take(other, got, sizeof(got)) > 0) {
            answered = true;
            assert_true(given < PIECES); /* while the long one is on its way */
        }
        while ((r = net_take(fd, got, sizeof(got))) > 0)
            for (ssize_t i = 0; i < r; i++) n += got[i] == '#';
    }
    assert_true(answered);
    assert_int_equal(n, PIECES * (size_t)PIECE);
    assert_int_equal(destroyed, 1);
    (void)close(fd);
    (void)close(other);
}

static void test_a_reader_that_does_not_read_stops_the_rendering(void **state)
{
    (void)state;
    int fd = asked(LONG);
    unsigned last = 0, idle = 0;
    while (idle < 20) {
        weir_worker_turn(w, 10);
        idle = given == last ? idle + 1 : 0;
        last = given;
    }
    assert_true(given < PIECES); /* the kernel's buffers are full, and the server keeps 256 KiB */
    assert_int_equal(destroyed, 0);
    assert_int_equal(read_all(fd), PIECES * (size_t)PIECE);
    assert_int_equal(destroyed, 1);
    (void)close(fd);
}

static void test_a_reader_that_goes_ends_the_page(void **state)
{
    (void)state;
    int fd = asked(LONG);
    TURN_UNTIL(w, given > 10);
    net_reset(fd);
    TURN_UNTIL(w, destroyed == 1);
    assert_true(given < PIECES);
}

static void test_the_end_of_the_server_ends_the_page(void **state)
{
    (void)state;
    int fd = asked(LONG);
    TURN_UNTIL(w, given > 10);
    weir_admin_destroy(admin);
    admin = NULL;
    assert_int_equal(destroyed, 1);
    (void)close(fd);
}

static void test_head_renders_nothing(void **state)
{
    (void)state;
    int fd = asked("HEAD /long HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    TURN_UNTIL(w, destroyed == 1);
    assert_int_equal(given, 0);
    assert_true(read_all(fd) < PIECE);
    (void)close(fd);
}

/* Steps that find nothing to print. */
static void test_empty_pieces_send_nothing(void **state)
{
    (void)state;
    source.bytes = 0;
    int fd = asked("GET /long HTTP/1.0\r\n\r\n");
    TURN_UNTIL(w, destroyed == 1);
    assert_int_equal(given, PIECES);
    assert_true(read_all(fd) < 16);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_turn_renders_a_few_pieces_and_others_are_served_between, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_reader_that_does_not_read_stops_the_rendering, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_reader_that_goes_ends_the_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_end_of_the_server_ends_the_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_head_renders_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_pieces_send_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
