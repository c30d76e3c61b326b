/* The tables behind http/http_stats.h. */
#include "dataplane/http/http_stats.h"

const struct weir_stat_desc weir_http_stat_descs[WEIR_HTTP_STAT_COUNT] = {
#define X(id, name, kind) {name, kind},
    WEIR_HTTP_STATS(X)
#undef X
};
const struct weir_stat_desc weir_http_listener_stat_descs[WEIR_HTTP_LISTENER_STAT_COUNT] = {
#define X(id, name, kind) {name, kind},
    WEIR_HTTP_LISTENER_STATS(X)
#undef X
};
