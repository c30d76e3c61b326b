/* weir: reads flags and bootstrap, then runs. Exit codes as Envoy's: 0 good, 1 bad flags, configuration or sockets. */
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/command/command.h"
#include "dataplane/config/server.h"
#include "dataplane/version.h"

static void on_note(void *ctx, const struct weir_support_note *n)
{
    const char *in = n->message[0] != '\0' ? " in " : "";
    (void)ctx;
    switch (n->kind) {
    case WEIR_SUPPORT_IGNORED: WEIR_LOG(CONFIG, WARNING, "%s (at %s) is ignored: %s", n->field, n->path, n->detail); break;
    case WEIR_SUPPORT_DEPRECATED:
        WEIR_LOG(MISC, WARNING, "Deprecated field: Using deprecated option '%s'%s%s (at %s%s%s). The API will do without it one day", n->field,
                 n->detail[0] != '\0' ? ", value " : "", n->detail, n->path, in, n->message);
        break;
    case WEIR_SUPPORT_WORK_IN_PROGRESS:
        WEIR_LOG(MISC, WARNING, "field '%s' is marked as work-in-progress (at %s%s%s). The API may change it at any time", n->field, n->path, in, n->message);
        break;
    case WEIR_SUPPORT_DYNAMIC_UNKNOWN:
        WEIR_LOG(CONFIG, WARNING, "Unknown field: type %s with unknown field set {%s}", n->field, n->detail);
        break;
    case WEIR_SUPPORT_STATIC_UNKNOWN:
        WEIR_LOG(CONFIG, WARNING, "Unknown field: type %s has no field '%s' (at %s)", n->field, n->detail, n->path);
        break;
    case WEIR_SUPPORT_KINDS: break;
    }
}

static int refuse(const struct weir_error *e, const char *when)
{
    WEIR_LOG(MAIN, CRITICAL, "%s: %s", when, e->text);
    fprintf(stderr, "%s\n", e->text);
    return 1;
}

static int component_levels_set(const char *list)
{
    for (const char *at = list; at != NULL && *at != '\0';) {
        size_t n = strcspn(at, ","), colon = strcspn(at, ":");
        enum weir_log_level level;
        if (colon >= n || !weir_log_level_parse((struct weir_str){at + colon + 1, n - colon - 1}, &level)) {
            fprintf(stderr, "error: component log level not correctly specified '%.*s'\n", (int)n, at);
            return 1;
        }
        if (!weir_log_set_component_level((struct weir_str){at, colon}, level))
            WEIR_LOG(MAIN, WARNING, "--component-log-level: weir has no component '%.*s'", (int)colon, at);
        at += n + (at[n] == ',');
    }
    return 0;
}

static int validate(const struct weir_options *o, struct weir_bootstrap *b, struct weir_support_log *support)
{
    struct weir_error e = {0};
    struct weir_names *names = weir_names_create();
    struct weir_stats_registry *stats = weir_stats_registry_create(1);
    struct weir_compile_memory *memory = weir_compile_memory_create();
    struct weir_compile_env env = {weir_names_for_compile(names), stats, 1, support, NULL, &b->self, b->runtime_at_start};
    enum weir_err err = weir_bootstrap_compile(b, &env, memory, &e);
    if (err == WEIR_OK) printf("configuration '%s' OK\n", o->config_path != NULL ? o->config_path : "");
    weir_bootstrap_deinit(b);
    weir_compile_memory_destroy(memory);
    weir_names_destroy(names);
    weir_stats_registry_destroy(stats);
    return err == WEIR_OK ? 0 : refuse(&e, "error initializing configuration");
}

static int serve(const struct weir_options *o, struct weir_bootstrap *b, struct weir_support_log *support)
{
    struct weir_error e = {0};
    struct weir_server *server = NULL;
    if (weir_server_create(o, b, support, &server, &e) != WEIR_OK) {
        int code = refuse(&e, "error initializing config");
        WEIR_LOG(MAIN, INFO, "exiting");
        return code;
    }
    int code = weir_server_run(server);
    weir_server_destroy(server);
    WEIR_LOG(MAIN, INFO, "exiting");
    return code;
}

static int configured(const struct weir_options *o)
{
    struct weir_error e = {0};
    struct weir_bootstrap b;
    enum weir_unknown_policy unknown = o->reject_unknown_dynamic_fields ? WEIR_UNKNOWN_REJECT
                                       : o->ignore_unknown_dynamic_fields ? WEIR_UNKNOWN_IGNORE
                                                                          : WEIR_UNKNOWN_TELL;
    struct weir_support_log *support = weir_support_log_create(on_note, NULL, unknown);
    int code;
    if (weir_bootstrap_load(o, support, &b, &e) != WEIR_OK) code = refuse(&e, "error initializing configuration");
    else code = o->mode == WEIR_MODE_VALIDATE ? validate(o, &b, support) : serve(o, &b, support);
    weir_support_log_destroy(support);
    return code;
}

int main(int argc, char **argv)
{
    struct weir_options o;
    struct weir_error e = {0};
    char why[256];
    int code;
    if (weir_command_run(argc, argv, &code)) return code;
    if (weir_options_parse(argc, argv, &o, &e) != WEIR_OK) {
        fprintf(stderr, "%s\n\nFor complete USAGE and HELP type:\n   %s --help\n", e.text, argv[0]);
        return 1;
    }
    switch (o.mode) {
    case WEIR_MODE_VERSION: printf("\n%s  version: %s\n\n", argv[0], weir_version); return 0;
    case WEIR_MODE_HOT_RESTART_VERSION: fprintf(stderr, "%s\n", WEIR_HOT_RESTART_VERSION); return 0;
    case WEIR_MODE_HELP: weir_options_help(stdout); return 0;
    case WEIR_MODE_SUPPORT: weir_support_print(stdout); return 0;
    case WEIR_MODE_SERVE:
    case WEIR_MODE_VALIDATE: break;
    }
    if (weir_log_open(o.log_path, o.log_format, why, sizeof(why)) != WEIR_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    weir_log_set_level(o.log_level);
    if (component_levels_set(o.component_log_level) != 0) return 1;
    for (uint32_t i = 0; i < o.unused_count; i++) WEIR_LOG(MAIN, WARNING, "--%s is accepted and has no effect in weir", o.unused[i].name);
    return configured(&o);
}
