/* What is said of a TLS connection: its parameters, the certificates of both sides, and why it failed. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/address.h"
#include "dataplane/transport/tls_internal.h"

static struct weir_str hex(struct weir_arena *a, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char *out = WEIR_NEW(a, char, 2 * n + 1);
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    return (struct weir_str){out, 2 * n};
}

static bool san_text(const GENERAL_NAME *g, struct weir_arena *a, enum weir_san_type *type, struct weir_str *out)
{
    const ASN1_STRING *s = NULL;
    switch (g->type) {
    case GEN_EMAIL: *type = WEIR_SAN_EMAIL, s = g->d.rfc822Name; break;
    case GEN_DNS: *type = WEIR_SAN_DNS, s = g->d.dNSName; break;
    case GEN_URI: *type = WEIR_SAN_URI, s = g->d.uniformResourceIdentifier; break;
    case GEN_IPADD: *type = WEIR_SAN_IP, s = g->d.iPAddress; break;
    default: return false;
    }
    struct weir_str raw = {(const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)};
    if (*type != WEIR_SAN_IP) {
        *out = weir_arena_str(a, raw);
        return true;
    }
    struct weir_address at = {0};
    char text[WEIR_ADDRESS_TEXT_MAX];
    if (raw.n == 4) {
        at.length = sizeof(at.v4);
        at.v4.sin_family = AF_INET;
        memcpy(&at.v4.sin_addr, raw.p, 4);
    } else if (raw.n == 16) {
        at.length = sizeof(at.v6);
        at.v6.sin6_family = AF_INET6;
        memcpy(&at.v6.sin6_addr, raw.p, 16);
    } else {
        return false;
    }
    *out = weir_arena_str(a, (struct weir_str){text, weir_address_print_ip(&at, text)});
    return true;
}

static uint32_t sans(X509 *x, int only, struct weir_arena *a, const struct weir_str **out)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int count = names != NULL ? sk_GENERAL_NAME_num(names) : 0;
    struct weir_str *at = WEIR_NEW(a, struct weir_str, count + 1);
    uint32_t n = 0;
    for (int i = 0; i < count; i++) {
        enum weir_san_type type;
        if (san_text(sk_GENERAL_NAME_value(names, i), a, &type, &at[n]) && (only == 0 || (int)type == only)) n++;
    }
    GENERAL_NAMES_free(names);
    *out = at;
    return n;
}

uint32_t weir_tls_sans(X509 *x, enum weir_san_type type, struct weir_arena *a, const struct weir_str **out)
{
    return sans(x, (int)type, a, out);
}

uint32_t weir_tls_all_sans(X509 *x, struct weir_arena *a, const struct weir_str **out)
{
    return sans(x, 0, a, out);
}

struct weir_str weir_tls_name(const X509_NAME *name, struct weir_arena *a)
{
    struct weir_str out = {0};
    char *p;
    BIO *b = BIO_new(BIO_s_mem());
    if (b == NULL) return out;
    if (X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253) >= 0) {
        long n = BIO_get_mem_data(b, &p);
        out = weir_arena_str(a, (struct weir_str){p, n > 0 ? (size_t)n : 0});
    }
    BIO_free(b);
    return out;
}

static struct weir_str fingerprint(X509 *x, const EVP_MD *md, struct weir_arena *a)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    return X509_digest(x, md, digest, &n) == 1 ? hex(a, digest, n) : (struct weir_str){0};
}

static struct weir_str serial(X509 *x, struct weir_arena *a)
{
    struct weir_str out = {0};
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *text = n != NULL ? BN_bn2hex(n) : NULL;
    if (text != NULL) {
        for (char *p = text; *p != 0; p++)
            if (*p >= 'A' && *p <= 'F') *p = (char)(*p | 0x20);
        out = weir_arena_str(a, weir_str_of(text));
    }
    OPENSSL_free(text);
    BN_free(n);
    return out;
}

static int64_t unix_time(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void fill_peer(X509 *x, struct weir_arena *a, struct weir_tls_info *out)
{
    out->peer_certificate_presented = true;
    out->peer_subject = weir_tls_name(X509_get_subject_name(x), a);
    out->peer_issuer = weir_tls_name(X509_get_issuer_name(x), a);
    out->peer_serial = serial(x, a);
    out->peer_fingerprint_256 = fingerprint(x, EVP_sha256(), a);
    out->peer_fingerprint_1 = fingerprint(x, EVP_sha1(), a);
    out->peer_uri_san_count = weir_tls_sans(x, WEIR_SAN_URI, a, &out->peer_uri_sans);
    out->peer_dns_san_count = weir_tls_sans(x, WEIR_SAN_DNS, a, &out->peer_dns_sans);
    out->peer_valid_from_s = unix_time(X509_get0_notBefore(x));
    out->peer_valid_until_s = unix_time(X509_get0_notAfter(x));
}

void weir_tls_info_fill(SSL *ssl, const struct weir_tls_session *s, struct weir_arena *a, struct weir_tls_info *out)
{
    const unsigned char *p;
    unsigned n;
    *out = (struct weir_tls_info){0};
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name != NULL) out->sni = weir_arena_str(a, weir_str_of(name));
    SSL_get0_alpn_selected(ssl, &p, &n);
    if (n != 0) out->alpn = weir_arena_str(a, (struct weir_str){(const char *)p, n});
    out->version = weir_str_of(SSL_get_version(ssl));   /* static */
    out->cipher = weir_str_of(SSL_get_cipher_name(ssl)); /* static */
    p = SSL_SESSION_get_id(SSL_get0_session(ssl), &n);
    if (n != 0) out->session_id = hex(a, p, n);
    X509 *peer = SSL_get0_peer_certificate(ssl);
    if (peer != NULL) fill_peer(peer, a, out);
    out->peer_certificate_validated = peer != NULL && s->validated;
    X509 *own = SSL_get_certificate(ssl);
    for (uint32_t i = 0; own != NULL && i < s->context->identity_count; i++) {
        const struct weir_tls_identity *id = &s->context->identities[i];
        if (id->certificate != own) continue;
        out->local_subject = id->subject;
        out->local_uri_sans = id->uri_sans;
        out->local_uri_san_count = id->uri_san_count;
        out->local_dns_sans = id->dns_sans;
        out->local_dns_san_count = id->dns_san_count;
    }
}

