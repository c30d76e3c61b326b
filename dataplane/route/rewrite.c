/* What a route makes of requests, responses and redirects: header rules, paths, hosts. Called by the router filter and by
 * http/local_reply. */
#include "dataplane/base/regex.h"
#include "dataplane/base/str.h"
#include "dataplane/route/match.h"
#include "dataplane/route/route.h"

static struct weir_str after(struct weir_str s, size_t n)
{
    return (struct weir_str){s.p + n, s.n - n};
}

static struct weir_str joined(struct weir_arena *arena, struct weir_str a, struct weir_str b)
{
    char *p = weir_arena_alloc(arena, a.n + b.n + 1);
    if (a.n > 0)
        memcpy(p, a.p, a.n);
    if (b.n > 0)
        memcpy(p + a.n, b.p, b.n);
    return (struct weir_str){p, a.n + b.n};
}

/* How much of the path the route's match stands for. */
static size_t matched_bytes(const struct weir_route_match *m, struct weir_str path)
{
    size_t n = m->kind == WEIR_PATH_REGEX || m->kind == WEIR_PATH_CONNECT ? path.n : m->path.n;
    return n < path.n ? n : path.n;
}

/* The path with its query as rewritten; as it was where nothing is to be rewritten. */
static struct weir_str rewritten(const struct weir_rewrite *w, const struct weir_route_match *m, struct weir_str path,
                                 struct weir_arena *arena)
{
    struct weir_str base = weir_path_without_query(path);
    if (w->has_prefix)
        return joined(arena, w->prefix, after(path, matched_bytes(m, base)));
    if (w->regex == NULL)
        return path;
    struct weir_str changed = weir_regex_replace(w->regex, base, w->substitution, arena);
    return joined(arena, changed, after(path, base.n));
}

void weir_route_set_host(const struct weir_route *route, struct weir_headers *h, struct weir_str host, bool originals)
{
    struct weir_str old = weir_headers_get(h, WEIR_H_AUTHORITY);
    if (originals && old.p != NULL)
        weir_headers_set(h, WEIR_H_X_ENVOY_ORIGINAL_HOST, old);
    if (route->append_x_forwarded_host && old.n > 0) {
        struct weir_str before = weir_headers_get_joined(h, weir_header_name(WEIR_H_X_FORWARDED_HOST), h->arena);
        struct weir_str all = old;
        if (before.n > 0)
            all = joined(h->arena, joined(h->arena, before, WEIR_STR(",")), old);
        weir_headers_set(h, WEIR_H_X_FORWARDED_HOST, all);
    }
    weir_headers_set(h, WEIR_H_AUTHORITY, host);
}

static void rewrite_host(const struct weir_route_result *m, struct weir_headers *h, bool originals)
{
    const struct weir_route *route = m->route;
    struct weir_str host = {NULL, 0};
    if (m->weighted != NULL && m->weighted->host_rewrite.n > 0) {
        host = m->weighted->host_rewrite;
    } else if (route->host_rewrite.n > 0) {
        host = route->host_rewrite;
    } else if (route->host_rewrite_header.n > 0) {
        const struct weir_header *from = weir_headers_find_name(h, route->host_rewrite_header);
        if (from != NULL)
            host = from->value;
    } else if (route->host_rewrite_regex != NULL) {
        struct weir_str path = weir_path_without_query(weir_headers_get(h, WEIR_H_PATH));
        host = weir_regex_replace(route->host_rewrite_regex, path, route->host_rewrite_substitution, h->arena);
    }
    if (host.n > 0)
        weir_route_set_host(route, h, host, originals);
}

static void rewrite_path(const struct weir_route *route, struct weir_request *r, struct weir_headers *h, bool originals)
{
    struct weir_str path = weir_headers_get(h, WEIR_H_PATH);
    r->original_path = path;
    if (path.p == NULL || (!route->rewrite.has_prefix && route->rewrite.regex == NULL))
        return;
    if (originals)
        weir_headers_set(h, WEIR_H_X_ENVOY_ORIGINAL_PATH, path);
    weir_headers_set(h, WEIR_H_PATH, rewritten(&route->rewrite, route->match, path, h->arena));
}

enum { LEVELS = 4 };

