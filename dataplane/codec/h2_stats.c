/* The table of HTTP/2 counters; acquired by the owners of connections, written by h2_session.c and its parts. */
#include "dataplane/codec/h2_stats.h"

const struct weir_stat_desc weir_h2_stat_descs[WEIR_H2_STAT_COUNT] = {
#define X(id, name, kind) {name, kind},
    WEIR_H2_STATS(X)
#undef X
};

void weir_h2_stats_touch(struct weir_stats_shard *s)
{
    static const uint32_t gauges[] = {WEIR_H2_STAT_OUTBOUND_CONTROL_FRAMES_ACTIVE, WEIR_H2_STAT_OUTBOUND_FRAMES_ACTIVE, WEIR_H2_STAT_PENDING_SEND_BYTES};
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) weir_stat_touch(s, gauges[i]);
}
