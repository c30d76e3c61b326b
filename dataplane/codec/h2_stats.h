/* The counters of HTTP/2 codecs, as Envoy names them: one set `http2.` for all downstream connections, one
 * `cluster.NAME.http2.` for each cluster. The owner of a connection acquires the set and gives the codec its worker's shard
 * (weir_codec.stats). X(enum suffix, "leaf", kind). */
#ifndef WEIR_CODEC_H2_STATS_H
#define WEIR_CODEC_H2_STATS_H

#include "dataplane/observe/stats.h"

#define WEIR_H2_STATS(X)                                                                                                \
    X(COOKIES_TOTAL_BYTES_TOO_LARGE, "cookies_total_bytes_too_large", WEIR_COUNTER)                                             \
    X(DROPPED_HEADERS_WITH_UNDERSCORES, "dropped_headers_with_underscores", WEIR_COUNTER)                                       \
    X(GOAWAY_SENT, "goaway_sent", WEIR_COUNTER)                                                                                 \
    X(HEADER_LIST_SIZE_TOO_LARGE, "header_list_size_too_large", WEIR_COUNTER)                                                   \
    X(HEADER_OVERFLOW, "header_overflow", WEIR_COUNTER)                                                                         \
    X(HEADERS_CB_NO_STREAM, "headers_cb_no_stream", WEIR_COUNTER)                                                               \
    X(INBOUND_EMPTY_FRAMES_FLOOD, "inbound_empty_frames_flood", WEIR_COUNTER)                                                   \
    X(INBOUND_PRIORITY_FRAMES_FLOOD, "inbound_priority_frames_flood", WEIR_COUNTER)                                             \
    X(INBOUND_WINDOW_UPDATE_FRAMES_FLOOD, "inbound_window_update_frames_flood", WEIR_COUNTER)                                   \
    X(KEEPALIVE_TIMEOUT, "keepalive_timeout", WEIR_COUNTER)                                                                     \
    X(METADATA_EMPTY_FRAMES, "metadata_empty_frames", WEIR_COUNTER)                                                             \
    X(OUTBOUND_CONTROL_FLOOD, "outbound_control_flood", WEIR_COUNTER)                                                           \
    X(OUTBOUND_FLOOD, "outbound_flood", WEIR_COUNTER)                                                                           \
    X(REQUESTS_REJECTED_WITH_UNDERSCORES, "requests_rejected_with_underscores_in_headers", WEIR_COUNTER)                        \
    X(RX_MESSAGING_ERROR, "rx_messaging_error", WEIR_COUNTER)                                                                   \
    X(RX_RESET, "rx_reset", WEIR_COUNTER)                                                                                       \
    X(STREAM_REFUSED_ERRORS, "stream_refused_errors", WEIR_COUNTER)                                                             \
    X(TRAILERS, "trailers", WEIR_COUNTER)                                                                                       \
    X(TX_FLUSH_TIMEOUT, "tx_flush_timeout", WEIR_COUNTER)                                                                       \
    X(TX_RESET, "tx_reset", WEIR_COUNTER)                                                                                       \
    X(DEFERRED_STREAM_CLOSE, "deferred_stream_close", WEIR_GAUGE)                                                               \
    X(OUTBOUND_CONTROL_FRAMES_ACTIVE, "outbound_control_frames_active", WEIR_GAUGE)                                             \
    X(OUTBOUND_FRAMES_ACTIVE, "outbound_frames_active", WEIR_GAUGE)                                                             \
    X(PENDING_SEND_BYTES, "pending_send_bytes", WEIR_GAUGE)                                                                     \
    X(STREAMS_ACTIVE, "streams_active", WEIR_GAUGE)
enum weir_h2_stat {
#define X(id, name, kind) WEIR_H2_STAT_##id,
    WEIR_H2_STATS(X)
#undef X
        WEIR_H2_STAT_COUNT
};
extern const struct weir_stat_desc weir_h2_stat_descs[WEIR_H2_STAT_COUNT];
/* The gauges that a connection would move, if weir kept anything back: in use from the first one on. */
void weir_h2_stats_touch(struct weir_stats_shard *s);

#endif
