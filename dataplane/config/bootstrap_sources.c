/* Where the dynamic configuration comes from: the ADS stream's target out of the static cluster that envoy_grpc names, and
 * the sources of CDS and LDS. */
#include <stdio.h>

#include "dataplane/base/str.h"
#include "dataplane/config/bootstrap_internal.h"
#include "google/protobuf/any.pb-c.h"
#include "xds/wire_check.h"

static const pb_cluster *cluster_find(const struct weir_bootstrap *b, const char *name, size_t *index)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *s = b->pb->static_resources;
    for (*index = 0; s != NULL && *index < s->n_clusters; (*index)++)
        if (strcmp(s->clusters[*index]->name, name) == 0) return s->clusters[*index];
    return NULL;
}

/* One endpoint's address in gRPC's notation, NULL when it has none that gRPC could use. */
static const char *grpc_address(struct weir_bootstrap *b, const pb_address *a, bool dns, const char **scheme)
{
    if (a == NULL) return NULL;
    if (a->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE) {
        bool abstract = a->pipe->path[0] == '@';
        *scheme = abstract ? "unix-abstract" : "unix";
        return weir_arena_str(&b->arena, weir_str_of(a->pipe->path + (abstract ? 1 : 0))).p;
    }
    if (a->address_case != ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS) return NULL;
    const pb_socket_address *s = a->socket_address;
    struct weir_address ip;
    bool numeric = weir_address_parse(weir_str_of(s->address), (uint16_t)s->port_value, &ip);
    if (!numeric && !dns) return NULL;
    *scheme = !numeric ? "dns" : ip.any.sa_family == AF_INET6 ? "ipv6" : "ipv4";
    if (numeric && ip.any.sa_family == AF_INET6) return weir_arena_printf(&b->arena, "[%s]:%u", s->address, s->port_value).p;
    return weir_arena_printf(&b->arena, "%s%s:%u", numeric ? "" : "///", s->address, s->port_value).p;
}

/* "ipv4:10.0.0.1:80,10.0.0.2:80": all endpoints where they are of one kind, else the first. */
static enum weir_err target_fill(struct weir_bootstrap *b, const pb_cluster *c, size_t index, struct weir_error *e)
{
    bool dns = c->cluster_discovery_type_case == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE &&
               (c->type == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STRICT_DNS ||
                c->type == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__LOGICAL_DNS);
    const char *first_scheme = NULL;
    struct weir_str target = {0};
    const pb_load_assignment *l = c->load_assignment;
    for (size_t i = 0; l != NULL && i < l->n_endpoints; i++) {
        for (size_t j = 0; j < l->endpoints[i]->n_lb_endpoints; j++) {
            const pb_lb_endpoint *p = l->endpoints[i]->lb_endpoints[j];
            const char *scheme = NULL;
            if (p->host_identifier_case != ENVOY__CONFIG__ENDPOINT__V3__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT) continue;
            const char *at = grpc_address(b, p->endpoint->address, dns, &scheme);
            if (at == NULL) continue;
            bool many = first_scheme != NULL && strncmp(scheme, "ip", 2) == 0 && strcmp(scheme, first_scheme) == 0;
            if (first_scheme == NULL) target = weir_arena_printf(&b->arena, "%s:%s", scheme, at);
            else if (many) target = weir_arena_printf(&b->arena, "%.*s,%s", WEIR_STR_ARG(target), at);
            if (first_scheme == NULL) first_scheme = scheme;
        }
    }
    if (target.n == 0)
        return weir_error_set(e, WEIR_ERR_INVALID, "static_resources.clusters[%zu].load_assignment: the ADS stream needs an endpoint of it", index);
    b->ads.target = target.p;
    return WEIR_OK;
}

static enum weir_err data_source_read(struct weir_bootstrap *b, const pb_data_source *d, const char *path, const char **out, struct weir_error *e)
{
    struct weir_str bytes;
    *out = NULL;
    if (d == NULL) return WEIR_OK;
    switch (d->specifier_case) {
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING: *out = d->inline_string; return WEIR_OK;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES:
        *out = weir_arena_str(&b->arena, (struct weir_str){(const char *)d->inline_bytes.data, d->inline_bytes.len}).p;
        return WEIR_OK;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME: {
        enum weir_err err = weir_tree_read_file(&b->arena, d->filename, &bytes, e);
        if (err != WEIR_OK) return weir_error_prefix(e, "%s", path);
        *out = weir_arena_str(&b->arena, bytes).p;
        return WEIR_OK;
    }
    default: return weir_error_set(e, WEIR_ERR_UNSUPPORTED, "%s: filename, inline_string or inline_bytes was expected", path);
    }
}

static enum weir_err tls_fill(struct weir_bootstrap *b, const pb_cluster *c, size_t index, struct weir_error *e)
{
    if (c->transport_socket == NULL || c->transport_socket->typed_config == NULL) return WEIR_OK;
    const pb_any *any = c->transport_socket->typed_config;
    const char *slash = strrchr(any->type_url, '/');
    if (strcmp(slash != NULL ? slash + 1 : any->type_url, pb_upstream_tls_type.name) != 0) return WEIR_OK; /* raw_buffer */
    ProtobufCMessage *m = NULL;
    enum weir_err err = weir_pb_decode(&b->arena, &pb_upstream_tls_type, (struct weir_str){(const char *)any->value.data, any->value.len}, &m, e);
    if (err != WEIR_OK) return weir_error_prefix(e, "static_resources.clusters[%zu].transport_socket", index);
    const pb_upstream_tls *t = (const pb_upstream_tls *)(const void *)m;
    b->ads.tls = true;
    b->ads.server_name = t->sni != NULL && t->sni[0] != '\0' ? t->sni : NULL;
    const pb_common_tls *common = t->common_tls_context;
    if (common == NULL) return WEIR_OK;
    char path[160];
    snprintf(path, sizeof(path), "static_resources.clusters[%zu].transport_socket.typed_config.common_tls_context", index);
    if (common->n_tls_certificates > 0) {
        err = data_source_read(b, common->tls_certificates[0]->certificate_chain, path, &b->ads.certificate_pem, e);
        if (err == WEIR_OK) err = data_source_read(b, common->tls_certificates[0]->private_key, path, &b->ads.key_pem, e);
    }
    if (err == WEIR_OK && common->validation_context_type_case ==
                              ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_VALIDATION_CONTEXT) {
        err = data_source_read(b, common->validation_context->trusted_ca, path, &b->ads.root_pem, e);
        b->ads.verify_server_name = common->validation_context->n_match_typed_subject_alt_names > 0;
    }
    return err;
}

static enum weir_err ads_fill(struct weir_bootstrap *b, const pb_api_config_source *a, struct weir_error *e)
{
    const char *const path = "dynamic_resources.ads_config";
    bool delta = a->api_type == ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__DELTA_GRPC;
    if (!delta && a->api_type != ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__GRPC)
        return weir_error_set(e, WEIR_ERR_UNSUPPORTED, "%s.api_type: GRPC or DELTA_GRPC was expected", path);
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
    enum weir_err err = target_fill(b, c, index, e);
    return err != WEIR_OK ? err : tls_fill(b, c, index, e);
}

static enum weir_err source_fill(struct weir_bootstrap *b, const pb_config_source *s, const char *path, struct weir_source *out, struct weir_error *e)
{
    if (s == NULL) return WEIR_OK;
    out->initial_fetch_timeout_ms = weir_duration_ms(s->initial_fetch_timeout, 15000);
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
