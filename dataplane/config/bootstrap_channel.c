/* What the xDS channel takes of the static cluster that envoy_grpc names: where it is, how to speak TLS to it, when to ask for a
 * sign of life. The channel is gRPC's own (xds/ads_channel.c), not the data path's: what that would do and gRPC can not is
 * refused by name. */
#include "dataplane/base/data_source.h"
#include "dataplane/base/str.h"
#include "dataplane/config/bootstrap_internal.h"
#include "dataplane/config/compile_dns.h"
#include "dataplane/config/compile_tls.h"
#include "google/protobuf/any.pb-c.h"
#include "xds/wire_check.h"

/* Who is asked for names: "" the system's own servers, else the first of the cluster's. gRPC asks one. */
static const char *name_server(struct weir_bootstrap *b, const struct weir_dns_config *resolver)
{
    char text[WEIR_ADDRESS_TEXT_MAX];
    if (resolver->resolver_count == 0) return "";
    (void)weir_address_print(&resolver->resolvers[0], text);
    return weir_arena_str(&b->arena, weir_str_of(text)).p;
}

/* One endpoint's address in gRPC's notation, NULL when it has none that gRPC could use. */
static const char *grpc_address(struct weir_bootstrap *b, const pb_address *a, bool dns, const struct weir_dns_config *resolver, const char **scheme)
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
    if (numeric) return weir_arena_printf(&b->arena, "%s:%u", s->address, s->port_value).p;
    return weir_arena_printf(&b->arena, "//%s/%s:%u", name_server(b, resolver), s->address, s->port_value).p;
}

/* "ipv4:10.0.0.1:80,10.0.0.2:80": all endpoints where they are of one kind, else the first. */
static enum weir_err target_fill(struct weir_bootstrap *b, const pb_cluster *c, size_t index, struct weir_ads_config *out, struct weir_error *e)
{
    struct weir_dns_config resolver = {0};
    struct weir_compile compile = {.arena = &b->arena, .scratch = &b->scratch, .error = e};
    (void)weir_path_push(&compile, "static_resources", -1);
    (void)weir_path_push(&compile, "clusters", (int)index);
    enum weir_err err = weir_cluster_dns_compile(&compile, c, &resolver);
    if (err != WEIR_OK) return err;
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
            const char *at = grpc_address(b, p->endpoint->address, dns, &resolver, &scheme);
            if (at == NULL) continue;
            bool many = first_scheme != NULL && strncmp(scheme, "ip", 2) == 0 && strcmp(scheme, first_scheme) == 0;
            if (first_scheme == NULL) target = weir_arena_printf(&b->arena, "%s:%s", scheme, at);
            else if (many) target = weir_arena_printf(&b->arena, "%.*s,%s", WEIR_STR_ARG(target), at);
            if (first_scheme == NULL) first_scheme = scheme;
        }
    }
    if (target.n == 0)
        return weir_error_set(e, WEIR_ERR_INVALID, "static_resources.clusters[%zu].load_assignment: the ADS stream needs an endpoint of it", index);
    out->target = target.p;
    return WEIR_OK;
}

static enum weir_err refuse(struct weir_compile *c, const char *field)
{
    return weir_reject(c, field, "weir does not support it for the cluster of an xDS stream");
}

static enum weir_err pem(struct weir_compile *c, const char *field, const pb_data_source *d, const char **out)
{
    struct weir_str bytes = {0};
    enum weir_err err = weir_data_source_compile(c, field, d, &bytes);
    if (err == WEIR_OK) *out = bytes.n > 0 ? bytes.p : NULL;
    return err;
}

static enum weir_err parameters_check(struct weir_compile *c, const pb_tls_parameters *p)
{
    if (p == NULL) return WEIR_OK;
    size_t mark = weir_path_push(c, "tls_params", -1);
    if (p->tls_minimum_protocol_version == ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_3)
        return weir_reject(c, "tls_minimum_protocol_version", "weir supports TLSv1_2 at most for the cluster of an xDS stream");
    if (p->tls_maximum_protocol_version != ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLS_AUTO &&
        p->tls_maximum_protocol_version != ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_3)
        return refuse(c, "tls_maximum_protocol_version");
    if (p->n_cipher_suites > 0) return refuse(c, "cipher_suites");
    if (p->n_ecdh_curves > 0) return refuse(c, "ecdh_curves");
    if (p->n_signature_algorithms > 0) return refuse(c, "signature_algorithms");
    weir_path_pop(c, mark);
    return WEIR_OK;
}

static enum weir_err certificate_fill(struct weir_compile *c, const pb_common_tls *t, struct weir_ads_config *out)
{
    if (t->n_tls_certificates == 0) return WEIR_OK;
    size_t mark = weir_path_push(c, "tls_certificates", 0);
    if (t->tls_certificates[0]->password != NULL) return refuse(c, "password");
    enum weir_err err = pem(c, "certificate_chain", t->tls_certificates[0]->certificate_chain, &out->certificate_pem);
    if (err == WEIR_OK) err = pem(c, "private_key", t->tls_certificates[0]->private_key, &out->key_pem);
    if (err == WEIR_OK) weir_path_pop(c, mark);
    return err;
}

