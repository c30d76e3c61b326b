/* The inside of TLS, shared by the tls_*.c files only. */
#ifndef WEIR_TRANSPORT_TLS_INTERNAL_H
#define WEIR_TRANSPORT_TLS_INTERNAL_H

#include <openssl/ssl.h>
#include <pthread.h>

#include "dataplane/transport/tls.h"

#define WEIR_TLS_REASON_MAX 512

/* What is known of a certificate of ours, for struct weir_tls_info. */
struct weir_tls_identity {
    X509 *certificate;
    EVP_PKEY *key;
    STACK_OF(X509) *chain;
    struct weir_str subject, path;
    const struct weir_str *uri_sans, *dns_sans;
    uint32_t uri_san_count, dns_san_count;
};

/* Server and client contexts are alike but for their use. */
struct weir_tls_context {
    _Atomic uint32_t refs;
    SSL_CTX *ssl;
    BIO_METHOD *bio; /* tls_transport.c's */
    struct weir_arena *arena;
    bool server;
    struct weir_str alpn, sni;
    uint32_t identity_count;
    struct weir_tls_identity *identities;
    /* Verification */
    bool has_trust, accept_untrusted, auto_sni_san;
    bool auto_host_sni; /* client: the host's name goes before sni */
    uint32_t san_count, hash_count, spki_count;
    const struct weir_san_match *sans;
    const uint8_t (*hashes)[32], (*spkis)[32];
    bool require_client_certificate, require_sni;
    struct weir_stats *stats, *certificate_stats; /* NULL: none */
    struct weir_str trusted_ca_path;
    int64_t expiry_s;
    /* Client: the newest session that may be resumed, and for whom it was made ("SNI\0SAN"). */
    pthread_mutex_t lock;
    SSL_SESSION *session;
    char session_for[512];
    size_t session_for_length;
    bool resumes;
};
struct weir_tls_server {
    struct weir_tls_context c;
};
struct weir_tls_client {
    struct weir_tls_context c;
};
void weir_tls_context_release(struct weir_tls_context *c);
int64_t weir_tls_context_expiry(const struct weir_tls_context *c); /* tls_certs.c; INT64_MAX: no certificate */

/* What the verification of one connection needs and says: SSL_get_app_data(). */
struct weir_tls_session {
    struct weir_tls_context *context;
    struct weir_str sni, san; /* client: asked for; owned by the transport */
    bool validated;           /* the peer's chain was verified */
    bool key_misused;         /* refused: the certificate does not allow what its key was used for */
    char reason[WEIR_TLS_REASON_MAX]; /* why verification failed, blanks as underscores; empty: it did not */
    struct weir_stats_shard *stats;
};
static inline void weir_tls_count(struct weir_tls_session *s, enum weir_tls_stat stat)
{
    if (s->stats != NULL) weir_stat_inc(s->stats, stat);
}

/* tls_context.c */
void weir_tls_session_keep(struct weir_tls_context *c, const struct weir_tls_session *s, SSL_SESSION *session); /* takes a reference */
SSL_SESSION *weir_tls_session_find(struct weir_tls_context *c, const struct weir_tls_session *s);               /* NULL: none */

/* tls_transport.c: reads from and writes to the buffers of the transport that is its data. */
BIO_METHOD *weir_tls_bio_method(void);

/* tls_verify.c: for SSL_CTX_set_cert_verify_callback, arg: the context. */
int weir_tls_verify(X509_STORE_CTX *store, void *arg);

/* tls_info.c */
/* Every subject alternative name of a type as text, in order; *out in the arena. Returns how many. */
uint32_t weir_tls_sans(X509 *x, enum weir_san_type type, struct weir_arena *a, const struct weir_str **out);
/* All names, in the certificate's order, as Envoy lists them. */
uint32_t weir_tls_all_sans(X509 *x, struct weir_arena *a, const struct weir_str **out);
struct weir_str weir_tls_name(const X509_NAME *name, struct weir_arena *a); /* RFC 2253 */
void weir_tls_info_fill(SSL *ssl, const struct weir_tls_session *s, struct weir_arena *a, struct weir_tls_info *out);
/* "TLS_error:|CODE:SSL_routines:OPENSSL_internal:REASON[:verification]:TLS_error_end" of this thread's error queue, which is
 * emptied; in the words and numbers that Envoy's library uses where they are known. Returns the length. */
size_t weir_tls_failure_text(const struct weir_tls_session *s, char *out, size_t size);

#endif
