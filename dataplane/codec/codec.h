/* HTTP on a connection as events, the same whatever the version. A codec turns bytes into events of streams and calls on
 * streams into bytes; it does no I/O and owns no timer. The owner of a connection (http/conn_manager on the server side,
 * upstream/pool on the client side) feeds bytes in and takes bytes out.
 *
 * Rules of the house:
 * - Events of streams come only from inside weir_codec_input() and weir_codec_input_eof(), weir_codec_output(),
 *   weir_codec_transport_blocked() and, for on_closed after a connection error, weir_codec_fail(). Calls on streams may be
 *   made from inside events. Events of the connection may come from any call, those on streams too.
 * - Output is pulled: on_output says that weir_codec_output() would yield bytes, deliver what a read_pause held back, or tell
 *   streams of their watermarks. The owner pulls at the turn's end (defer), never from inside an event, also while the
 *   transport is blocked: then no bytes come.
 * - A stream ends with exactly one on_closed event, or by the owner's weir_codec_stream_reset(), after which no event
 *   comes. Either way the pointer is then invalid for the owner. on_closed(WEIR_RESET_NONE) comes when both directions
 *   have ended: all received has been delivered and all sent has been given to output.
 * - Headers handed to events live in the arena that the owner named for the stream. */
#ifndef WEIR_CODEC_CODEC_H
#define WEIR_CODEC_CODEC_H

#include "dataplane/base/buffer.h"
#include "dataplane/base/headers.h"
#include "dataplane/base/request.h"
#include "dataplane/worker/worker.h"

enum weir_reset {
    WEIR_RESET_NONE,            /* both directions ended in order */
    WEIR_RESET_LOCAL,           /* we gave the stream up (HTTP/2: CANCEL from a client, INTERNAL_ERROR from a server; HTTP/1: the
                                 * connection ends) */
    WEIR_RESET_LOCAL_REFUSED,   /* not processed (REFUSED_STREAM) */
    WEIR_RESET_REMOTE,          /* RST_STREAM from the peer */
    WEIR_RESET_REMOTE_REFUSED,  /* REFUSED_STREAM, or beyond GOAWAY's last stream: safe to retry */
    WEIR_RESET_REMOTE_NO_ERROR, /* RST_STREAM(NO_ERROR) */
    WEIR_RESET_CONNECTION,      /* the connection ended under the stream */
    WEIR_RESET_PROTOCOL,        /* the peer broke the protocol: `details` says how */
    WEIR_RESET_LIMIT,           /* a limit of ours: headers too large or too many. An HTTP/2 client says REMOTE, as Envoy does */
    WEIR_RESET_CONNECT,         /* CONNECT_ERROR of a tunnel */
};

struct weir_codec_stream;
/* What a stream's owner hears. `ctx` is the owner's. */
struct weir_stream_events {
    /* Server: a request's head: pseudo headers first; HTTP/1 gives :method, :path (CONNECT: none) and :authority (from Host, or
     * from an absolute-form target, whose scheme then is :scheme), and no host. Client: the final response's head (status other than 1xx, or 101 of an accepted upgrade). */
    void (*on_headers)(void *ctx, struct weir_headers *h, bool end);
    /* Client: 1xx other than 101. NULL: dropped. */
    void (*on_informational)(void *ctx, struct weir_headers *h);
    /* Takes what it wants by moving; what is left is dropped. `end`: no more data and no trailers. */
    void (*on_data)(void *ctx, struct weir_buffer *data, bool end);
    /* The end. */
    void (*on_trailers)(void *ctx, struct weir_headers *h);
    /* Bytes queued for sending passed the stream's high watermark / fell below the low one. */
    void (*on_send_blocked)(void *ctx);
    void (*on_send_ready)(void *ctx);
    /* The stream is gone. `details` is a literal or lives in the stream's arena (%RESPONSE_CODE_DETAILS% wording). */
    void (*on_closed)(void *ctx, enum weir_reset reason, struct weir_str details);
};

/* One message that a server cannot accept but can still answer on this stream (HTTP/1: then the connection closes). */
struct weir_codec_error {
    uint32_t status;         /* 400, 408, 413, 414, 431, 426, 501, 505 */
    struct weir_str details; /* Envoy's wording: "http1.codec_error" ... */
    struct weir_str body;    /* what the client reads; may be empty */
    bool flood;              /* HTTP/2: no rule is broken, but more frames came than we are willing to work for */
    bool streams_cut;        /* HTTP/2: streams were on their way */
};

/* weir_codec_error.details of a client that starts streams and resets them before they are answered, again and again. */
#define WEIR_CODEC_DETAILS_PREMATURE_RESETS WEIR_STR("http2.too_many_premature_resets")

