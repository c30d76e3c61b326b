/* Tags. A name is cut into the parts that stay and the parts that become labels; the innermost tag is printed first. */
#include "dataplane/observe/stat_tags.h"

#include "dataplane/base/str.h"

#define TAGS_MAX 4
#define PARTS_MAX 6

struct tags {
    struct weir_str parts[PARTS_MAX]; /* of the metric's name, joined by nothing */
    size_t part_count;
    struct {
        const char *label;
        struct weir_str value;
    } at[TAGS_MAX]; /* outermost first */
    size_t count;
};

static void part(struct tags *t, struct weir_str s)
{
    if (s.n != 0 && t->part_count < PARTS_MAX) t->parts[t->part_count++] = s;
}

static void tag(struct tags *t, const char *label, struct weir_str value)
{
    if (t->count == TAGS_MAX) return;
    t->at[t->count].label = label;
    t->at[t->count++].value = value;
}

/* Takes `prefix` off *s. */
static bool skip(struct weir_str *s, struct weir_str prefix)
{
    if (!weir_str_starts(*s, prefix)) return false;
    *s = (struct weir_str){s->p + prefix.n, s->n - prefix.n};
    return true;
}

/* Takes the segment up to the next dot off *s; false where there is no dot behind at least one character. */
static bool segment(struct weir_str *s, struct weir_str *out)
{
    size_t n = weir_str_find(*s, '.');
    if (n == 0 || n == s->n) return false;
    *out = (struct weir_str){s->p, n};
    *s = (struct weir_str){s->p + n + 1, s->n - n - 1};
    return true;
}

