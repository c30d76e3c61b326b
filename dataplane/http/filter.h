/* THE header for filter authors: what an HTTP filter is, what it may ask and what it may do.
 *
 * A filter is a const table of callbacks, registered by one line in filters/filters.c and selected by the type URL of its
 * configuration. compile() runs on the compile thread and turns a validated message into an immutable config; the other
 * callbacks run on the worker that owns the stream, in the order of the chain for requests, in reverse for responses. The
 * last filter (the router) is terminal: it consumes the request and produces the response. */
#ifndef WEIR_HTTP_FILTER_H
#define WEIR_HTTP_FILTER_H

#include "dataplane/base/buffer.h"
#include "dataplane/base/compile.h"
#include "dataplane/base/format.h"
#include "dataplane/base/request.h"
#include "dataplane/observe/stats.h"
#include "dataplane/route/route.h"
#include "dataplane/worker/worker.h"

struct weir_stream;

enum weir_verdict {
    WEIR_CONTINUE, /* the next filter sees it at once */
    WEIR_PAUSE,    /* nothing of this direction passes until weir_stream_resume_request/response(). What the callback was given
                    * is held and goes on to the next filter then; what comes after it waits unseen in front of this filter, under
                    * back-pressure: once the buffer limit is reached the peer is not read any more. */
    WEIR_PAUSE_AND_BUFFER, /* as PAUSE, but goes on collecting: further data and trailers come to this filter at once, each
                    * time with what it collected before in weir_stream_request/response_buffer(). CONTINUE (or resume) sends
                    * held headers, all of the collected data and the present event on to the next filter. Beyond the buffer limit
                    * the stream ends with 413 (request) or 500 (response). */
    WEIR_ENDED,    /* the filter answered (local reply) or reset the stream: no later filter sees it and no request callback of
                    * any filter comes any more. The answer passes the response callbacks of every filter, this one too. */
};
/* Resuming from inside the callback that then returns PAUSE is the same as CONTINUE. A resume of another filter, or of this
 * one from elsewhere, acts once the pass that runs at the moment (if any) has ended: no callback is ever re-entered. */

/* One filter's part of one stream. */
struct weir_filter {
    const struct weir_http_filter *table;
    struct weir_stream *stream;
    const void *config;       /* of the chain */
    const void *route_config; /* most specific of weighted cluster, route, virtual host, table; NULL: none. Set before
                               * on_request_headers and after each change of the route */
    void *state;              /* table->state_size zeroed bytes in the stream's arena */
    struct weir_str name;     /* as configured */
    uint32_t index;           /* place in the stream's chain */
};

struct weir_http_filter {
    const char *name;                                    /* canonical, for logs and explain; never used to select */
    const ProtobufCMessageDescriptor *config_type;       /* selects it by type URL */
    const ProtobufCMessageDescriptor *route_config_type; /* NULL: none */
    size_t state_size;                                   /* bytes a stream */
    bool terminal;
    /* Compile thread. Rejects with weir_reject(). `out` may stay NULL when there is nothing to keep. stat_prefix: the connection
     * manager's, "http.PREFIX.". */
    enum weir_err (*compile)(struct weir_compile *c, const ProtobufCMessage *msg, struct weir_str stat_prefix, const void **out);
    enum weir_err (*compile_route)(struct weir_compile *c, const ProtobufCMessage *msg, const void **out);
    /* A trailers callback may end a message with data instead: it puts bytes into weir_stream_request/response_buffer() and leaves
     * the trailers empty; what is held goes before them, and empty trailers are no trailers to the peer. */
    /* Worker. NULL callbacks pass everything. Headers are borrowed until the stream ends and may be changed in place. Response
     * callbacks may come without a request callback before: an earlier filter has answered. `end`: nothing follows. */
    enum weir_verdict (*on_request_headers)(struct weir_stream *s, struct weir_filter *f, bool end);
    /* `data` may be changed, moved away, added to. */
    enum weir_verdict (*on_request_data)(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *data, bool end);
    enum weir_verdict (*on_request_trailers)(struct weir_stream *s, struct weir_filter *f, struct weir_headers *trailers);
    enum weir_verdict (*on_response_headers)(struct weir_stream *s, struct weir_filter *f, bool end);
    enum weir_verdict (*on_response_data)(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *data, bool end);
    enum weir_verdict (*on_response_trailers)(struct weir_stream *s, struct weir_filter *f, struct weir_headers *trailers);
    /* The client reads slowly (true) / again (false): terminal filters stop and resume their source. */
    void (*on_downstream_blocked)(struct weir_stream *s, struct weir_filter *f, bool blocked);
    /* The stream has ended, before the access log is written: last chance to set what it prints. Not for a terminal filter that
     * had on_destroy already. */
    void (*on_complete)(struct weir_stream *s, struct weir_filter *f);
    /* Last callback, on every stream whose chain the filter was in: timers stopped, attempts given up here. A terminal filter
     * gets it early when another filter or a timeout has answered or reset the stream. */
    void (*on_destroy)(struct weir_stream *s, struct weir_filter *f);
};

