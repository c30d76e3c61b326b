/* The admin pages about the server itself; config_dump.c has the configuration's. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dataplane/base/log.h"
#include "dataplane/base/str.h"
#include "dataplane/config/certs_page.h"
#include "dataplane/config/clusters_page.h"
#include "dataplane/config/config_dump.h"
#include "dataplane/config/server_info.h"
#include "dataplane/config/server_internal.h"
#include "dataplane/listener/listener.h"
#include "dataplane/observe/admin.h"
#include "dataplane/observe/admin_stats.h"
#include "dataplane/version.h"

static void text(struct weir_admin_reply *reply, const char *z)
{
    weir_out_add(&reply->body, weir_str_of(z));
}

static void wait_print(void *ctx, enum weir_resource_type type, struct weir_str name, const char *waits_for)
{
    weir_out_printf(ctx, "waits: %s '%.*s' for %s\n", type == WEIR_CLUSTERS ? "cluster" : "listener", WEIR_STR_ARG(name), waits_for);
}

static void first_answer_print(struct weir_server *s, enum weir_resource_type type, const struct weir_source *source, struct weir_out *out)
{
    if (source->kind == WEIR_FROM_FILE) {
        weir_out_printf(out, "waits: %s from %.*s%s%s\n", weir_resource_type_name(type), WEIR_STR_ARG(source->path), s->broken[type] != NULL ? ": " : "",
                        s->broken[type] != NULL ? s->broken[type]->text : "");
        return;
    }
    weir_out_printf(out, "waits: the first answer to %s from '%.*s'", type == WEIR_CLUSTERS ? "CDS" : "LDS", WEIR_STR_ARG(s->b.ads_cluster));
    pthread_mutex_lock(&s->lock);
    if (!atomic_load_explicit(&s->ads_connected, memory_order_relaxed)) weir_out_printf(out, "; its stream is down%s%s", s->ads_why[0] != '\0' ? ": " : "", s->ads_why);
    pthread_mutex_unlock(&s->lock);
    weir_out_printf(out, "\n");
}

uint32_t weir_server_readiness(struct weir_server *s, struct weir_out *out)
{
    enum weir_server_state state = s->healthcheck_failed && s->state == WEIR_LIVE ? WEIR_DRAINING : s->state;
    weir_out_printf(out, "%s\n", weir_server_state_name(state));
    if (state == WEIR_PRE_INITIALIZING || state == WEIR_INITIALIZING) {
        if (s->stage == WEIR_STAGE_CDS && !s->cds_answered) first_answer_print(s, WEIR_CLUSTERS, &s->b.cds, out);
        if (s->stage == WEIR_STAGE_LDS && !s->lds_answered) first_answer_print(s, WEIR_LISTENERS, &s->b.lds, out);
        weir_publisher_each_warming(s->publisher, wait_print, out);
    }
    return state == WEIR_LIVE ? 200 : 503;
}

static void ready(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)r;
    reply->status = weir_server_readiness(ctx, &reply->body);
}

static void server_info(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)r;
    weir_server_info(ctx, reply);
}

static void memory(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    long pages = 0, resident = 0;
    (void)ctx;
    (void)r;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL && fscanf(f, "%ld %ld", &pages, &resident) != 2) resident = 0;
    if (f != NULL) fclose(f);
    struct mallinfo2 m = mallinfo2();
    reply->content_type = WEIR_ADMIN_JSON;
    weir_out_printf(&reply->body,
                    "{\n \"allocated\": \"%zu\",\n \"heap_size\": \"%zu\",\n \"pageheap_unmapped\": \"0\",\n \"pageheap_free\": \"%zu\",\n"
                    " \"total_thread_cache\": \"0\",\n \"total_physical_bytes\": \"%lld\"\n}\n",
                    m.uordblks + m.hblkhd, m.arena + m.hblkhd, m.fordblks, (long long)resident * sysconf(_SC_PAGESIZE));
}

/* Envoy shows its allocator's page here; so does weir. */
static void memory_allocator(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    char *bytes = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&bytes, &n);
    (void)ctx;
    (void)r;
    reply->content_type = "text/plain";
    if (f == NULL) return;
    (void)malloc_info(0, f);
    (void)fclose(f);
    weir_out_add(&reply->body, (struct weir_str){bytes, n});
    free(bytes);
}