static enum weir_err validation_fill(struct weir_compile *c, const pb_validation_context *v, struct weir_ads_config *out)
{
    size_t mark = weir_path_push(c, "validation_context", -1);
    if (v->n_verify_certificate_hash > 0) return refuse(c, "verify_certificate_hash");
    if (v->n_verify_certificate_spki > 0) return refuse(c, "verify_certificate_spki");
    if (v->crl != NULL) return refuse(c, "crl");
    if (v->allow_expired_certificate) return refuse(c, "allow_expired_certificate");
    if (v->max_verify_depth != NULL) return refuse(c, "max_verify_depth");
    if (v->trust_chain_verification != 0) return refuse(c, "trust_chain_verification");
    enum weir_err err = pem(c, "trusted_ca", v->trusted_ca, &out->root_pem);
    if (err == WEIR_OK) err = weir_tls_sans_compile(c, v, &out->sans, &out->san_count);
    if (err == WEIR_OK) weir_path_pop(c, mark);
    return err;
}

static enum weir_err tls_fill(struct weir_compile *c, const pb_cluster *p, struct weir_ads_config *out)
{
    if (p->transport_socket == NULL || p->transport_socket->typed_config == NULL) return WEIR_OK;
    (void)weir_path_push(c, "transport_socket", -1);
    const ProtobufCMessage *m = NULL;
    enum weir_err err = weir_compile_any(c, "typed_config", p->transport_socket->typed_config, &m);
    if (err != WEIR_OK || m->descriptor != &pb_upstream_tls_type) return err; /* raw_buffer; others the cluster itself refuses */
    const pb_upstream_tls *t = (const pb_upstream_tls *)(const void *)m;
    (void)weir_path_push(c, "typed_config", -1);
    if (t->auto_sni_san_validation) return refuse(c, "auto_sni_san_validation");
    out->tls = true;
    out->server_name = t->sni[0] != '\0' ? weir_compile_str(c, t->sni).p : NULL;
    const pb_common_tls *common = t->common_tls_context;
    if (common == NULL) return WEIR_OK;
    (void)weir_path_push(c, "common_tls_context", -1);
    err = parameters_check(c, common->tls_params);
    if (err == WEIR_OK) err = certificate_fill(c, common, out);
    if (err == WEIR_OK && common->validation_context_type_case ==
                              ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_VALIDATION_CONTEXT)
        err = validation_fill(c, common->validation_context, out);
    return err;
}

static const pb_http2_protocol_options *h2_of(const pb_upstream_http_options *h)
{
    switch (h->upstream_protocol_options_case) {
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG:
        return h->explicit_http_config->protocol_config_case ==
                       ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP2_PROTOCOL_OPTIONS
                   ? h->explicit_http_config->http2_protocol_options
                   : NULL;
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_USE_DOWNSTREAM_PROTOCOL_CONFIG:
        return h->use_downstream_protocol_config->http2_protocol_options;
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_AUTO_CONFIG:
        return h->auto_config->http2_protocol_options;
    default: return NULL;
    }
}

/* http2_protocol_options.connection_keepalive, where the cluster says what it says of HTTP. */
static enum weir_err keepalive_fill(struct weir_compile *c, const pb_cluster *p, struct weir_ads_config *out)
{
    const pb_http2_protocol_options *h2 = p->http2_protocol_options;
    for (size_t i = 0; i < p->n_typed_extension_protocol_options; i++) {
        const ProtobufCMessage *m = NULL;
        size_t mark = weir_path_push(c, "typed_extension_protocol_options", -1);
        enum weir_err err = weir_compile_any(c, p->typed_extension_protocol_options[i]->key, p->typed_extension_protocol_options[i]->value, &m);
        if (err != WEIR_OK) return err;
        weir_path_pop(c, mark);
        if (m->descriptor == &pb_upstream_http_options_type) h2 = h2_of((const pb_upstream_http_options *)(const void *)m);
    }
    if (h2 == NULL || h2->connection_keepalive == NULL) return WEIR_OK;
    uint64_t interval = weir_duration_ms(h2->connection_keepalive->interval, 0), timeout = weir_duration_ms(h2->connection_keepalive->timeout, 0);
    out->keepalive_ms = interval < INT32_MAX ? (uint32_t)interval : INT32_MAX;
    out->keepalive_timeout_ms = timeout < INT32_MAX ? (uint32_t)timeout : INT32_MAX;
    return WEIR_OK;
}

enum weir_err weir_bootstrap_channel(struct weir_bootstrap *b, const pb_cluster *cluster, size_t index, struct weir_ads_config *out,
                                     struct weir_error *e)
{
    struct weir_compile c = {.arena = &b->arena, .scratch = &b->scratch, .error = e};
    enum weir_err err = target_fill(b, cluster, index, out, e);
    if (err != WEIR_OK) return err;
    uint64_t connect_ms = weir_duration_ms(cluster->connect_timeout, 0);
    out->connect_timeout_ms = connect_ms < INT32_MAX ? (uint32_t)connect_ms : INT32_MAX;
    (void)weir_path_push(&c, "static_resources", -1);
    size_t mark = weir_path_push(&c, "clusters", (int)index);
    err = keepalive_fill(&c, cluster, out);
    weir_path_pop(&c, mark);
    (void)weir_path_push(&c, "clusters", (int)index);
    return err != WEIR_OK ? err : tls_fill(&c, cluster, out);
}
