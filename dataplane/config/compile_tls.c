/* DownstreamTlsContext and UpstreamTlsContext → struct weir_tls_spec → a context. What weir does not take is refused by the
 * support table before; here remain values that it does not take. */
#include "dataplane/config/compile_tls.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"

static enum weir_tls_version version_of(int pb)
{
    switch (pb) {
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_0: return WEIR_TLS_1_0;
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_1: return WEIR_TLS_1_1;
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_2: return WEIR_TLS_1_2;
    case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_3: return WEIR_TLS_1_3;
    default: return WEIR_TLS_AUTO;
    }
}

/* Joined by ":". The API's groups of equals, "[A|B]", become A:B: OpenSSL ranks all. */
static struct weir_str join(struct weir_arena *a, size_t count, char **pb)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        n += strlen(pb[i]) + 1;
    char *out = WEIR_NEW(a, char, n + 1);
    for (size_t i = 0; i < count; i++) {
        if (at != 0) out[at++] = ':';
        for (const char *p = pb[i]; *p != 0; p++)
            if (*p != '[' && *p != ']') out[at++] = *p == '|' ? ':' : *p;
    }
    return (struct weir_str){out, at};
}

static enum weir_err compile_parameters(struct weir_compile *c, const pb_tls_parameters *pb, struct weir_tls_spec *out)
{
    if (pb == NULL) return WEIR_OK;
    out->min = version_of(pb->tls_minimum_protocol_version);
    out->max = version_of(pb->tls_maximum_protocol_version);
    out->ciphers = join(c->arena, pb->n_cipher_suites, pb->cipher_suites);
    out->groups = join(c->arena, pb->n_ecdh_curves, pb->ecdh_curves);
    out->signature_algorithms = join(c->arena, pb->n_signature_algorithms, pb->signature_algorithms);
    return WEIR_OK;
}

static struct weir_str path_of(struct weir_compile *c, const pb_data_source *s)
{
    bool file = s != NULL && s->specifier_case == ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME;
    return file ? weir_compile_str(c, s->filename) : WEIR_STR("<inline>");
}

static enum weir_err compile_certificates(struct weir_compile *c, const pb_common_tls *pb, struct weir_tls_spec *out)
{
    struct weir_tls_certificate *at = weir_new(c, struct weir_tls_certificate, pb->n_tls_certificates + 1);
    for (size_t i = 0; i < pb->n_tls_certificates; i++) {
        const pb_tls_certificate *x = pb->tls_certificates[i];
        size_t mark = weir_path_push(c, "tls_certificates", (int)i);
        enum weir_err err = weir_data_source_compile(c, "certificate_chain", x->certificate_chain, &at[i].chain_pem);
        if (err == WEIR_OK) err = weir_data_source_compile(c, "private_key", x->private_key, &at[i].key_pem);
        if (err == WEIR_OK) err = weir_data_source_compile(c, "password", x->password, &at[i].password);
        if (err != WEIR_OK) return err;
        at[i].path = path_of(c, x->certificate_chain);
        if (at[i].chain_pem.n == 0) return weir_reject(c, "certificate_chain", "a certificate is needed");
        if (at[i].key_pem.n == 0) return weir_reject(c, "private_key", "a private key is needed");
        weir_path_pop(c, mark);
    }
    out->certificates = at;
    out->certificate_count = (uint32_t)pb->n_tls_certificates;
    return WEIR_OK;
}

enum weir_err weir_tls_sans_compile(struct weir_compile *c, const void *validation_context, const struct weir_san_match **out,
                                    uint32_t *count)
{
    const pb_validation_context *pb = validation_context;
    struct weir_san_match *at = weir_new(c, struct weir_san_match, pb->n_match_typed_subject_alt_names + 1);
    for (size_t i = 0; i < pb->n_match_typed_subject_alt_names; i++) {
        const pb_san_matcher *m = pb->match_typed_subject_alt_names[i];
        size_t mark = weir_path_push(c, "match_typed_subject_alt_names", (int)i);
        switch (m->san_type) {
        case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__EMAIL: at[i].type = WEIR_SAN_EMAIL; break;
        case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__DNS: at[i].type = WEIR_SAN_DNS; break;
        case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__URI: at[i].type = WEIR_SAN_URI; break;
        case ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__IP_ADDRESS: at[i].type = WEIR_SAN_IP; break;
        default: return weir_reject(c, "san_type", "only EMAIL, DNS, URI and IP_ADDRESS are supported");
        }
        enum weir_err err = weir_string_matcher_compile(c, "matcher", -1, m->matcher, &at[i].matcher);
        if (err != WEIR_OK) return err;
        weir_path_pop(c, mark);
    }
    *out = at;
    *count = (uint32_t)pb->n_match_typed_subject_alt_names;
    return WEIR_OK;
}

