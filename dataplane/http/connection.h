/* The inside of a connection of HTTP, shared by conn_manager.c and stream.c.
 *
 * Ownership: the connection owns transport and codec. It ends when the transport is gone and the last stream has been
 * destroyed; then weir_connection_done() gives its memory back at the turn's end.
 *
 * Invariants: nothing ends or is written from inside an event of codec or transport: events set flags and queue `flush`, which
 * runs from the loop. Streams in `streams` are not destroyed yet; a stream's codec part may be gone before. */
#ifndef WEIR_HTTP_CONNECTION_H
#define WEIR_HTTP_CONNECTION_H

#include "dataplane/http/conn_manager.h"

struct weir_stream;

/* What a filter keeps with the connection (weir_stream_connection_state). */
struct weir_http_state {
    struct weir_http_state *next;
    const void *key;
    struct weir_pin *hcm_pin, *route_pin; /* keep the key's memory from becoming another's */
    _Alignas(16) char data[];
};

/* Kept small: it is what an idle keep-alive connection costs here. */
struct weir_http_connection {
    struct weir_connection *base;
    struct weir_worker *worker;
    struct weir_transport *transport; /* NULL: gone */
    struct weir_codec *codec;         /* NULL until the first bytes have told the version */
    const struct weir_hcm *home, *hcm; /* that the connection began with (codec, stats), that new streams follow; both pinned */
    struct weir_pin *home_pin, *pin;
    struct weir_stats_shard *stats; /* home's */
    struct weir_buffer *early; /* first bytes, while they do not tell the version; NULL: none */
    struct weir_http_state *states;
    struct weir_list streams;
    struct weir_deferred flush;
    struct weir_timer timer;
    uint64_t started_ms, idle_since_ms, drain_due_ms; /* drain_due_ms 0: no second GOAWAY is awaited */
    uint64_t ping_due_ms, pong_due_ms;                /* HTTP/2 keepalive; 0: none */
    uint64_t rx_counted, tx_counted;                  /* of the transport's byte counts, what the stats have */
    uint32_t stream_count, requests;
    bool output_wanted : 1; /* the codec has something to say */
    bool blocked : 1;       /* the transport's queue is above high water */
    bool eof : 1;           /* the client will send nothing more */
    bool last : 1;          /* the codec takes no further request */
    bool closing : 1;       /* ends when the streams have ended and all has been written, whatever is half read */
    bool draining : 1;
    bool duration_over : 1;
    bool write_end : 1; /* FIN after what has been written */
    bool remote_close : 1;
    bool cut_active : 1; /* HTTP/2: the client left with streams under way, which have ended since */
    bool keepalive_failed : 1;
    bool at_rest : 1; /* the transport was told */
};

/* Stream's side. The response's head is about to be sent: whether the connection ends after it is decided now. */
void weir_http_connection_response_begins(struct weir_http_connection *c, struct weir_stream *s);
/* This message is the last of an HTTP/1 connection; HTTP/2 goes on. */
void weir_http_connection_last_message(struct weir_http_connection *c);
void weir_http_connection_stream_gone(struct weir_http_connection *c, struct weir_stream *s);
/* Looks again at the turn's end whether there is anything to write or the connection has ended. */
void weir_http_connection_wake(struct weir_http_connection *c);

#endif
