/* The counters of HTTP/1 codecs, as Envoy names them: one set `http1.` for all downstream connections, one
 * `cluster.NAME.http1.` for each cluster; the owner of a connection gives the codec its worker's shard (weir_codec.stats).
 * X(enum suffix, "leaf", kind). */
#ifndef WEIR_CODEC_H1_STATS_H
#define WEIR_CODEC_H1_STATS_H

#include "dataplane/observe/stats.h"

#define WEIR_H1_STATS(X)                                                                                                \
    X(DROPPED_HEADERS_WITH_UNDERSCORES, "dropped_headers_with_underscores", WEIR_COUNTER)                                       \
    X(METADATA_NOT_SUPPORTED_ERROR, "metadata_not_supported_error", WEIR_COUNTER)                                               \
    X(REQUESTS_REJECTED_WITH_UNDERSCORES, "requests_rejected_with_underscores_in_headers", WEIR_COUNTER)                        \
    X(RESPONSE_FLOOD, "response_flood", WEIR_COUNTER)
enum weir_h1_stat {
#define X(id, name, kind) WEIR_H1_STAT_##id,
    WEIR_H1_STATS(X)
#undef X
        WEIR_H1_STAT_COUNT
};
extern const struct weir_stat_desc weir_h1_stat_descs[WEIR_H1_STAT_COUNT];

#endif
