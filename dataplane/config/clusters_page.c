/* See clusters_page.h. Text and JSON in Envoy's order of lines and members; cluster by cluster, and within a large one host by host. */
#include "dataplane/config/clusters_page.h"

#include <stdlib.h>

#include "dataplane/base/regex.h"
#include "dataplane/base/str.h"
#include "dataplane/cluster/host.h"
#include "dataplane/config/server_internal.h"

#define STEP_RECORDS 256u /* looked at for one piece, printed or not */

struct page {
    struct weir_admin_source source;
    struct weir_server *server;
    struct weir_out *out;          /* the piece at hand */
    struct weir_regex *filter;     /* NULL: all */
    bool json, first;
    struct weir_publisher_walk *walk;
    /* The cluster at hand. */
    struct weir_str name;
    struct weir_host_set *hosts; /* a reference; NULL: none at hand */
    uint32_t next;
    bool dns, outlier;
    struct weir_breaker_limits limits[2];
    struct weir_arena arena; /* its name and stat name */
    struct weir_str stat_name;
};

static unsigned long long load64(const _Atomic uint64_t *v)
{
    return (unsigned long long)atomic_load_explicit(v, memory_order_relaxed);
}

static unsigned load32(const _Atomic uint32_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static const char *health_flags(const struct weir_host_member *m)
{
    bool ejected = weir_host_ejected(m->host);
    if (m->health == WEIR_HOST_UNHEALTHY) return ejected ? "/failed_outlier_check/failed_eds_health" : "/failed_eds_health";
    if (m->health == WEIR_HOST_DEGRADED) return ejected ? "/failed_outlier_check/degraded_eds_health" : "/degraded_eds_health";
    return ejected ? "/failed_outlier_check" : "healthy";
}

static void rate_print(struct weir_out *o, double rate)
{
    if (rate < 0) weir_out_printf(o, "-1\n");
    else weir_out_printf(o, "%g\n", rate);
}

/* A cluster of DNS names has its hosts by name, also where that is an address. */
static struct weir_str hostname_of(const struct page *p, const struct weir_host *h, char ip[WEIR_ADDRESS_TEXT_MAX])
{
    if (h->hostname.n > 0 || !p->dns || !weir_address_is_ip(&h->address)) return h->hostname;
    weir_address_print_ip(&h->address, ip);
    return weir_str_of(ip);
}

static void host_text(struct page *p, struct weir_str cluster, const struct weir_host_set *set, const struct weir_host_member *m)
{
    const struct weir_host *h = m->host;
    const struct weir_locality *l = m->locality < set->locality_count ? &set->localities[m->locality] : NULL;
    struct weir_str none = {0};
    char ip[WEIR_ADDRESS_TEXT_MAX];
    const struct {
        const char *name;
        unsigned long long value;
    } numbers[] = {{"cx_active", load32(&h->cx_active)}, {"cx_connect_fail", load64(&h->cx_connect_fail)}, {"cx_total", load64(&h->cx_total)},
                   {"rq_active", load32(&h->rq_active)}, {"rq_error", load64(&h->rq_error)}, {"rq_pending_active", 0},
                   {"rq_success", load64(&h->rq_success)}, {"rq_timeout", load64(&h->rq_timeout)}, {"rq_total", load64(&h->rq_total)}};
#define LINE(fmt, ...) weir_out_printf(p->out, "%.*s::%.*s::" fmt "\n", WEIR_STR_ARG(cluster), WEIR_STR_ARG(h->address_text), __VA_ARGS__)
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) LINE("%s::%llu", numbers[i].name, numbers[i].value);
    LINE("hostname::%.*s", WEIR_STR_ARG(hostname_of(p, h, ip)));
    LINE("health_flags::%s", health_flags(m));
    LINE("weight::%u", m->weight);
    LINE("region::%.*s", WEIR_STR_ARG(l != NULL ? l->region : none));
    LINE("zone::%.*s", WEIR_STR_ARG(l != NULL ? l->zone : none));
    LINE("sub_zone::%.*s", WEIR_STR_ARG(l != NULL ? l->sub_zone : none));
    LINE("canary::%s", m->canary ? "true" : "false");
    LINE("priority::%u", m->priority);
#undef LINE
    weir_out_printf(p->out, "%.*s::%.*s::success_rate::", WEIR_STR_ARG(cluster), WEIR_STR_ARG(h->address_text));
    rate_print(p->out, h->outlier.ejections == 0 && h->outlier.success_rate == 0 ? -1 : h->outlier.success_rate);
    weir_out_printf(p->out, "%.*s::%.*s::local_origin_success_rate::", WEIR_STR_ARG(cluster), WEIR_STR_ARG(h->address_text));
    rate_print(p->out, h->outlier.ejections == 0 && h->outlier.local_success_rate == 0 ? -1 : h->outlier.local_success_rate);
}