static void loggers_print(struct weir_out *o)
{
    weir_out_printf(o, "active loggers:\n");
    for (int i = 0; i < WEIR_LOG_COMPONENT_COUNT; i++)
        weir_out_printf(o, "  %s: %s\n", weir_log_component_name((enum weir_log_component)i),
                        weir_log_level_name(weir_log_component_level((enum weir_log_component)i)));
    weir_out_printf(o, "\n");
}

static void logging_refuse(struct weir_admin_reply *reply, const char *why)
{
    reply->status = 400;
    weir_out_printf(&reply->body,
                    "error: %s\n\nusage: /logging?<name>=<level> (change single level)\nusage: /logging?paths=name1:level1,name2:level2,... (change multiple "
                    "levels)\nusage: /logging?level=<level> (change all levels)\nusage: /logging?group=<group_name>:<level> (change group of loggers)\n"
                    "levels: trace debug info warning error critical off \n",
                    why);
    loggers_print(&reply->body);
}

static const char *const unknown_level = "unknown logger level", *const unknown_name = "unknown logger name";

static bool component_known(struct weir_str name)
{
    for (int i = 0; i < WEIR_LOG_COMPONENT_COUNT; i++)
        if (weir_str_eq(name, weir_str_of(weir_log_component_name((enum weir_log_component)i)))) return true;
    return false;
}

/* "NAME:LEVEL,NAME:LEVEL"; first looked at, then set: all or none. Returns what is wrong. */
static const char *paths_take(struct weir_str paths, bool set)
{
    for (enum weir_log_level level; paths.n > 0;) {
        size_t comma = weir_str_find(paths, ','), colon = weir_str_find((struct weir_str){paths.p, comma}, ':');
        struct weir_str name = {paths.p, colon}, value = colon < comma ? (struct weir_str){paths.p + colon + 1, comma - colon - 1} : (struct weir_str){0};
        if (name.n == 0 || value.n == 0) return "empty logger name or empty logger level";
        if (!weir_log_level_parse(value, &level)) return unknown_level;
        if (!component_known(name)) return unknown_name;
        if (set) (void)weir_log_set_component_level(name, level);
        comma += comma < paths.n;
        paths = (struct weir_str){paths.p + comma, paths.n - comma};
    }
    return NULL;
}

static const char *level_take(struct weir_str name, struct weir_str value)
{
    enum weir_log_level level;
    if (weir_str_eq(name, WEIR_STR("group"))) return "group parameter requires fine-grain logging to be enabled";
    if (!weir_log_level_parse(value, &level)) return unknown_level;
    if (weir_str_eq(name, WEIR_STR("level"))) weir_log_set_level(level);
    else if (!weir_log_set_component_level(name, level)) return unknown_name;
    return NULL;
}

static void logging(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    size_t at = 0, given = 0;
    struct weir_str name, value, one_name = {0}, one = {0};
    const char *wrong = NULL;
    (void)ctx;
    while (weir_admin_param_next(r, &at, &name, &value)) {
        if (value.n == 0) continue; /* a form's field that was left empty */
        one_name = name;
        one = value;
        given++;
    }
    if (given > 1) wrong = "invalid number of parameters";
    else if (given == 1 && weir_str_eq(one_name, WEIR_STR("paths"))) wrong = paths_take(one, false);
    else if (given == 1) wrong = level_take(one_name, one);
    if (wrong == NULL && weir_str_eq(one_name, WEIR_STR("paths"))) (void)paths_take(one, true);
    if (wrong != NULL) logging_refuse(reply, wrong);
    else loggers_print(&reply->body);
}

static void runtime(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    struct weir_out *o = &reply->body;
    (void)r;
    reply->content_type = WEIR_ADMIN_JSON;
    uint32_t layers = s->b.runtime != NULL ? weir_runtime_layer_count(s->b.runtime) : 0;
    size_t at = 0;
    struct weir_str key, final;
    const struct weir_str *values;
    bool first = true;
    weir_out_printf(o, "{\n \"entries\": {");
    while (s->b.runtime != NULL && weir_runtime_next(s->b.runtime, &at, &key, &final, &values)) {
        weir_out_printf(o, "%s\n  ", first ? "" : ",");
        first = false;
        weir_out_string(o, key);
        weir_out_printf(o, ": {\n   \"final_value\": ");
        weir_out_string(o, final);
        weir_out_printf(o, ",\n   \"layer_values\": [");
        for (uint32_t i = 0; i < layers; i++) {
            weir_out_printf(o, "%s\n    ", i > 0 ? "," : "");
            weir_out_string(o, values[i].p != NULL ? values[i] : WEIR_STR(""));
        }
        weir_out_printf(o, "\n   ]\n  }");
    }
    weir_out_printf(o, "%s},\n \"layers\": [", first ? "" : "\n ");
    for (uint32_t i = 0; i < layers; i++) {
        weir_out_printf(o, "%s\n  ", i > 0 ? "," : "");
        weir_out_string(o, weir_runtime_layer_name(s->b.runtime, i));
    }
    weir_out_printf(o, "%s]\n}\n", layers > 0 ? "\n " : "");
}