/* Reasons whose number or name differs between OpenSSL and the library that Envoy uses. Alerts, 1000 and above, are alike. */
static const struct {
    int reason, number;
    const char *name;
} reasons[] = {
    {SSL_R_CERTIFICATE_VERIFY_FAILED, 125, "CERTIFICATE_VERIFY_FAILED"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, 139, "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"},
    {SSL_R_HTTP_REQUEST, 156, "HTTP_REQUEST"},
    {SSL_R_NO_CERTIFICATE_SET, 174, "NO_CERTIFICATE_SET"},
    {SSL_R_NO_SHARED_CIPHER, 184, "NO_SHARED_CIPHER"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, 192, "PEER_DID_NOT_RETURN_A_CERTIFICATE"},
    {SSL_R_UNEXPECTED_MESSAGE, 223, "UNEXPECTED_MESSAGE"},
    {SSL_R_UNSUPPORTED_PROTOCOL, 240, "UNSUPPORTED_PROTOCOL"},
    {SSL_R_WRONG_VERSION_NUMBER, 247, "WRONG_VERSION_NUMBER"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, 1116, "TLSV1_ALERT_CERTIFICATE_REQUIRED"},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, 253, "NO_COMMON_SIGNATURE_ALGORITHMS"},
};
#define ENVOY_SSL_LIBRARY (16u << 24)

static void upper(char *out, size_t size, const char *text)
{
    size_t n = 0;
    for (; text[n] != 0 && n + 1 < size; n++) {
        char c = text[n];
        out[n] = c == ' ' ? '_' : c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c;
    }
    out[n] = 0;
}

size_t weir_tls_failure_text(const struct weir_tls_session *s, char *out, size_t size)
{
    unsigned long e = ERR_get_error();
    ERR_clear_error();
    int reason = ERR_GET_REASON(e);
    unsigned number = (unsigned)reason;
    char name[128];
    const char *text = e != 0 ? ERR_reason_error_string(e) : NULL;
    upper(name, sizeof(name), text != NULL ? text : "UNKNOWN");
    if (ERR_GET_LIB(e) == ERR_LIB_SSL) {
        for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
            if (reasons[i].reason != reason) continue;
            number = (unsigned)reasons[i].number;
            (void)snprintf(name, sizeof(name), "%s", reasons[i].name);
        }
    }
    if (s->key_misused) {
        number = 302;
        (void)snprintf(name, sizeof(name), "KEY_USAGE_BIT_INCORRECT");
    }
    const char *more = s->reason;
    if (more[0] == 0 && ERR_GET_LIB(e) == ERR_LIB_SSL && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        more = "peer_did_not_provide_required_client_certificate";
    int n = snprintf(out, size, "TLS_error:|%u:SSL_routines:OPENSSL_internal:%s%s%s:TLS_error_end", ENVOY_SSL_LIBRARY | number, name,
                     more[0] != 0 ? ":" : "", more);
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}