static void limits_text(struct page *p, struct weir_str name, const char *which, const struct weir_breaker_limits *l)
{
    const struct {
        const char *name;
        unsigned long long value;
    } lines[] = {{"max_connections", l->connections}, {"max_pending_requests", l->pending}, {"max_requests", l->requests}, {"max_retries", l->retries}};
    for (size_t i = 0; i < 4; i++) weir_out_printf(p->out, "%.*s::%s::%s::%llu\n", WEIR_STR_ARG(name), which, lines[i].name, lines[i].value);
}

static bool wanted(struct page *p, const struct weir_record *r)
{
    return p->filter == NULL || weir_regex_partial_match(p->filter, r->name);
}

static void head_text(struct page *p, bool added_via_api)
{
    weir_out_printf(p->out, "%.*s::observability_name::%.*s\n", WEIR_STR_ARG(p->name), WEIR_STR_ARG(p->stat_name));
    if (p->outlier) {
        static const char *const lines[] = {"success_rate_average", "success_rate_ejection_threshold", "local_origin_success_rate_average",
                                            "local_origin_success_rate_ejection_threshold"};
        for (size_t i = 0; i < 4; i++) weir_out_printf(p->out, "%.*s::outlier::%s::-1\n", WEIR_STR_ARG(p->name), lines[i]);
    }
    limits_text(p, p->name, "default_priority", &p->limits[0]);
    limits_text(p, p->name, "high_priority", &p->limits[1]);
    weir_out_printf(p->out, "%.*s::added_via_api::%s\n", WEIR_STR_ARG(p->name), added_via_api ? "true" : "false");
}

static void stat_json(struct weir_out *o, const char *name, unsigned long long v, bool gauge, bool *first)
{
    weir_out_printf(o, "%s\n      {\n", *first ? "" : ",");
    *first = false;
    if (gauge) weir_out_printf(o, "       \"type\": \"GAUGE\",\n");
    if (v > 0) weir_out_printf(o, "       \"value\": \"%llu\",\n", v);
    weir_out_printf(o, "       \"name\": \"%s\"\n      }", name);
}

static void locality_json(struct weir_out *o, const char *name, struct weir_str value, bool *empty)
{
    if (value.n == 0) return;
    weir_out_printf(o, "%s\n      \"%s\": ", *empty ? "" : ",", name);
    weir_out_string(o, value);
    *empty = false;
}

static void host_json(struct page *p, const struct weir_host_set *set, const struct weir_host_member *m, bool first)
{
    static const char *const eds[] = {"HEALTHY", "DEGRADED", "UNHEALTHY"};
    const struct weir_host *h = m->host;
    struct weir_out *o = p->out;
    char ip[WEIR_ADDRESS_TEXT_MAX];
    weir_out_printf(o, "%s\n    {\n     \"address\": {\n", first ? "" : ",");
    if (weir_address_is_ip(&h->address)) {
        weir_address_print_ip(&h->address, ip);
        weir_out_printf(o, "      \"socket_address\": {\n       \"address\": \"%s\",\n       \"port_value\": %u\n      }\n", ip, weir_address_port(&h->address));
    } else {
        weir_out_printf(o, "      \"pipe\": {\n       \"path\": ");
        weir_out_string(o, h->address_text);
        weir_out_printf(o, "\n      }\n");
    }
    weir_out_printf(o, "     },\n     \"stats\": [");
    bool head = true;
    stat_json(o, "cx_connect_fail", load64(&h->cx_connect_fail), false, &head);
    stat_json(o, "cx_total", load64(&h->cx_total), false, &head);
    stat_json(o, "rq_error", load64(&h->rq_error), false, &head);
    stat_json(o, "rq_success", load64(&h->rq_success), false, &head);
    stat_json(o, "rq_timeout", load64(&h->rq_timeout), false, &head);
    stat_json(o, "rq_total", load64(&h->rq_total), false, &head);
    stat_json(o, "cx_active", load32(&h->cx_active), true, &head);
    stat_json(o, "rq_active", load32(&h->rq_active), true, &head);
    stat_json(o, "rq_pending_active", 0, true, &head);
    weir_out_printf(o, "\n     ],\n     \"health_status\": {\n%s      \"eds_health_status\": \"%s\"\n     },\n     \"weight\": %u,\n",
                    weir_host_ejected(h) ? "      \"failed_outlier_check\": true,\n" : "", eds[m->health], m->weight);
    struct weir_str hostname = hostname_of(p, h, ip);
    if (hostname.n > 0) {
        weir_out_printf(o, "     \"hostname\": ");
        weir_out_string(o, hostname);
        weir_out_printf(o, ",\n");
    }
    if (m->priority > 0) weir_out_printf(o, "     \"priority\": %u,\n", m->priority);
    weir_out_printf(o, "     \"locality\": {");
    const struct weir_locality *l = m->locality < set->locality_count ? &set->localities[m->locality] : NULL;
    bool empty = true;
    if (l != NULL) {
        locality_json(o, "region", l->region, &empty);
        locality_json(o, "zone", l->zone, &empty);
        locality_json(o, "sub_zone", l->sub_zone, &empty);
    }
    weir_out_printf(o, "%s}\n    }", empty ? "" : "\n     ");
}

