/* What clusters of type ORIGINAL_DST have of their own. Called by compile_cluster.c. */
#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"
#include "dataplane/config/compile_cluster.h"
#include "envoy/type/metadata/v3/metadata.pb-c.h"

#define CLEANUP_INTERVAL_MS_DEFAULT 5000u

static void metadata_key_compile(struct weir_compile *c, const Envoy__Type__Metadata__V3__MetadataKey *k, struct weir_original_dst_config *out)
{
    if (k == NULL) return;
    struct weir_str *path = weir_new(c, struct weir_str, k->n_path + 1);
    for (size_t i = 0; i < k->n_path; i++) path[i] = weir_compile_str(c, k->path[i]->key);
    out->metadata_key = weir_compile_str(c, k->key);
    out->metadata_path = path;
    out->metadata_path_count = (uint32_t)k->n_path;
}

static enum weir_err header_compile(struct weir_compile *c, const char *name, struct weir_original_dst_config *out)
{
    struct weir_str given = weir_str_of(name);
    if (given.n == 0) {
        out->header = WEIR_STR("x-envoy-original-dst-host");
        return WEIR_OK;
    }
    if (!weir_header_name_valid(given)) return weir_reject(c, "original_dst_lb_config.http_header_name", "'%.100s' is no header name", name);
    struct weir_str lower = weir_compile_str(c, name);
    for (size_t i = 0; i < lower.n; i++) ((char *)(uintptr_t)lower.p)[i] = weir_lower(lower.p[i]);
    out->header = lower;
    return WEIR_OK;
}

enum weir_err weir_original_dst_compile(struct weir_compile *c, const ProtobufCMessage *cluster, struct weir_original_dst_config *out)
{
    const pb_cluster *p = (const pb_cluster *)(const void *)cluster;
    if (p->load_assignment != NULL) return weir_reject(c, "load_assignment", "ORIGINAL_DST clusters must have no load assignment configured");
    if (p->lb_policy != ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__CLUSTER_PROVIDED)
        return weir_reject(c, "lb_policy", "Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'");
    out->cleanup_interval_ms = weir_duration_ms(p->cleanup_interval, CLEANUP_INTERVAL_MS_DEFAULT);
    if (p->lb_config_case != ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_ORIGINAL_DST_LB_CONFIG) return WEIR_OK;
    const Envoy__Config__Cluster__V3__Cluster__OriginalDstLbConfig *o = p->original_dst_lb_config;
    if (!o->use_http_header && o->http_header_name[0] != '\0')
        return weir_reject(c, "original_dst_lb_config.http_header_name", "set, while use_http_header is false");
    out->has_port = o->upstream_port_override != NULL;
    out->port = out->has_port ? (uint16_t)o->upstream_port_override->value : 0;
    metadata_key_compile(c, o->metadata_key, out);
    return o->use_http_header ? header_compile(c, o->http_header_name, out) : WEIR_OK;
}
