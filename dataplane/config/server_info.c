/* /server_info: version, state, and the command line under Envoy's names, in its order. */
#include "dataplane/base/str.h"
#include "dataplane/config/server_info.h"
#include "dataplane/version.h"
#include "xds/pb_tree.h"

static void text(struct weir_out *o, const char *name, const char *value)
{
    weir_out_printf(o, "  \"%s\": ", name);
    weir_out_string(o, weir_str_of(value != NULL ? value : ""));
    weir_out_printf(o, ",\n");
}

static void flag(struct weir_out *o, const char *name, bool set)
{
    weir_out_printf(o, "  \"%s\": %s,\n", name, set ? "true" : "false");
}

static void number(struct weir_out *o, const char *name, uint64_t v)
{
    weir_out_printf(o, "  \"%s\": %llu,\n", name, (unsigned long long)v);
}

/* A Duration as protobuf's JSON has it: no more digits than needed, by threes. */
static void duration(struct weir_out *o, const char *name, uint64_t ms)
{
    weir_out_printf(o, "  \"%s\": \"%llu", name, (unsigned long long)(ms / 1000));
    if (ms % 1000 != 0) weir_out_printf(o, ".%03u", (unsigned)(ms % 1000));
    weir_out_printf(o, "s\",\n");
}

/* Of a flag that weir takes and does not use; NULL: not given. */
static const char *unused(const struct weir_options *options, const char *flag_name)
{
    for (uint32_t i = options->unused_count; i-- > 0;)
        if (strcmp(options->unused[i].name, flag_name) == 0) return options->unused[i].value;
    return NULL;
}

static void unused_text(struct weir_out *o, const char *name, const struct weir_options *options, const char *flag_name, const char *otherwise)
{
    const char *value = unused(options, flag_name);
    text(o, name, value != NULL ? value : otherwise);
}

static void unused_flag(struct weir_out *o, const char *name, const struct weir_options *options, const char *flag_name)
{
    flag(o, name, unused(options, flag_name) != NULL);
}

/* Every value that the flag was given, each of which may hold several. */
static void unused_list(struct weir_out *o, const char *name, const struct weir_options *options, const char *flag_name, char separator)
{
    bool first = true;
    weir_out_printf(o, "  \"%s\": [", name);
    for (uint32_t i = 0; i < options->unused_count; i++) {
        if (strcmp(options->unused[i].name, flag_name) != 0) continue;
        for (struct weir_str rest = weir_str_of(options->unused[i].value); rest.n > 0;) {
            size_t n = weir_str_find(rest, separator);
            weir_out_printf(o, "%s\n   ", first ? "" : ",");
            weir_out_string(o, (struct weir_str){rest.p, n});
            first = false;
            n += n < rest.n;
            rest = (struct weir_str){rest.p + n, rest.n - n};
        }
    }
    weir_out_printf(o, "%s],\n", first ? "" : "\n  ");
}

static void options_print(const struct weir_options *x, uint32_t workers, struct weir_out *o)
{
    weir_out_printf(o, " \"command_line_options\": {\n  \"base_id\": \"%llu\",\n", (unsigned long long)x->base_id);
    number(o, "concurrency", workers);
    text(o, "config_path", x->config_path);
    text(o, "config_yaml", x->config_yaml);
    flag(o, "allow_unknown_static_fields", x->allow_unknown_fields);
    text(o, "admin_address_path", x->admin_address_path);
    unused_text(o, "local_address_ip_version", x, "local-address-ip-version", "v4");
    text(o, "log_level", weir_log_level_name(x->log_level));
    text(o, "component_log_level", x->component_log_level);
    text(o, "log_format", x->log_format != NULL ? x->log_format : WEIR_LOG_FORMAT_DEFAULT);
    text(o, "log_path", x->log_path);
    text(o, "service_cluster", x->service_cluster);
    text(o, "service_node", x->service_node);
    text(o, "service_zone", x->service_zone);
    duration(o, "file_flush_interval", x->file_flush_interval_ms);
    duration(o, "drain_time", (uint64_t)x->drain_time_s * 1000);
    duration(o, "parent_shutdown_time", (uint64_t)x->parent_shutdown_time_s * 1000);
    text(o, "mode", "Serve");
    flag(o, "disable_hot_restart", true); /* there is none, whatever the flag */
    unused_flag(o, "enable_mutex_tracing", x, "enable-mutex-tracing");
    number(o, "restart_epoch", 0);
    flag(o, "cpuset_threads", x->cpuset_threads);
    flag(o, "reject_unknown_dynamic_fields", x->reject_unknown_dynamic_fields);
    unused_flag(o, "log_format_escaped", x, "log-format-escaped");
    unused_list(o, "disabled_extensions", x, "disable-extensions", ',');
    flag(o, "ignore_unknown_dynamic_fields", x->ignore_unknown_dynamic_fields);
    unused_flag(o, "use_dynamic_base_id", x, "use-dynamic-base-id");
    unused_text(o, "base_id_path", x, "base-id-path", "");
    text(o, "drain_strategy", x->drain_immediately ? "Immediate" : "Gradual");
    unused_flag(o, "enable_fine_grain_logging", x, "enable-fine-grain-logging");
    unused_text(o, "socket_path", x, "socket-path", "@envoy_domain_socket");
    number(o, "socket_mode", 0);
    flag(o, "enable_core_dump", false);
    unused_list(o, "stats_tag", x, "stats-tag", '\0');
    unused_flag(o, "skip_hot_restart_on_no_parent", x, "skip-hot-restart-on-no-parent");
    unused_flag(o, "skip_hot_restart_parent_stats", x, "skip-hot-restart-parent-stats");
    unused_flag(o, "skip_deprecated_logs", x, "skip-deprecated-logs");
    number(o, "file_flush_min_size", 0);
    weir_out_printf(o, "  \"log_stacktrace_single_entry\": %s\n },\n", unused(x, "log-stacktrace-single-entry") != NULL ? "true" : "false");
}

void weir_server_info(struct weir_server *s, struct weir_admin_reply *reply)
{
    struct weir_out *o = &reply->body;
    enum weir_server_state state = s->healthcheck_failed && s->state == WEIR_LIVE ? WEIR_DRAINING : s->state;
    uint64_t up = (s->control->now_ns - s->start_ns) / 1000000000u;
    reply->content_type = WEIR_ADMIN_JSON;
    weir_out_printf(o, "{\n \"version\": \"weir/%s/Clean/RELEASE/OpenSSL\",\n \"state\": \"%s\",\n", weir_version, weir_server_state_name(state));
    weir_out_printf(o, " \"uptime_current_epoch\": \"%llus\",\n \"uptime_all_epochs\": \"%llus\",\n \"hot_restart_version\": \"%s\",\n",
                    (unsigned long long)up, (unsigned long long)up, WEIR_HOT_RESTART_VERSION);
    options_print(&s->o, s->worker_count, o);
    weir_out_printf(o, " \"node\": ");
    weir_pb_to_json(&s->b.node->base, &(struct weir_json_options){.indent = 1, .level = 1, .redact = true}, o);
    weir_out_printf(o, ",\n \"hot_restart_initializing\": false\n}\n");
}
