/* Where the dynamic configuration comes from: the ADS stream, and the sources of CDS and LDS. */
#include "dataplane/base/str.h"
#include "dataplane/config/bootstrap_internal.h"
#include "dataplane/limits.h"

static const pb_cluster *cluster_find(const struct weir_bootstrap *b, const char *name, size_t *index)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *s = b->whole->static_resources;
    for (*index = 0; s != NULL && *index < s->n_clusters; (*index)++)
        if (strcmp(s->clusters[*index]->name, name) == 0) return s->clusters[*index];
    return NULL;
}

static enum weir_err ads_fill(struct weir_bootstrap *b, const pb_api_config_source *a, struct weir_error *e)
{
    const char *const path = "dynamic_resources.ads_config";
    bool delta = a->api_type == ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__DELTA_GRPC;
    if (!delta && a->api_type != ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__GRPC)
        return weir_error_set(e, WEIR_ERR_UNSUPPORTED, "%s.api_type: GRPC or DELTA_GRPC was expected", path);
    if (a->transport_api_version == ENVOY__CONFIG__CORE__V3__API_VERSION__V2)
        return weir_error_set(e, WEIR_ERR_UNSUPPORTED, "%s.transport_api_version: only V3 is supported", path);
    if (a->n_grpc_services == 0) return weir_error_set(e, WEIR_ERR_INVALID, "%s.grpc_services: one is required", path);
    const pb_grpc_service *g = a->grpc_services[0];
    if (g->target_specifier_case != ENVOY__CONFIG__CORE__V3__GRPC_SERVICE__TARGET_SPECIFIER_ENVOY_GRPC)
        return weir_error_set(e, WEIR_ERR_UNSUPPORTED, "%s.grpc_services[0].google_grpc: weir does not support it, name a static cluster in envoy_grpc", path);
    size_t index;
    const char *name = g->envoy_grpc->cluster_name;
    const pb_cluster *c = cluster_find(b, name, &index);
    if (c == NULL)
        return weir_error_set(e, WEIR_ERR_INVALID, "%s.grpc_services[0].envoy_grpc.cluster_name: '%s' is not a static cluster", path, name);
    b->has_ads = true;
    b->ads_cluster = weir_str_of(name);
    b->ads.delta = delta;
    b->ads.node = &b->node->base;
    b->ads.node_on_first_message_only = a->set_node_on_first_message_only;
    b->ads.authority = g->envoy_grpc->authority[0] != '\0' ? g->envoy_grpc->authority : name;
    b->ads.back_off_base_ms = 500;
    b->ads.back_off_max_ms = 30000;
    struct weir_str *metadata = WEIR_NEW(&b->arena, struct weir_str, 2 * g->n_initial_metadata + 1);
    for (size_t i = 0; i < g->n_initial_metadata; i++) {
        metadata[2 * i] = weir_str_of(g->initial_metadata[i]->key);
        metadata[2 * i + 1] = weir_str_of(g->initial_metadata[i]->value);
    }
    b->ads.metadata = metadata;
    b->ads.metadata_count = g->n_initial_metadata;
    return weir_bootstrap_channel(b, c, index, &b->ads, e);
}

static enum weir_err source_fill(struct weir_bootstrap *b, const pb_config_source *s, const char *path, struct weir_source *out, struct weir_error *e)
{
    if (s == NULL) return WEIR_OK;
    if (s->resource_api_version == ENVOY__CONFIG__CORE__V3__API_VERSION__V2)
        return weir_error_set(e, WEIR_ERR_UNSUPPORTED, "%s.resource_api_version: only V3 is supported", path);
    out->initial_fetch_timeout_ms = weir_duration_ms(s->initial_fetch_timeout, WEIR_INITIAL_FETCH_TIMEOUT_MS_DEFAULT);
    switch (s->config_source_specifier_case) {
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS:
        out->kind = WEIR_FROM_ADS;
        if (b->has_ads) return WEIR_OK;
        return weir_error_set(e, WEIR_ERR_INVALID, "%s.ads: dynamic_resources.ads_config is not set", path);
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_PATH_CONFIG_SOURCE:
        out->kind = WEIR_FROM_FILE;
        out->path = weir_str_of(s->path_config_source->path);
        if (s->path_config_source->watched_directory != NULL) out->watched_directory = weir_str_of(s->path_config_source->watched_directory->path);
        return WEIR_OK;
    default:
        return weir_error_set(e, WEIR_ERR_UNSUPPORTED, "%s: weir takes ads or path_config_source", path);
    }
}

enum weir_err weir_bootstrap_sources(struct weir_bootstrap *b, struct weir_error *e)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__DynamicResources *d = b->pb->dynamic_resources;
    if (d == NULL) return WEIR_OK;
    enum weir_err err = WEIR_OK;
    if (d->ads_config != NULL) err = ads_fill(b, d->ads_config, e);
    if (err == WEIR_OK) err = source_fill(b, d->cds_config, "dynamic_resources.cds_config", &b->cds, e);
    if (err == WEIR_OK) err = source_fill(b, d->lds_config, "dynamic_resources.lds_config", &b->lds, e);
    return err;
}