/* What a connection's owner hears. */
struct weir_codec_events {
    /* Server: a request begins. The owner sets stream->events, stream->ctx and stream->arena before it returns. */
    void (*on_stream)(void *owner, struct weir_codec_stream *s);
    /* weir_codec_output() has something. Called once until it is called; HTTP/2 calls it from inside create too. */
    void (*on_output)(void *owner);
    /* Transport reading should stop / go on: the codec holds what it may not deliver. */
    void (*on_read_pause)(void *owner, bool pause);
    /* No new streams on this connection. Client: GOAWAY, Connection: close, HTTP/1 body until close. Server: the message on
     * its way is the last (Connection: close, HTTP/1.0 without keep-alive, after a reset, after shutdown(final)); the owner closes
     * the transport once weir_codec_idle() and all output has been taken. NULL: not wanted. */
    void (*on_draining)(void *owner);
    /* HTTP/1: nothing will follow what output() yields, while the peer may go on: send FIN after it (a tunnel's half-close).
     * Once a connection. NULL: not wanted. */
    void (*on_write_end)(void *owner);
    /* Client: how many more streams may start now changed (SETTINGS_MAX_CONCURRENT_STREAMS, a stream ended). */
    void (*on_capacity)(void *owner);
    /* HTTP/2: the peer answered weir_codec_ping(). NULL: not wanted. */
    void (*on_pong)(void *owner);
    /* The peer broke the connection. Server, HTTP/1: `e` is the answer to give (through the stream where one began, else
     * raw: weir_codec_reply()); the owner then closes after flushing. All streams have had on_closed, except the one that
     * `e` is for. HTTP/2: GOAWAY is in the output, e->status is 0. Client, HTTP/1: e->status is 0; also for bytes that belong to no response. */
    void (*on_error)(void *owner, const struct weir_codec_error *e);
};

struct weir_codec_stream_ops;
/* Embedded at the start of each version's stream. */
struct weir_codec_stream {
    const struct weir_codec_stream_ops *ops;
    const struct weir_stream_events *events;
    void *ctx;
    struct weir_arena *arena; /* the owner's; outlives the stream */
    struct weir_codec *codec;
    enum weir_protocol protocol;               /* of the message received; set before on_headers */
    uint64_t header_bytes_rx, header_bytes_tx; /* as on the wire */
    uint64_t wire_bytes_rx, wire_bytes_tx;     /* all of the stream so far, with framing */
};
struct weir_codec_stream_ops {
    /* Heads are read during the call and not kept. Hop-by-hop headers of HTTP/1 (connection, transfer-encoding, keep-alive,
     * upgrade of a tunnel) are the codec's: callers give none; a tunnel is told by :method CONNECT with :protocol. */
    enum weir_err (*send_headers)(struct weir_codec_stream *s, const struct weir_headers *h, bool end);
    void (*send_informational)(struct weir_codec_stream *s, const struct weir_headers *h);
    void (*send_data)(struct weir_codec_stream *s, struct weir_buffer *data, bool end); /* takes all */
    void (*send_trailers)(struct weir_codec_stream *s, const struct weir_headers *h);
    /* Server, reason NONE, after the response's end was sent: the rest of the request is not wanted. What was sent still
     * leaves; then HTTP/2 sends RST_STREAM(NO_ERROR), HTTP/1 takes no further request (on_draining). */
    void (*reset)(struct weir_codec_stream *s, enum weir_reset reason);
    void (*read_pause)(struct weir_codec_stream *s, bool pause);
    size_t (*send_queued)(const struct weir_codec_stream *s);
};

enum weir_codec_kind { WEIR_CODEC_H1, WEIR_CODEC_H2 };
/* Immutable, compiled from HttpConnectionManager / HttpProtocolOptions; lives in the owner's resource. */
struct weir_codec_config {
    uint32_t header_bytes_max, header_count_max;
    uint32_t stream_high_water, stream_low_water; /* bytes queued for sending, each stream */
    /* Http1ProtocolOptions */
    bool h1_accept_http_10, h1_enable_trailers, h1_allow_absolute_url, h1_allow_chunked_length, h1_proper_case;
    bool h1_allow_custom_methods, h1_send_absolute_url;
    struct weir_str h1_default_host; /* for HTTP/1.0 without Host */
    enum { WEIR_UNDERSCORE_ALLOW, WEIR_UNDERSCORE_REJECT, WEIR_UNDERSCORE_DROP } underscores;
    /* Http2ProtocolOptions; 0: the default, UINT32_MAX: none (a configured 0) */
    uint32_t h2_max_concurrent_streams, h2_stream_window, h2_connection_window, h2_header_table_size;
    uint32_t h2_max_outbound_frames, h2_max_outbound_control_frames, h2_max_inbound_empty_frames;
    uint32_t h2_max_inbound_priority_per_stream, h2_max_inbound_window_update_per_data;
    bool h2_allow_connect, h2_allow_metadata, h2_override_stream_error;
    uint32_t max_requests_per_connection; /* 0: no limit */
};

