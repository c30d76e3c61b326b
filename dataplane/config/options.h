/* The command line, flag by flag as Envoy's. */
#ifndef WEIR_CONFIG_OPTIONS_H
#define WEIR_CONFIG_OPTIONS_H

#include <stdio.h>

#include "dataplane/base/error.h"
#include "dataplane/base/log.h"

enum weir_mode { WEIR_MODE_SERVE, WEIR_MODE_VALIDATE, WEIR_MODE_VERSION, WEIR_MODE_HELP, WEIR_MODE_SUPPORT, WEIR_MODE_HOT_RESTART_VERSION };
#define WEIR_OPTIONS_UNUSED_MAX 64

/* Strings point into argv or are literals. */
struct weir_options {
    enum weir_mode mode;
    const char *config_path, *config_yaml; /* NULL: not given */
    const char *service_node, *service_cluster, *service_zone, *admin_address_path, *probe_address;
    const char *log_path, *log_format, *component_log_level;
    enum weir_log_level log_level;
    uint32_t concurrency; /* 0: from the CPU quota */
    bool concurrency_given;
    uint64_t base_id;
    uint32_t drain_time_s, drain_min_time_s, parent_shutdown_time_s, file_flush_interval_ms;
    bool drain_immediately, cpuset_threads, allow_unknown_fields, reject_unknown_dynamic_fields, ignore_unknown_dynamic_fields;
    /* Flags of Envoy that weir takes and does not need: main warns once for each. */
    struct {
        const char *name, *value; /* "" for a switch */
    } unused[WEIR_OPTIONS_UNUSED_MAX];
    uint32_t unused_count;
};
/* What stands after a lone "--" is ignored. */
enum weir_err weir_options_parse(int argc, char **argv, struct weir_options *out, struct weir_error *e) WEIR_MUST_USE;
void weir_options_help(FILE *to);

#endif
