/* HTTP/2 over libnghttp2, what server and client share. nghttp2 keeps frames, HPACK, stream states and windows; HTTP's rules
 * (h2_message.h), floods and what may come on which stream (h2_guard.h) are weir's own. Called by h2_server.c and
 * h2_client.c, which add their role.
 *
 * Invariants:
 * - nghttp2 is entered from input() and output() only, never from inside one of its callbacks; its callbacks note what came
 *   in the streams, and weir_h2_deliver() tells the owners afterwards. One callback reaches an owner at once: on_stream.
 * - A stream of ours lives as long as nghttp2's stream of the same id: after its owner gave it up it stays as one without an
 *   owner (`orphan`) until nghttp2 closes it.
 * - What is freed while input() or output() runs is freed at their end. */
#ifndef WEIR_CODEC_H2_SESSION_H
#define WEIR_CODEC_H2_SESSION_H

#include <nghttp2/nghttp2.h>

#include "dataplane/codec/codec.h"
#include "dataplane/codec/h2_guard.h"
#include "dataplane/codec/h2_message.h"
#include "dataplane/codec/h2_stats.h"
#include "dataplane/codec/tunnel.h"

/* Details as Envoy words them. */
#define WEIR_H2_DETAILS_FIELD WEIR_STR("http2.invalid.header.field")
#define WEIR_H2_DETAILS_RULE WEIR_STR("http2.violation.of.messaging.rule")
#define WEIR_H2_DETAILS_MANY WEIR_STR("http2.too_many_headers")
#define WEIR_H2_DETAILS_LARGE WEIR_STR("http2.header_list_size_too_large")
#define WEIR_H2_DETAILS_UNDERSCORE WEIR_STR("http2.unexpected_underscore")
#define WEIR_H2_DETAILS_RESET WEIR_STR("http2.remote_reset")
#define WEIR_H2_DETAILS_REFUSE WEIR_STR("http2.remote_refuse")
#define WEIR_H2_DETAILS_CODEC WEIR_STR("codec_error:The_user_callback_function_failed")

struct weir_h2_informational {
    struct weir_h2_informational *next;
    struct weir_headers headers;
};

struct weir_h2_stream {
    struct weir_codec_stream base;
    struct weir_list node;  /* of the session's streams */
    struct weir_list ready; /* something to deliver */
    struct weir_list water; /* watermarks to look at after output */
    int32_t id;             /* 0: a client's stream before its headers */
    uint64_t start_ns;

    /* Received and not yet delivered. */
    struct weir_h2_informational *informational;
    uint32_t informational_count; /* so far */
    struct weir_headers *head, *trailers;
    struct weir_headers *block; /* the header block that is coming in */
    struct weir_buffer rx;
    int64_t rx_expected, rx_bytes; /* content-length (-1: none), body bytes so far */
    struct weir_str rx_details;    /* with close_reason */
    enum weir_reset close_reason;

    /* To send. */
    struct weir_buffer tx;
    struct weir_headers *tx_trailers; /* copies in the arena; of an orphan in `own_arena` */
    struct weir_arena *own_arena;     /* NULL unless an orphan has trailers to send */
    struct weir_headers *waiting;     /* client: headers that wait for the peer's SETTINGS */
    struct weir_str protocol;         /* client: of an extended CONNECT */
    enum weir_tunnel tunnel;          /* what the request asked for */

    bool orphan;         /* no owner: no event, nothing kept */
    bool in_session;     /* nghttp2 knows the stream */
    bool final_seen;     /* client: the final response's head has come */
    bool end_with_head;  /* the head carries END_STREAM */
    bool rx_end;         /* the peer's END_STREAM has come */
    bool rx_end_told;    /* and the owner knows */
    bool rx_paused;
    bool head_request;   /* client: HEAD */
    bool counted;        /* server: this stream was reset without an answer, and that was counted */
    bool closed;         /* over: close_reason says how; waits for delivery */
    bool head_sent;      /* server: the final response's head was submitted */
    bool tx_end;         /* the owner's end was given */
    bool tx_end_left;    /* and is in output */
    bool tx_deferred;    /* nghttp2 waits for weir_h2_resume() */
    bool tx_blocked;     /* on_send_blocked was told */
    bool reset_after_end; /* RST_STREAM(NO_ERROR) once our end has left */
    bool reset_after_head; /* RST_STREAM(reset_code) once the response's head has left: nghttp2 drops heads of streams being reset */
    bool tx_head_left;
    uint32_t reset_code;
    bool reset_sent;
    bool reset_seen;      /* the peer's */
};