static void runtime_modify(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    size_t at = 0;
    struct weir_str name, value;
    if (r->query.n == 0) {
        reply->status = 400;
        text(reply, "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n");
        text(reply, "       or send the parameters as form values\nuse an empty value to remove a previously added override");
        return;
    }
    if (s->b.admin_layer < 0) {
        reply->status = 503;
        text(reply, "No admin layer specified");
        return;
    }
    struct weir_runtime *next = weir_runtime_copy(s->b.runtime);
    while (weir_admin_param_next(r, &at, &name, &value))
        weir_runtime_set(next, (uint32_t)s->b.admin_layer, name, value.n > 0 ? value : (struct weir_str){0});
    weir_resource_release(weir_runtime_resource(s->b.runtime));
    s->b.runtime = next;
    weir_publisher_set_runtime(s->publisher, next);
    s->runtime_loads++;
    text(reply, "OK\n");
}

static void listener_print(void *ctx, const struct weir_record *record)
{
    void **args = ctx;
    struct weir_server *s = args[0];
    struct weir_out *o = args[1];
    bool json = args[2] != NULL;
    char address[WEIR_ADDRESS_TEXT_MAX];
    const struct weir_address *at = weir_publisher_listener_address(s->publisher, record->name);
    if (at == NULL || record->active == NULL) return;
    weir_address_print(at, address);
    if (!json) {
        weir_out_printf(o, "%.*s::%s\n", WEIR_STR_ARG(record->name), address);
        return;
    }
    weir_out_printf(o, "%s\n  {\n   \"name\": ", args[3] != NULL ? "," : "{\n \"listener_statuses\": [");
    args[3] = o;
    weir_out_string(o, record->name);
    weir_out_printf(o, ",\n   \"local_address\": {\n");
    if (weir_address_is_ip(at)) {
        weir_address_print_ip(at, address);
        weir_out_printf(o, "    \"socket_address\": {\n     \"address\": \"%s\",\n     \"port_value\": %u\n    }\n", address, weir_address_port(at));
    } else {
        weir_out_printf(o, "    \"pipe\": {\n     \"path\": ");
        weir_out_string(o, weir_str_of(address));
        weir_out_printf(o, "\n    }\n");
    }
    weir_out_printf(o, "   }\n  }");
}

static void listeners(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    bool json = weir_str_eq(weir_admin_param(r, WEIR_STR("format")), WEIR_STR("json"));
    void *args[4] = {s, &reply->body, json ? s : NULL, NULL};
    if (json) {
        reply->content_type = WEIR_ADMIN_JSON;
    }
    weir_publisher_each(s->publisher, WEIR_LISTENERS, listener_print, args);
    if (json) text(reply, args[3] != NULL ? "\n ]\n}\n" : "{}\n");
}

static void healthcheck_set(struct weir_server *s, bool failed)
{
    s->healthcheck_failed = failed;
    weir_server_health_tell(s, failed);
}

static void healthcheck_fail(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)r;
    healthcheck_set(ctx, true);
    text(reply, "OK\n");
}

static void healthcheck_ok(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)r;
    healthcheck_set(ctx, false);
    text(reply, "OK\n");
}

static void quit(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    (void)r;
    weir_server_drain(s, 0, (uint64_t)s->o.drain_time_s * 1000);
    text(reply, "OK\n");
}

static void reopen_logs(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)r;
    weir_log_reopen();
    weir_server_logs_reopen(ctx);
    text(reply, "OK\n");
}

static void hot_restart_version(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)ctx;
    (void)r;
    text(reply, WEIR_HOT_RESTART_VERSION);
}

