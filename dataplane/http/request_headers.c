/* What is done to a request's headers before the filters see them: headers of one hop go, who the client is is found out and
 * written down (x-forwarded-*, x-envoy-external-address, x-envoy-internal), what only trusted peers may say is removed from
 * others, x-request-id is given. In Envoy's order, so that upstreams see the same lines. Called by http/stream, once a
 * request. */
#include "dataplane/base/str.h"
#include "dataplane/http/stream.h"

/* What happens to an interned header. One table look-up a header, one walk over them all. */
enum { HOP = 1, EXTERNAL = 2, EDGE = 4, ALWAYS = 8 };
static const uint8_t header_class[WEIR_H_COUNT] = {
    [WEIR_H_CONNECTION] = HOP,
    [WEIR_H_KEEP_ALIVE] = HOP,
    [WEIR_H_PROXY_CONNECTION] = HOP,
    [WEIR_H_TRANSFER_ENCODING] = HOP,
    [WEIR_H_HTTP2_SETTINGS] = HOP,
    [WEIR_H_X_ENVOY_INTERNAL] = ALWAYS,
    [WEIR_H_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS] = EXTERNAL,
    [WEIR_H_X_ENVOY_RETRY_ON] = EXTERNAL,
    [WEIR_H_X_ENVOY_RETRY_GRPC_ON] = EXTERNAL,
    [WEIR_H_X_ENVOY_MAX_RETRIES] = EXTERNAL,
    [WEIR_H_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS] = EXTERNAL,
    [WEIR_H_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS] = EXTERNAL,
    [WEIR_H_X_ENVOY_UPSTREAM_ALT_STAT_NAME] = EXTERNAL,
    [WEIR_H_X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE] = EXTERNAL,
    [WEIR_H_X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT] = EXTERNAL,
    [WEIR_H_X_ENVOY_RETRIABLE_STATUS_CODES] = EXTERNAL,
    [WEIR_H_X_ENVOY_RETRIABLE_HEADER_NAMES] = EXTERNAL,
    [WEIR_H_X_ENVOY_IP_TAGS] = EXTERNAL,
    [WEIR_H_X_ENVOY_FORCE_TRACE] = EXTERNAL,
    [WEIR_H_X_ENVOY_DOWNSTREAM_SERVICE_CLUSTER] = EDGE,
    [WEIR_H_X_ENVOY_DOWNSTREAM_SERVICE_NODE] = EDGE,
    [WEIR_H_X_ENVOY_ORIGINAL_PATH] = EDGE,
    [WEIR_H_X_ENVOY_ORIGINAL_HOST] = EDGE,
    [WEIR_H_X_ENVOY_DECORATOR_OPERATION] = EDGE,
};
static void drop_classes(struct weir_headers *h, uint8_t classes)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        if (header_class[h->at[i].id] & classes) {
            h->bytes -= (uint32_t)(h->at[i].name.n + h->at[i].value.n);
            continue;
        }
        if (kept != i) h->at[kept] = h->at[i];
        kept++;
    }
    h->count = kept;
}
static bool has_class(const struct weir_headers *h, uint8_t classes)
{
    uint8_t seen = 0;
    for (uint32_t i = 0; i < h->count; i++) seen |= header_class[h->at[i].id];
    return (seen & classes) != 0;
}

