#include "test/unit/support/certs.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

static char *text_of(BIO *b)
{
    char *p;
    long n = BIO_get_mem_data(b, &p);
    char *out = malloc((size_t)n + 1);
    if (out == NULL) abort();
    memcpy(out, p, (size_t)n);
    out[n] = 0;
    BIO_free(b);
    return out;
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (e == NULL) abort();
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

struct test_cert test_cert_make(const char *common_name, const char *sans, const struct test_cert *issuer, int flags)
{
    struct test_cert c = {.x = X509_new()};
    c.key = flags & TEST_CERT_RSA ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    if (c.x == NULL || c.key == NULL) abort();
    X509_set_version(c.x, 2);
    unsigned char serial[8];
    for (size_t i = 0; i < sizeof(serial); i++)
        serial[i] = (unsigned char)(rand() % 127 + 1);
    BIGNUM *n = BN_bin2bn(serial, sizeof(serial), NULL);
    BN_to_ASN1_INTEGER(n, X509_get_serialNumber(c.x));
    BN_free(n);
    X509_gmtime_adj(X509_getm_notBefore(c.x), -86400);
    X509_gmtime_adj(X509_getm_notAfter(c.x), flags & TEST_CERT_EXPIRED ? -3600 : 86400);
    X509_NAME *name = X509_NAME_new();
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Test", -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1, 0);
    X509_set_subject_name(c.x, name);
    X509_NAME_free(name);
    X509 *by = issuer != NULL ? issuer->x : c.x;
    X509_set_issuer_name(c.x, X509_get_subject_name(by));
    X509_set_pubkey(c.x, c.key);
    if (flags & TEST_CERT_CA) {
        add_extension(c.x, by, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(c.x, by, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    add_extension(c.x, by, NID_subject_key_identifier, "hash");
    if (sans != NULL) add_extension(c.x, by, NID_subject_alt_name, sans);
    if (X509_sign(c.x, issuer != NULL ? issuer->key : c.key, EVP_sha256()) == 0) abort();
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(b, c.x);
    c.pem = text_of(b);
    b = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(b, c.key, NULL, NULL, 0, NULL, NULL);
    c.key_pem = text_of(b);
    return c;
}

char *test_cert_encrypted_key(const struct test_cert *c, const char *password)
{
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_PKCS8PrivateKey(b, c->key, EVP_aes_256_cbc(), password, (int)strlen(password), NULL, NULL);
    return text_of(b);
}

void test_cert_free(struct test_cert *c)
{
    X509_free(c->x);
    EVP_PKEY_free(c->key);
    free(c->pem);
    free(c->key_pem);
    *c = (struct test_cert){0};
}