static void config_dump(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    weir_config_dump(s, r, reply);
}

static void clusters(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    weir_clusters_page(s, r, reply);
}

/* A page of stats that closes the histograms' interval before it is rendered (stats_flush_on_admin). */
struct flushed_page {
    struct weir_admin_source source;
    struct weir_stats_flush *flush; /* NULL: done */
    struct weir_admin_source *page;
};

static bool flushed_more(struct weir_admin_source *source, struct weir_out *out)
{
    struct flushed_page *p = WEIR_CONTAINER_OF(source, struct flushed_page, source);
    if (p->flush == NULL) return p->page->more(p->page, out);
    if (weir_stats_flush_step(p->flush)) return true;
    weir_stats_flush_destroy(p->flush);
    p->flush = NULL;
    return true;
}

static void flushed_destroy(struct weir_admin_source *source)
{
    struct flushed_page *p = WEIR_CONTAINER_OF(source, struct flushed_page, source);
    weir_stats_flush_destroy(p->flush);
    p->page->destroy(p->page);
    free(p);
}

void weir_server_flush_first(struct weir_server *s, struct weir_admin_reply *reply)
{
    if (s->stats_flush_interval_ms != 0 || reply->source == NULL) return;
    struct flushed_page *p = calloc(1, sizeof(*p));
    if (p == NULL) abort();
    *p = (struct flushed_page){.source = {flushed_more, flushed_destroy}, .flush = weir_stats_flush_create(s->stats), .page = reply->source};
    reply->source = &p->source;
}

static void stats(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    weir_server_stats_refresh(s);
    weir_admin_stats(s->stats, r, reply);
    weir_server_flush_first(s, reply);
}

static void stats_prometheus(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    weir_server_stats_refresh(s);
    weir_admin_stats_prometheus(s->stats, r, reply);
    weir_server_flush_first(s, reply);
}

static void reset_counters(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    (void)r;
    weir_admin_reset_counters(s->stats, reply);
}

static void drain_listeners(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    enum weir_listeners_drain how = weir_admin_param(r, WEIR_STR("skip_exit")).p != NULL  ? WEIR_DRAIN_AND_STAY
                                    : weir_admin_param(r, WEIR_STR("graceful")).p != NULL ? WEIR_DRAIN_GRACEFULLY
                                                                                           : WEIR_DRAIN_AT_ONCE;
    weir_publisher_drain_listeners(s->publisher, weir_admin_param(r, WEIR_STR("inboundonly")).p != NULL, how);
    text(reply, "OK\n");
}

static void certs(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)r;
    weir_certs_page(ctx, reply);
}

struct unready {
    struct weir_out *out;
    bool first;
};

static void unready_print(void *ctx, enum weir_resource_type type, struct weir_str name, const char *waits_for)
{
    struct unready *u = ctx;
    weir_out_printf(u->out, "%s\n  {\n   \"name\": ", u->first ? "" : ",");
    u->first = false;
    struct weir_out text = {0};
    weir_out_printf(&text, "init manager %s %.*s", type == WEIR_CLUSTERS ? "Cluster" : "Listener-local-init-manager", WEIR_STR_ARG(name));
    weir_out_string(u->out, (struct weir_str){text.p, text.n});
    weir_out_printf(u->out, ",\n   \"target_names\": [\n    ");
    weir_out_string(u->out, weir_str_of(waits_for));
    weir_out_printf(u->out, "\n   ]\n  }");
    weir_out_deinit(&text);
}

/* What has not been initialised yet, with what it waits for; {} once all has. */
static void init_dump(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    struct weir_out list = {0};
    struct unready u = {&list, true};
    struct weir_str mask = weir_admin_param(r, WEIR_STR("mask"));
    reply->content_type = WEIR_ADMIN_JSON;
    weir_publisher_each_warming(s->publisher, unready_print, &u);
    bool wanted = mask.n == 0 || weir_str_eq(mask, WEIR_STR("listener"));
    if (u.first || !wanted) text(reply, "{}\n");
    else weir_out_printf(&reply->body, "{\n \"unready_targets_dumps\": [%.*s\n ]\n}\n", (int)list.n, list.p);
    weir_out_deinit(&list);
}

/* Lookups of names are not tracked: weir makes none on the way of a request. */
static void recent_lookups(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)ctx;
    (void)r;
    text(reply, "Lookup tracking is not enabled.\n\ntotal: 0\n");
}