/* The address that is `skip` entries from the right of x-forwarded-for. */
static bool address_from_xff(struct weir_str xff, uint32_t skip, struct weir_address *out, bool *single)
{
    size_t end = xff.n;
    if (xff.n == 0) return false;
    for (;;) {
        size_t start = end;
        while (start > 0 && xff.p[start - 1] != ',') start--;
        if (skip == 0) {
            *single = start == 0 && end == xff.n;
            return weir_address_parse(weir_str_trim((struct weir_str){xff.p + start, end - start}), 0, out);
        }
        if (start == 0) return false;
        skip--;
        end = start - 1;
    }
}
static void append_xff(struct weir_stream *s, struct weir_headers *h, struct weir_str before)
{
    const struct weir_address *peer = s->request.downstream_direct_remote;
    if (!weir_address_is_ip(peer)) return;
    struct weir_str me = s->hcm->local_ip;
    char text[WEIR_ADDRESS_TEXT_MAX];
    if (!weir_address_is_loopback(peer) || me.n == 0) me = (struct weir_str){text, weir_address_print_ip(peer, text)};
    struct weir_str value = before.n > 0 ? weir_arena_printf(s->arena, "%.*s,%.*s", WEIR_STR_ARG(before), WEIR_STR_ARG(me))
                                         : weir_arena_str(s->arena, me);
    weir_headers_set(h, WEIR_H_X_FORWARDED_FOR, value);
}
static void set_port(struct weir_stream *s, struct weir_headers *h)
{
    weir_headers_set_int(h, WEIR_H_X_FORWARDED_PORT, weir_address_port(s->request.downstream_local));
}
/* Finds the trusted client address; true where it may decide whether the request is an internal one. */
static bool find_client(struct weir_stream *s, struct weir_headers *h)
{
    const struct weir_hcm *hcm = s->hcm;
    struct weir_request *r = &s->request;
    struct weir_str xff = weir_headers_get_joined(h, weir_header_name(WEIR_H_X_FORWARDED_FOR), s->arena);
    bool single = false;
    r->downstream_remote = *r->downstream_direct_remote;
    if (!hcm->use_remote_address) {
        if (xff.p == NULL) return false;
        struct weir_address found;
        if (!address_from_xff(xff, hcm->xff_num_trusted_hops, &found, &single)) return false;
        r->downstream_remote = found;
        return single;
    }
    struct weir_address found;
    if (hcm->xff_num_trusted_hops > 0 && address_from_xff(xff, hcm->xff_num_trusted_hops - 1, &found, &single))
        r->downstream_remote = found;
    if (!hcm->skip_xff_append) append_xff(s, h, xff);
    if (hcm->xff_num_trusted_hops == 0 || weir_headers_find(h, WEIR_H_X_FORWARDED_PROTO) == NULL)
        weir_headers_set(h, WEIR_H_X_FORWARDED_PROTO, r->tls != NULL ? WEIR_STR("https") : WEIR_STR("http"));
    if (hcm->append_x_forwarded_port && (hcm->xff_num_trusted_hops == 0 || weir_headers_find(h, WEIR_H_X_FORWARDED_PORT) == NULL))
        set_port(s, h);
    return xff.p == NULL;
}
static bool is_internal(const struct weir_hcm *hcm, const struct weir_address *a)
{
    if (!weir_address_is_ip(a)) return hcm->internal_unix_sockets;
    for (uint32_t i = 0; i < hcm->internal_cidr_count; i++) {
        if (weir_cidr_has(&hcm->internal_cidrs[i], a)) return true;
    }
    return false;
}
static void set_scheme(struct weir_stream *s, struct weir_headers *h)
{
    const struct weir_hcm *hcm = s->hcm;
    struct weir_header *proto = weir_headers_find(h, WEIR_H_X_FORWARDED_PROTO);
    if (proto == NULL) {
        weir_headers_add(h, WEIR_H_X_FORWARDED_PROTO, s->request.tls != NULL ? WEIR_STR("https") : WEIR_STR("http"));
        if (hcm->append_x_forwarded_port && weir_headers_find(h, WEIR_H_X_FORWARDED_PORT) == NULL) set_port(s, h);
    }
    if (hcm->scheme_overwrite.n > 0) {
        weir_headers_set(h, WEIR_H_X_FORWARDED_PROTO, hcm->scheme_overwrite);
        weir_headers_set(h, WEIR_H_SCHEME, hcm->scheme_overwrite);
    } else if (weir_headers_find(h, WEIR_H_SCHEME) == NULL) {
        struct weir_str v = weir_headers_get(h, WEIR_H_X_FORWARDED_PROTO);
        bool known = weir_str_eq_nocase(v, WEIR_STR("http")) || weir_str_eq_nocase(v, WEIR_STR("https"));
        if (!known) v = s->request.tls != NULL ? WEIR_STR("https") : WEIR_STR("http");
        weir_headers_set(h, WEIR_H_SCHEME, v);
    }
}

/* x-forwarded-client-cert. */
static void xfcc_add(struct weir_text *t, const char *key, struct weir_str value, bool quoted)
{
    if (value.n == 0) return;
    weir_text_add_printf(t, quoted ? "%s%s=\"" : "%s%s=", t->n > 0 ? ";" : "", key);
    for (size_t i = 0; i < value.n; i++) {
        if (quoted && (value.p[i] == '"' || value.p[i] == '\\')) weir_text_add(t, WEIR_STR("\\"));
        weir_text_add(t, (struct weir_str){value.p + i, 1});
    }
    if (quoted) weir_text_add(t, WEIR_STR("\""));
}
static struct weir_str xfcc_of(struct weir_stream *s, const struct weir_tls_info *tls)
{
    const struct weir_hcm *hcm = s->hcm;
    struct weir_text t = {.arena = s->arena};
    if (tls->local_uri_san_count > 0) xfcc_add(&t, "By", tls->local_uri_sans[0], false);
    xfcc_add(&t, "Hash", tls->peer_fingerprint_256, false);
    if (hcm->xfcc_subject) xfcc_add(&t, "Subject", tls->peer_subject, true);
    for (uint32_t i = 0; hcm->xfcc_uri && i < tls->peer_uri_san_count; i++) xfcc_add(&t, "URI", tls->peer_uri_sans[i], false);
    for (uint32_t i = 0; hcm->xfcc_dns && i < tls->peer_dns_san_count; i++) xfcc_add(&t, "DNS", tls->peer_dns_sans[i], false);
    return (struct weir_str){t.p, t.n};
}
static void set_client_cert(struct weir_stream *s, struct weir_headers *h)
{
    enum weir_hcm_client_cert mode = s->hcm->client_cert;
    if (mode == WEIR_XFCC_ALWAYS_FORWARD_ONLY) return;
    const struct weir_tls_info *tls = s->request.tls;
    bool mutual = tls != NULL && tls->peer_certificate_presented;
    if (mode == WEIR_XFCC_SANITIZE || !mutual) {
        weir_headers_remove(h, WEIR_H_X_FORWARDED_CLIENT_CERT);
        return;
    }
    if (mode == WEIR_XFCC_FORWARD_ONLY) return;
    struct weir_str value = xfcc_of(s, tls);
    struct weir_str before = weir_headers_get_joined(h, weir_header_name(WEIR_H_X_FORWARDED_CLIENT_CERT), s->arena);
    if (mode == WEIR_XFCC_APPEND_FORWARD && before.n > 0)
        value = weir_arena_printf(s->arena, "%.*s,%.*s", WEIR_STR_ARG(before), WEIR_STR_ARG(value));
    weir_headers_set(h, WEIR_H_X_FORWARDED_CLIENT_CERT, value);
}