static int hex_digit(char c)
{
    c = weir_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 64 digits, or with a colon between bytes. */
static bool parse_hash(const char *text, uint8_t out[32])
{
    for (size_t i = 0; i < 32; i++) {
        if (i != 0 && *text == ':') text++;
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0) return false;
        out[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return *text == 0;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* 44 characters for 32 bytes. */
static bool parse_spki(const char *text, uint8_t out[32])
{
    uint32_t bits = 0, have = 0;
    size_t n = 0;
    if (strlen(text) != 44 || text[43] != '=') return false;
    for (size_t i = 0; i < 43; i++) {
        int d = base64_digit(text[i]);
        if (d < 0) return false;
        bits = bits << 6 | (uint32_t)d;
        have += 6;
        if (have >= 8 && n < 32) out[n++] = (uint8_t)(bits >> (have -= 8));
    }
    return n == 32;
}

static enum weir_err compile_pins(struct weir_compile *c, const pb_validation_context *pb, struct weir_tls_spec *out)
{
    uint8_t(*hashes)[32] = weir_arena_alloc(c->arena, 32 * (pb->n_verify_certificate_hash + 1));
    uint8_t(*spkis)[32] = weir_arena_alloc(c->arena, 32 * (pb->n_verify_certificate_spki + 1));
    for (size_t i = 0; i < pb->n_verify_certificate_hash; i++)
        if (!parse_hash(pb->verify_certificate_hash[i], hashes[i])) return weir_reject(c, "verify_certificate_hash", "Invalid hex-encoded SHA-256 %.100s", pb->verify_certificate_hash[i]);
    for (size_t i = 0; i < pb->n_verify_certificate_spki; i++)
        if (!parse_spki(pb->verify_certificate_spki[i], spkis[i])) return weir_reject(c, "verify_certificate_spki", "Invalid base64-encoded SHA-256 %.100s", pb->verify_certificate_spki[i]);
    out->hashes = (const uint8_t(*)[32])hashes;
    out->spkis = (const uint8_t(*)[32])spkis;
    out->hash_count = (uint32_t)pb->n_verify_certificate_hash;
    out->spki_count = (uint32_t)pb->n_verify_certificate_spki;
    return WEIR_OK;
}

static enum weir_err compile_validation(struct weir_compile *c, const pb_validation_context *pb, struct weir_tls_spec *out)
{
    out->verify_depth = -1;
    if (pb == NULL) return WEIR_OK;
    size_t mark = weir_path_push(c, "validation_context", -1);
    enum weir_err err = weir_data_source_compile(c, "trusted_ca", pb->trusted_ca, &out->trusted_ca);
    if (err == WEIR_OK) err = weir_data_source_compile(c, "crl", pb->crl, &out->crl);
    if (err == WEIR_OK) err = weir_tls_sans_compile(c, pb, &out->sans, &out->san_count);
    if (err == WEIR_OK) err = compile_pins(c, pb, out);
    if (err != WEIR_OK) return err;
    out->trusted_ca_path = path_of(c, pb->trusted_ca);
    out->crl_leaf_only = pb->only_verify_leaf_cert_crl;
    out->allow_expired = pb->allow_expired_certificate;
    out->accept_untrusted =
        pb->trust_chain_verification == ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__CERTIFICATE_VALIDATION_CONTEXT__TRUST_CHAIN_VERIFICATION__ACCEPT_UNTRUSTED;
    /* The API counts the trust anchor, OpenSSL does not. */
    if (pb->max_verify_depth != NULL) {
        uint32_t depth = pb->max_verify_depth->value < INT32_MAX ? pb->max_verify_depth->value : INT32_MAX;
        out->verify_depth = depth > 0 ? (int)depth - 1 : 0;
    }
    out->send_no_ca_list = pb->suppress_client_ca_list;
    weir_path_pop(c, mark);
    return WEIR_OK;
}

static enum weir_err compile_alpn(struct weir_compile *c, const pb_common_tls *pb, struct weir_str otherwise, struct weir_tls_spec *out)
{
    size_t n = 0, at = 0;
    out->alpn = weir_arena_str(c->arena, otherwise);
    if (pb->n_alpn_protocols == 0) return WEIR_OK;
    for (size_t i = 0; i < pb->n_alpn_protocols; i++)
        n += strlen(pb->alpn_protocols[i]) + 1;
    char *wire = weir_new(c, char, n);
    for (size_t i = 0; i < pb->n_alpn_protocols; i++) {
        size_t length = strlen(pb->alpn_protocols[i]);
        if (length == 0 || length > 255) return weir_reject(c, "alpn_protocols", "Invalid ALPN protocol string: 1 to 255 bytes are needed");
        wire[at++] = (char)length;
        memcpy(wire + at, pb->alpn_protocols[i], length);
        at += length;
    }
    out->alpn = (struct weir_str){wire, n};
    return WEIR_OK;
}

static enum weir_err compile_common(struct weir_compile *c, const pb_common_tls *pb, struct weir_str default_alpn, struct weir_tls_spec *out)
{
    static const pb_common_tls none = ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__COMMON_TLS_CONTEXT__INIT;
    if (pb == NULL) pb = &none;
    size_t mark = weir_path_push(c, "common_tls_context", -1);
    enum weir_err err = compile_parameters(c, pb->tls_params, out);
    if (err == WEIR_OK) err = compile_certificates(c, pb, out);
    if (err == WEIR_OK)
        err = compile_validation(c,
                                 pb->validation_context_type_case ==
                                         ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_VALIDATION_CONTEXT
                                     ? pb->validation_context
                                     : NULL,
                                 out);
    if (err == WEIR_OK) err = compile_alpn(c, pb, default_alpn, out);
    if (err == WEIR_OK) weir_path_pop(c, mark);
    return err;
}

/* NULL in *out: no TLS. */
static enum weir_err open_socket(struct weir_compile *c, const char *field, const void *transport_socket, const ProtobufCMessage **out)
{
    const pb_transport_socket *s = transport_socket;
    *out = NULL;
    if (s == NULL) return WEIR_OK;
    (void)weir_path_push(c, field, -1);
    if (s->typed_config == NULL) {
        if (strcmp(s->name, "envoy.transport_sockets.raw_buffer") == 0) return WEIR_OK;
        return weir_reject(c, "typed_config", "value is required");
    }
    enum weir_err err = weir_compile_any(c, "typed_config", s->typed_config, out);
    if (err == WEIR_OK && *out != NULL && (*out)->descriptor == &pb_raw_buffer_type) *out = NULL;
    return err;
}

static enum weir_err not_tls(struct weir_compile *c, const ProtobufCMessage *m)
{
    return weir_reject(c, "typed_config", "the transport socket %s is not supported here", m->descriptor->name);
}

static void spec_init(struct weir_compile *c, struct weir_str stat_prefix, struct weir_tls_spec *spec)
{
    *spec = (struct weir_tls_spec){.arena = weir_arena_create(), .stats = c->stats, .verify_depth = -1};
    spec->stat_prefix = weir_arena_printf(spec->arena, "%.*sssl.", WEIR_STR_ARG(stat_prefix));
}

static void release_server(void *s)
{
    weir_tls_server_release(s);
}

static enum weir_err compile_server(struct weir_compile *c, const pb_downstream_tls *pb, struct weir_tls_spec *spec)
{
    enum weir_err err = compile_common(c, pb->common_tls_context, (struct weir_str){0}, spec);
    if (err != WEIR_OK) return err;
    spec->require_client_certificate = pb->require_client_certificate != NULL && pb->require_client_certificate->value;
    spec->require_sni = pb->require_sni != NULL && pb->require_sni->value;
    spec->prefer_client_ciphers = pb->prefer_client_ciphers;
    spec->session_timeout_s = weir_duration_ms(pb->session_timeout, 0) / 1000u;
    spec->no_tickets =
        pb->session_ticket_keys_type_case ==
            ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__DOWNSTREAM_TLS_CONTEXT__SESSION_TICKET_KEYS_TYPE_DISABLE_STATELESS_SESSION_RESUMPTION &&
        pb->disable_stateless_session_resumption;
    return WEIR_OK;
}

enum weir_err weir_tls_server_compile(struct weir_compile *c, const char *field, const void *transport_socket, struct weir_str stat_prefix,
                                      const struct weir_tls_server **out)
{
    const ProtobufCMessage *m = NULL;
    size_t mark = c->path_length;
    *out = NULL;
    enum weir_err err = open_socket(c, field, transport_socket, &m);
    if (err != WEIR_OK) return err;
    if (m == NULL) {
        weir_path_pop(c, mark);
        return WEIR_OK;
    }
    if (m->descriptor != &pb_downstream_tls_type) return not_tls(c, m);
    struct weir_tls_spec spec;
    struct weir_tls_server *server = NULL;
    struct weir_error why = {0};
    struct weir_arena *arena = c->arena;
    spec_init(c, stat_prefix, &spec);
    c->arena = spec.arena;
    (void)weir_path_push(c, "typed_config", -1);
    err = compile_server(c, (const pb_downstream_tls *)(const void *)m, &spec);
    c->arena = arena;
    if (err == WEIR_OK && weir_tls_server_create(&spec, &why, &server) != WEIR_OK) err = weir_reject(c, "common_tls_context", "%s", why.text);
    if (err != WEIR_OK) {
        weir_arena_destroy(spec.arena);
        return err;
    }
    weir_arena_on_destroy(c->arena, release_server, server);
    weir_path_pop(c, mark);
    *out = server;
    return WEIR_OK;
}

static void release_client(void *s)
{
    weir_tls_client_release(s);
}

static enum weir_err compile_client(struct weir_compile *c, const pb_upstream_tls *pb, struct weir_str default_alpn, struct weir_tls_spec *spec)
{
    enum weir_err err = compile_common(c, pb->common_tls_context, default_alpn, spec);
    if (err != WEIR_OK) return err;
    if (spec->certificate_count > 1) return weir_reject(c, "common_tls_context.tls_certificates", "Multiple TLS certificates are not supported for client contexts");
    spec->sni = weir_compile_str(c, pb->sni);
    spec->auto_host_sni = pb->auto_host_sni;
    spec->auto_sni_san = pb->auto_sni_san_validation;
    spec->no_resumption = pb->max_session_keys != NULL && pb->max_session_keys->value == 0;
    return WEIR_OK;
}

enum weir_err weir_tls_client_compile(struct weir_compile *c, const char *field, const void *transport_socket, struct weir_str stat_prefix,
                                      struct weir_str default_alpn, const struct weir_tls_client **out)
{
    const ProtobufCMessage *m = NULL;
    size_t mark = c->path_length;
    *out = NULL;
    enum weir_err err = open_socket(c, field, transport_socket, &m);
    if (err != WEIR_OK) return err;
    if (m == NULL) {
        weir_path_pop(c, mark);
        return WEIR_OK;
    }
    if (m->descriptor != &pb_upstream_tls_type) return not_tls(c, m);
    struct weir_tls_spec spec;
    struct weir_tls_client *client = NULL;
    struct weir_error why = {0};
    struct weir_arena *arena = c->arena;
    spec_init(c, stat_prefix, &spec);
    c->arena = spec.arena;
    (void)weir_path_push(c, "typed_config", -1);
    err = compile_client(c, (const pb_upstream_tls *)(const void *)m, default_alpn, &spec);
    c->arena = arena;
    if (err == WEIR_OK && weir_tls_client_create(&spec, &why, &client) != WEIR_OK) err = weir_reject(c, "common_tls_context", "%s", why.text);
    if (err != WEIR_OK) {
        weir_arena_destroy(spec.arena);
        return err;
    }
    weir_arena_on_destroy(c->arena, release_client, client);
    weir_path_pop(c, mark);
    *out = client;
    return WEIR_OK;
}