struct weir_h2_session {
    struct weir_codec base;
    nghttp2_session *ng;
    struct weir_list streams, ready, water, graves;
    struct weir_h2_guard guard;
    uint8_t frame_head[WEIR_H2_FRAME_HEADER]; /* of a frame whose header came in pieces */
    uint32_t frame_head_n, frame_left, preface_left;
    struct weir_h2_message message; /* the header block that is coming in ... */
    struct weir_h2_stream *block_stream; /* ... and whose it is; NULL: ignored */

    struct weir_slice input;    /* while input() runs */
    struct weir_buffer *output; /* while output() runs */
    struct weir_block *output_block; /* that frames are copied into; bytes before output_used are taken */
    uint32_t output_used;
    size_t output_bytes;
    uint64_t held; /* body bytes in rx buffers */

    uint32_t streams_max; /* server: as announced; client: as configured */
    uint32_t stream_count; /* in nghttp2, with orphans */
    uint32_t control_queued; /* RST_STREAM frames that the peer caused since output was last drained */
    uint64_t streams_done, resets_unanswered;
    uint32_t high_water, low_water;

    /* The connection's end. `code` goes out by GOAWAY unless `silent`. */
    uint32_t error_code;
    struct weir_str error_details;
    struct weir_h2_stream *error_stream; /* whose fault it was; it gets the details */
    bool failed;        /* broken by the peer; owners are told by weir_h2_deliver */
    bool failed_told;
    bool flood;         /* failed for the number of its frames alone */
    bool dead;          /* the transport is gone */
    bool silent;        /* the peer does not speak HTTP/2: not a byte to it */
    bool goaway_notice, goaway_final; /* sent, or on their way */
    bool settings_seen; /* the peer's first SETTINGS have come */
    bool settings_left; /* our first SETTINGS are in output */
    bool draining, draining_told;
    bool capacity_changed;
    bool pong;
    bool output_asked;
    bool blocked;
    uint32_t busy; /* depth of input(), output() and their like */
};

static inline struct weir_h2_session *weir_h2_session_of(struct weir_codec *c)
{
    return (struct weir_h2_session *)c;
}
static inline struct weir_h2_stream *weir_h2_stream_of(struct weir_codec_stream *s)
{
    return (struct weir_h2_stream *)s;
}
static inline void weir_h2_count(const struct weir_h2_session *s, enum weir_h2_stat stat)
{
    if (s->base.stats != NULL) weir_stat_inc(s->base.stats, stat);
}
/* h2_session.c */
/* Ends the process on a negative result of nghttp2: used where it fails only for want of memory. */
void weir_h2_must(int rv);
struct weir_h2_session *weir_h2_session_create(struct weir_worker *w, const struct weir_codec_config *config,
                                               const struct weir_codec_events *events, void *owner, bool server);
