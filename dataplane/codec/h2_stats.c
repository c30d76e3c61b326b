/* The table of HTTP/2 counters; acquired by the owners of connections, written by h2_session.c and its parts. */
#include "dataplane/codec/h2_stats.h"

const struct weir_stat_desc weir_h2_stat_descs[WEIR_H2_STAT_COUNT] = {
#define X(id, name, kind) {name, kind},
    WEIR_H2_STATS(X)
#undef X
};