/* Asking. All borrowed, valid until the stream ends. */
struct weir_request *weir_stream_request(struct weir_stream *s);
struct weir_headers *weir_stream_request_headers(struct weir_stream *s);
struct weir_headers *weir_stream_response_headers(struct weir_stream *s); /* NULL before the response */
struct weir_arena *weir_stream_arena(struct weir_stream *s);
struct weir_worker *weir_stream_worker(struct weir_stream *s);
/* The decision so far; route NULL when none matched. weir_stream_reroute() makes it anew (after headers changed). */
const struct weir_route_result *weir_stream_route(struct weir_stream *s);
void weir_stream_reroute(struct weir_stream *s);
/* Configurations of the filter on all levels of the route, most specific first; returns how many there are (at most `max`). */
uint32_t weir_stream_route_configs(struct weir_stream *s, const struct weir_filter *f, const void **out, uint32_t max);
/* Cluster of the decision in this worker's snapshot, NULL when there is none (cluster_header names are resolved too). */
struct weir_cluster *weir_stream_cluster(struct weir_stream *s);
uint64_t weir_stream_buffer_limit(struct weir_stream *s);
void weir_stream_set_request_limit(struct weir_stream *s, uint64_t bytes); /* what this stream may hold of its request, instead */
/* Zeroed memory of the stream's connection, made at first use and freed with it; the same key, the same memory. `key` outlives
 * the connection's use of it (a configuration does: the connection takes a reference of what the stream pins). */
void *weir_stream_connection_state(struct weir_stream *s, const void *key, size_t size);
bool weir_stream_is_upgrade(struct weir_stream *s); /* Upgrade or CONNECT that the configuration allows */
/* What the filter holds (PAUSE) or has collected (PAUSE_AND_BUFFER), to be read or changed; never NULL. */
struct weir_buffer *weir_stream_request_buffer(struct weir_stream *s, struct weir_filter *f);
struct weir_buffer *weir_stream_response_buffer(struct weir_stream *s, struct weir_filter *f);
/* The request has ended (its last byte or trailers were received). */
bool weir_stream_request_ended(const struct weir_stream *s);

/* Doing. */
void weir_stream_resume_request(struct weir_stream *s, struct weir_filter *f);
void weir_stream_resume_response(struct weir_stream *s, struct weir_filter *f);
/* Replies and returns WEIR_ENDED. gRPC requests get a trailers-only answer with the mapped status (or grpc_status when not
 * negative). The route's response header rules are applied, then local_reply_config; the reply passes the response callbacks
 * of the filters that have not seen a response yet, as Envoy's does. After the response has begun the stream is reset
 * instead. `details` and `body` live until the stream ends. */
struct weir_local_reply {
    uint32_t status;
    int grpc_status; /* -1: mapped from status */
    struct weir_str body, details;
    uint64_t flags; /* WEIR_FLAG(...) added */
    const struct weir_header_rules *rules; /* response headers to add, NULL: none */
    const struct weir_headers *extra;      /* more headers, NULL: none */
};
enum weir_verdict weir_stream_reply(struct weir_stream *s, const struct weir_local_reply *reply);
enum weir_verdict weir_stream_reset(struct weir_stream *s, struct weir_str details, uint64_t flags);
/* Stop / go on reading the request (the terminal filter's back-pressure). Counted: each true needs its false. */
void weir_stream_pause_request(struct weir_stream *s, bool pause);

/* The terminal filter's response. Headers and trailers are in the stream's arena; data is taken (left empty). None of these is
 * called after the response's end, a reset or on_destroy. */
void weir_stream_respond_informational(struct weir_stream *s, struct weir_headers *h);
void weir_stream_respond_headers(struct weir_stream *s, struct weir_headers *h, bool end);
void weir_stream_respond_data(struct weir_stream *s, struct weir_buffer *data, bool end);
void weir_stream_respond_trailers(struct weir_stream *s, struct weir_headers *trailers);
/* The response broke off after it had begun: the client's stream is reset (HTTP/2) or its connection closed (HTTP/1). */
void weir_stream_respond_reset(struct weir_stream *s, struct weir_str details, uint64_t flags);

/* Registry, filters/filters.c. NULL: no filter has this config type. */
const struct weir_http_filter *weir_http_filter_of_type(const ProtobufCMessageDescriptor *type);

#endif
