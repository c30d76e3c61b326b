/* SSL_CTX from a spec. Called on the compile thread; what it makes is constant but for the client's last session. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "dataplane/base/str.h"
#include "dataplane/transport/tls_internal.h"

/* Forward secrecy and AEAD only, as Envoy. */
static const char default_ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:"
                                      "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
static const char default_groups[] = "X25519:P-256";
/* The fastest where both sides have AES in hardware; a client without it says so by its order and is followed (CHACHA). */
static const char tls13_ciphers[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

#define X(name) {#name, WEIR_COUNTER},
static const struct weir_stat_desc stat_descs[WEIR_TS_COUNT] = {WEIR_TLS_COUNTERS(X)};
#undef X

static const char *cause(void)
{
    unsigned long e = ERR_peek_last_error();
    const char *text = e != 0 ? ERR_reason_error_string(e) : NULL;
    return text != NULL ? text : "no usable data";
}

static BIO *bio_of(struct weir_str pem)
{
    return BIO_new_mem_buf(pem.p != NULL ? pem.p : "", pem.n < INT32_MAX ? (int)pem.n : INT32_MAX);
}

/* Never asks a terminal. */
static int give_password(char *out, int size, int writing, void *arg)
{
    const struct weir_str *password = arg;
    (void)writing;
    if (password->n > (size_t)size) return -1;
    if (password->n != 0) memcpy(out, password->p, password->n);
    return (int)password->n;
}

static bool at_end_of_pem(void)
{
    unsigned long e = ERR_peek_last_error();
    bool end = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    return end;
}

static void identity_deinit(struct weir_tls_identity *id)
{
    X509_free(id->certificate);
    EVP_PKEY_free(id->key);
    sk_X509_pop_free(id->chain, X509_free);
}

static enum weir_err identity_init(struct weir_tls_identity *id, const struct weir_tls_certificate *from, struct weir_arena *a, struct weir_error *e)
{
    ERR_clear_error();
    BIO *b = bio_of(from->chain_pem);
    id->certificate = PEM_read_bio_X509_AUX(b, NULL, give_password, (void *)(uintptr_t)&from->password);
    id->chain = sk_X509_new_null();
    X509 *x = NULL;
    while (id->certificate != NULL && (x = PEM_read_bio_X509(b, NULL, give_password, (void *)(uintptr_t)&from->password)) != NULL)
        (void)sk_X509_push(id->chain, x);
    BIO_free(b);
    if (id->certificate == NULL) return weir_error_set(e, WEIR_ERR_INVALID, "Failed to load certificate chain: %s", cause());
    if (!at_end_of_pem()) return weir_error_set(e, WEIR_ERR_INVALID, "Failed to load certificate chain: a certificate after the first is broken");
    b = bio_of(from->key_pem);
    id->key = PEM_read_bio_PrivateKey(b, NULL, give_password, (void *)(uintptr_t)&from->password);
    BIO_free(b);
    if (id->key == NULL) return weir_error_set(e, WEIR_ERR_INVALID, "Failed to load private key: %s", cause());
    if (X509_check_private_key(id->certificate, id->key) != 1)
        return weir_error_set(e, WEIR_ERR_INVALID, "Failed to load private key: it does not belong to the certificate");
    id->path = from->path;
    id->subject = weir_tls_name(X509_get_subject_name(id->certificate), a);
    id->uri_san_count = weir_tls_sans(id->certificate, WEIR_SAN_URI, a, &id->uri_sans);
    id->dns_san_count = weir_tls_sans(id->certificate, WEIR_SAN_DNS, a, &id->dns_sans);
    return WEIR_OK;
}

static bool identity_named(const struct weir_tls_identity *id, struct weir_str sni, bool *exact)
{
    *exact = false;
    for (uint32_t i = 0; i < id->dns_san_count; i++) {
        struct weir_str san = id->dns_sans[i];
        if (weir_str_eq_nocase(san, sni)) return *exact = true;
        size_t dot = weir_str_find(sni, '.');
        if (san.n > 2 && san.p[0] == '*' && dot < sni.n &&
            weir_str_eq_nocase((struct weir_str){san.p + 1, san.n - 1}, (struct weir_str){sni.p + dot, sni.n - dot}))
            return true;
    }
    return false;
}

/* Several certificates: those that fit the client's name best, one for each kind of key, of which the handshake then takes
 * the one that the client can verify. Without a fit: the first of each kind. */
static int choose_certificate(SSL *ssl, void *arg)
{
    const struct weir_tls_context *c = arg;
    struct weir_str sni = weir_str_of(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    unsigned best = 0;
    for (uint32_t i = 0; sni.n != 0 && i < c->identity_count; i++) {
        bool exact;
        if (identity_named(&c->identities[i], sni, &exact)) best = exact ? 2 : best == 0 ? 1 : best;
    }
    SSL_certs_clear(ssl);
    /* From the last to the first: of two of one kind the first one stays. */
    for (uint32_t i = c->identity_count; i-- > 0;) {
        const struct weir_tls_identity *id = &c->identities[i];
        bool exact = false, fits = sni.n != 0 && identity_named(id, sni, &exact);
        if (best != 0 && (fits ? exact ? 2u : 1u : 0u) != best) continue;
        if (SSL_use_cert_and_key(ssl, id->certificate, id->key, id->chain, 1) != 1) return 0;
    }
    return 1;
}

static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *offered, unsigned offered_length, void *arg)
{
    const struct weir_tls_context *c = arg;
    (void)ssl;
    /* In our order. Without agreement the connection goes on without ALPN, as Envoy's does. */
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_length, (const unsigned char *)c->alpn.p, (unsigned)c->alpn.n, offered,
                              offered_length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

static int name_required(SSL *ssl, int *alert, void *arg)
{
    (void)arg;
    if (SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) != NULL) return SSL_TLSEXT_ERR_OK;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct weir_tls_session *s = SSL_get_app_data(ssl);
    weir_tls_session_keep(s->context, s, session);
    return 0; /* a reference of our own was taken */
}

static int protocol(enum weir_tls_version v, int otherwise)
{
    static const int protocols[] = {0, TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    return v == WEIR_TLS_AUTO ? otherwise : protocols[v];
}

static enum weir_err set_ciphers(SSL_CTX *ssl, const struct weir_tls_spec *spec, struct weir_error *e)
{
    if (spec->ciphers.n == 0) {
        if (SSL_CTX_set_cipher_list(ssl, default_ciphers) != 1) return weir_error_set(e, WEIR_ERR_IO, "no default cipher is available");
        return WEIR_OK;
    }
    /* The library drops unknown names in silence as long as one is known: each by itself first. */
    struct weir_str rest = spec->ciphers;
    char name[128];
    while (rest.n != 0) {
        size_t n = weir_str_find(rest, ':');
        size_t m = n < sizeof(name) - 1 ? n : sizeof(name) - 1;
        memcpy(name, rest.p, m);
        name[m] = 0;
        if (n != m || SSL_CTX_set_cipher_list(ssl, name) != 1)
            return weir_error_set(e, WEIR_ERR_INVALID, "Failed to initialize cipher suites: '%s' is not known", name);
        rest.p += n < rest.n ? n + 1 : n;
        rest.n -= n < rest.n ? n + 1 : n;
    }
    return SSL_CTX_set_cipher_list(ssl, spec->ciphers.p) == 1 ? WEIR_OK : weir_error_set(e, WEIR_ERR_INVALID, "Failed to initialize cipher suites");
}

static enum weir_err set_parameters(SSL_CTX *ssl, const struct weir_tls_spec *spec, bool server, struct weir_error *e)
{
    int min = protocol(spec->min, TLS1_2_VERSION), max = protocol(spec->max, server ? TLS1_3_VERSION : TLS1_2_VERSION);
    if (min > max) return weir_error_set(e, WEIR_ERR_INVALID, "the minimum protocol version is above the maximum");
    SSL_CTX_set_security_level(ssl, min < TLS1_2_VERSION ? 0 : 1);
    (void)SSL_CTX_set_min_proto_version(ssl, min);
    (void)SSL_CTX_set_max_proto_version(ssl, max);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_PRIORITIZE_CHACHA);
    if (!spec->prefer_client_ciphers) SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_ciphersuites(ssl, tls13_ciphers);
    enum weir_err err = set_ciphers(ssl, spec, e);
    if (err != WEIR_OK) return err;
    if (SSL_CTX_set1_groups_list(ssl, spec->groups.n != 0 ? spec->groups.p : default_groups) != 1)
        return weir_error_set(e, WEIR_ERR_INVALID, "Failed to initialize ECDH curves %.*s", WEIR_STR_ARG(spec->groups));
    if (spec->signature_algorithms.n != 0 && SSL_CTX_set1_sigalgs_list(ssl, spec->signature_algorithms.p) != 1)
        return weir_error_set(e, WEIR_ERR_INVALID, "Failed to initialize TLS signature algorithms %.*s", WEIR_STR_ARG(spec->signature_algorithms));
    return WEIR_OK;
}

static enum weir_err load_trust(struct weir_tls_context *c, const struct weir_tls_spec *spec, struct weir_error *e)
{
    X509_STORE *store = SSL_CTX_get_cert_store(c->ssl);
    BIO *b = bio_of(spec->trusted_ca);
    unsigned count = 0;
    X509 *x;
    ERR_clear_error();
    while ((x = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL)) != NULL) {
        count++;
        (void)X509_STORE_add_cert(store, x);
        if (c->server && !spec->send_no_ca_list) (void)SSL_CTX_add_client_CA(c->ssl, x);
        X509_free(x);
    }
    BIO_free(b);
    if (count == 0 || !at_end_of_pem()) return weir_error_set(e, WEIR_ERR_INVALID, "Failed to load trusted CA certificates");
    c->has_trust = true;
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN; /* an intermediate may be the anchor */
    if (spec->crl.n != 0) {
        X509_CRL *crl;
        count = 0;
        b = bio_of(spec->crl);
        while ((crl = PEM_read_bio_X509_CRL(b, NULL, NULL, NULL)) != NULL) {
            count++;
            (void)X509_STORE_add_crl(store, crl);
            X509_CRL_free(crl);
        }
        BIO_free(b);
        if (count == 0 || !at_end_of_pem()) return weir_error_set(e, WEIR_ERR_INVALID, "Failed to load CRL");
        flags |= X509_V_FLAG_CRL_CHECK | (spec->crl_leaf_only ? 0 : X509_V_FLAG_CRL_CHECK_ALL);
    }
    if (spec->allow_expired) flags |= X509_V_FLAG_NO_CHECK_TIME;
    (void)X509_STORE_set_flags(store, flags);
    if (spec->verify_depth >= 0) SSL_CTX_set_verify_depth(c->ssl, spec->verify_depth);
    return WEIR_OK;
}

