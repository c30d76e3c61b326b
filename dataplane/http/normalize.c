/* Path and host normalisation. Called by http/stream for each request; touches no state. A first scan finds out whether
 * anything has to change, since almost no path does. */
#include "dataplane/http/normalize.h"

#include "dataplane/base/str.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = weir_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
/* The byte of a %XX at p, or -1. */
static int escape_at(const char *p, size_t n)
{
    if (n < 3 || p[0] != '%') return -1;
    int high = hex_digit(p[1]), low = hex_digit(p[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}
static bool unreserved(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}
static bool must_escape(unsigned char c)
{
    return c <= 0x20 || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '`' || c == '{' || c == '}' || c == '|' || c == '^';
}

/* Replaces %2F and %5C (any case) by "/" and "\". Returns whether there was one. */
static bool unescape_slashes(struct weir_str path, struct weir_arena *arena, struct weir_str *out)
{
    *out = path;
    size_t i = 0;
    for (; i + 2 < path.n; i++) {
        int c = escape_at(path.p + i, path.n - i);
        if (c == '/' || c == '\\') break;
    }
    if (i + 2 >= path.n) return false;
    char *to = weir_arena_alloc(arena, path.n);
    memcpy(to, path.p, i);
    size_t n = i;
    while (i < path.n) {
        int c = escape_at(path.p + i, path.n - i);
        bool slash = c == '/' || c == '\\';
        to[n++] = slash ? (char)c : path.p[i];
        i += slash ? 3 : 1;
    }
    *out = (struct weir_str){to, n};
    return true;
}

static bool needs_canonical(struct weir_str path)
{
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        if (c == '%' || c == '\\' || must_escape((unsigned char)c)) return true;
        if (c == '.' && (i == 0 || path.p[i - 1] == '/')) return true; /* a dot segment, or close enough to look */
    }
    return false;
}
/* Drops the last segment of what is written: "/a/b/" becomes "/a/". to[0] is always "/". */
static size_t parent_of(const char *to, size_t n)
{
    if (n > 1) n--; /* the slash at the end */
    while (n > 0 && to[n - 1] != '/') n--;
    return n == 0 ? 1 : n;
}
static bool segment_is(const char *p, size_t n, const char *dots)
{
    return n == strlen(dots) && memcmp(p, dots, n) == 0;
}
/* RFC 3986 5.2.4 and 6.2.2.2: dot segments go, escaped unreserved characters are written plainly, backslashes are slashes,
 * other characters are escaped. false: the path holds %00. */
static bool canonical_path(struct weir_str path, struct weir_arena *arena, struct weir_str *out)
{
    *out = path;
    if (!needs_canonical(path)) return true;
    char *to = weir_arena_alloc(arena, path.n * 3 + 1);
    size_t n = 0, segment = 0;
    to[n++] = '/';
    segment = n;
    size_t i = path.n > 0 && (path.p[0] == '/' || path.p[0] == '\\') ? 1 : 0;
    for (;; i++) {
        bool last = i >= path.n;
        char c = last ? '/' : path.p[i];
        if (c == '/' || c == '\\') {
            if (segment_is(to + segment, n - segment, ".")) {
                n = segment;
            } else if (segment_is(to + segment, n - segment, "..")) {
                n = parent_of(to, segment);
            } else if (!last) {
                to[n++] = '/';
            }
            segment = n;
            if (last) break;
            continue;
        }
        int escaped = escape_at(path.p + i, path.n - i);
        if (escaped == 0) return false;
        if (escaped > 0 && unreserved(escaped)) {
            to[n++] = (char)escaped;
            i += 2;
        } else if (escaped < 0 && must_escape((unsigned char)c)) {
            static const char digits[] = "0123456789ABCDEF";
            to[n++] = '%';
            to[n++] = digits[(unsigned char)c >> 4];
            to[n++] = digits[(unsigned char)c & 15];
        } else {
            to[n++] = c;
        }
    }
    *out = (struct weir_str){to, n};
    return true;
}
static struct weir_str merge_slashes(struct weir_str path, struct weir_arena *arena)
{
    size_t i = 1;
    while (i < path.n && !(path.p[i] == '/' && path.p[i - 1] == '/')) i++;
    if (i >= path.n) return path;
    char *to = weir_arena_alloc(arena, path.n);
    memcpy(to, path.p, i);
    size_t n = i;
    for (; i < path.n; i++) {
        if (path.p[i] != '/' || to[n - 1] != '/') to[n++] = path.p[i];
    }
    return (struct weir_str){to, n};
}

/* The path with its query again. */
static struct weir_str whole(struct weir_str path, struct weir_str now, struct weir_str query, struct weir_arena *arena)
{
    if (now.p == path.p && now.n + query.n == path.n) return path;
    char *all = weir_arena_alloc(arena, now.n + query.n);
    memcpy(all, now.p, now.n);
    if (query.n > 0) memcpy(all + now.n, query.p, query.n);
    return (struct weir_str){all, now.n + query.n};
}
enum weir_path_verdict weir_path_normalize(const struct weir_path_rules *rules, struct weir_str path, struct weir_arena *arena,
                                           struct weir_str *out)
{
    *out = path;
    if (path.n > 0 && memchr(path.p, '#', path.n) != NULL) return WEIR_PATH_REJECT;
    if (!rules->normalize && !rules->merge_slashes && rules->escaped_slashes == WEIR_SLASHES_KEEP) return WEIR_PATH_OK;
    size_t query_at = weir_str_find(path, '?');
    struct weir_str query = {path.p + query_at, path.n - query_at}, now = {path.p, query_at};
    enum weir_path_verdict verdict = WEIR_PATH_OK;
    if (rules->escaped_slashes != WEIR_SLASHES_KEEP && unescape_slashes(now, arena, &now)) {
        if (rules->escaped_slashes == WEIR_SLASHES_REJECT) verdict = WEIR_PATH_REJECT;
        if (rules->escaped_slashes == WEIR_SLASHES_REDIRECT) verdict = WEIR_PATH_REDIRECT;
    }
    if (verdict != WEIR_PATH_REJECT && rules->normalize && !canonical_path(now, arena, &now)) verdict = WEIR_PATH_REJECT;
    if (verdict != WEIR_PATH_REJECT && rules->merge_slashes) now = merge_slashes(now, arena);
    *out = whole(path, now, query, arena);
    return verdict;
}

/* Length of the host without ":port"; *port is the number, 0 when there is none that reads as one. */
static size_t port_split(struct weir_str host, uint64_t *port)
{
    *port = 0;
    size_t colon = host.n;
    while (colon > 0 && host.p[colon - 1] >= '0' && host.p[colon - 1] <= '9') colon--;
    if (colon == 0 || colon == host.n || host.p[colon - 1] != ':') return host.n;
    size_t name = colon - 1;
    /* An IPv6 address has its colons in brackets. */
    if (memchr(host.p, ':', name) != NULL && host.p[name - 1] != ']') return host.n;
    if (!weir_str_u64((struct weir_str){host.p + colon, host.n - colon}, port)) return host.n;
    return name;
}
struct weir_str weir_host_normalize(const struct weir_host_rules *rules, struct weir_str host, uint16_t listener_port,
                                    struct weir_arena *arena)
{
    if (!rules->strip_any_port && !rules->strip_matching_port && !rules->strip_trailing_dot) return host;
    uint64_t port;
    size_t name_n = port_split(host, &port);
    struct weir_str tail = {host.p + name_n, host.n - name_n};
    if (tail.n > 0 && (rules->strip_any_port || (rules->strip_matching_port && port == listener_port))) tail.n = 0;
    bool dot = rules->strip_trailing_dot && name_n > 1 && host.p[name_n - 1] == '.';
    if (!dot) return (struct weir_str){host.p, name_n + tail.n};
    if (tail.n == 0) return (struct weir_str){host.p, name_n - 1};
    char *to = weir_arena_alloc(arena, host.n);
    memcpy(to, host.p, name_n - 1);
    memcpy(to + name_n - 1, tail.p, tail.n);
    return (struct weir_str){to, name_n - 1 + tail.n};
}

bool weir_host_valid(struct weir_str host)
{
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        if (unreserved(c)) continue;
        if (c == 0 || strchr("!$%&'()*+,:;=[]", c) == NULL) return false;
    }
    return true;
}