static void recent_lookups_enable(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)ctx;
    (void)r;
    reply->status = 501;
    text(reply, "The current build does not track lookups of stat names");
}

static void recent_lookups_end(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)ctx;
    (void)r;
    text(reply, "OK\n");
}

/* weir has no profiler inside: perf and valgrind look at it from outside. */
static void profiler(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    static const struct {
        const char *path, *what;
    } all[] = {{"/cpuprofiler", "cpu profiler"}, {"/heapprofiler", "heap profiler"}, {"/heap_dump", "heap dump"}, {"/peak_heap_dump", "peak heap dump"}};
    const char *what = "allocation profiler";
    struct weir_str enable = weir_admin_param(r, WEIR_STR("enable"));
    (void)ctx;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (weir_str_eq(r->path, weir_str_of(all[i].path))) what = all[i].what;
    bool asks = what == all[0].what || strcmp(what, "allocation profiler") == 0;
    if (asks && !weir_str_eq(enable, WEIR_STR("y")) && !weir_str_eq(enable, WEIR_STR("n"))) {
        reply->status = 400;
        text(reply, "?enable=<y|n>\n");
        return;
    }
    reply->status = 501;
    weir_out_printf(&reply->body, "The current build does not support %s", what);
}

/* Answered as Envoy does where it is not asked to trace its mutexes. */
static void contention(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)ctx;
    (void)r;
    text(reply, "Mutex contention tracing is not enabled. To enable, run Envoy with flag --enable-mutex-tracing.");
}