static enum weir_err set_verification(struct weir_tls_context *c, const struct weir_tls_spec *spec, struct weir_error *e)
{
    if (spec->trusted_ca.n != 0) {
        enum weir_err err = load_trust(c, spec, e);
        if (err != WEIR_OK) return err;
    } else if (spec->crl.n != 0) {
        return weir_error_set(e, WEIR_ERR_INVALID, "Failed to load CRL without trusted CA");
    } else if (spec->san_count != 0 || spec->auto_sni_san) {
        return weir_error_set(e, WEIR_ERR_INVALID, "SAN-based verification of peer certificates without trusted CA is insecure and not allowed");
    }
    c->accept_untrusted = spec->accept_untrusted;
    c->san_count = spec->san_count;
    c->sans = spec->sans;
    c->hash_count = spec->hash_count;
    c->hashes = spec->hashes;
    c->spki_count = spec->spki_count;
    c->spkis = spec->spkis;
    c->auto_sni_san = spec->auto_sni_san;
    /* Of a server, a client asks at least that its key may be used. */
    bool checks = !c->server || c->has_trust || c->hash_count + c->spki_count != 0;
    int mode = checks || (c->server && spec->require_client_certificate) ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
    if (c->server && spec->require_client_certificate) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(c->ssl, mode, NULL);
    SSL_CTX_set_cert_verify_callback(c->ssl, weir_tls_verify, c);
    return WEIR_OK;
}