/* The same up to the last dot: names that may hold dots themselves. */
static bool all_but_last(struct weir_str *s, struct weir_str *out)
{
    size_t n = s->n;
    while (n != 0 && s->p[n - 1] != '.')
        n--;
    if (n < 2) return false;
    *out = (struct weir_str){s->p, n - 1};
    *s = (struct weir_str){s->p + n, s->n - n};
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The end of every name: upstream_rq_200, downstream_rq_2xx. */
static void tail(struct tags *t, struct weir_str s)
{
    bool rq = s.n >= 6 && memcmp(s.p + s.n - 6, "rq_", 3) == 0 && (s.n == 6 || s.p[s.n - 7] == '_');
    const char *end = rq ? s.p + s.n - 3 : NULL;
    if (rq && is_digit(end[0]) && is_digit(end[1]) && is_digit(end[2])) {
        tag(t, "envoy_response_code", (struct weir_str){end, 3});
        part(t, (struct weir_str){s.p, s.n - 4});
    } else if (rq && is_digit(end[0]) && end[1] == 'x' && end[2] == 'x') {
        tag(t, "envoy_response_code_class", (struct weir_str){end, 1});
        part(t, (struct weir_str){s.p, s.n - 3});
        part(t, (struct weir_str){end + 1, 2});
    } else {
        part(t, s);
    }
}

/* ssl.ciphers.C and the like, of listeners and clusters. */
static bool tls(struct tags *t, struct weir_str s)
{
    static const struct {
        struct weir_str prefix;
        const char *label;
    } all[] = {{WEIR_STR_INIT("ssl.ciphers."), "envoy_ssl_cipher"},
               {WEIR_STR_INIT("ssl.curves."), "envoy_ssl_curve"},
               {WEIR_STR_INIT("ssl.versions."), "envoy_ssl_version"},
               {WEIR_STR_INIT("ssl.sigalgs."), "envoy_ssl_sigalg"}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct weir_str rest = s;
        if (!skip(&rest, all[i].prefix)) continue;
        tag(t, all[i].label, rest);
        part(t, (struct weir_str){s.p, all[i].prefix.n - 1});
        return true;
    }
    struct weir_str name, rest = s;
    if (!skip(&rest, WEIR_STR("ssl.certificate.")) || !all_but_last(&rest, &name)) return false;
    tag(t, "envoy_tls_certificate", name);
    part(t, WEIR_STR("ssl.certificate."));
    part(t, rest);
    return true;
}

static void cluster(struct tags *t, struct weir_str s)
{
    struct weir_str name, service, method, rest;
    if (!segment(&s, &name)) {
        part(t, s);
        return;
    }
    tag(t, "envoy_cluster_name", name);
    rest = s;
    if (skip(&rest, WEIR_STR("grpc."))) {
        struct weir_str path = rest;
        if (all_but_last(&rest, &path) && all_but_last(&path, &service)) {
            method = path;
            tag(t, "envoy_grpc_bridge_service", service);
            tag(t, "envoy_grpc_bridge_method", method);
            part(t, WEIR_STR("grpc."));
            part(t, rest);
            return;
        }
    }
    if (!tls(t, s)) tail(t, s);
}

static void http(struct tags *t, struct weir_str s)
{
    struct weir_str name, config, rest;
    if (!segment(&s, &name)) {
        part(t, s);
        return;
    }
    tag(t, "envoy_http_conn_manager_prefix", name);
    rest = s;
    if (skip(&rest, WEIR_STR("rds.")) && all_but_last(&rest, &config)) {
        tag(t, "envoy_rds_route_config", config);
        part(t, WEIR_STR("rds."));
        part(t, rest);
        return;
    }
    rest = s;
    if (skip(&rest, WEIR_STR("scoped_rds.")) && all_but_last(&rest, &config)) {
        tag(t, "envoy_scoped_rds_config", config);
        part(t, WEIR_STR("scoped_rds."));
        part(t, rest);
        return;
    }
    tail(t, s);
}

/* worker_0.x becomes worker_x with the number as label. */
static bool worker(struct tags *t, struct weir_str s)
{
    struct weir_str number;
    if (!skip(&s, WEIR_STR("worker_")) || !segment(&s, &number)) return false;
    for (size_t i = 0; i < number.n; i++)
        if (!is_digit(number.p[i])) return false;
    tag(t, "envoy_worker_id", number);
    part(t, WEIR_STR("worker_"));
    part(t, s);
    return true;
}

/* ADDRESS_PORT with the address's dots or brackets, or a stat_prefix up to its first dot. */
static bool listener_name(struct weir_str *s, struct weir_str *out)
{
    size_t n = 0;
    if (s->n != 0 && s->p[0] == '[') {
        n = weir_str_find(*s, '.');
    } else {
        while (n < s->n && (is_digit(s->p[n]) || s->p[n] == '.' || s->p[n] == '_'))
            n++;
        while (n != 0 && s->p[n - 1] != '.')
            n--;
        if (n != 0) n--;
    }
    if (n == 0 || n >= s->n) return segment(s, out);
    *out = (struct weir_str){s->p, n};
    *s = (struct weir_str){s->p + n + 1, s->n - n - 1};
    return true;
}

static void listener(struct tags *t, struct weir_str s)
{
    struct weir_str name, rest = s;
    if (weir_str_starts(s, WEIR_STR("admin."))) {
        part(t, WEIR_STR("admin."));
        (void)skip(&s, WEIR_STR("admin."));
    } else if (listener_name(&rest, &name)) {
        tag(t, "envoy_listener_address", name);
        s = rest;
    }
    if (worker(t, s) || tls(t, s)) return;
    if (skip(&s, WEIR_STR("http."))) {
        part(t, WEIR_STR("http."));
        http(t, s);
        return;
    }
    tail(t, s);
}

static void vhost(struct tags *t, struct weir_str s)
{
    struct weir_str host, inner;
    if (!segment(&s, &host)) {
        part(t, s);
        return;
    }
    struct weir_str rest = s;
    if (skip(&rest, WEIR_STR("vcluster.")) && segment(&rest, &inner)) {
        tag(t, "envoy_virtual_host", host);
        tag(t, "envoy_virtual_cluster", inner);
        part(t, WEIR_STR("vcluster."));
        tail(t, rest);
        return;
    }
    rest = s;
    if (skip(&rest, WEIR_STR("route.")) && segment(&rest, &inner)) {
        tag(t, "envoy_route", inner); /* Envoy prints the host before the route */
        tag(t, "envoy_virtual_host", host);
        part(t, WEIR_STR("route."));
        tail(t, rest);
        return;
    }
    tag(t, "envoy_virtual_host", host);
    tail(t, s);
}

/* NAME.x where the name is one segment. */
static void named(struct tags *t, const char *label, struct weir_str s)
{
    struct weir_str name;
    if (segment(&s, &name)) tag(t, label, name);
    tail(t, s);
}

static void parse(struct tags *t, struct weir_str name)
{
    static const struct {
        struct weir_str prefix;
        void (*parse)(struct tags *t, struct weir_str s);
        const char *label; /* where parse is NULL */
    } rooms[] = {{WEIR_STR_INIT("cluster."), cluster, NULL},   {WEIR_STR_INIT("http."), http, NULL},
                 {WEIR_STR_INIT("listener."), listener, NULL}, {WEIR_STR_INIT("vhost."), vhost, NULL},
                 {WEIR_STR_INIT("tcp."), NULL, "envoy_tcp_prefix"},
                 {WEIR_STR_INIT("connection_limit."), NULL, "envoy_connection_limit_prefix"},
                 {WEIR_STR_INIT("local_rate_limit."), NULL, "envoy_local_ratelimit_prefix"}};
    struct weir_str s = name, inner;
    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        if (!skip(&s, rooms[i].prefix)) continue;
        part(t, rooms[i].prefix);
        if (rooms[i].parse != NULL) rooms[i].parse(t, s);
        else named(t, rooms[i].label, s);
        return;
    }
    if (skip(&s, WEIR_STR("sds.")) && all_but_last(&s, &inner)) {
        tag(t, "envoy_xds_resource_name", inner);
        part(t, WEIR_STR("sds."));
        part(t, s);
        return;
    }
    s = name;
    if (skip(&s, WEIR_STR("server.")) && weir_str_starts(s, WEIR_STR("worker_"))) {
        part(t, WEIR_STR("server."));
        if (worker(t, s)) return;
        t->part_count = 0;
    }
    s = name;
    if (segment(&s, &inner) && weir_str_starts(s, WEIR_STR("http_local_rate_limit."))) {
        tag(t, "envoy_local_http_ratelimit_prefix", inner);
        part(t, s);
        return;
    }
    tail(t, name);
}

