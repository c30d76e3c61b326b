/* One table of flags: parsing, help and the list of accepted but unused ones all read it. */
#include "dataplane/config/options.h"

#include <stddef.h>
#include <stdio.h>

#include "dataplane/base/str.h"

enum kind { TEXT, NUMBER32, NUMBER64, SWITCH, CHOICE, UNUSED_VALUE, UNUSED_SWITCH };
struct flag {
    const char *name; /* without the dashes */
    char letter;
    enum kind kind;
    size_t offset; /* in struct weir_options; for SWITCH of a bool, for CHOICE see choose() */
    const char *help;
};
#define AT(member) offsetof(struct weir_options, member)
static const struct flag flags[] = {
    {"config-path", 'c', TEXT, AT(config_path), "bootstrap file, YAML or JSON"},
    {"config-yaml", 0, TEXT, AT(config_yaml), "bootstrap as inline YAML, merged over the file"},
    {"mode", 0, CHOICE, 0, "serve (default) or validate: check the configuration and exit"},
    {"concurrency", 0, NUMBER32, AT(concurrency), "worker threads; default: CPUs that the cgroup and the affinity mask allow"},
    {"service-node", 0, TEXT, AT(service_node), "node id, wins over the bootstrap's"},
    {"service-cluster", 0, TEXT, AT(service_cluster), "node cluster, wins over the bootstrap's"},
    {"service-zone", 0, TEXT, AT(service_zone), "zone of the node's locality, wins over the bootstrap's"},
    {"log-level", 'l', CHOICE, 1, "trace, debug, info (default), warning, error, critical or off"},
    {"component-log-level", 0, TEXT, AT(component_log_level), "levels of single components: upstream:debug,config:trace"},
    {"log-path", 0, TEXT, AT(log_path), "log file; default: stderr"},
    {"log-format", 0, TEXT, AT(log_format), "log line format"},
    {"admin-address-path", 0, TEXT, AT(admin_address_path), "file that gets the admin address once it listens"},
    {"probe-address", 0, TEXT, AT(probe_address), "ADDRESS:PORT for /startup, /ready, /live and /stats/prometheus; stays up in a drain"},
    {"base-id", 0, NUMBER64, AT(base_id), "number of this instance on the host"},
    {"drain-time-s", 0, NUMBER32, AT(drain_time_s), "longest drain, seconds; default 600"},
    {"drain-min-time-s", 0, NUMBER32, AT(drain_min_time_s),
     "shortest drain, seconds: so long new connections are still taken and told to end with their first answer; default 0"},
    {"drain-strategy", 0, CHOICE, 2, "gradual (default) or immediate"},
    {"file-flush-interval-msec", 0, NUMBER32, AT(file_flush_interval_ms), "longest wait of an access log line; default 1000"},
    {"parent-shutdown-time-s", 0, NUMBER32, AT(parent_shutdown_time_s), "kept for hot restart; default 900"},
    {"cpuset-threads", 0, SWITCH, AT(cpuset_threads), "count workers by the CPU affinity mask"},
    {"allow-unknown-static-fields", 0, SWITCH, AT(allow_unknown_fields), "pass over fields of the bootstrap that weir does not know"},
    {"reject-unknown-dynamic-fields", 0, SWITCH, AT(reject_unknown_dynamic_fields), "refuse resources with fields that weir does not know"},
    {"ignore-unknown-dynamic-fields", 0, SWITCH, AT(ignore_unknown_dynamic_fields), "do not count or tell of such fields"},
    {"version", 0, CHOICE, 3, "print the version and exit"},
    {"hot-restart-version", 0, CHOICE, 4, "print the hot restart version and exit"},
    {"support", 0, CHOICE, 5, "print what weir does with each field of the API and exit"},
    {"help", 'h', CHOICE, 6, "print this text and exit"},
    {"file-flush-min-size-kb", 0, UNUSED_VALUE, 0, NULL},
    {"restart-epoch", 0, UNUSED_VALUE, 0, NULL},
    {"base-id-path", 0, UNUSED_VALUE, 0, NULL},
    {"use-dynamic-base-id", 0, UNUSED_SWITCH, 0, NULL},
    {"disable-hot-restart", 0, UNUSED_SWITCH, 0, NULL},
    {"socket-path", 0, UNUSED_VALUE, 0, NULL},
    {"socket-mode", 0, UNUSED_VALUE, 0, NULL},
    {"local-address-ip-version", 0, UNUSED_VALUE, 0, NULL},
    {"disable-extensions", 0, UNUSED_VALUE, 0, NULL},
    {"stats-tag", 0, UNUSED_VALUE, 0, NULL},
    {"log-format-escaped", 0, UNUSED_SWITCH, 0, NULL},
    {"enable-fine-grain-logging", 0, UNUSED_SWITCH, 0, NULL},
    {"enable-mutex-tracing", 0, UNUSED_SWITCH, 0, NULL},
    {"enable-core-dump", 0, UNUSED_SWITCH, 0, NULL},
    {"skip-hot-restart-on-no-parent", 0, UNUSED_SWITCH, 0, NULL},
    {"skip-hot-restart-parent-stats", 0, UNUSED_SWITCH, 0, NULL},
    {"skip-deprecated-logs", 0, UNUSED_SWITCH, 0, NULL},
    {"log-stacktrace-single-entry", 0, UNUSED_SWITCH, 0, NULL},
};
#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