static enum weir_err set_identities(struct weir_tls_context *c, const struct weir_tls_spec *spec, struct weir_error *e)
{
    c->identities = WEIR_NEW(c->arena, struct weir_tls_identity, spec->certificate_count + 1u);
    for (; c->identity_count < spec->certificate_count; c->identity_count++) {
        struct weir_tls_identity *id = &c->identities[c->identity_count];
        enum weir_err err = identity_init(id, &spec->certificates[c->identity_count], c->arena, e);
        if (err != WEIR_OK) {
            identity_deinit(id);
            return err;
        }
    }
    if (c->identity_count == 0) return WEIR_OK;
    if (c->identity_count > 1 && c->server) {
        SSL_CTX_set_cert_cb(c->ssl, choose_certificate, c);
        return WEIR_OK;
    }
    const struct weir_tls_identity *id = &c->identities[0];
    if (SSL_CTX_use_cert_and_key(c->ssl, id->certificate, id->key, id->chain, 1) != 1)
        return weir_error_set(e, WEIR_ERR_INVALID, "Failed to load certificate chain: %s", cause());
    return WEIR_OK;
}

static void set_sessions(struct weir_tls_context *c, const struct weir_tls_spec *spec)
{
    uint8_t id[16];
    if (!c->server) {
        c->resumes = !spec->no_resumption;
        (void)SSL_CTX_set_session_cache_mode(c->ssl, c->resumes ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
        SSL_CTX_sess_set_new_cb(c->ssl, on_new_session);
        return;
    }
    /* Tickets only: workers share the context, and a cache would be a lock. */
    (void)SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
    if (spec->no_tickets) {
        SSL_CTX_set_options(c->ssl, SSL_OP_NO_TICKET);
        (void)SSL_CTX_set_num_tickets(c->ssl, 0);
    }
    if (spec->session_timeout_s != 0) (void)SSL_CTX_set_timeout(c->ssl, (long)(spec->session_timeout_s < INT32_MAX ? spec->session_timeout_s : INT32_MAX));
    (void)RAND_bytes(id, sizeof(id));
    (void)SSL_CTX_set_session_id_context(c->ssl, id, sizeof(id));
}

/* The name that Envoy gives to certificates that have none: it ends with what the hash of nothing begins with. */
static void register_stats(struct weir_tls_context *c, const struct weir_tls_spec *spec)
{
    static const struct weir_stat_desc descs[] = {{"expiration_unix_time_seconds", WEIR_GAUGE}};
    c->stats = weir_stats_acquire(spec->stats, spec->stat_prefix, stat_descs, WEIR_TS_COUNT);
    if (c->identity_count == 0) return;
    int64_t expiry_s = INT64_MAX;
    for (uint32_t i = 0; i < c->identity_count; i++) {
        struct tm tm;
        if (ASN1_TIME_to_tm(X509_get0_notAfter(c->identities[i].certificate), &tm) == 1 && timegm(&tm) < expiry_s) expiry_s = timegm(&tm);
    }
    struct weir_str prefix = weir_arena_printf(spec->arena, "%.*scertificate.unnamed_cert_e3b0c442.", WEIR_STR_ARG(spec->stat_prefix));
    c->certificate_stats = weir_stats_acquire(spec->stats, prefix, descs, 1);
    weir_stat_set(weir_stats_shard(c->certificate_stats, 0), 0, expiry_s);
}

static enum weir_err fill(struct weir_tls_context *c, const struct weir_tls_spec *spec, bool server, struct weir_error *e)
{
    atomic_init(&c->refs, 1);
    (void)pthread_mutex_init(&c->lock, NULL);
    c->server = server;
    c->arena = spec->arena;
    c->alpn = spec->alpn;
    c->sni = spec->sni;
    c->auto_host_sni = spec->auto_host_sni;
    c->require_client_certificate = spec->require_client_certificate;
    c->ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    c->bio = weir_tls_bio_method();
    if (c->ssl == NULL || c->bio == NULL) return weir_error_set(e, WEIR_ERR_IO, "TLS: %s", cause());
    enum weir_err err = set_parameters(c->ssl, spec, server, e);
    if (err == WEIR_OK) err = set_identities(c, spec, e);
    if (err == WEIR_OK) err = set_verification(c, spec, e);
    if (err != WEIR_OK) return err;
    if (server && c->identity_count == 0) return weir_error_set(e, WEIR_ERR_INVALID, "Server TlsCertificates must have a certificate specified");
    set_sessions(c, spec);
    if (server && spec->require_sni) (void)SSL_CTX_set_tlsext_servername_callback(c->ssl, name_required);
    if (c->alpn.n != 0 && server) SSL_CTX_set_alpn_select_cb(c->ssl, alpn_select, c);
    c->trusted_ca_path = spec->trusted_ca_path;
    c->expiry_s = weir_tls_context_expiry(c);
    if (spec->stats != NULL) register_stats(c, spec);
    return WEIR_OK;
}

void weir_tls_context_release(struct weir_tls_context *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) return;
    SSL_SESSION_free(c->session);
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->bio);
    for (uint32_t i = 0; i < c->identity_count; i++)
        identity_deinit(&c->identities[i]);
    if (c->stats != NULL) weir_stats_release(c->stats);
    if (c->certificate_stats != NULL) weir_stats_release(c->certificate_stats);
    (void)pthread_mutex_destroy(&c->lock);
    if (c->arena != NULL) weir_arena_destroy(c->arena);
    free(c);
}

