/* One try of a request at one host: waits for a connection, opens a stream on it, passes events on and keeps the books
 * (breakers, load of the host, counters, times). Used by the router, and by whatever else sends requests upstream. Lives in the
 * arena of who uses it. Whatever becomes of it, its user calls weir_attempt_cancel() at last: until then it holds its host. */
#ifndef WEIR_UPSTREAM_ATTEMPT_H
#define WEIR_UPSTREAM_ATTEMPT_H

#include "dataplane/upstream/pool.h"

struct weir_attempt;
struct weir_attempt_events {
    /* The stream is open: send the request now. Not called when weir_attempt_start() said READY. */
    void (*on_ready)(void *ctx, struct weir_attempt *a);
    void (*on_headers)(void *ctx, struct weir_attempt *a, struct weir_headers *h, bool end);
    void (*on_informational)(void *ctx, struct weir_attempt *a, struct weir_headers *h); /* NULL: dropped */
    void (*on_data)(void *ctx, struct weir_attempt *a, struct weir_buffer *data, bool end);
    void (*on_trailers)(void *ctx, struct weir_attempt *a, struct weir_headers *h);
    /* What was sent piles up (true) / has room again (false). */
    void (*on_blocked)(void *ctx, struct weir_attempt *a, bool blocked);
    /* No whole response will come. The last event. `failure`: the transport's reason, empty when there is none; lives in the
     * attempt's arena. */
    void (*on_reset)(void *ctx, struct weir_attempt *a, enum weir_upstream_reset why, struct weir_str failure);
    /* Both directions have ended in order. The last event. */
    void (*on_closed)(void *ctx, struct weir_attempt *a);
};

struct weir_attempt_options {
    struct weir_cluster_host *host; /* the reference taken by the pick becomes the attempt's */
    uint32_t priority;              /* routing priority */
    enum weir_protocol downstream;  /* for use_downstream_protocol_config */
    bool raw;                       /* terminated CONNECT: the body is bytes of a TCP connection, the answer a 200 of its own */
    struct weir_str sni, san;       /* auto_sni, auto_san_validation; borrowed during the call */
    struct weir_arena *arena;       /* outlives the attempt; response heads live in it */
};

enum weir_attempt_state { WEIR_ATTEMPT_WAITING, WEIR_ATTEMPT_READY, WEIR_ATTEMPT_OVERFLOW, WEIR_ATTEMPT_NO_POOL };
struct weir_attempt {
    const struct weir_attempt_events *events;
    void *ctx;
    struct weir_arena *arena;
    struct weir_cluster_host *host; /* until weir_attempt_cancel() */
    struct weir_pool_wait wait;
    struct weir_upstream_connection *connection;
    struct weir_codec_stream *stream;
    uint32_t priority;
    bool request_ended, response_ended, trailers_sent, raw;
    bool tunnel; /* set by the owner: the upstream has accepted an upgrade or CONNECT. What was sent through it leaves, even after cancel */
    /* For %...% and stats; copied into struct weir_request by the owner. */
    enum weir_protocol protocol;
    uint64_t start_ns, connected_ns, first_tx_ns, last_tx_ns, first_rx_ns, last_rx_ns;
    uint64_t connection_id, wire_rx, wire_tx, header_rx, header_tx;
};

/* OVERFLOW (a circuit breaker), NO_POOL (max_connection_pools): nothing was started and no event comes. */
enum weir_attempt_state weir_attempt_start(struct weir_attempt *a, const struct weir_attempt_options *o,
                                           const struct weir_attempt_events *events, void *ctx) WEIR_MUST_USE;
/* After READY. Failing headers (the codec cannot put them on the wire) are the caller's to answer; the attempt goes on. */
enum weir_err weir_attempt_send_headers(struct weir_attempt *a, const struct weir_headers *h, bool end) WEIR_MUST_USE;
void weir_attempt_send_data(struct weir_attempt *a, struct weir_buffer *data, bool end); /* takes all */
void weir_attempt_send_trailers(struct weir_attempt *a, const struct weir_headers *h);
/* Stops / resumes reading the response. */
void weir_attempt_pause(struct weir_attempt *a, bool pause);
/* Gives up what still runs and lets go of the rest. No event comes after. Safe to call again. */
void weir_attempt_cancel(struct weir_attempt *a);
/* The connection under the stream; NULL while waiting and after the end. */
const struct weir_transport *weir_attempt_transport(const struct weir_attempt *a);

#endif
