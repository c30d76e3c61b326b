/* See clusters_page.h. Text and JSON in the field's order of lines and members. */
#include "dataplane/config/clusters_page.h"

#include "dataplane/base/regex.h"
#include "dataplane/base/str.h"
#include "dataplane/cluster/host.h"
#include "dataplane/config/server_internal.h"

struct page {
    struct weir_server *server;
    struct weir_out *out;
    const struct weir_regex *filter; /* NULL: all */
    bool first;
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

static void host_text(struct page *p, struct weir_str cluster, const struct weir_host_set *set, const struct weir_host_member *m)
{
    const struct weir_host *h = m->host;
    const struct weir_locality *l = m->locality < set->locality_count ? &set->localities[m->locality] : NULL;
    struct weir_str none = {0};
    const struct {
        const char *name;
        unsigned long long value;
    } numbers[] = {{"cx_active", load32(&h->cx_active)}, {"cx_connect_fail", load64(&h->cx_connect_fail)}, {"cx_total", load64(&h->cx_total)},
                   {"rq_active", load32(&h->rq_active)}, {"rq_error", load64(&h->rq_error)}, {"rq_pending_active", 0},
                   {"rq_success", load64(&h->rq_success)}, {"rq_timeout", load64(&h->rq_timeout)}, {"rq_total", load64(&h->rq_total)}};
#define LINE(fmt, ...) weir_out_printf(p->out, "%.*s::%.*s::" fmt "\n", WEIR_STR_ARG(cluster), WEIR_STR_ARG(h->address_text), __VA_ARGS__)
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) LINE("%s::%llu", numbers[i].name, numbers[i].value);
    LINE("hostname::%.*s", WEIR_STR_ARG(h->hostname));
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

static void cluster_text(void *ctx, const struct weir_record *r)
{
    struct page *p = ctx;
    struct weir_cluster_shared *c = weir_publisher_cluster(p->server->publisher, r);
    if (c == NULL || !wanted(p, r)) return;
    weir_out_printf(p->out, "%.*s::observability_name::%.*s\n", WEIR_STR_ARG(r->name), WEIR_STR_ARG(c->config->stat_name));
    if (c->config->outlier.enabled) {
        static const char *const lines[] = {"success_rate_average", "success_rate_ejection_threshold", "local_origin_success_rate_average",
                                            "local_origin_success_rate_ejection_threshold"};
        for (size_t i = 0; i < 4; i++) weir_out_printf(p->out, "%.*s::outlier::%s::-1\n", WEIR_STR_ARG(r->name), lines[i]);
    }
    limits_text(p, r->name, "default_priority", weir_cluster_shared_limits(c, 0));
    limits_text(p, r->name, "high_priority", weir_cluster_shared_limits(c, 1));
    weir_out_printf(p->out, "%.*s::added_via_api::%s\n", WEIR_STR_ARG(r->name), r->source == WEIR_SOURCE_STATIC ? "false" : "true");
    const struct weir_host_set *hosts = weir_cluster_shared_hosts(c);
    for (uint32_t i = 0; i < hosts->count; i++) host_text(p, r->name, hosts, &hosts->at[i]);
}

static void stat_json(struct weir_out *o, const char *name, unsigned long long v, bool gauge, bool *first)
{
    weir_out_printf(o, "%s\n      {\n", *first ? "" : ",");
    *first = false;
    if (gauge) weir_out_printf(o, "       \"type\": \"GAUGE\",\n");
    if (v > 0) weir_out_printf(o, "       \"value\": \"%llu\",\n", v);
    weir_out_printf(o, "       \"name\": \"%s\"\n      }", name);
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
    weir_out_printf(o, "\n     ],\n     \"health_status\": {\n%s      \"eds_health_status\": \"%s\"\n     },\n     \"weight\": %u,\n",
                    weir_host_ejected(h) ? "      \"failed_outlier_check\": true,\n" : "", eds[m->health], m->weight);
    if (h->hostname.n > 0) {
        weir_out_printf(o, "     \"hostname\": ");
        weir_out_string(o, h->hostname);
        weir_out_printf(o, ",\n");
    }
    if (m->priority > 0) weir_out_printf(o, "     \"priority\": %u,\n", m->priority);
    weir_out_printf(o, "     \"locality\": {");
    const struct weir_locality *l = m->locality < set->locality_count ? &set->localities[m->locality] : NULL;
    if (l != NULL && l->zone.n > 0) {
        weir_out_printf(o, "\n      \"zone\": ");
        weir_out_string(o, l->zone);
        weir_out_printf(o, "\n     ");
    }
    weir_out_printf(o, "}\n    }");
}

static void limits_json(struct weir_out *o, const char *priority, const struct weir_breaker_limits *l, bool last)
{
    weir_out_printf(o, "     {\n%s      \"max_connections\": %llu,\n      \"max_pending_requests\": %llu,\n      \"max_requests\": %llu,\n      \"max_retries\": %llu\n     }%s\n",
                    priority, (unsigned long long)l->connections, (unsigned long long)l->pending, (unsigned long long)l->requests,
                    (unsigned long long)l->retries, last ? "" : ",");
}

static void cluster_json(void *ctx, const struct weir_record *r)
{
    struct page *p = ctx;
    struct weir_out *o = p->out;
    struct weir_cluster_shared *c = weir_publisher_cluster(p->server->publisher, r);
    if (c == NULL || !wanted(p, r)) return;
    weir_out_printf(o, "%s\n  {\n   \"name\": ", p->first ? "" : ",");
    p->first = false;
    weir_out_string(o, r->name);
    if (r->source != WEIR_SOURCE_STATIC) weir_out_printf(o, ",\n   \"added_via_api\": true");
    weir_out_printf(o, ",\n   \"host_statuses\": [");
    const struct weir_host_set *hosts = weir_cluster_shared_hosts(c);
    for (uint32_t i = 0; i < hosts->count; i++) host_json(p, hosts, &hosts->at[i], i == 0);
    weir_out_printf(o, "%s],\n   \"circuit_breakers\": {\n    \"thresholds\": [\n", hosts->count > 0 ? "\n   " : "");
    limits_json(o, "", weir_cluster_shared_limits(c, 0), false);
    limits_json(o, "      \"priority\": \"HIGH\",\n", weir_cluster_shared_limits(c, 1), true);
    weir_out_printf(o, "    ]\n   },\n   \"observability_name\": ");
    weir_out_string(o, c->config->stat_name);
    weir_out_printf(o, "\n  }");
}

void weir_clusters_page(struct weir_server *s, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct page p = {.server = s, .out = &reply->body, .first = true};
    struct weir_str filter = weir_admin_param(r, WEIR_STR("filter"));
    struct weir_regex *regex = NULL;
    struct weir_error e = {0};
    if (filter.n > 0 && weir_regex_compile(filter, 0, &e, &regex) != WEIR_OK) {
        reply->status = 400;
        weir_out_printf(&reply->body, "Invalid re2 regex: %s", e.text);
        return;
    }
    p.filter = regex;
    if (weir_str_eq(weir_admin_param(r, WEIR_STR("format")), WEIR_STR("json"))) {
        reply->content_type = WEIR_ADMIN_JSON;
        weir_out_printf(&reply->body, "{\n \"cluster_statuses\": [");
        weir_publisher_each(s->publisher, WEIR_CLUSTERS, cluster_json, &p);
        weir_out_printf(&reply->body, "%s]\n}\n", p.first ? "" : "\n ");
    } else {
        weir_publisher_each(s->publisher, WEIR_CLUSTERS, cluster_text, &p);
    }
    weir_regex_destroy(regex);
}
