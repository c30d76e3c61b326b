/* Whether the peer's certificate is good enough: the chain against trusted_ca, then names, then pinned hashes. Called by OpenSSL
 * inside the handshake, on any worker; the context is constant. */
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>

#include "dataplane/base/str.h"
#include "dataplane/transport/tls_internal.h"

static int refuse(struct weir_tls_session *s, X509_STORE_CTX *store, enum weir_tls_stat stat, int error, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static int refuse(struct weir_tls_session *s, X509_STORE_CTX *store, enum weir_tls_stat stat, int error, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(s->reason, sizeof(s->reason), fmt, args);
    va_end(args);
    for (char *p = s->reason; *p != 0; p++)
        if (*p == ' ') *p = '_';
    weir_tls_count(s, stat);
    X509_STORE_CTX_set_error(store, error);
    return 0;
}

static bool any_san_matches(const struct weir_tls_context *c, X509 *x, struct weir_arena *a)
{
    for (uint32_t i = 0; i < c->san_count; i++) {
        const struct weir_str *sans;
        uint32_t n = weir_tls_sans(x, c->sans[i].type, a, &sans);
        for (uint32_t k = 0; k < n; k++)
            if (weir_san_matches(&c->sans[i], sans[k])) return true;
    }
    return false;
}

/* auto_sni_san_validation, auto_san_validation: the name that was asked for must be in the certificate. */
static bool named(X509 *x, struct weir_str name, struct weir_arena *a)
{
    const struct weir_str *sans;
    struct weir_address ip;
    uint32_t n;
    if (weir_address_parse(name, 0, &ip)) {
        n = weir_tls_sans(x, WEIR_SAN_IP, a, &sans);
        for (uint32_t i = 0; i < n; i++) {
            struct weir_address other;
            if (weir_address_parse(sans[i], 0, &other) && weir_address_equal(&ip, &other, false)) return true;
        }
        return false;
    }
    n = weir_tls_sans(x, WEIR_SAN_DNS, a, &sans);
    for (uint32_t i = 0; i < n; i++)
        if (weir_san_dns_matches(name, sans[i])) return true;
    return false;
}

static int refuse_names(struct weir_tls_session *s, X509_STORE_CTX *store, X509 *x, struct weir_arena *a)
{
    const struct weir_str *sans;
    char list[320];
    size_t at = 0;
    uint32_t n = weir_tls_all_sans(x, a, &sans);
    list[0] = 0;
    for (uint32_t i = 0; i < n && at < sizeof(list) - 1; i++) {
        int wrote = snprintf(list + at, sizeof(list) - at, "%s%.*s", i != 0 ? ", " : "", WEIR_STR_ARG(sans[i]));
        at += wrote > 0 ? (size_t)wrote : 0;
    }
    return refuse(s, store, WEIR_TS_fail_verify_san, X509_V_ERR_HOSTNAME_MISMATCH, "verify cert failed: SAN matcher, certificate SANs are [%s]",
                  list);
}

static bool pinned(const struct weir_tls_context *c, X509 *x)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (c->hash_count != 0 && X509_digest(x, EVP_sha256(), digest, &n) == 1) {
        for (uint32_t i = 0; i < c->hash_count; i++)
            if (memcmp(c->hashes[i], digest, 32) == 0) return true;
    }
    if (c->spki_count != 0) {
        unsigned char *der = NULL;
        int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
        bool hashed = length > 0 && EVP_Digest(der, (size_t)length, digest, &n, EVP_sha256(), NULL) == 1;
        OPENSSL_free(der);
        for (uint32_t i = 0; hashed && i < c->spki_count; i++)
            if (memcmp(c->spkis[i], digest, 32) == 0) return true;
    }
    return false;
}

static int check_leaf(struct weir_tls_session *s, X509_STORE_CTX *store, X509 *x, struct weir_arena *a)
{
    const struct weir_tls_context *c = s->context;
    struct weir_str asked = s->san.n != 0 ? s->san : c->auto_sni_san ? s->sni : (struct weir_str){0};
    /* With a name of the connection's own the configured ones are not asked: the former replaces them. */
    if (asked.n != 0 ? !named(x, asked, a) : c->san_count != 0 && !any_san_matches(c, x, a)) return refuse_names(s, store, x, a);
    if (c->hash_count + c->spki_count != 0 && !pinned(c, x))
        return refuse(s, store, WEIR_TS_fail_verify_cert_hash, X509_V_ERR_CERT_UNTRUSTED, "verify cert failed: cert hash and spki");
    return 1;
}

static int check(struct weir_tls_session *s, X509_STORE_CTX *store, const struct weir_tls_context *c)
{
    if (c->has_trust && X509_verify_cert(store) != 1) {
        int error = X509_STORE_CTX_get_error(store);
        return refuse(s, store, WEIR_TS_fail_verify_error, error,
                      "verify cert failed: X509_verify_cert: certificate verification error at depth %d: %s", X509_STORE_CTX_get_error_depth(store),
                      X509_verify_cert_error_string(error));
    }
    struct weir_arena a;
    weir_arena_init(&a, 0);
    int ok = check_leaf(s, store, X509_STORE_CTX_get0_cert(store), &a);
    weir_arena_deinit(&a);
    return ok;
}

/* An RSA key is good for what its certificate says, and for nothing else: signing a key exchange, or taking a secret (RFC 8446
 * 4.4.2.2, RFC 5246 7.4.2). The library only asks that some use of TLS is among them. */
static bool key_may_be_used(SSL *ssl, X509 *x)
{
    EVP_PKEY *key = X509_get0_pubkey(x);
    if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || (X509_get_extension_flags(x) & EXFLAG_KUSAGE) == 0) return true;
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);
    bool takes_secret = !SSL_is_server(ssl) && cipher != NULL && SSL_CIPHER_get_kx_nid(cipher) == NID_kx_rsa;
    return (X509_get_key_usage(x) & (takes_secret ? KU_KEY_ENCIPHERMENT : KU_DIGITAL_SIGNATURE)) != 0;
}

int weir_tls_verify(X509_STORE_CTX *store, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct weir_tls_session *s = SSL_get_app_data(ssl);
    const struct weir_tls_context *c = arg;
    if (!key_may_be_used(ssl, X509_STORE_CTX_get0_cert(store))) {
        s->key_misused = true;
        X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
        return 0;
    }
    if (check(s, store, c)) {
        s->validated = c->has_trust || c->hash_count + c->spki_count != 0;
    } else if (c->accept_untrusted) {
        s->reason[0] = 0; /* whatever was wrong is counted, and not held against the peer */
    } else {
        return 0;
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}
