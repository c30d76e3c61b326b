/* What admin's /certs shows of a TLS context; its certificates do not change after it was made. */
#include <openssl/x509.h>
#include <stdio.h>
#include <time.h>

#include "dataplane/transport/tls_internal.h"

static int64_t unix_time(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static struct weir_str serial_text(X509 *x, struct weir_arena *a)
{
    static const char digits[] = "0123456789abcdef";
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
    const unsigned char *bytes = ASN1_STRING_get0_data(serial);
    int n = ASN1_STRING_length(serial);
    char *text = weir_arena_alloc(a, (size_t)n * 2 + 1);
    for (int i = 0; i < n; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return (struct weir_str){text, (size_t)n * 2};
}

static void one_tell(X509 *x, struct weir_str path, bool ca, void (*fn)(void *ctx, const struct weir_tls_cert *cert), void *ctx)
{
    struct weir_arena a = {0};
    struct weir_tls_cert cert = {.ca = ca, .path = path};
    cert.serial = serial_text(x, &a);
    cert.not_before_s = unix_time(X509_get0_notBefore(x));
    cert.not_after_s = unix_time(X509_get0_notAfter(x));
    cert.dns_count = weir_tls_sans(x, WEIR_SAN_DNS, &a, &cert.dns);
    cert.uri_count = weir_tls_sans(x, WEIR_SAN_URI, &a, &cert.uris);
    cert.ip_count = weir_tls_sans(x, WEIR_SAN_IP, &a, &cert.ips);
    fn(ctx, &cert);
    weir_arena_deinit(&a);
}

static void context_tell(const struct weir_tls_context *c, void (*fn)(void *ctx, const struct weir_tls_cert *cert), void *ctx)
{
    const STACK_OF(X509_OBJECT) *trusted = X509_STORE_get0_objects(SSL_CTX_get_cert_store(c->ssl));
    for (int i = 0; c->has_trust && i < sk_X509_OBJECT_num(trusted); i++) {
        X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i));
        if (x != NULL) one_tell(x, c->trusted_ca_path, true, fn, ctx);
    }
    for (uint32_t i = 0; i < c->identity_count; i++) one_tell(c->identities[i].certificate, c->identities[i].path, false, fn, ctx);
}

void weir_tls_server_certs(const struct weir_tls_server *s, void (*fn)(void *ctx, const struct weir_tls_cert *cert), void *ctx)
{
    context_tell(&s->c, fn, ctx);
}

void weir_tls_client_certs(const struct weir_tls_client *c, void (*fn)(void *ctx, const struct weir_tls_cert *cert), void *ctx)
{
    context_tell(&c->c, fn, ctx);
}

static void expiry_note(void *ctx, const struct weir_tls_cert *cert)
{
    int64_t *first = ctx;
    if (cert->not_after_s < *first) *first = cert->not_after_s;
}

int64_t weir_tls_context_expiry(const struct weir_tls_context *c)
{
    int64_t first = INT64_MAX;
    context_tell(c, expiry_note, &first);
    return first;
}

int64_t weir_tls_server_expiry(const struct weir_tls_server *s)
{
    return s->c.expiry_s;
}

int64_t weir_tls_client_expiry(const struct weir_tls_client *c)
{
    return c->c.expiry_s;
}