struct weir_codec_ops;
/* Embedded at the start of each implementation. */
struct weir_codec {
    const struct weir_codec_ops *ops;
    const struct weir_codec_events *events;
    void *owner;
    struct weir_worker *worker;
    const struct weir_codec_config *config;
    enum weir_codec_kind kind;
    bool server;
    bool peer_closes;               /* client: the peer said so (Connection: close, HTTP/1.0, GOAWAY); set before on_draining */
    uint32_t active_streams;        /* begun and not yet given up by either side */
    struct weir_stats_shard *stats; /* the owner's, set after create; of the table of this kind (h2_stats.h). NULL: not counted */
};
struct weir_codec_ops {
    void (*input)(struct weir_codec *c, struct weir_slice bytes); /* takes the slice's reference */
    void (*input_eof)(struct weir_codec *c);
    void (*output)(struct weir_codec *c, struct weir_buffer *to); /* appends; bounded by the streams' watermarks */
    /* Client: a new stream with events, ctx, arena as given; NULL when no capacity. */
    struct weir_codec_stream *(*open)(struct weir_codec *c, const struct weir_stream_events *e, void *ctx, struct weir_arena *a);
    uint32_t (*capacity)(const struct weir_codec *c);          /* client: streams that may start now */
    void (*shutdown)(struct weir_codec *c, bool final);        /* server: GOAWAY notice (final: with the real last id), Connection: close */
    void (*reply)(struct weir_codec *c, const struct weir_codec_error *e, struct weir_str date, struct weir_str server_name);
    void (*fail)(struct weir_codec *c, enum weir_reset reason, struct weir_str details); /* transport gone: on_closed for every stream */
    /* The transport's write queue is above high / below low water. While it is above, output() yields no bytes, and every
     * stream that has something to send is blocked. */
    void (*transport_blocked)(struct weir_codec *c, bool blocked);
    bool (*idle)(const struct weir_codec *c);                  /* no stream and no half-read message */
    void (*ping)(struct weir_codec *c);                        /* HTTP/2: on_pong says that the peer answered. HTTP/1: NULL */
    void (*destroy)(struct weir_codec *c);                     /* streams get no event; not from inside an event of this codec */
};

struct weir_codec *weir_h1_server_create(struct weir_worker *w, const struct weir_codec_config *config,
                                         const struct weir_codec_events *events, void *owner);
struct weir_codec *weir_h1_client_create(struct weir_worker *w, const struct weir_codec_config *config,
                                         const struct weir_codec_events *events, void *owner);
struct weir_codec *weir_h2_server_create(struct weir_worker *w, const struct weir_codec_config *config,
                                         const struct weir_codec_events *events, void *owner);
struct weir_codec *weir_h2_client_create(struct weir_worker *w, const struct weir_codec_config *config,
                                         const struct weir_codec_events *events, void *owner);
/* How many of the first bytes of a connection tell the HTTP/2 preface (RFC 9113 3.4) from HTTP/1: 1 yes, 0 no, -1 more. */
int weir_h2_preface_check(const uint8_t *p, size_t n);

/* Tunnels in codec terms. The middle knows one form: a request whose headers hold `upgrade` (with `connection` removed) asks
 * for an upgrade, whatever the version. HTTP/1 codecs add and remove `connection: upgrade`; h2_server translates an
 * extended CONNECT (RFC 8441) to GET with `upgrade: PROTOCOL` (keeping its body open), h2_client translates back. The
 * response that accepts is 101 in the middle; h2_server sends 200 for it, h2_client turns the peer's 2xx to an extended CONNECT
 * into 101. A plain CONNECT stays :method CONNECT with :authority; a 2xx accepts it. After acceptance send_data/on_data
 * carry raw bytes both ways until each side's end. */

#define weir_codec_input(c, slice) (c)->ops->input((c), (slice))
#define weir_codec_input_eof(c) (c)->ops->input_eof((c))
#define weir_codec_output(c, to) (c)->ops->output((c), (to))
#define weir_codec_open(c, events, ctx, arena) (c)->ops->open((c), (events), (ctx), (arena))
#define weir_codec_capacity(c) (c)->ops->capacity((c))
#define weir_codec_shutdown(c, final) (c)->ops->shutdown((c), (final))
#define weir_codec_reply(c, e, date, server) (c)->ops->reply((c), (e), (date), (server))
#define weir_codec_fail(c, reason, details) (c)->ops->fail((c), (reason), (details))
#define weir_codec_transport_blocked(c, b) (c)->ops->transport_blocked((c), (b))
#define weir_codec_idle(c) (c)->ops->idle((c))
#define weir_codec_ping(c) (c)->ops->ping((c))
#define weir_codec_destroy(c) (c)->ops->destroy((c))
#define weir_codec_stream_send_headers(s, h, end) (s)->ops->send_headers((s), (h), (end))
#define weir_codec_stream_send_informational(s, h) (s)->ops->send_informational((s), (h))
#define weir_codec_stream_send_data(s, data, end) (s)->ops->send_data((s), (data), (end))
#define weir_codec_stream_send_trailers(s, h) (s)->ops->send_trailers((s), (h))
#define weir_codec_stream_reset(s, reason) (s)->ops->reset((s), (reason))
#define weir_codec_stream_read_pause(s, pause) (s)->ops->read_pause((s), (pause))
#define weir_codec_stream_send_queued(s) (s)->ops->send_queued((s))

#endif
