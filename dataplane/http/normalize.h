/* What is done to a request's path and host before a route is looked up, so that routes, filters and upstreams see the same
 * resource: RFC 3986 6.2.2 as HttpConnectionManager.normalize_path, merge_slashes, path_with_escaped_slashes_action and
 * strip_*_host_* ask for it. Pure functions, called by http/stream for each request; a path or host that needs nothing is
 * given back as it was, without a copy. */
#ifndef WEIR_HTTP_NORMALIZE_H
#define WEIR_HTTP_NORMALIZE_H

#include "dataplane/base/arena.h"

enum weir_escaped_slashes {
    WEIR_SLASHES_KEEP,
    WEIR_SLASHES_REJECT,
    WEIR_SLASHES_REDIRECT, /* unescape, and ask the client to come again with the clean path */
    WEIR_SLASHES_UNESCAPE,
};
struct weir_path_rules {
    bool normalize, merge_slashes;
    enum weir_escaped_slashes escaped_slashes;
};
enum weir_path_verdict { WEIR_PATH_OK, WEIR_PATH_REJECT, WEIR_PATH_REDIRECT };

/* `path` is :path, query included; the query is never touched. A fragment is always rejected: it has no place in a request
 * target (RFC 9112 3.2) and intermediaries disagree about it. `out` is `path` itself or lives in `arena`; of a rejected path it
 * is what had become of it so far. */
enum weir_path_verdict weir_path_normalize(const struct weir_path_rules *rules, struct weir_str path, struct weir_arena *arena,
                                           struct weir_str *out);

struct weir_host_rules {
    bool strip_any_port, strip_matching_port, strip_trailing_dot;
};
/* `host` is :authority. The matching port is the listener's own. `out` as above. */
struct weir_str weir_host_normalize(const struct weir_host_rules *rules, struct weir_str host, uint16_t listener_port,
                                    struct weir_arena *arena);
/* Only characters that an authority may have (RFC 3986 3.2, without userinfo's "@" as RFC 9110 4.2.4 asks). Empty is valid. */
bool weir_host_valid(struct weir_str host);

#endif
