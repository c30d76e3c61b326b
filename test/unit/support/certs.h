/* Certificates for tests, made at run time: P-256 keys, valid for a day around now. */
#ifndef WEIR_TEST_SUPPORT_CERTS_H
#define WEIR_TEST_SUPPORT_CERTS_H

#include <openssl/x509.h>

#include "dataplane/weir.h"

struct test_cert {
    X509 *x;
    EVP_PKEY *key;
    char *pem, *key_pem; /* NUL-terminated */
};
enum test_cert_flags { TEST_CERT_CA = 1, TEST_CERT_EXPIRED = 2, TEST_CERT_RSA = 4 };
/* sans: as X509v3 configuration says, "DNS:a.example,URI:spiffe://x/y,IP:127.0.0.1"; NULL: none. issuer NULL: self-signed. */
struct test_cert test_cert_make(const char *common_name, const char *sans, const struct test_cert *issuer, int flags);
/* The key in PEM, encrypted. The caller frees. */
char *test_cert_encrypted_key(const struct test_cert *c, const char *password);
void test_cert_free(struct test_cert *c);

#endif
