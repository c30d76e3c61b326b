/* An HTTP/1 codec with an owner that writes down what it hears, one line an event, and what it is given to send. Data of
 * neighbouring events is one line, so that the log does not show how input was cut. */
#ifndef WEIR_TEST_H1_HARNESS_H
#define WEIR_TEST_H1_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* an operation of codecs has that name */

#include "dataplane/codec/codec.h"

struct h1_text {
    char *p;
    size_t n, capacity;
};
void h1_text_add(struct h1_text *t, const char *p, size_t n);
void h1_text_printf(struct h1_text *t, const char *fmt, ...) WEIR_PRINTF(2, 3);

struct h1_harness {
    struct weir_worker worker;
    struct weir_codec_config config;
    struct weir_codec *codec;
    struct weir_codec_stream *stream; /* open now; NULL: none */
    struct weir_arena arenas[64];
    uint32_t streams;
    struct h1_text log, wire;
    bool in_data;   /* the log's last line is data */
    bool wants_output, read_paused, draining, write_end, errored;
    bool log_connection; /* pause, draining, write end, capacity go to the log too */
    bool pull;           /* output is pulled after every input */
    /* What the owner does of itself. */
    void (*on_headers)(struct h1_harness *h, struct weir_headers *headers, bool end);
    void (*on_end)(struct h1_harness *h); /* the peer's message has ended */
    uint32_t replies_sent;
};

void h1_harness_init(struct h1_harness *h);
void h1_harness_server(struct h1_harness *h); /* creates the codec with h->config */
void h1_harness_client(struct h1_harness *h);
void h1_harness_deinit(struct h1_harness *h); /* asserts that nothing leaked */
void h1_feed(struct h1_harness *h, const char *p, size_t n);
#define h1_feed_text(h, literal) h1_feed((h), (literal), sizeof(literal) - 1)
void h1_feed_eof(struct h1_harness *h);
void h1_pull(struct h1_harness *h); /* until nothing is left to pull */
/* Sends a head on the open stream. */
void h1_send(struct h1_harness *h, int end, ...); /* const char * lines, NULL ends */
void h1_send_bytes(struct h1_harness *h, const char *p, bool end);
/* Opens a client stream and sends a request. */
void h1_open(struct h1_harness *h);
/* An on_end: 200 with content-length 2 and body "ok". */
void h1_reply_ok(struct h1_harness *h);

void h1_assert_text(const struct h1_text *t, const char *expected, const char *file, int line);
#define h1_assert_log(h, expected) h1_assert_text(&(h)->log, (expected), __FILE__, __LINE__)
#define h1_assert_wire(h, expected) h1_assert_text(&(h)->wire, (expected), __FILE__, __LINE__)
void h1_clear(struct h1_harness *h); /* log and wire */

#endif
