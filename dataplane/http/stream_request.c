/* From a request's head to its first filter: checks and normalisation, who the client is, the route, whether an upgrade is
 * allowed, and the filters that are on for the route. Also what filters ask of the route. */
#include "dataplane/base/str.h"
#include "dataplane/http/connection.h"
#include "dataplane/http/local_reply.h"
#include "dataplane/http/stream.h"

/* Answers a request that goes no further; with `last` an HTTP/1 connection ends after it. */
static void refuse(struct weir_stream *s, uint32_t status, struct weir_str body, struct weir_str details, uint64_t flags, bool last)
{
    struct weir_local_reply reply = {.status = status, .grpc_status = -1, .body = body, .details = details, .flags = flags};
    if (last) weir_http_connection_last_message(s->connection);
    weir_stream_reply_self(s, &reply);
}

static bool check_host(struct weir_stream *s)
{
    struct weir_headers *h = s->request_headers;
    struct weir_header *host = weir_headers_find(h, WEIR_H_AUTHORITY);
    bool lenient = s->hcm->stream_error_on_invalid_message;
    if (host == NULL) {
        refuse(s, 400, WEIR_STR(""), WEIR_STR("missing_host_header"), 0, !lenient);
        return false;
    }
    if (!weir_host_valid(host->value)) {
        weir_stream_count(s, WEIR_HTTP_CX_PROTOCOL_ERROR);
        refuse(s, 400, WEIR_STR("Bad Request"), WEIR_STR("http.invalid_authority"), WEIR_FLAG(DOWNSTREAM_PROTOCOL_ERROR), !lenient);
        return false;
    }
    if (s->connect) return true; /* its port is the point (RFC 9110 9.3.6) */
    host->value = weir_host_normalize(&s->hcm->host, host->value, weir_address_port(s->request.downstream_local), s->arena);
    return true;
}
static bool check_path(struct weir_stream *s)
{
    struct weir_headers *h = s->request_headers;
    struct weir_header *path = weir_headers_find(h, WEIR_H_PATH);
    if (path == NULL && s->connect) return true;
    if (path == NULL || path->value.n == 0 || path->value.p[0] != '/') {
        weir_stream_count(s, WEIR_HTTP_RQ_NON_RELATIVE_PATH);
        refuse(s, 404, WEIR_STR(""), WEIR_STR("absolute_path_rejected"), 0, false);
        return false;
    }
    /* The path as far as it was read is the request's from now on, in the log of a refused one too. */
    enum weir_path_verdict verdict = weir_path_normalize(&s->hcm->path, path->value, s->arena, &path->value);
    struct weir_str clean = path->value;
    switch (verdict) {
    case WEIR_PATH_OK: return true;
    case WEIR_PATH_REJECT:
        weir_stream_count(s, WEIR_HTTP_RQ_FAILED_PATH_NORMALIZATION);
        refuse(s, 400, WEIR_STR(""), WEIR_STR("path_normalization_failed"), 0, true);
        return false;
    case WEIR_PATH_REDIRECT: break;
    }
    weir_stream_count(s, WEIR_HTTP_RQ_REDIRECTED_WITH_NORMALIZED_PATH);
    struct weir_header location = {weir_header_name(WEIR_H_LOCATION), clean, WEIR_H_LOCATION};
    struct weir_headers extra = {.arena = s->arena, .at = &location, .count = 1, .capacity = 1};
    struct weir_local_reply reply = {
        .status = 307, .grpc_status = -1, .details = WEIR_STR("path_normalization_failed"), .extra = &extra};
    weir_stream_reply_self(s, &reply);
    return false;
}
/* RFC 9110 10.1.1: answered here unless the upstream is to decide. */
static void answer_expect(struct weir_stream *s)
{
    struct weir_headers *h = s->request_headers;
    if (s->hcm->proxy_100_continue || s->codec == NULL) return;
    struct weir_header *expect = weir_headers_find(h, WEIR_H_EXPECT);
    if (expect == NULL || !weir_str_eq_nocase(expect->value, WEIR_STR("100-continue"))) return;
    struct weir_header status = {weir_header_name(WEIR_H_STATUS), WEIR_STR("100"), WEIR_H_STATUS};
    struct weir_headers head = {.arena = s->arena, .at = &status, .count = 1, .capacity = 1};
    weir_stream_count_status(s, 100);
    weir_codec_stream_send_informational(s->codec, &head);
    weir_headers_remove(h, WEIR_H_EXPECT);
}

/* The route. */

/* The table by RDS that a version of the configuration names, or one of its own, which lives as long as the version. */
static bool take_table(struct weir_stream *s, const struct weir_hcm *hcm, struct weir_pin *pin)
{
    if (hcm->routes == NULL) pin = weir_snapshot_route_table(&s->worker->snapshot, hcm->route_table_slot);
    if (pin == NULL) return false;
    if (pin != s->hcm_pin) s->route_pin = weir_pin_acquire(pin);
    s->routes = hcm->routes != NULL ? hcm->routes : (const struct weir_route_table *)(const void *)pin->resource;
    return true;
}

