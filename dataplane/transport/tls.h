/* TLS contexts: what one filter chain or one cluster says of TLS, compiled on the compile thread and shared by all workers,
 * and the transports that run on them. A context is counted by itself, not by the resource it came with: connections outlive
 * versions of their listener or cluster. */
#ifndef WEIR_TRANSPORT_TLS_H
#define WEIR_TRANSPORT_TLS_H

#include "dataplane/base/error.h"
#include "dataplane/base/san.h"
#include "dataplane/observe/stats.h"
#include "dataplane/transport/transport.h"

struct weir_tls_server; /* DownstreamTlsContext */
struct weir_tls_client; /* UpstreamTlsContext */

enum weir_tls_version { WEIR_TLS_AUTO, WEIR_TLS_1_0, WEIR_TLS_1_1, WEIR_TLS_1_2, WEIR_TLS_1_3 };
struct weir_tls_certificate {
    struct weir_str chain_pem, key_pem, password; /* PEM texts */
    struct weir_str path; /* where the chain came from, for /certs: a file's name or "<inline>" */
};
/* What compile_tls.c reads out of the API. */
struct weir_tls_spec {
    /* Lives as long as the context, which takes it over when its creation succeeds: everything the spec points to that is
     * needed later (ALPN, names, matchers with their regular expressions) is in it. */
    struct weir_arena *arena;
    enum weir_tls_version min, max;
    struct weir_str ciphers; /* OpenSSL's list for TLS 1.2 and below; empty: the default */
    struct weir_str groups, signature_algorithms; /* OpenSSL's lists; empty: the default */
    uint32_t certificate_count;
    const struct weir_tls_certificate *certificates;
    struct weir_str alpn; /* wire format: length, name, ... */
    /* Verification of the peer. */
    struct weir_str trusted_ca, crl; /* PEM */
    struct weir_str trusted_ca_path; /* as weir_tls_certificate.path */
    bool crl_leaf_only, accept_untrusted, allow_expired;
    int verify_depth; /* how many intermediates; < 0: the default */
    uint32_t san_count, hash_count, spki_count;
    const struct weir_san_match *sans;
    const uint8_t (*hashes)[32], (*spkis)[32]; /* SHA-256 of certificate, of its public key info */
    /* Server. */
    bool require_client_certificate, require_sni, prefer_client_ciphers, no_tickets, send_no_ca_list;
    uint64_t session_timeout_s; /* 0: the default */
    /* Client. */
    struct weir_str sni;
    bool auto_host_sni, auto_sni_san, no_resumption;
    /* "listener.ADDR.ssl." or "cluster.NAME.ssl."; registry NULL: no counters. */
    struct weir_stats_registry *stats;
    struct weir_str stat_prefix;
};

/* Errors name what is wrong with which PEM. refs = 1. */
enum weir_err weir_tls_server_create(const struct weir_tls_spec *spec, struct weir_error *e, struct weir_tls_server **out) WEIR_MUST_USE;
enum weir_err weir_tls_client_create(const struct weir_tls_spec *spec, struct weir_error *e, struct weir_tls_client **out) WEIR_MUST_USE;
void weir_tls_server_release(struct weir_tls_server *s); /* any thread */
void weir_tls_client_release(struct weir_tls_client *c); /* any thread */

/* Server side over an accepted transport, which it owns from now on and whose unread bytes come first. Events go to `owner`:
 * on_connected after the handshake, on_closed(WEIR_CLOSE_TLS) with failure_reason when it fails. */
struct weir_transport *weir_tls_accept(struct weir_transport *raw, const struct weir_tls_server *s,
                                       const struct weir_transport_events *events, void *owner);
/* Client side: connects (o->tls is the context) and shakes hands within o->connect_timeout_ms. */
struct weir_transport *weir_tls_connect(struct weir_worker *w, const struct weir_connect_options *o,
                                        const struct weir_transport_events *events, void *owner);

/* What /certs shows of one certificate; borrowed for the call. */
struct weir_tls_cert {
    bool ca; /* a trust anchor, else the first of an own chain */
    struct weir_str path, serial; /* hexadecimal */
    int64_t not_before_s, not_after_s; /* Unix time */
    uint32_t dns_count, uri_count, ip_count;
    const struct weir_str *dns, *uris, *ips; /* subject alternative names */
};
void weir_tls_server_certs(const struct weir_tls_server *s, void (*fn)(void *ctx, const struct weir_tls_cert *cert), void *ctx);
void weir_tls_client_certs(const struct weir_tls_client *c, void (*fn)(void *ctx, const struct weir_tls_cert *cert), void *ctx);
/* When the first of them ends, Unix time; INT64_MAX: there are none. */
int64_t weir_tls_server_expiry(const struct weir_tls_server *s);
int64_t weir_tls_client_expiry(const struct weir_tls_client *c);

/* ssl.* */
#define WEIR_TLS_COUNTERS(X)                                                                                            \
    X(connection_error) X(fail_verify_cert_hash) X(fail_verify_error) X(fail_verify_no_cert) X(fail_verify_san) X(handshake)    \
    X(no_certificate) X(ocsp_staple_failed) X(ocsp_staple_omitted) X(ocsp_staple_requests) X(ocsp_staple_responses)             \
    X(session_reused)
enum weir_tls_stat {
#define X(name) WEIR_TS_##name,
    WEIR_TLS_COUNTERS(X)
#undef X
        WEIR_TS_COUNT
};

#endif