struct weir_h2_stream *weir_h2_stream_create(struct weir_h2_session *s, int32_t id);
/* The owner is gone; buffers are dropped, their window credit given back. */
void weir_h2_stream_orphan(struct weir_h2_session *s, struct weir_h2_stream *st);
void weir_h2_stream_free(struct weir_h2_session *s, struct weir_h2_stream *st);
void weir_h2_stream_ready(struct weir_h2_session *s, struct weir_h2_stream *st);
/* RST_STREAM, and frames of the stream that are still on their way here are then no fault of the peer. */
void weir_h2_stream_rst(struct weir_h2_session *s, struct weir_h2_stream *st, uint32_t code);
/* The stream is over by the peer's fault or wish; delivered later. */
void weir_h2_stream_close(struct weir_h2_session *s, struct weir_h2_stream *st, enum weir_reset reason, struct weir_str details);
/* A stream without an answer was reset by or because of the peer (rapid reset). */
void weir_h2_stream_count_reset(struct weir_h2_session *s, struct weir_h2_stream *st);
/* Notes that the peer broke the connection; the first one counts. */
void weir_h2_fail(struct weir_h2_session *s, uint32_t code, struct weir_str details, struct weir_h2_stream *st);
void weir_h2_fail_flood(struct weir_h2_session *s, struct weir_str details, struct weir_h2_stream *st); /* ENHANCE_YOUR_CALM */
void weir_h2_want_output(struct weir_h2_session *s);
/* n bytes left the stream's rx for good. */
void weir_h2_consume(struct weir_h2_session *s, struct weir_h2_stream *st, size_t n);
bool weir_h2_can_send(const struct weir_h2_session *s); /* output() would yield bytes */
void weir_h2_enter(struct weir_h2_session *s);
/* Tells owners what is to be told ... */
void weir_h2_settle(struct weir_h2_session *s);
/* ... and frees what died. */
void weir_h2_leave(struct weir_h2_session *s);
/* The operations that both roles share. */
void weir_h2_reset(struct weir_codec_stream *cs, enum weir_reset reason);
void weir_h2_read_pause(struct weir_codec_stream *cs, bool pause);
void weir_h2_input_eof(struct weir_codec *c);
void weir_h2_connection_gone(struct weir_codec *c, enum weir_reset reason, struct weir_str details);
void weir_h2_transport_blocked(struct weir_codec *c, bool blocked);
bool weir_h2_idle(const struct weir_codec *c);
void weir_h2_ping(struct weir_codec *c);
void weir_h2_reply(struct weir_codec *c, const struct weir_codec_error *e, struct weir_str date, struct weir_str server_name);
void weir_h2_destroy(struct weir_codec *c);
extern const struct weir_codec_ops weir_h2_server_ops, weir_h2_client_ops;
extern const struct weir_codec_stream_ops weir_h2_server_stream_ops, weir_h2_client_stream_ops;

/* h2_receive.c */
void weir_h2_receive_callbacks(nghttp2_session_callbacks *cbs);
void weir_h2_input(struct weir_codec *c, struct weir_slice bytes);

/* h2_server.c, h2_client.c: a head has come whole. False: it breaks a rule of messages. */
bool weir_h2_server_head(struct weir_h2_session *s, struct weir_h2_stream *st, struct weir_headers *h, bool end);
bool weir_h2_client_head(struct weir_h2_session *s, struct weir_h2_stream *st, struct weir_headers *h, bool end);
/* h2_client.c: the peer's SETTINGS are known: what waited for them goes on. */
void weir_h2_client_settings(struct weir_h2_session *s);

/* h2_send.c */
void weir_h2_send_callbacks(nghttp2_session_callbacks *cbs);
void weir_h2_output(struct weir_codec *c, struct weir_buffer *to);
/* Notes a stream that may have passed a watermark, and tells the owners of all that were noted and have. */
void weir_h2_check_water(struct weir_h2_session *s, struct weir_h2_stream *st);
void weir_h2_tell_water(struct weir_h2_session *s);
void weir_h2_send_data(struct weir_codec_stream *cs, struct weir_buffer *data, bool end);
void weir_h2_send_trailers(struct weir_codec_stream *cs, const struct weir_headers *h);
size_t weir_h2_send_queued(const struct weir_codec_stream *cs);
/* Field lines for nghttp2, which copies what is not static. At most h->count + 2 are written. */
#define WEIR_H2_FIELDS_ON_STACK 96
struct weir_h2_fields {
    nghttp2_nv *at;
    size_t count;
    nghttp2_nv inline_at[WEIR_H2_FIELDS_ON_STACK];
};
void weir_h2_fields_init(struct weir_h2_fields *f, const struct weir_headers *h);
void weir_h2_fields_deinit(struct weir_h2_fields *f);
void weir_h2_fields_add(struct weir_h2_fields *f, enum weir_header_id id, struct weir_str value);
void weir_h2_fields_add_header(struct weir_h2_fields *f, const struct weir_header *x);
/* Whether HTTP/2 must not carry it (RFC 9113 8.2.2). */
bool weir_h2_hop_by_hop(const struct weir_header *x);
nghttp2_data_provider weir_h2_data_of(struct weir_h2_stream *st);

#endif