/* On failure the spec's arena stays the caller's. */
static enum weir_err create(const struct weir_tls_spec *spec, bool server, struct weir_error *e, struct weir_tls_context **out)
{
    struct weir_tls_context *c = calloc(1, sizeof(*c));
    if (c == NULL) abort();
    enum weir_err err = fill(c, spec, server, e);
    ERR_clear_error();
    if (err != WEIR_OK) {
        c->arena = NULL;
        weir_tls_context_release(c);
        return err;
    }
    *out = c;
    return WEIR_OK;
}

enum weir_err weir_tls_server_create(const struct weir_tls_spec *spec, struct weir_error *e, struct weir_tls_server **out)
{
    struct weir_tls_context *c = NULL;
    enum weir_err err = create(spec, true, e, &c);
    if (err == WEIR_OK) *out = WEIR_CONTAINER_OF(c, struct weir_tls_server, c);
    return err;
}

enum weir_err weir_tls_client_create(const struct weir_tls_spec *spec, struct weir_error *e, struct weir_tls_client **out)
{
    struct weir_tls_context *c = NULL;
    enum weir_err err = create(spec, false, e, &c);
    if (err == WEIR_OK) *out = WEIR_CONTAINER_OF(c, struct weir_tls_client, c);
    return err;
}

void weir_tls_server_release(struct weir_tls_server *s)
{
    if (s != NULL) weir_tls_context_release(&s->c);
}

