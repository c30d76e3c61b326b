/* What the server and the client side of HTTP/1 share: one message exchange at a time, input that waits, output that is
 * pulled. Included by h1_server.c and h1_client.c only.
 *
 * Invariants: h->x exists while a stream is open or bytes wait; all a connection at rest holds is struct weir_h1. Events are
 * raised only between weir_h1_enter() and weir_h1_leave(), and h->x is freed only where no event is on the stack. Once
 * `dropping`, input is released unread. */
#ifndef WEIR_CODEC_H1_CODEC_H
#define WEIR_CODEC_H1_CODEC_H

#include "dataplane/codec/h1_chunked.h"
#include "dataplane/codec/h1_parse.h"
#include "dataplane/codec/h1_stats.h"
#include "dataplane/codec/h1_write.h"

enum weir_h1_reading {
    WEIR_H1_READ_HEAD,
    WEIR_H1_READ_BODY,
    WEIR_H1_READ_TRAILERS,
    WEIR_H1_READ_WAIT, /* a tunnel that was asked for and not answered */
    WEIR_H1_READ_DONE,
};

/* One request and its response. Made with the first byte of it, gone after its last. */
struct weir_h1_exchange {
    struct weir_codec_stream stream; /* first */
    struct weir_buffer out;          /* for output() */
    struct weir_buffer held;         /* input that may not be read yet, in order */
    struct weir_buffer *early;       /* client: data of a tunnel that is not accepted yet */
    struct weir_h1_frames frames;
    struct weir_h1_parser parser;
    char *head; /* a head or trailer section that came in pieces, in the stream's arena */
    uint32_t head_n, head_capacity;
    struct weir_h1_chunked chunked;
    struct weir_h1_message in;      /* the head read */
    struct weir_h1_message request; /* client: the head sent */
    uint64_t in_left, out_left;
    uint8_t reading, out_body; /* enum weir_h1_reading, enum weir_h1_body */
    uint8_t informationals;
    bool open;         /* the owner has a stream */
    bool paused;       /* by the owner */
    bool head_sent, out_done;
    bool close;        /* server: no request after this one */
    bool failed;       /* server: the answer to a fault is awaited */
    bool broken;       /* what was sent does not add up to its content-length */
    bool told_blocked;
};

struct weir_h1;
struct weir_h1_role {
    /* Bytes while no stream is open. Moves *p; true: a stream is open now. */
    bool (*begin)(struct weir_h1 *h, const uint8_t **p, const uint8_t *end);
    void (*head)(struct weir_h1 *h, char *head);             /* a head is complete and lies in the arena */
    void (*fault)(struct weir_h1 *h, enum weir_h1_fault f);  /* what was read is malformed */
    void (*eof)(struct weir_h1 *h);                          /* the peer is done and all it sent was read */
    bool (*finish)(struct weir_h1 *h);                       /* ends the stream where both directions have; true: it did */
};

/* At rest this is all of a connection. */
struct weir_h1 {
    struct weir_codec codec; /* first */
    const struct weir_h1_role *role;
    struct weir_h1_exchange *x;
    uint32_t requests;
    uint8_t calls; /* entries on the stack */
    uint8_t begun; /* streams begun in this entry */
    bool armed;    /* on_output was raised and not answered */
    bool read_paused, blocked, dropping, draining, write_ended;
    bool eof, eof_seen; /* told by the owner; acted on */
    bool drain;         /* server: say close in the next head */
    bool cr;            /* server: a CR between requests wants its LF */
};

static inline struct weir_h1 *weir_h1_of(const struct weir_codec *c)
{
    return (struct weir_h1 *)(uintptr_t)c;
}
static inline struct weir_h1_exchange *weir_h1_exchange_of(const struct weir_codec_stream *s)
{
    return (struct weir_h1_exchange *)(uintptr_t)s;
}

struct weir_codec *weir_h1_create(struct weir_worker *w, const struct weir_codec_config *config,
                                  const struct weir_codec_events *events, void *owner, const struct weir_codec_ops *ops,
                                  const struct weir_h1_role *role, bool server);
/* Starts an exchange, keeping what waits from the one before. */
struct weir_h1_exchange *weir_h1_exchange_start(struct weir_h1 *h, const struct weir_codec_stream_ops *ops);
void weir_h1_parser_start(struct weir_h1 *h, enum weir_h1_kind kind);

void weir_h1_enter(struct weir_h1 *h);
void weir_h1_leave(struct weir_h1 *h);
void weir_h1_arm(struct weir_h1 *h);          /* output() has something to do */
void weir_h1_set_draining(struct weir_h1 *h); /* no stream after this one */
/* Ends the stream with an event, if it is open. */
void weir_h1_close_stream(struct weir_h1 *h, enum weir_reset reason, struct weir_str details);
void weir_h1_count_underscores(const struct weir_h1 *h, uint32_t count);
/* The body read has ended. */
void weir_h1_deliver_end(struct weir_h1 *h);

/* Codec and stream operations that are alike on both sides. */
void weir_h1_input(struct weir_codec *c, struct weir_slice bytes);
void weir_h1_input_eof(struct weir_codec *c);
void weir_h1_output(struct weir_codec *c, struct weir_buffer *to);
void weir_h1_transport_blocked(struct weir_codec *c, bool blocked);
bool weir_h1_idle(const struct weir_codec *c);
void weir_h1_destroy(struct weir_codec *c);
void weir_h1_send_data(struct weir_codec_stream *s, struct weir_buffer *data, bool end);
void weir_h1_send_trailers(struct weir_codec_stream *s, const struct weir_headers *h);
void weir_h1_reset(struct weir_codec_stream *s, enum weir_reset reason);
void weir_h1_read_pause(struct weir_codec_stream *s, bool pause);
size_t weir_h1_send_queued(const struct weir_codec_stream *s);

#endif