static const struct weir_admin_page pages[] = {
    {"/allocprofiler", "enable/disable the allocation profiler (if supported)", true, profiler,
     "enable: enable/disable the allocation profiler; One of (y, n)\n"},
    {"/certs", "print certs on machine", false, certs, NULL},
    {"/clusters", "upstream cluster status", false, clusters, "filter: Regular expression (Google re2) for filtering clusters by name\n"},
    {"/config_dump", "dump current Envoy configs", false, config_dump,
     "resource: The resource to dump\n"
     "mask: The mask to apply. When both resource and mask are specified, the mask is applied to every element in the desired repeated field so "
     "that only a subset of fields are returned. The mask is parsed as a Protobuf::FieldMask\n"
     "name_regex: Dump only the currently loaded configurations whose names match the specified regex. Can be used with both resource and mask "
     "query parameters.\n"
     "include_eds: Dump currently loaded configuration including EDS. See the response definition for more information\n"},
    {"/contention", "dump current Envoy mutex contention stats (if enabled)", false, contention, NULL},
    {"/cpuprofiler", "enable/disable the CPU profiler", true, profiler, "enable: enables the CPU profiler; One of (y, n)\n"},
    {"/drain_listeners", "drain listeners", true, drain_listeners,
     "graceful: When draining listeners, enter a graceful drain period prior to closing listeners. This behaviour and duration is configurable via "
     "server options or CLI\n"
     "skip_exit: When draining listeners, drain the connections but never stop the listeners. The graceful parameter has no effect when this is "
     "set, since the drain period only delays stopping the listeners\n"
     "inboundonly: Drains all inbound listeners. traffic_direction field in envoy_v3_api_msg_config.listener.v3.Listener is used to determine "
     "whether a listener is inbound or outbound.\n"},
    {"/healthcheck/fail", "cause the server to fail health checks", true, healthcheck_fail, NULL},
    {"/healthcheck/ok", "cause the server to pass health checks", true, healthcheck_ok, NULL},
    {"/heap_dump", "dump current Envoy heap (if supported)", false, profiler, NULL},
    {"/heapprofiler", "enable/disable the heap profiler", true, profiler, "enable: enable/disable the heap profiler; One of (y, n)\n"},
    {"/help", "print out list of admin commands", false, NULL, NULL},
    {"/hot_restart_version", "print the hot restart compatibility version", false, hot_restart_version, NULL},
    {"/init_dump", "dump current Envoy init manager information (experimental)", false, init_dump,
     "mask: The desired component to dump unready targets. The mask is parsed as a Protobuf::FieldMask. For example, get the unready targets of "
     "all listeners with /init_dump?mask=listener`\n"},
    {"/listeners", "print listener info", false, listeners, "format: File format to use; One of (text, json)\n"},
    {"/logging", "query/change logging levels", true, logging,
     "paths: Change multiple logging levels by setting to <logger_name1>:<desired_level1>,<logger_name2>:<desired_level2>. If fine grain logging "
     "is enabled, use __FILE__ or a glob experision as the logger name. For example, source/common*:warning\n"
     "group: Change given logger group to desired level, set to <logger_group_name>:<desired_level>. logger_group_name must be a logger name.\n"
     "level: desired logging level, this will change all loggers's level; One of (, trace, debug, info, warning, error, critical, off)\n"},
    {"/memory", "print current allocation/heap usage", false, memory, NULL},
    {"/memory/tcmalloc", "print TCMalloc stats", false, memory_allocator, NULL},
    {"/peak_heap_dump", "dump peak Envoy heap (if supported)", false, profiler, NULL},
    {"/quitquitquit", "exit the server", true, quit, NULL},
    {"/ready", "print server state, return 200 if LIVE, otherwise return 503", false, ready, NULL},
    {"/reopen_logs", "reopen access logs", true, reopen_logs, NULL},
    {"/reset_counters", "reset all counters to zero", true, reset_counters, NULL},
    {"/runtime", "print runtime values", false, runtime, NULL},
    {"/runtime_modify",
     "Adds or modifies runtime values as passed in query parameters. To delete a previously added key, use an empty string as the value. Note that "
     "deletion only applies to overrides added via this endpoint; values loaded from disk can be modified via override but not deleted. E.g. "
     "?key1=value1&key2=value2...",
     true, runtime_modify, NULL},
    {"/server_info", "print server version/status information", false, server_info, NULL},
    {"/stats", "print server stats", false, stats,
     "usedonly: Only include stats that have been written by system since restart\n"
     "filter: Regular expression (Google re2) for filtering stats\n"
     "invert_filter: Invert the filter regex\n"
     "format: Format to use; One of (html, active-html, text, json)\n"
     "type: Stat types to include.; One of (All, Counters, Histograms, Gauges, TextReadouts)\n"
     "histogram_buckets: Histogram bucket display mode; One of (cumulative, disjoint, detailed, summary)\n"},
    {"/stats/prometheus", "print server stats in prometheus format", false, stats_prometheus,
     "usedonly: Only include stats that have been written by system since restart\n"
     "text_readouts: Render text_readouts as new gaugues with value 0 (increases Prometheus data size)\n"
     "filter: Regular expression (Google re2) for filtering stats\n"
     "invert_filter: Invert the filter regex\n"
     "histogram_buckets: Histogram bucket display mode; One of (cumulative, summary)\n"},
    {"/stats/recentlookups", "Show recent stat-name lookups", false, recent_lookups, NULL},
    {"/stats/recentlookups/clear", "clear list of stat-name lookups and counter", true, recent_lookups_end, NULL},
    {"/stats/recentlookups/disable", "disable recording of reset stat-name lookup names", true, recent_lookups_end, NULL},
    {"/stats/recentlookups/enable", "enable recording of reset stat-name lookup names", true, recent_lookups_enable, NULL},
};

enum weir_err weir_server_admin_start(struct weir_server *s, struct weir_error *e)
{
    char address[WEIR_ADDRESS_TEXT_MAX];
    if (!s->b.has_admin) {
        WEIR_LOG(MAIN, WARNING, "No admin address given, so no admin HTTP server started.");
        return WEIR_OK;
    }
    enum weir_err err = weir_admin_create(s->control, &s->b.admin, pages, sizeof(pages) / sizeof(pages[0]), s, &s->admin, e);
    if (err != WEIR_OK) return weir_error_prefix(e, "admin");
    weir_server_stats_admin(s);
    weir_address_print(weir_admin_address(s->admin), address);
    WEIR_LOG(MAIN, INFO, "admin address: %s", address);
    if (s->o.admin_address_path == NULL) return WEIR_OK;
    FILE *f = fopen(s->o.admin_address_path, "w");
    if (f == NULL || fputs(address, f) < 0 || fclose(f) != 0)
        return weir_error_set(e, WEIR_ERR_IO, "--admin-address-path: %s cannot be written", s->o.admin_address_path);
    return WEIR_OK;
}

void weir_server_admin_stop(struct weir_server *s)
{
    weir_admin_destroy(s->admin);
    s->admin = NULL;
}