/* A head may have begun under one version of the listener and ended under the next, when the table of the former is gone. */
static void find_table(struct weir_stream *s)
{
    if (take_table(s, s->hcm, s->hcm_pin)) return;
    struct weir_connection *c = s->connection->base;
    (void)take_table(s, weir_connection_config(c), c->chain->pin);
}
static void find_route(struct weir_stream *s)
{
    struct weir_request *r = &s->request;
    s->route = (struct weir_route_result){.cluster_slot = WEIR_CLUSTER_SLOT_NONE};
    if (s->cluster != NULL) weir_cluster_release(s->cluster);
    s->cluster = NULL;
    s->cluster_looked_up = false;
    if (s->routes == NULL) return;
    weir_route_find(s->routes, r, s->worker->snapshot.runtime, &s->route);
    r->route_table_name = weir_route_table_name(s->routes);
    r->virtual_host_name = s->route.vhost != NULL ? s->route.vhost->name : (struct weir_str){0};
    r->virtual_host_metadata = s->route.vhost != NULL ? s->route.vhost->metadata : NULL;
    r->route_name = s->route.route != NULL ? s->route.route->name : (struct weir_str){0};
    r->route_metadata = s->route.route != NULL ? s->route.route->metadata : NULL;
    r->cluster_name = s->route.cluster_name;
}
const struct weir_route_result *weir_stream_route(struct weir_stream *s)
{
    return &s->route;
}
void weir_stream_reroute(struct weir_stream *s)
{
    find_route(s);
    weir_chain_update_route(s);
    weir_stream_timeouts_route(s);
}
struct weir_cluster *weir_stream_cluster(struct weir_stream *s)
{
    if (s->cluster_looked_up) return s->cluster;
    s->cluster_looked_up = true;
    const struct weir_snapshot *snapshot = &s->worker->snapshot;
    struct weir_cluster *c = weir_snapshot_cluster(snapshot, s->route.cluster_slot);
    if (c == NULL && s->route.cluster_slot == WEIR_CLUSTER_SLOT_NONE && s->route.cluster_name.n > 0)
        c = weir_map_get(&snapshot->clusters_by_name, s->route.cluster_name);
    if (c != NULL) s->cluster = weir_cluster_acquire(c);
    return s->cluster;
}

/* Upgrades: the route's word first, then the connection manager's. */

static const struct weir_hcm_upgrade *hcm_upgrade(const struct weir_hcm *hcm, struct weir_str type)
{
    for (uint32_t i = 0; i < hcm->upgrade_count; i++) {
        if (weir_str_eq_nocase(hcm->upgrades[i].config.type, type)) return &hcm->upgrades[i];
    }
    return NULL;
}
/* -1: the route says nothing. */
static int route_upgrade(const struct weir_route *route, struct weir_str type)
{
    for (uint32_t i = 0; route != NULL && i < route->upgrade_count; i++) {
        if (weir_str_eq_nocase(route->upgrades[i].type, type)) return route->upgrades[i].enabled;
    }
    return -1;
}
/* Whether what the request asks for is allowed; `filters` are those of the upgrade. */
static bool upgrade_allowed(struct weir_stream *s, struct weir_str type, const struct weir_hcm_chain **filters)
{
    const struct weir_hcm_upgrade *own = hcm_upgrade(s->hcm, type);
    int by_route = route_upgrade(s->route.route, type);
    if (own != NULL && own->chain != NULL) *filters = own->chain;
    return by_route >= 0 ? by_route : own != NULL && own->config.enabled;
}
/* The kind of upgrade asked for; empty: none. An offer of h2c is not one that is taken (RFC 9113 3.1). */
static struct weir_str asked_upgrade(struct weir_stream *s)
{
    if (s->connect) return WEIR_STR("connect");
    struct weir_str type = weir_headers_get(s->request_headers, WEIR_H_UPGRADE);
    if (type.n > 0 && weir_str_eq_nocase(type, WEIR_STR("h2c"))) {
        weir_headers_remove(s->request_headers, WEIR_H_UPGRADE);
        type.n = 0;
    }
    return type;
}

void weir_stream_on_request_headers(struct weir_stream *s, struct weir_headers *h, bool end)
{
    struct weir_request *r = &s->request;
    weir_headers_join_known(h);
    s->request_headers = h;
    r->headers = h;
    r->protocol = s->codec->protocol;
    struct weir_str method = weir_headers_get(h, WEIR_H_METHOD);
    s->head = weir_str_eq(method, WEIR_STR("HEAD"));
    s->connect = weir_str_eq(method, WEIR_STR("CONNECT"));
    s->grpc = r->is_grpc = weir_grpc_content_type(weir_headers_get(h, WEIR_H_CONTENT_TYPE));
    weir_stream_timeouts_headers_done(s);
    if (s->connection->worker->overloaded) {
        weir_stream_count(s, WEIR_HTTP_RQ_OVERLOAD_CLOSE);
        refuse(s, 503, WEIR_STR("envoy overloaded"), WEIR_STR("overload"), 0, false);
        return;
    }
    answer_expect(s);
    if (!check_host(s) || !check_path(s)) return;
    find_table(s);
    weir_stream_mutate_request(s);
    find_route(s);

    const struct weir_hcm_chain *filters = &s->hcm->filters;
    struct weir_str upgrade = asked_upgrade(s);
    bool refused = false;
    if (upgrade.n > 0) {
        s->upgrade = upgrade_allowed(s, upgrade, &filters);
        refused = !s->upgrade && !(s->connect && s->route.route == NULL);
    }
    weir_chain_create(s, filters);
    weir_stream_timeouts_route(s);
    if (refused) {
        weir_stream_count(s, WEIR_HTTP_RQ_WS_ON_NON_WS_ROUTE);
        refuse(s, 403, WEIR_STR(""), WEIR_STR("upgrade_failed"), 0, true);
        return;
    }
    if (s->upgrade) {
        s->upgrade_counted = true;
        weir_stream_count(s, WEIR_HTTP_CX_UPGRADES_TOTAL);
        weir_stat_add(s->stats, WEIR_HTTP_CX_UPGRADES_ACTIVE, 1);
    }
    weir_chain_headers(s, WEIR_REQUEST, 0, end);
}
