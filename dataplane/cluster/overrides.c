/* Limits and outlier detection as the runtime wants them. */
#include "dataplane/cluster/overrides.h"

#include <stddef.h>
#include <stdlib.h>

#include "dataplane/limits.h"

/* ---- circuit breakers ---- */

struct prefix {
    const struct weir_runtime *runtime;
    struct weir_arena arena;
    struct weir_str text; /* "circuit_breakers.NAME.PRIORITY." */
};

static struct weir_str key(struct prefix *p, const char *leaf)
{
    return weir_arena_printf(&p->arena, "%.*s%s", WEIR_STR_ARG(p->text), leaf);
}

static void limit(struct prefix *p, const char *leaf, uint64_t *value)
{
    *value = weir_runtime_u64(p->runtime, key(p, leaf), *value);
}

static void limits_fill(struct prefix *p, struct weir_breaker_limits *l)
{
    limit(p, "max_connections", &l->connections);
    limit(p, "max_pending_requests", &l->pending);
    limit(p, "max_requests", &l->requests);
    limit(p, "max_retries", &l->retries);
    limit(p, "max_connection_pools", &l->pools);
    struct weir_str percent = key(p, "retry_budget.budget_percent"), min = key(p, "retry_budget.min_retry_concurrency");
    if (weir_runtime_get(p->runtime, percent).p == NULL && weir_runtime_get(p->runtime, min).p == NULL) return;
    /* Either key makes a budget where the configuration has none. */
    uint64_t floor = weir_runtime_u64(p->runtime, min, l->has_budget ? l->budget_min : WEIR_RETRY_BUDGET_MIN_DEFAULT);
    l->budget_percent = weir_runtime_double(p->runtime, percent, l->has_budget ? l->budget_percent : WEIR_RETRY_BUDGET_PERCENT_DEFAULT);
    l->budget_min = floor < UINT32_MAX ? (uint32_t)floor : UINT32_MAX;
    if (!(l->budget_percent >= 0)) l->budget_percent = 0;
    l->has_budget = true;
}

/* ---- outlier detection ---- */

static const struct {
    struct weir_str key;
    size_t offset;
    bool wide; /* uint64_t; else uint32_t */
} outlier_keys[] = {
#define WIDE(name, field) {WEIR_STR_INIT("outlier_detection." name), offsetof(struct weir_outlier_config, field), true}
#define PLAIN(name, field) {WEIR_STR_INIT("outlier_detection." name), offsetof(struct weir_outlier_config, field), false}
    WIDE("interval_ms", interval_ms),
    WIDE("base_ejection_time_ms", base_ejection_ms),
    WIDE("max_ejection_time_ms", max_ejection_ms),
    WIDE("max_ejection_time_jitter_ms", jitter_ms),
    PLAIN("consecutive_5xx", consecutive_5xx),
    PLAIN("consecutive_gateway_failure", consecutive_gateway_failure),
    PLAIN("consecutive_local_origin_failure", consecutive_local_origin_failure),
    PLAIN("max_ejection_percent", max_ejection_percent),
    PLAIN("enforcing_consecutive_5xx", enforcing_5xx),
    PLAIN("enforcing_consecutive_gateway_failure", enforcing_gateway_failure),
    PLAIN("enforcing_consecutive_local_origin_failure", enforcing_local_origin_failure),
    PLAIN("enforcing_success_rate", enforcing_success_rate),
    PLAIN("enforcing_local_origin_success_rate", enforcing_local_success_rate),
    PLAIN("enforcing_failure_percentage", enforcing_failure_percentage),
    PLAIN("enforcing_failure_percentage_local_origin", enforcing_local_failure_percentage),
    PLAIN("success_rate_minimum_hosts", success_rate_minimum_hosts),
    PLAIN("success_rate_request_volume", success_rate_request_volume),
    PLAIN("success_rate_stdev_factor", success_rate_stdev_factor),
    PLAIN("failure_percentage_threshold", failure_percentage_threshold),
    PLAIN("failure_percentage_minimum_hosts", failure_percentage_minimum_hosts),
    PLAIN("failure_percentage_request_volume", failure_percentage_request_volume),
#undef WIDE
#undef PLAIN
};

static void outlier_fill(const struct weir_runtime *runtime, struct weir_outlier_config *o)
{
    for (size_t i = 0; i < sizeof(outlier_keys) / sizeof(outlier_keys[0]); i++) {
        void *at = (char *)o + outlier_keys[i].offset;
        if (outlier_keys[i].wide) {
            uint64_t *value = at;
            *value = weir_runtime_u64(runtime, outlier_keys[i].key, *value);
        } else {
            uint32_t *value = at;
            uint64_t v = weir_runtime_u64(runtime, outlier_keys[i].key, *value);
            *value = v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
        }
    }
    /* An interval of nothing would keep the control thread busy with nothing else. */
    if (o->interval_ms == 0) o->interval_ms = 1;
}

/* ---- both ---- */

struct weir_cluster_overrides *weir_cluster_overrides_create(const struct weir_cluster_config *config, const struct weir_runtime *runtime)
{
    bool breakers = weir_runtime_has_group(runtime, WEIR_STR("circuit_breakers"));
    bool outlier = config->outlier.enabled && weir_runtime_has_group(runtime, WEIR_STR("outlier_detection"));
    if (!breakers && !outlier) return NULL;
    struct weir_cluster_overrides *o = malloc(sizeof(*o));
    if (o == NULL) abort();
    *o = (struct weir_cluster_overrides){{config->limits[0], config->limits[1]}, config->outlier};
    for (int i = 0; breakers && i < 2; i++) {
        struct prefix p = {.runtime = runtime};
        p.text = weir_arena_printf(&p.arena, "circuit_breakers.%.*s.%s.", WEIR_STR_ARG(config->resource.name), i == 0 ? "default" : "high");
        limits_fill(&p, &o->limits[i]);
        weir_arena_deinit(&p.arena);
    }
    if (outlier) outlier_fill(runtime, &o->outlier);
    return o;
}