void weir_stat_label_value(struct weir_out *out, struct weir_str value)
{
    size_t from = 0;
    for (size_t i = 0; i < value.n; i++) {
        const char *escape = value.p[i] == '\\' ? "\\\\" : value.p[i] == '"' ? "\\\"" : value.p[i] == '\n' ? "\\n" : NULL;
        if (escape == NULL) continue;
        weir_out_add(out, (struct weir_str){value.p + from, i - from});
        weir_out_add(out, weir_str_of(escape));
        from = i + 1;
    }
    if (value.n != 0) weir_out_add(out, (struct weir_str){value.p + from, value.n - from});
}

void weir_stat_tags(struct weir_str name, struct weir_out *metric, struct weir_out *labels)
{
    struct tags t = {.part_count = 0};
    parse(&t, name);
    weir_out_add(metric, WEIR_STR("envoy_"));
    for (size_t i = 0; i < t.part_count; i++) {
        size_t at = metric->n;
        weir_out_add(metric, t.parts[i]);
        for (; at < metric->n; at++) {
            char c = metric->p[at];
            bool good = is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
            if (!good) metric->p[at] = '_';
        }
    }
    for (size_t i = t.count; i != 0; i--) {
        if (i != t.count) weir_out_add(labels, WEIR_STR(","));
        weir_out_add(labels, weir_str_of(t.at[i - 1].label));
        weir_out_add(labels, WEIR_STR("=\""));
        weir_stat_label_value(labels, t.at[i - 1].value);
        weir_out_add(labels, WEIR_STR("\""));
    }
}