static void set_request_id(struct weir_stream *s, struct weir_headers *h, bool edge)
{
    struct weir_header *given = weir_headers_find(h, WEIR_H_X_REQUEST_ID);
    bool replace = given == NULL || given->value.n == 0 || (edge && !s->hcm->preserve_external_request_id);
    if (s->hcm->generate_request_id && replace) {
        char *id = weir_arena_alloc(s->arena, 36);
        weir_random_uuid(&s->worker->random, id);
        weir_headers_set(h, WEIR_H_X_REQUEST_ID, (struct weir_str){id, 36});
    }
    s->request.request_id = weir_headers_get(h, WEIR_H_X_REQUEST_ID);
}
/* RFC 9110 10.1.4: of what TE lists only `trailers` may travel on. */
static void sanitize_te(struct weir_headers *h)
{
    if (weir_headers_find(h, WEIR_H_TE) == NULL) return;
    bool trailers = false;
    for (uint32_t i = 0; i < h->count; i++)
        trailers |= h->at[i].id == WEIR_H_TE && weir_header_list_has(h->at[i].value, WEIR_STR("trailers"));
    if (trailers) {
        weir_headers_set(h, WEIR_H_TE, WEIR_STR("trailers"));
    } else {
        weir_headers_remove(h, WEIR_H_TE);
    }
}
static void add_user_agent(struct weir_stream *s, struct weir_headers *h)
{
    const struct weir_hcm *hcm = s->hcm;
    weir_headers_set(h, WEIR_H_X_ENVOY_DOWNSTREAM_SERVICE_CLUSTER, hcm->node_cluster);
    if (weir_headers_get(h, WEIR_H_USER_AGENT).n == 0) weir_headers_set(h, WEIR_H_USER_AGENT, hcm->node_cluster);
    if (hcm->node_id.n > 0) weir_headers_set(h, WEIR_H_X_ENVOY_DOWNSTREAM_SERVICE_NODE, hcm->node_id);
}
static void append_via(struct weir_stream *s, struct weir_headers *h)
{
    struct weir_str before = weir_headers_get_joined(h, weir_header_name(WEIR_H_VIA), s->arena);
    struct weir_str via = s->hcm->via;
    if (before.n > 0) via = weir_arena_printf(s->arena, "%.*s, %.*s", WEIR_STR_ARG(before), WEIR_STR_ARG(s->hcm->via));
    weir_headers_set(h, WEIR_H_VIA, via);
}

void weir_stream_mutate_request(struct weir_stream *s)
{
    const struct weir_hcm *hcm = s->hcm;
    struct weir_headers *h = s->request_headers;
    struct weir_request *r = &s->request;
    if (has_class(h, HOP | ALWAYS)) drop_classes(h, HOP | ALWAYS);
    sanitize_te(h);
    bool trusted = find_client(s, h);
    set_scheme(s, h);
    r->internal = trusted && is_internal(hcm, &r->downstream_remote);
    bool edge = hcm->use_remote_address && !r->internal;
    if (r->internal) {
        weir_headers_set(h, WEIR_H_X_ENVOY_INTERNAL, WEIR_STR("true"));
    } else {
        uint8_t untrusted = edge ? EXTERNAL | EDGE : EXTERNAL;
        if (has_class(h, untrusted)) drop_classes(h, untrusted);
        for (uint32_t i = 0; s->routes != NULL && i < s->routes->internal_only_count; i++)
            weir_headers_remove_name(h, s->routes->internal_only[i]);
    }
    if (hcm->add_user_agent) add_user_agent(s, h);
    if (hcm->via.n > 0) append_via(s, h);
    if (edge && weir_address_is_ip(&r->downstream_remote)) {
        char text[WEIR_ADDRESS_TEXT_MAX];
        struct weir_str ip = {text, weir_address_print_ip(&r->downstream_remote, text)};
        weir_headers_set(h, WEIR_H_X_ENVOY_EXTERNAL_ADDRESS, weir_arena_str(s->arena, ip));
    }
    set_request_id(s, h, edge);
    set_client_cert(s, h);
}