void weir_tls_client_release(struct weir_tls_client *c)
{
    if (c != NULL) weir_tls_context_release(&c->c);
}

/* "SNI\0SAN": a session is resumed without a look at the certificate, so only for whom it was verified. */
static size_t session_key(const struct weir_tls_session *s, char out[512])
{
    if (s->sni.n + 1 + s->san.n > 512) return 0;
    if (s->sni.n != 0) memcpy(out, s->sni.p, s->sni.n);
    out[s->sni.n] = 0;
    if (s->san.n != 0) memcpy(out + s->sni.n + 1, s->san.p, s->san.n);
    return s->sni.n + 1 + s->san.n;
}

void weir_tls_session_keep(struct weir_tls_context *c, const struct weir_tls_session *s, SSL_SESSION *session)
{
    char key[512];
    size_t n = session_key(s, key);
    if (n == 0 || !c->resumes || SSL_SESSION_up_ref(session) != 1) return;
    (void)pthread_mutex_lock(&c->lock);
    SSL_SESSION *old = c->session;
    c->session = session;
    memcpy(c->session_for, key, n);
    c->session_for_length = n;
    (void)pthread_mutex_unlock(&c->lock);
    SSL_SESSION_free(old);
}

SSL_SESSION *weir_tls_session_find(struct weir_tls_context *c, const struct weir_tls_session *s)
{
    char key[512];
    size_t n = session_key(s, key);
    SSL_SESSION *found = NULL;
    (void)pthread_mutex_lock(&c->lock);
    if (n != 0 && c->session != NULL && c->session_for_length == n && memcmp(c->session_for, key, n) == 0 && SSL_SESSION_is_resumable(c->session) &&
        SSL_SESSION_up_ref(c->session) == 1)
        found = c->session;
    (void)pthread_mutex_unlock(&c->lock);
    return found;
}