static enum weir_err choose(struct weir_options *o, size_t which, const char *value, struct weir_error *e)
{
    switch (which) {
    case 0:
        if (strcmp(value, "serve") == 0) o->mode = WEIR_MODE_SERVE;
        else if (strcmp(value, "validate") == 0) o->mode = WEIR_MODE_VALIDATE;
        else return weir_error_set(e, WEIR_ERR_INVALID, "error: unknown mode '%s'", value);
        return WEIR_OK;
    case 1:
        if (!weir_log_level_parse(weir_str_of(value), &o->log_level))
            return weir_error_set(e, WEIR_ERR_INVALID, "error: invalid log level specified '%s'", value);
        return WEIR_OK;
    case 2:
        if (strcmp(value, "immediate") == 0) o->drain_immediately = true;
        else if (strcmp(value, "gradual") == 0) o->drain_immediately = false;
        else return weir_error_set(e, WEIR_ERR_INVALID, "error: unknown drain-strategy '%s'", value);
        return WEIR_OK;
    case 3: o->mode = WEIR_MODE_VERSION; return WEIR_OK;
    case 4: o->mode = WEIR_MODE_HOT_RESTART_VERSION; return WEIR_OK;
    case 5: o->mode = WEIR_MODE_SUPPORT; return WEIR_OK;
    default: o->mode = WEIR_MODE_HELP; return WEIR_OK;
    }
}

static bool takes_value(const struct flag *f)
{
    return f->kind == TEXT || f->kind == NUMBER32 || f->kind == NUMBER64 || f->kind == UNUSED_VALUE ||
           (f->kind == CHOICE && f->offset < 3);
}

static enum weir_err flag_take(struct weir_options *o, const struct flag *f, const char *value, struct weir_error *e)
{
    void *to = (char *)o + f->offset;
    uint64_t number = 0;
    switch (f->kind) {
    case TEXT: *(const char **)to = value; return WEIR_OK;
    case SWITCH: *(bool *)to = true; return WEIR_OK;
    case CHOICE: return choose(o, f->offset, value, e);
    case NUMBER32:
    case NUMBER64:
        if (!weir_str_u64(weir_str_of(value), &number) || (f->kind == NUMBER32 && number > UINT32_MAX))
            return weir_error_set(e, WEIR_ERR_INVALID, "PARSE ERROR: Argument: (--%s)\n             Couldn't read argument value from string '%s'",
                                  f->name, value);
        if (f->kind == NUMBER64) *(uint64_t *)to = number;
        else *(uint32_t *)to = (uint32_t)number;
        if (to == (void *)&o->concurrency) o->concurrency_given = true;
        return WEIR_OK;
    case UNUSED_VALUE:
    case UNUSED_SWITCH:
        if (o->unused_count == WEIR_OPTIONS_UNUSED_MAX) return WEIR_OK;
        o->unused[o->unused_count].name = f->name;
        o->unused[o->unused_count++].value = f->kind == UNUSED_VALUE ? value : "";
        return WEIR_OK;
    }
    return WEIR_OK;
}

/* "--name", "--name=value" or "-x"; *value: what stands after '=', else NULL. */
static const struct flag *flag_find(const char *arg, const char **value)
{
    *value = NULL;
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        const struct flag *f = &flags[i];
        if (arg[1] != '-') {
            if (f->letter != 0 && arg[1] == f->letter && (arg[2] == '\0' || takes_value(f))) {
                if (arg[2] != '\0') *value = arg + 2;
                return f;
            }
            continue;
        }
        size_t n = strlen(f->name);
        if (strncmp(arg + 2, f->name, n) != 0 || (arg[2 + n] != '\0' && arg[2 + n] != '=')) continue;
        if (arg[2 + n] == '=') *value = arg + 3 + n;
        return f;
    }
    return NULL;
}

enum weir_err weir_options_parse(int argc, char **argv, struct weir_options *out, struct weir_error *e)
{
    *out = (struct weir_options){.log_level = WEIR_LOG_INFO, .drain_time_s = 600, .parent_shutdown_time_s = 900, .file_flush_interval_ms = 1000};
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *value;
        if (strcmp(arg, "--") == 0) return WEIR_OK;
        const struct flag *f = arg[0] == '-' && arg[1] != '\0' ? flag_find(arg, &value) : NULL;
        if (f == NULL)
            return weir_error_set(e, WEIR_ERR_INVALID, "PARSE ERROR: Argument: %s\n             Couldn't find match for argument", arg);
        if (takes_value(f) && value == NULL) {
            if (i + 1 >= argc)
                return weir_error_set(e, WEIR_ERR_INVALID, "PARSE ERROR: Argument: (--%s)\n             Missing a value for this argument!", f->name);
            value = argv[++i];
        }
        enum weir_err err = flag_take(out, f, value, e);
        if (err != WEIR_OK) return err;
    }
    return WEIR_OK;
}

void weir_options_help(FILE *to)
{
    fprintf(to, "USAGE: weir -c FILE [flags]\n       weir wait|drain --help\n\n");
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        const struct flag *f = &flags[i];
        if (f->help == NULL) continue;
        fputs("  ", to);
        if (f->letter != 0) fprintf(to, "-%c, ", f->letter);
        fprintf(to, "--%s%s\n        %s\n", f->name, takes_value(f) ? " VALUE" : "", f->help);
    }
}
