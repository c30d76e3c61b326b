/* RetryPolicy messages of routes and virtual hosts. */
#include "dataplane/config/compile_route.h"

#include "dataplane/base/str.h"
#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb-c.h"

#define BACK_OFF_BASE_MS 25

static enum weir_err compile_host_predicate(struct weir_compile *c, const Envoy__Config__Route__V3__RetryPolicy__RetryHostPredicate *pb,
                                            struct weir_retry_policy *out)
{
    const ProtobufCMessageDescriptor *previous =
        &envoy__extensions__retry__host__previous_hosts__v3__previous_hosts_predicate__descriptor;
    out->previous_hosts = true;
    if (pb->config_type_case != ENVOY__CONFIG__ROUTE__V3__RETRY_POLICY__RETRY_HOST_PREDICATE__CONFIG_TYPE_TYPED_CONFIG) {
        if (weir_str_eq(weir_str_of(pb->name), WEIR_STR("envoy.retry_host_predicates.previous_hosts")))
            return WEIR_OK;
        return weir_reject(c, "typed_config", "is required");
    }
    const ProtobufCMessage *config = NULL;
    enum weir_err err = weir_compile_any(c, "typed_config", pb->typed_config, &config);
    if (err != WEIR_OK || config->descriptor == previous)
        return err;
    return weir_reject(c, "typed_config", "%s is not supported", config->descriptor->name);
}

static enum weir_err compile_back_off(struct weir_compile *c, const pb_retry_policy *pb, struct weir_retry_policy *out)
{
    out->back_off_base_ms = BACK_OFF_BASE_MS;
    if (pb->retry_back_off != NULL)
        out->back_off_base_ms = weir_duration_ms(pb->retry_back_off->base_interval, BACK_OFF_BASE_MS);
    out->back_off_max_ms = out->back_off_base_ms * 10;
    if (pb->retry_back_off == NULL || pb->retry_back_off->max_interval == NULL)
        return WEIR_OK;
    out->back_off_max_ms = weir_duration_ms(pb->retry_back_off->max_interval, 0);
    if (out->back_off_max_ms >= out->back_off_base_ms)
        return WEIR_OK;
    return weir_reject(c, "retry_back_off.max_interval", "must be greater than or equal to the base_interval");
}

enum weir_err weir_route_compile_retry(struct weir_compile *c, const pb_retry_policy *pb, const struct weir_retry_policy **out)
{
    *out = NULL;
    if (pb == NULL)
        return WEIR_OK;
    struct weir_retry_policy *p = weir_new(c, struct weir_retry_policy, 1);
    *out = p;
    p->on = weir_retry_on_parse(weir_str_of(pb->retry_on));
    p->num_retries = pb->num_retries != NULL ? pb->num_retries->value : 1;
    p->per_try_timeout_ms = weir_duration_ms(pb->per_try_timeout, 0);
    p->per_try_idle_timeout_ms = weir_duration_ms(pb->per_try_idle_timeout, 0);
    p->host_selection_max_attempts = 1;
    if (pb->host_selection_retry_max_attempts < 0 || pb->host_selection_retry_max_attempts > UINT32_MAX)
        return weir_reject(c, "host_selection_retry_max_attempts", "out of range");
    if (pb->host_selection_retry_max_attempts > 0)
        p->host_selection_max_attempts = (uint32_t)pb->host_selection_retry_max_attempts;
    if (pb->n_retriable_status_codes > 0) {
        uint32_t *codes = weir_new(c, uint32_t, pb->n_retriable_status_codes);
        memcpy(codes, pb->retriable_status_codes, pb->n_retriable_status_codes * sizeof *codes);
        p->status_codes = codes;
        p->status_code_count = (uint32_t)pb->n_retriable_status_codes;
    }
    enum weir_err err = compile_back_off(c, pb, p);
    for (size_t i = 0; i < pb->n_retry_host_predicate && err == WEIR_OK; i++) {
        size_t mark = weir_path_push(c, "retry_host_predicate", (int)i);
        err = compile_host_predicate(c, pb->retry_host_predicate[i], p);
        weir_path_pop(c, mark);
    }
    return err;
}