static void limits_json(struct weir_out *o, const char *priority, const struct weir_breaker_limits *l, bool last)
{
    weir_out_printf(o, "     {\n%s      \"max_connections\": %llu,\n      \"max_pending_requests\": %llu,\n      \"max_requests\": %llu,\n      \"max_retries\": %llu\n     }%s\n",
                    priority, (unsigned long long)l->connections, (unsigned long long)l->pending, (unsigned long long)l->requests,
                    (unsigned long long)l->retries, last ? "" : ",");
}

static void head_json(struct page *p, bool added_via_api)
{
    weir_out_printf(p->out, "%s\n  {\n   \"name\": ", p->first ? "{\n \"cluster_statuses\": [" : ",");
    p->first = false;
    weir_out_string(p->out, p->name);
    if (added_via_api) weir_out_printf(p->out, ",\n   \"added_via_api\": true");
    weir_out_printf(p->out, ",\n   \"host_statuses\": [");
}

static void tail_json(struct page *p)
{
    struct weir_out *o = p->out;
    weir_out_printf(o, "%s],\n   \"circuit_breakers\": {\n    \"thresholds\": [\n", p->hosts->count > 0 ? "\n   " : "");
    limits_json(o, "", &p->limits[0], false);
    limits_json(o, "      \"priority\": \"HIGH\",\n", &p->limits[1], true);
    weir_out_printf(o, "    ]\n   },\n   \"observability_name\": ");
    weir_out_string(o, p->stat_name);
    weir_out_printf(o, "\n  }");
}

/* All that the page needs of the cluster until its last host: it may change or go meanwhile. */
static void cluster_begin(struct page *p, const struct weir_record *r)
{
    struct weir_cluster_shared *c = weir_publisher_cluster(p->server->publisher, r);
    if (c == NULL || !wanted(p, r)) return;
    p->name = weir_arena_str(&p->arena, r->name);
    p->stat_name = weir_arena_str(&p->arena, c->config->stat_name);
    p->hosts = weir_host_set_acquire((struct weir_host_set *)(uintptr_t)weir_cluster_shared_hosts(c));
    p->next = 0;
    p->dns = c->config->type == WEIR_CLUSTER_STRICT_DNS || c->config->type == WEIR_CLUSTER_LOGICAL_DNS;
    p->outlier = c->config->outlier.enabled;
    p->limits[0] = *weir_cluster_shared_limits(c, 0);
    p->limits[1] = *weir_cluster_shared_limits(c, 1);
    bool added_via_api = r->source != WEIR_SOURCE_STATIC;
    if (p->json) head_json(p, added_via_api);
    else head_text(p, added_via_api);
}

static void cluster_end(struct page *p)
{
    if (p->hosts != NULL) weir_host_set_release(p->hosts);
    p->hosts = NULL;
    weir_arena_deinit(&p->arena);
}

static bool more(struct weir_admin_source *source, struct weir_out *out)
{
    struct page *p = WEIR_CONTAINER_OF(source, struct page, source);
    const struct weir_record *r;
    size_t begun = out->n, visited = 0;
    p->out = out;
    while (out->n - begun < WEIR_ADMIN_PIECE_BYTES) {
        if (p->hosts != NULL && p->next < p->hosts->count) {
            const struct weir_host_member *m = &p->hosts->at[p->next++];
            if (p->json) host_json(p, p->hosts, m, p->next == 1);
            else host_text(p, p->name, p->hosts, m);
            continue;
        }
        if (p->hosts != NULL && p->json) tail_json(p);
        cluster_end(p);
        if (visited++ == STEP_RECORDS) return true;
        if (!weir_publisher_walk_next(p->walk, &r)) {
            if (p->json) weir_out_add(out, p->first ? WEIR_STR("{}\n") : WEIR_STR("\n ]\n}\n"));
            return false;
        }
        if (r != NULL) cluster_begin(p, r);
    }
    return true;
}

static void destroy(struct weir_admin_source *source)
{
    struct page *p = WEIR_CONTAINER_OF(source, struct page, source);
    cluster_end(p);
    weir_publisher_walk_destroy(p->walk);
    weir_regex_destroy(p->filter);
    free(p);
}

void weir_clusters_page(struct weir_server *s, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_str filter = weir_admin_param(r, WEIR_STR("filter"));
    struct weir_regex *regex = NULL;
    struct weir_error e = {0};
    if (filter.n > 0 && weir_regex_compile(filter, 0, &e, &regex) != WEIR_OK) {
        reply->status = 400;
        weir_out_add(&reply->body, WEIR_STR("Invalid re2 regex"));
        return;
    }
    struct page *p = calloc(1, sizeof(*p));
    if (p == NULL) abort();
    *p = (struct page){.source = {more, destroy}, .server = s, .filter = regex, .first = true};
    p->json = weir_str_eq(weir_admin_param(r, WEIR_STR("format")), WEIR_STR("json"));
    if (p->json) reply->content_type = WEIR_ADMIN_JSON;
    p->walk = weir_publisher_walk_create(s->publisher, WEIR_CLUSTERS);
    reply->source = &p->source;
}
