/* One request and its response, from the codec's first event to the access log: the object behind filter.h. Only http/
 * includes this.
 *
 * Ownership: a stream lies in an arena of its own, taken from the worker's pool and given back when the stream is destroyed.
 * It pins the connection manager's configuration, the route table and the cluster it uses. Nothing is destroyed while a
 * callback of the stream may be on the stack: the end of a stream only queues `settle`, which runs from the loop.
 *
 * Invariants: the codec stream is dropped (`codec` NULL) by its on_closed or our reset; `ended` is set once and no filter
 * callback but on_complete and on_destroy follows it. */
#ifndef WEIR_HTTP_STREAM_H
#define WEIR_HTTP_STREAM_H

#include "dataplane/cluster/cluster.h"
#include "dataplane/http/filter_chain.h"
#include "dataplane/http/hcm.h"

struct weir_http_connection;

struct weir_stream {
    struct weir_request request;
    struct weir_address direct_remote, local; /* of the connection */
    struct weir_worker *worker;
    struct weir_arena *arena;
    struct weir_http_connection *connection;
    struct weir_codec_stream *codec; /* NULL: gone */
    struct weir_list node;           /* in the connection's list */

    const struct weir_hcm *hcm;
    struct weir_pin *hcm_pin, *route_pin;
    struct weir_stats_shard *stats, *listener_stats;

    const struct weir_route_table *routes;
    struct weir_route_result route;
    struct weir_cluster *cluster; /* acquired at first use */
    bool cluster_looked_up;

    struct weir_headers *request_headers, *request_trailers, *response_headers, *response_trailers;
    struct weir_chain chain;
    uint64_t buffer_limit[WEIR_DIRECTIONS];

    struct weir_deferred settle; /* queued by what may not happen while callbacks are on the stack */

    /* http/timeouts.c: dues in the wheel's milliseconds, 0: none. */
    struct weir_timer timer;
    uint64_t headers_due_ms, request_due_ms, duration_due_ms, idle_ms, active_ms;

    uint32_t request_pauses; /* weir_stream_pause_request, counted */
    bool request_ended;      /* all of the request has been received */
    bool request_dropped;    /* nobody wants the rest */
    bool response_started;   /* final headers went to the codec */
    bool response_ended;
    bool ended;           /* no more events, to be destroyed */
    bool local_reply;     /* the response is ours */
    bool terminal_over;   /* the terminal filter's work is done or given up: what it still says is dropped */
    bool terminal_abort;  /* tell it at settle */
    bool head;            /* HEAD */
    bool grpc;            /* local replies speak gRPC: the client does (gRPC-Web's does not) */
    bool connect;         /* plain CONNECT */
    bool upgrade;         /* an upgrade or CONNECT that the configuration allows */
    bool upgrade_counted; /* in downstream_cx_upgrades_active */
    bool send_blocked;    /* by the codec: the client reads slowly */
    bool told_blocked;    /* the filters know that the response is blocked */
    bool reply_pending;   /* asked for inside a response pass */
    struct weir_local_reply pending_reply;
    struct weir_str local_reply_body; /* %LOCAL_REPLY_BODY% */
};

/* Names itself to the codec's stream. */
struct weir_stream *weir_stream_create(struct weir_http_connection *c, struct weir_codec_stream *codec);
/* Ends it now: no callback of the stream is on the stack. What was not ended before ends with `reason`. */
void weir_stream_abandon(struct weir_stream *s, enum weir_reset reason, struct weir_str details);
extern const struct weir_stream_events weir_stream_codec_events;

/* http/stream_request.c: from the request's head to the first filter. */
void weir_stream_on_request_headers(struct weir_stream *s, struct weir_headers *h, bool end);
/* http/request_headers.c. */
void weir_stream_mutate_request(struct weir_stream *s);
/* http/response_headers.c: what is added to and taken from every response. */
void weir_stream_mutate_response(struct weir_stream *s, struct weir_headers *h);

/* The chain's far ends (http/stream.c): past the last filter of each direction. */
void weir_stream_send_headers(struct weir_stream *s, bool end);
void weir_stream_send_data(struct weir_stream *s, struct weir_buffer *data, bool end);
void weir_stream_send_trailers(struct weir_stream *s, struct weir_headers *trailers);
/* Of a head that the client gets, 1xx too. */
void weir_stream_count_status(struct weir_stream *s, uint32_t status);
/* Reasons for which terminal filters should stop their source: the codec, or a filter that holds the response. */
void weir_stream_update_blocked(struct weir_stream *s);

/* Answers for the connection manager itself: as weir_stream_reply, and the terminal filter is told to give up. */
void weir_stream_reply_self(struct weir_stream *s, const struct weir_local_reply *reply);
/* An upgrade or CONNECT that has been accepted. */
bool weir_stream_is_tunnel(const struct weir_stream *s);
void weir_stream_end_with_reset(struct weir_stream *s, enum weir_reset reason, struct weir_str details, uint64_t flags);
/* http/local_reply.c: builds the answer and sends it through the filters. */
void weir_local_reply_send(struct weir_stream *s, const struct weir_local_reply *reply);

/* http/timeouts.c. */
void weir_stream_timeouts_start(struct weir_stream *s);
void weir_stream_timeouts_headers_done(struct weir_stream *s); /* the head is complete */
void weir_stream_timeouts_request_done(struct weir_stream *s);
void weir_stream_timeouts_route(struct weir_stream *s); /* the route's own idle timeout and duration */
void weir_stream_timeouts_stop(struct weir_stream *s);
static inline void weir_stream_touch(struct weir_stream *s)
{
    s->active_ms = s->worker->timers.clock_ms;
}
static inline void weir_stream_count(struct weir_stream *s, enum weir_http_stat stat)
{
    weir_stat_inc(s->stats, stat);
}

#endif