/* The rules of all levels in the order in which they apply. */
static void levels_of(const struct weir_route_result *m, bool request, const struct weir_header_rules *levels[LEVELS])
{
    const struct weir_route_table *t = m->vhost->table;
    static const struct weir_header_rules none;
    const struct weir_header_rules *specific[LEVELS] = {
        m->weighted == NULL ? &none : request ? &m->weighted->request_rules : &m->weighted->response_rules,
        request ? &m->route->request_rules : &m->route->response_rules,
        request ? &m->vhost->request_rules : &m->vhost->response_rules,
        request ? &t->request_rules : &t->response_rules,
    };
    for (int i = 0; i < LEVELS; i++)
        levels[i] = specific[t->most_specific_wins ? LEVELS - 1 - i : i];
}

void weir_route_apply_request(const struct weir_route_result *m, struct weir_request *r, struct weir_headers *h, bool originals)
{
    const struct weir_header_rules *levels[LEVELS];
    levels_of(m, true, levels);
    for (int i = 0; i < LEVELS; i++)
        weir_header_rules_apply(levels[i], r, h);
    rewrite_host(m, h, originals);
    rewrite_path(m->route, r, h, originals);
}

void weir_route_apply_response(const struct weir_route_result *m, struct weir_request *r, struct weir_headers *h)
{
    const struct weir_header_rules *levels[LEVELS];
    levels_of(m, false, levels);
    for (int i = 0; i < LEVELS; i++)
        weir_header_rules_apply(levels[i], r, h);
}

/* The request's host for a new scheme: a port that says no more than the old scheme did goes, and so does one that is replaced. */
static struct weir_str host_for(struct weir_str host, struct weir_str old_scheme, struct weir_str scheme, bool new_port)
{
    size_t colon = host.n;
    for (size_t i = host.n; i > 0 && host.p[i - 1] != ']' && colon == host.n; i--)
        if (host.p[i - 1] == ':')
            colon = i - 1;
    if (colon == host.n)
        return host;
    struct weir_str port = after(host, colon);
    bool drop = new_port;
    if (!weir_str_eq(old_scheme, scheme))
        drop |= (weir_str_eq(old_scheme, WEIR_STR("https")) && weir_str_eq(port, WEIR_STR(":443"))) ||
                (weir_str_eq(old_scheme, WEIR_STR("http")) && weir_str_eq(port, WEIR_STR(":80")));
    return drop ? (struct weir_str){host.p, colon} : host;
}

static struct weir_str redirect_path(const struct weir_route *route, struct weir_str path, struct weir_arena *arena)
{
    const struct weir_redirect *d = route->redirect;
    if (d->path.n == 0)
        path = rewritten(&d->rewrite, route->match, path, arena);
    else if (weir_str_find(d->path, '?') < d->path.n)
        return d->path; /* its query takes the place of the request's */
    else
        path = joined(arena, d->path, after(path, weir_str_find(path, '?')));
    if (d->strip_query)
        path.n = weir_str_find(path, '?');
    return path;
}

struct weir_str weir_route_location(const struct weir_route *route, const struct weir_request *r)
{
    const struct weir_redirect *d = route->redirect;
    struct weir_str old_scheme = weir_headers_get(r->headers, WEIR_H_SCHEME);
    struct weir_str scheme = d->scheme.n > 0 ? d->scheme : old_scheme;
    struct weir_str host = d->host;
    if (host.n == 0)
        host = host_for(weir_headers_get(r->headers, WEIR_H_AUTHORITY), old_scheme, scheme, d->port != 0);
    char port[24] = "";
    if (d->port != 0) {
        port[0] = ':';
        port[1 + weir_u64_print(port + 1, d->port)] = '\0';
    }
    struct weir_str path = redirect_path(route, weir_headers_get(r->headers, WEIR_H_PATH), r->arena);
    return weir_arena_printf(r->arena, "%.*s://%.*s%s%.*s", WEIR_STR_ARG(scheme), WEIR_STR_ARG(host), port, WEIR_STR_ARG(path));
}

struct weir_str weir_route_tls_location(const struct weir_request *r)
{
    struct weir_str host = weir_headers_get(r->headers, WEIR_H_AUTHORITY), path = weir_headers_get(r->headers, WEIR_H_PATH);
    return weir_arena_printf(r->arena, "https://%.*s%.*s", WEIR_STR_ARG(host), WEIR_STR_ARG(path));
}
