/* For tests of HTTP/2: codecs whose events are written down, bytes between them, frames made and read by hand. */
#ifndef TEST_UNIT_SUPPORT_H2_HARNESS_H
#define TEST_UNIT_SUPPORT_H2_HARNESS_H

#include "dataplane/base/random.h"
#include "dataplane/codec/codec.h"

/* ---- text that grows ---- */
struct text {
    char *p; /* NUL-terminated once something was added */
    size_t n, capacity;
};
void text_add(struct text *t, const char *fmt, ...) WEIR_PRINTF(2, 3);
void text_add_bytes(struct text *t, const void *p, size_t n);
void text_free(struct text *t);

/* ---- frames by hand ---- */
struct wire {
    struct text bytes;
};
void wire_free(struct wire *w);
void wire_bytes(struct wire *w, const void *p, size_t n);
void wire_preface(struct wire *w); /* with empty SETTINGS */
void wire_frame(struct wire *w, uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t n);
void wire_u32_frame(struct wire *w, uint8_t type, uint8_t flags, uint32_t id, uint32_t value);
/* A header block of literals without indexing; `fields` is name, value, ..., NULL. */
void wire_block(struct text *block, const char *const *fields);
void wire_headers(struct wire *w, uint32_t id, bool end, const char *const *fields);
void wire_data(struct wire *w, uint32_t id, bool end, const char *body);
enum { FLAG_END_STREAM = 1, FLAG_ACK = 1, FLAG_END_HEADERS = 4, FLAG_PADDED = 8 };
enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };

/* What the other side said, as text: "HEADERS(1)[:status=200] DATA(1 5 ES) RST(1 8) GOAWAY(1 0) ...". SETTINGS, their ACKs and
 * WINDOW_UPDATE are left out unless asked for. Keeps HPACK's state and cut frames between calls. */
struct wire_reader {
    struct text pending;
    void *inflater;
    bool all, magic_seen;
    uint64_t window_credit; /* WINDOW_UPDATE on stream 0 */
    uint64_t data_bytes;
};
void wire_read(struct wire_reader *r, const void *p, size_t n, struct text *out);
void wire_reader_free(struct wire_reader *r);

/* ---- codecs ---- */
struct peer;
struct stream_record {
    struct peer *peer;
    struct weir_codec_stream *s; /* NULL once it is over */
    struct weir_arena *arena;
    struct weir_headers *headers; /* as on_headers gave them */
    struct text log;  /* "H[:method=GET ...]" "I[...]" "D" "!" "T[...]" "B" "R" "X(reason details)" */
    struct text body;
    bool ended;       /* the other side's end was heard */
    bool keep_body;   /* false: only counted */
    uint64_t body_bytes;
    void *test;
};

struct peer {
    struct weir_worker *worker;
    struct weir_codec *codec;
    struct stream_record **streams; /* in order of their beginning */
    size_t count;
    bool wants_output, draining, failed, flood, streams_cut;
    char error[128];
    uint32_t capacity_events, pongs;
    /* What a test wants to do when something comes; may be NULL. */
    void (*on_headers)(struct stream_record *r, bool end);
    void (*on_end)(struct stream_record *r);
    void (*on_body)(struct stream_record *r, struct weir_buffer *data); /* may take it */
    void *test;
};

struct weir_worker *worker_by_hand(void);
void worker_by_hand_free(struct weir_worker *w); /* asserts that every block came back */
struct weir_codec_config config_by_default(void);
void peer_init(struct peer *p, struct weir_worker *w, const struct weir_codec_config *config, bool server);
void peer_free(struct peer *p);
struct stream_record *peer_open(struct peer *p); /* client; NULL: no capacity */
/* `fields` is name, value, ..., NULL. */
enum weir_err send_headers(struct stream_record *r, bool end, const char *const *fields);
void send_informational(struct stream_record *r, const char *const *fields);
void send_trailers(struct stream_record *r, const char *const *fields);
void send_body(struct stream_record *r, const char *body, bool end);
void send_bytes(struct stream_record *r, size_t n, bool end); /* n bytes of a pattern */
void stream_reset(struct stream_record *r, enum weir_reset reason);

/* Bytes in, in pieces: 0 as one, otherwise at most `piece`, or random up to it with `random`. */
void peer_input(struct peer *p, const void *bytes, size_t n, size_t piece, struct weir_random *random);
void peer_input_wire(struct peer *p, const struct wire *w);
/* Takes the output, read by `r` as text appended to `out` (either may be NULL). Returns its bytes. */
size_t peer_output(struct peer *p, struct wire_reader *r, struct text *out);
/* Moves bytes both ways until nothing moves. */
void exchange(struct peer *a, struct peer *b, size_t piece, struct weir_random *random);

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define GET_ROOT ":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/"

#endif
