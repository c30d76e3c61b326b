/* Queries of /stats, and the answers in all forms. */
#include "dataplane/observe/admin_stats.h"

#include "dataplane/base/regex.h"
#include "dataplane/observe/prometheus.h"
#include "dataplane/observe/stats_text.h"

#define ALL_TYPES (WEIR_STATS_COUNTERS | WEIR_STATS_GAUGES | WEIR_STATS_HISTOGRAMS | WEIR_STATS_TEXTS)

static bool refuse(struct weir_admin_reply *reply, const char *why)
{
    reply->status = 400;
    weir_out_add(&reply->body, weir_str_of(why));
    return false;
}

static bool types_parse(struct weir_str s, struct weir_stats_query *q)
{
    static const struct {
        struct weir_str name;
        unsigned types;
    } all[] = {{WEIR_STR_INIT("Counters"), WEIR_STATS_COUNTERS},     {WEIR_STR_INIT("Gauges"), WEIR_STATS_GAUGES},
               {WEIR_STR_INIT("Histograms"), WEIR_STATS_HISTOGRAMS}, {WEIR_STR_INIT("TextReadouts"), WEIR_STATS_TEXTS},
               {WEIR_STR_INIT("All"), ALL_TYPES}};
    q->types = ALL_TYPES;
    if (s.n == 0) return true;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!weir_str_eq(s, all[i].name)) continue;
        q->types = all[i].types;
        return true;
    }
    return false;
}

static bool buckets_parse(struct weir_str s, struct weir_stats_query *q)
{
    if (s.n == 0) return true;
    if (weir_str_eq(s, WEIR_STR("none"))) q->summary = true; /* Prometheus: quantiles */
    else if (weir_str_eq(s, WEIR_STR("cumulative"))) q->buckets = WEIR_BUCKETS_CUMULATIVE;
    else if (weir_str_eq(s, WEIR_STR("disjoint"))) q->buckets = WEIR_BUCKETS_DISJOINT;
    else if (weir_str_eq(s, WEIR_STR("detailed"))) q->buckets = WEIR_BUCKETS_DETAILED;
    else if (weir_str_eq(s, WEIR_STR("summary"))) q->summary = true;
    else if (weir_str_eq(s, WEIR_STR("prometheusnative"))) q->native = true;
    else return false;
    return true;
}

/* False: refused. The filter lives in r->arena. */
static bool query_parse(const struct weir_admin_request *r, struct weir_stats_query *q, struct weir_admin_reply *reply)
{
    *q = (struct weir_stats_query){.used_only = weir_admin_param(r, WEIR_STR("usedonly")).p != NULL,
                                   .invert_filter = weir_admin_param(r, WEIR_STR("invert_filter")).p != NULL,
                                   .text_readouts = weir_admin_param(r, WEIR_STR("text_readouts")).p != NULL};
    struct weir_str filter = weir_admin_param(r, WEIR_STR("filter"));
    struct weir_error error = {0};
    if (filter.n != 0 && weir_regex_compile_into(r->arena, filter, 0, &error, &q->filter) != WEIR_OK) {
        reply->status = 400;
        weir_out_printf(&reply->body, "Invalid re2 regex: %s", weir_admin_regex_error(&error));
        return false;
    }
    if (!types_parse(weir_admin_param(r, WEIR_STR("type")), q)) return refuse(reply, "invalid &type= param");
    if (!buckets_parse(weir_admin_param(r, WEIR_STR("histogram_buckets")), q))
        return refuse(reply, "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n");
    /* No stat is hidden. */
    struct weir_str hidden = weir_admin_param(r, WEIR_STR("hidden"));
    if (weir_str_eq(hidden, WEIR_STR("only"))) q->types = 0;
    else if (hidden.n != 0 && !weir_str_eq(hidden, WEIR_STR("include")) && !weir_str_eq(hidden, WEIR_STR("exclude")))
        return refuse(reply, "usage: /stats?hidden=(include|only|exclude)\n\n");
    return true;
}

void weir_admin_stats_prometheus(struct weir_stats_registry *stats, const struct weir_admin_request *r,
                                 struct weir_admin_reply *reply)
{
    struct weir_stats_query q;
    if (!query_parse(r, &q, reply)) return;
    if (q.types != 0) q.types = ALL_TYPES; /* ?type= is looked at, and has no effect here */
    if (q.buckets == WEIR_BUCKETS_DISJOINT || q.buckets == WEIR_BUCKETS_DETAILED)
        (void)refuse(reply, "unsupported prometheus histogram bucket mode");
    else if (q.native)
        (void)refuse(reply, "unsupported prometheusnative histogram type when not using protobuf exposition format");
    else
        reply->source = weir_prometheus_source(stats, &q);
}

void weir_admin_stats(struct weir_stats_registry *stats, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_stats_query q;
    struct weir_str format = weir_admin_param(r, WEIR_STR("format"));
    bool json = weir_str_eq(format, WEIR_STR("json")), prometheus = weir_str_eq(format, WEIR_STR("prometheus"));
    bool text = format.n == 0 || weir_str_eq(format, WEIR_STR("text")) || weir_str_eq(format, WEIR_STR("html")) ||
                weir_str_eq(format, WEIR_STR("active-html"));
    if (!json && !prometheus && !text) {
        (void)refuse(reply, "usage: /stats?format=(html|active-html|json|prometheus|text)\n\n");
        return;
    }
    if (prometheus) {
        weir_admin_stats_prometheus(stats, r, reply);
        return;
    }
    if (!query_parse(r, &q, reply)) return;
    if (q.native) {
        (void)refuse(reply, "Invalid histogram_buckets type for non prometheus stats type");
        return;
    }
    if (json) reply->content_type = WEIR_ADMIN_JSON;
    reply->source = json ? weir_stats_json_source(stats, &q) : weir_stats_text_source(stats, &q);
}

void weir_admin_reset_counters(struct weir_stats_registry *stats, struct weir_admin_reply *reply)
{
    weir_stats_reset_counters(stats);
    weir_out_add(&reply->body, WEIR_STR("OK\n"));
}
