/* transport/tls_*.c: pairs of our own server and client, and OpenSSL beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/transport/raw.h"
#include "dataplane/transport/tls_internal.h"
#include "test/unit/support/certs.h"
#include "test/unit/support/net.h"

static struct weir_worker *w;
static struct weir_stats_registry *registry;
static struct test_cert ca, leaf, client_leaf, other_ca;
static struct weir_tls_server *server;
static struct weir_tls_client *client;
static struct net_recorder s, c; /* server's and client's ends */
static int listener;
static struct weir_address at;

static int group_setup(void **state)
{
    (void)state;
    ca = test_cert_make("ca", NULL, NULL, TEST_CERT_CA);
    other_ca = test_cert_make("other", NULL, NULL, TEST_CERT_CA);
    leaf = test_cert_make("server", "DNS:weir.test,DNS:*.wild.test,URI:spiffe://a/b,IP:127.0.0.1", &ca, 0);
    client_leaf = test_cert_make("client", "URI:spiffe://c/d", &ca, 0);
    return 0;
}
static int group_teardown(void **state)
{
    (void)state;
    test_cert_free(&ca);
    test_cert_free(&other_ca);
    test_cert_free(&leaf);
    test_cert_free(&client_leaf);
    return 0;
}
static int setup(void **state)
{
    (void)state;
    w = weir_worker_create(0, 1);
    registry = weir_stats_registry_create(1);
    s = c = (struct net_recorder){0};
    server = NULL;
    client = NULL;
    listener = net_listen(&at, 16);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    net_recorder_deinit(&s);
    net_recorder_deinit(&c);
    weir_worker_turn(w, 0);
    if (w->room != NULL) weir_block_release(w->room);
    w->room = NULL;
    assert_int_equal(w->blocks.live, 0);
    weir_tls_server_release(server);
    weir_tls_client_release(client);
    weir_worker_destroy(w);
    weir_stats_registry_destroy(registry);
    (void)close(listener);
    return 0;
}

static struct weir_tls_certificate own(const struct test_cert *t)
{
    return (struct weir_tls_certificate){weir_str_of(t->pem), weir_str_of(t->key_pem), {0}, {0}};
}
static struct weir_tls_spec spec(void)
{
    return (struct weir_tls_spec){.arena = weir_arena_create(), .verify_depth = -1, .stats = registry};
}
static void make_server(struct weir_tls_spec *p)
{
    struct weir_error e = {0};
    struct weir_tls_certificate cert = own(&leaf);
    if (p->certificate_count == 0) {
        p->certificates = &cert;
        p->certificate_count = 1;
    }
    p->stat_prefix = WEIR_STR("listener.x.ssl.");
    if (weir_tls_server_create(p, &e, &server) != WEIR_OK) fail_msg("%s", e.text);
}
static void make_client(struct weir_tls_spec *p)
{
    struct weir_error e = {0};
    p->stat_prefix = WEIR_STR("cluster.x.ssl.");
    if (weir_tls_client_create(p, &e, &client) != WEIR_OK) fail_msg("%s", e.text);
}
static void accept_one(void)
{
    static const struct weir_address none;
    struct weir_transport *raw = weir_raw_accepted(w, net_accept(listener), &none, &at);
    s.t = weir_tls_accept(raw, server, &net_recorder_events, &s);
}
static void start_with(const struct weir_connect_options *o)
{
    c.t = weir_transport_connect(w, o, &net_recorder_events, &c);
    accept_one();
}
static void start(void)
{
    start_with(&(struct weir_connect_options){.remote = &at, .tls = client, .connect_timeout_ms = 10000});
}
static void meet(void)
{
    start();
    TURN_UNTIL(w, s.connected == 1 && c.connected == 1);
    weir_transport_read(s.t, true);
    weir_transport_read(c.t, true);
}
static int64_t counted(const struct weir_tls_context *x, enum weir_tls_stat stat)
{
    return weir_stat_sum(x->stats, stat);
}
static struct weir_san_match san(enum weir_san_type type, int kind, const char *text)
{
    struct weir_san_match m = {.type = type, .matcher = {.text = weir_str_of(text)}};
    m.matcher.kind = kind;
    return m;
}

static void test_tls_talks_both_ways_and_knows_its_peers(void **state)
{
    (void)state;
    struct weir_tls_spec sp = spec(), cp = spec();
    struct weir_tls_certificate own_client = own(&client_leaf);
    sp.alpn = WEIR_STR("\x02h2\x08http/1.1");
    sp.trusted_ca = weir_str_of(ca.pem);
    sp.require_client_certificate = true;
    cp.alpn = WEIR_STR("\x08http/1.1\x02h2");
    cp.sni = WEIR_STR("weir.test");
    cp.trusted_ca = weir_str_of(ca.pem);
    cp.max = WEIR_TLS_1_3;
    cp.certificates = &own_client;
    cp.certificate_count = 1;
    make_server(&sp);
    make_client(&cp);
    meet();
    net_write(c.t, "ques", 4);
    net_write(c.t, "tion", 4);
    TURN_UNTIL(w, s.bytes == 8);
    assert_string_equal(s.data, "question");
    assert_int_equal(s.reads, 1); /* one record */
    net_write(s.t, "answer", 6);
    TURN_UNTIL(w, c.bytes == 6);
    assert_int_equal(c.t->rx_bytes, 6);
    assert_int_equal(c.t->tx_bytes, 8);
    const struct weir_tls_info *i = s.t->tls;
    assert_true(weir_str_eq(i->sni, WEIR_STR("weir.test")));
    assert_true(weir_str_eq(i->alpn, WEIR_STR("h2"))); /* the server's order */
    assert_true(weir_str_eq(i->version, WEIR_STR("TLSv1.3")));
    assert_true(weir_str_eq(i->cipher, WEIR_STR("TLS_AES_128_GCM_SHA256")));
    assert_true(weir_str_eq(i->local_subject, WEIR_STR("CN=server,O=Test")));
    assert_true(weir_str_eq(i->peer_subject, WEIR_STR("CN=client,O=Test")));
    assert_true(weir_str_eq(i->peer_issuer, WEIR_STR("CN=ca,O=Test")));
    assert_int_equal(i->peer_uri_san_count, 1);
    assert_true(weir_str_eq(i->peer_uri_sans[0], WEIR_STR("spiffe://c/d")));
    assert_int_equal(i->local_dns_san_count, 2);
    assert_int_equal(i->peer_fingerprint_256.n, 64);
    assert_true(i->peer_certificate_presented && i->peer_certificate_validated);
    i = c.t->tls;
    assert_int_equal(i->peer_dns_san_count, 2);
    assert_true(i->peer_certificate_validated);
    assert_int_equal(counted(&server->c, WEIR_TS_handshake), 1);
    assert_int_equal(counted(&server->c, WEIR_TS_no_certificate), 0);
}

static void test_tls_client_stays_with_1_2_unless_told(void **state)
{
    (void)state;
    struct weir_tls_spec sp = spec(), cp = spec();
    make_server(&sp);
    make_client(&cp);
    meet();
    assert_true(weir_str_eq(c.t->tls->version, WEIR_STR("TLSv1.2")));
    assert_false(c.t->tls->peer_certificate_validated); /* nothing to verify with */
    assert_int_equal(counted(&server->c, WEIR_TS_no_certificate), 1);
}

static void test_tls_versions_that_do_not_meet(void **state)
{
    (void)state;
    struct weir_tls_spec sp = spec(), cp = spec();
    sp.min = WEIR_TLS_1_3;
    make_server(&sp);
    make_client(&cp);
    start();
    TURN_UNTIL(w, s.closed == 1 && c.closed == 1);
    assert_int_equal(s.reason, WEIR_CLOSE_TLS);
    assert_string_equal(s.failure, "TLS_error:|268435696:SSL_routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL:TLS_error_end");
    assert_string_equal(c.failure, "TLS_error:|268436526:SSL_routines:OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION:TLS_error_end");
    assert_int_equal(counted(&server->c, WEIR_TS_connection_error), 1);
}

static void refused_by_client(struct weir_tls_spec *cp, const char *reason)
{
    struct weir_tls_spec sp = spec();
    make_server(&sp);
    make_client(cp);
    start();
    TURN_UNTIL(w, s.closed + c.closed >= 1 && c.closed == 1);
    assert_int_equal(c.connected, 0);
    assert_int_equal(c.reason, WEIR_CLOSE_TLS);
    assert_string_equal(c.failure, reason);
    TURN_UNTIL(w, s.closed == 1);
}

static void test_tls_unknown_issuer_is_refused(void **state)
{
    (void)state;
    struct weir_tls_spec cp = spec();
    cp.trusted_ca = weir_str_of(other_ca.pem);
    refused_by_client(&cp, "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_X509_verify_cert:_"
                           "certificate_verification_error_at_depth_0:_unable_to_get_local_issuer_certificate:TLS_error_end");
    assert_int_equal(counted(&client->c, WEIR_TS_fail_verify_error), 1);
    assert_int_equal(counted(&client->c, WEIR_TS_connection_error), 0);
}

static void test_tls_names_that_do_not_match_are_listed(void **state)
{
    (void)state;
    struct weir_tls_spec cp = spec();
    struct weir_san_match m[] = {san(WEIR_SAN_DNS, WEIR_MATCH_EXACT, "other.test"), san(WEIR_SAN_URI, WEIR_MATCH_PREFIX, "spiffe://x")};
    cp.trusted_ca = weir_str_of(ca.pem);
    cp.sans = m;
    cp.san_count = 2;
    refused_by_client(&cp, "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_SAN_matcher,_"
                           "certificate_SANs_are_[weir.test,_*.wild.test,_spiffe://a/b,_127.0.0.1]:TLS_error_end");
    assert_int_equal(counted(&client->c, WEIR_TS_fail_verify_san), 1);
}

static bool accepted_with(struct weir_san_match m)
{
    struct weir_tls_spec sp = spec(), cp = spec();
    cp.trusted_ca = weir_str_of(ca.pem);
    cp.sans = &m;
    cp.san_count = 1;
    make_server(&sp);
    make_client(&cp);
    start();
    TURN_UNTIL(w, c.closed + c.connected != 0);
    bool ok = c.connected == 1;
    net_recorder_deinit(&c);
    net_recorder_deinit(&s);
    weir_worker_turn(w, 0);
    weir_tls_server_release(server);
    weir_tls_client_release(client);
    server = NULL;
    client = NULL;
    return ok;
}
static void test_tls_names_match_exactly_by_suffix_and_by_the_certificates_wildcard(void **state)
{
    (void)state;
    assert_true(accepted_with(san(WEIR_SAN_DNS, WEIR_MATCH_EXACT, "weir.test")));
    assert_true(accepted_with(san(WEIR_SAN_DNS, WEIR_MATCH_EXACT, "a.wild.test")));
    assert_false(accepted_with(san(WEIR_SAN_DNS, WEIR_MATCH_EXACT, "a.b.wild.test")));
    assert_false(accepted_with(san(WEIR_SAN_DNS, WEIR_MATCH_EXACT, "wild.test")));
    assert_true(accepted_with(san(WEIR_SAN_DNS, WEIR_MATCH_SUFFIX, "r.test")));
    assert_true(accepted_with(san(WEIR_SAN_URI, WEIR_MATCH_PREFIX, "spiffe://a/")));
    assert_true(accepted_with(san(WEIR_SAN_IP, WEIR_MATCH_EXACT, "127.0.0.1")));
    assert_false(accepted_with(san(WEIR_SAN_URI, WEIR_MATCH_EXACT, "weir.test"))); /* of another type */
}

static void test_tls_the_name_of_the_connection_is_verified(void **state)
{
    (void)state;
    struct weir_tls_spec sp = spec(), cp = spec();
    cp.trusted_ca = weir_str_of(ca.pem);
    make_server(&sp);
    make_client(&cp);
    start_with(&(struct weir_connect_options){.remote = &at, .tls = client, .sni = WEIR_STR("x.wild.test"), .san = WEIR_STR("x.wild.test")});
    TURN_UNTIL(w, c.connected == 1);
    TURN_UNTIL(w, s.connected == 1);
    assert_true(weir_str_eq(s.t->tls->sni, WEIR_STR("x.wild.test")));
    net_recorder_deinit(&c);
    net_recorder_deinit(&s);
    start_with(&(struct weir_connect_options){.remote = &at, .tls = client, .sni = WEIR_STR("y.test"), .san = WEIR_STR("y.test")});
    TURN_UNTIL(w, c.closed == 1);
    assert_int_equal(c.reason, WEIR_CLOSE_TLS);
}

static void test_tls_pinned_hashes(void **state)
{
    (void)state;
    uint8_t hash[1][32], wrong[1][32] = {{0}};
    unsigned n;
    assert_int_equal(X509_digest(leaf.x, EVP_sha256(), hash[0], &n), 1);
    struct weir_tls_spec sp = spec(), cp = spec();
    cp.hashes = (const uint8_t(*)[32])hash;
    cp.hash_count = 1;
    make_server(&sp);
    make_client(&cp);
    meet();
    assert_true(c.t->tls->peer_certificate_validated);
    net_recorder_deinit(&c);
    net_recorder_deinit(&s);
    weir_worker_turn(w, 0);
    weir_tls_server_release(server);
    weir_tls_client_release(client);
    struct weir_tls_spec again = spec();
    again.spkis = (const uint8_t(*)[32])wrong;
    again.spki_count = 1;
    refused_by_client(&again, "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_cert_hash_and_spki:"
                              "TLS_error_end");
    assert_int_equal(counted(&client->c, WEIR_TS_fail_verify_cert_hash), 1);
}

static void without_client_certificate(enum weir_tls_version max)
{
    struct weir_tls_spec sp = spec(), cp = spec();
    sp.trusted_ca = weir_str_of(ca.pem);
    sp.require_client_certificate = true;
    cp.max = max;
    make_server(&sp);
    make_client(&cp);
    start();
    TURN_UNTIL(w, s.closed == 1);
    assert_int_equal(s.reason, WEIR_CLOSE_TLS);
    assert_string_equal(s.failure, "TLS_error:|268435648:SSL_routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:"
                                   "peer_did_not_provide_required_client_certificate:TLS_error_end");
    if (c.t != NULL) weir_transport_read(c.t, true);
    TURN_UNTIL(w, c.closed == 1);
    assert_int_equal(c.reason, WEIR_CLOSE_TLS);
    assert_int_equal(counted(&server->c, WEIR_TS_fail_verify_no_cert), 1);
    assert_int_equal(counted(&server->c, WEIR_TS_connection_error), 0);
}
static void test_tls_client_without_the_required_certificate_hears_an_alert(void **state)
{
    (void)state;
    without_client_certificate(WEIR_TLS_1_2);
    assert_string_equal(c.failure, "TLS_error:|268436496:SSL_routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE:TLS_error_end");
}
static void test_tls13_client_without_the_required_certificate_hears_an_alert(void **state)
{
    (void)state;
    without_client_certificate(WEIR_TLS_1_3);
    assert_string_equal(c.failure, "TLS_error:|268436572:SSL_routines:OPENSSL_internal:TLSV1_ALERT_CERTIFICATE_REQUIRED:TLS_error_end");
}

static void test_tls_untrusted_client_is_refused_or_let_in_as_told(void **state)
{
    (void)state;
    struct weir_tls_spec sp = spec(), cp = spec();
    struct weir_tls_certificate own_client = own(&client_leaf);
    sp.trusted_ca = weir_str_of(other_ca.pem);
    sp.accept_untrusted = true;
    cp.certificates = &own_client;
    cp.certificate_count = 1;
    make_server(&sp);
    make_client(&cp);
    meet();
    assert_true(s.t->tls->peer_certificate_presented);
    assert_false(s.t->tls->peer_certificate_validated);
}

static void test_tls_plain_http_is_told_by_its_first_bytes(void **state)
{
    (void)state;
    struct weir_tls_spec sp = spec();
    char got[64];
    ssize_t n;
    make_server(&sp);
    int fd = net_connect(&at);
    accept_one();
    assert_true(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0) == 18);
    TURN_UNTIL(w, s.closed == 1);
    assert_int_equal(s.reason, WEIR_CLOSE_TLS);
    assert_string_equal(s.failure, "TLS_error:|268435612:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end");
    TURN_UNTIL(w, (n = net_take(fd, got, sizeof(got))) != 0);
    assert_int_equal(n, -1); /* FIN, no bytes */
    (void)close(fd);
}

/* OpenSSL as the client, over a socket fed by hand. */
struct peer {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    bool byte_by_byte;
};
static void peer_open(struct peer *p)
{
    p->ctx = SSL_CTX_new(TLS_client_method());
    p->ssl = SSL_new(p->ctx);
    SSL_set_bio(p->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(p->ssl);
    p->fd = net_connect(&at);
    net_nonblocking(p->fd);
    accept_one();
}
static void peer_exchange(struct peer *p)
{
    char buffer[8192];
    int n;
    while ((n = BIO_read(SSL_get_wbio(p->ssl), buffer, sizeof(buffer))) > 0) {
        for (int i = 0; i < n; i += p->byte_by_byte ? 1 : n) {
            assert_true(send(p->fd, buffer + i, p->byte_by_byte ? 1 : (size_t)n, MSG_NOSIGNAL) > 0);
            if (p->byte_by_byte) weir_worker_turn(w, 0);
        }
    }
    weir_worker_turn(w, 1);
    ssize_t got;
    while ((got = net_take(p->fd, buffer, sizeof(buffer))) > 0)
        BIO_write(SSL_get_rbio(p->ssl), buffer, (int)got);
}
static void peer_handshake(struct peer *p)
{
    while (SSL_do_handshake(p->ssl) != 1)
        peer_exchange(p);
    while (s.connected == 0)
        peer_exchange(p);
}
static void peer_close(struct peer *p)
{
    (void)close(p->fd);
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
}

static void test_tls_every_byte_by_itself(void **state)
{
    (void)state;
    struct weir_tls_spec sp = spec();
    struct peer p = {.byte_by_byte = true};
    char got[64];
    make_server(&sp);
    peer_open(&p);
    peer_handshake(&p);
    s.echo = true;
    weir_transport_read(s.t, true);
    assert_int_equal(SSL_write(p.ssl, "drop by drop", 12), 12);
    int n;
    while ((n = SSL_read(p.ssl, got, sizeof(got))) <= 0)
        peer_exchange(&p);
    assert_int_equal(n, 12);
    assert_memory_equal(got, "drop by drop", 12);
    assert_int_equal(s.bytes, 12);
    peer_close(&p);
    TURN_UNTIL(w, s.eof == 1);
}

static void test_tls_close_notify_is_sent_and_heard(void **state)
{
    (void)state;
    struct weir_tls_spec sp = spec();
    struct peer p = {0};
    char got[64];
    make_server(&sp);
    peer_open(&p);
    peer_handshake(&p);
    weir_transport_read(s.t, true);
    net_write(s.t, "last", 4);
    weir_transport_shutdown(s.t);
    while (SSL_read(p.ssl, got, sizeof(got)) != 4)
        peer_exchange(&p);
    int n, error;
    while ((n = SSL_read(p.ssl, got, sizeof(got))) <= 0 && (error = SSL_get_error(p.ssl, n)) == SSL_ERROR_WANT_READ)
        peer_exchange(&p);
    assert_int_equal(error, SSL_ERROR_ZERO_RETURN);
    /* The other half is still open. */
    assert_int_equal(SSL_write(p.ssl, "more", 4), 4);
    peer_exchange(&p);
    TURN_UNTIL(w, s.bytes == 4);
    SSL_shutdown(p.ssl);
    peer_exchange(&p);
    TURN_UNTIL(w, s.eof == 1);
    peer_close(&p);
    weir_worker_turn(w, 1);
    assert_int_equal(s.closed, 0);
}

static void test_tls_finish_sends_all_then_close_notify(void **state)
{
    (void)state;
    static char big[2 * 1024 * 1024];
    struct weir_tls_spec sp = spec(), cp = spec();
    make_server(&sp);
    make_client(&cp);
    meet();
    net_write(s.t, big, sizeof(big));
    weir_transport_finish(s.t, 5000);
    s.t = NULL;
    TURN_UNTIL(w, c.eof == 1);
    assert_int_equal(c.bytes, sizeof(big));
    assert_int_equal(c.closed, 0);
}

static void test_tls_back_pressure_bounds_what_is_held(void **state)
{
    (void)state;
    static char big[8 * 1024 * 1024];
    struct weir_tls_spec sp = spec(), cp = spec();
    make_server(&sp);
    make_client(&cp);
    meet();
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 31 + i / 4096);
    weir_transport_read(c.t, false);
    weir_transport_set_water(s.t, 1024 * 1024, 65536);
    net_write(s.t, big, sizeof(big));
    assert_true(s.t->above_high);
    for (int i = 0; i < 300; i++)
        weir_worker_turn(w, 0);
    assert_int_equal(c.bytes, 0);
    assert_true(weir_transport_queued(s.t) > 1024 * 1024);
    size_t blocks = w->blocks.live;
    for (int i = 0; i < 50; i++)
        weir_worker_turn(w, 0);
    assert_true(w->blocks.live <= blocks);
    assert_int_equal(s.drained, 0);
    weir_transport_read(c.t, true);
    TURN_UNTIL(w, c.bytes == sizeof(big));
    assert_memory_equal(c.data, big, sizeof(big));
    TURN_UNTIL(w, s.drained == 1);
    weir_transport_notify_flushed(s.t);
    TURN_UNTIL(w, s.flushed == 1);
}

static void test_tls_pause_in_the_middle_keeps_what_came(void **state)
{
    (void)state;
    struct weir_tls_spec sp = spec(), cp = spec();
    make_server(&sp);
    make_client(&cp);
    meet();
    s.pause_after_read = true;
    net_write(c.t, "one", 3);
    TURN_UNTIL(w, s.bytes == 3);
    net_write(c.t, "two", 3);
    weir_transport_shutdown(c.t);
    for (int i = 0; i < 5; i++)
        weir_worker_turn(w, 1);
    assert_int_equal(s.bytes, 3);
    assert_int_equal(s.eof, 0);
    weir_transport_read(s.t, true);
    TURN_UNTIL(w, s.bytes == 6);
    weir_transport_read(s.t, true);
    TURN_UNTIL(w, s.eof == 1);
    assert_string_equal(s.data, "onetwo");
}

static void test_tls_reset_and_bad_records_are_told(void **state)
{
    (void)state;
    struct weir_tls_spec sp = spec();
    struct peer p = {0};
    make_server(&sp);
    peer_open(&p);
    peer_handshake(&p);
    weir_transport_read(s.t, true);
    static const char garbage[] = "\x17\x03\x03\x00\x14garbage garbage garb";
    assert_true(send(p.fd, garbage, sizeof(garbage) - 1, 0) > 0);
    TURN_UNTIL(w, s.closed == 1);
    assert_int_equal(s.reason, WEIR_CLOSE_TLS);
    assert_non_null(strstr(s.failure, ":DECRYPTION_FAILED_OR_BAD_RECORD_MAC:"));
    peer_close(&p);

    struct peer q = {0};
    s = (struct net_recorder){.data = s.data};
    peer_open(&q);
    peer_handshake(&q);
    weir_transport_read(s.t, true);
    net_reset(q.fd);
    TURN_UNTIL(w, s.closed == 1);
    assert_int_equal(s.reason, WEIR_CLOSE_RESET);
    q.fd = -1;
    peer_close(&q);
}

static void resume_with(enum weir_tls_version max)
{
    struct weir_tls_spec sp = spec(), cp = spec();
    cp.max = max;
    cp.sni = WEIR_STR("weir.test");
    cp.trusted_ca = weir_str_of(ca.pem);
    make_server(&sp);
    make_client(&cp);
    for (int i = 0; i < 3; i++) {
        meet();
        net_write(s.t, "t", 1); /* behind the tickets */
        TURN_UNTIL(w, c.bytes == 1);
        assert_true(c.t->tls->peer_certificate_validated);
        net_recorder_deinit(&c);
        net_recorder_deinit(&s);
    }
    assert_int_equal(counted(&client->c, WEIR_TS_handshake), 3);
    assert_int_equal(counted(&client->c, WEIR_TS_session_reused), 2);
    assert_int_equal(counted(&server->c, WEIR_TS_session_reused), 2);
}
static void test_tls_sessions_are_resumed(void **state)
{
    (void)state;
    resume_with(WEIR_TLS_1_2);
}
static void test_tls13_sessions_are_resumed(void **state)
{
    (void)state;
    resume_with(WEIR_TLS_1_3);
}

static void test_tls_handshake_time_is_part_of_the_connect_timeout(void **state)
{
    (void)state;
    struct weir_tls_spec cp = spec();
    make_client(&cp);
    c.t = weir_transport_connect(w, &(struct weir_connect_options){.remote = &at, .tls = client, .connect_timeout_ms = 50}, &net_recorder_events, &c);
    int fd = net_accept(listener); /* stays silent */
    TURN_UNTIL(w, c.closed == 1);
    assert_int_equal(c.reason, WEIR_CLOSE_CONNECT_TIMEOUT);
    (void)close(fd);
}

static void test_tls_refused_connect_says_so(void **state)
{
    (void)state;
    struct weir_tls_spec cp = spec();
    struct weir_address nobody;
    make_client(&cp);
    (void)close(net_listen(&nobody, 1));
    c.t = weir_transport_connect(w, &(struct weir_connect_options){.remote = &nobody, .tls = client}, &net_recorder_events, &c);
    TURN_UNTIL(w, c.closed == 1);
    assert_int_equal(c.reason, WEIR_CLOSE_CONNECT_REFUSED);
    assert_string_equal(c.failure, "delayed_connect_error:_Connection_refused");
}

static void test_tls_peer_that_leaves_in_the_handshake(void **state)
{
    (void)state;
    struct weir_tls_spec sp = spec();
    make_server(&sp);
    int fd = net_connect(&at);
    accept_one();
    assert_int_equal(send(fd, "\x16\x03\x01", 3, 0), 3);
    (void)close(fd);
    TURN_UNTIL(w, s.closed == 1);
    assert_int_equal(s.reason, WEIR_CLOSE_REMOTE);
    assert_int_equal(counted(&server->c, WEIR_TS_connection_error), 1);
}

static void test_tls_name_can_be_required(void **state)
{
    (void)state;
    struct weir_tls_spec sp = spec(), cp = spec();
    sp.require_sni = true;
    make_server(&sp);
    make_client(&cp);
    start();
    TURN_UNTIL(w, s.closed == 1 && c.closed == 1);
    assert_int_equal(s.reason, WEIR_CLOSE_TLS);
}

static void test_tls_certificate_is_chosen_by_name_and_kind(void **state)
{
    (void)state;
    struct test_cert a = test_cert_make("a", "DNS:a.test", &ca, 0), b = test_cert_make("b", "DNS:*.b.test", &ca, 0),
                     rsa = test_cert_make("rsa", "DNS:a.test", &ca, TEST_CERT_RSA);
    struct weir_tls_certificate all[] = {own(&a), own(&b), own(&rsa)};
    static const struct {
        const char *sni, *ciphers, *subject;
    } cases[] = {
        {"a.test", "", "CN=a,O=Test"}, {"x.b.test", "", "CN=b,O=Test"}, {"none.test", "", "CN=a,O=Test"}, {"", "", "CN=a,O=Test"},
        {"a.test", "ECDHE-RSA-AES128-GCM-SHA256", "CN=rsa,O=Test"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weir_tls_spec sp = spec(), cp = spec();
        sp.certificates = all;
        sp.certificate_count = 3;
        cp.sni = weir_str_of(cases[i].sni);
        cp.ciphers = weir_str_of(cases[i].ciphers);
        make_server(&sp);
        make_client(&cp);
        meet();
        assert_true(weir_str_eq(c.t->tls->peer_subject, weir_str_of(cases[i].subject)));
        assert_true(weir_str_eq(s.t->tls->local_subject, weir_str_of(cases[i].subject)));
        net_recorder_deinit(&c);
        net_recorder_deinit(&s);
        weir_worker_turn(w, 0);
        weir_tls_server_release(server);
        weir_tls_client_release(client);
        server = NULL;
        client = NULL;
    }
    test_cert_free(&a);
    test_cert_free(&b);
    test_cert_free(&rsa);
}

static void refused_spec(struct weir_tls_spec *p, bool as_server, const char *text)
{
    struct weir_error e = {0};
    enum weir_err err = as_server ? weir_tls_server_create(p, &e, &server) : weir_tls_client_create(p, &e, &client);
    assert_int_equal(err, WEIR_ERR_INVALID);
    if (strstr(e.text, text) == NULL) fail_msg("'%s' is not in '%s'", text, e.text);
    weir_arena_destroy(p->arena);
}
static void test_tls_bad_material_is_refused_with_a_reason(void **state)
{
    (void)state;
    struct weir_tls_certificate cert = own(&leaf), broken = {WEIR_STR("nothing"), weir_str_of(leaf.key_pem), {0}, {0}},
                                foreign = {weir_str_of(leaf.pem), weir_str_of(ca.key_pem), {0}, {0}};
    struct weir_san_match m = san(WEIR_SAN_DNS, WEIR_MATCH_EXACT, "x");
    struct weir_tls_spec p = spec();
    refused_spec(&p, true, "must have a certificate");
    p = spec();
    p.certificates = &broken;
    p.certificate_count = 1;
    refused_spec(&p, true, "Failed to load certificate chain");
    p = spec();
    p.certificates = &foreign;
    p.certificate_count = 1;
    refused_spec(&p, true, "Failed to load private key");
    p = spec();
    p.trusted_ca = WEIR_STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    refused_spec(&p, false, "Failed to load trusted CA certificates");
    p = spec();
    p.sans = &m;
    p.san_count = 1;
    refused_spec(&p, false, "without trusted CA is insecure");
    p = spec();
    p.certificates = &cert;
    p.certificate_count = 1;
    p.ciphers = WEIR_STR("ECDHE-RSA-AES128-GCM-SHA256:NO-SUCH-CIPHER");
    refused_spec(&p, true, "NO-SUCH-CIPHER");
    p = spec();
    p.groups = WEIR_STR("P-999");
    refused_spec(&p, false, "P-999");
    p = spec();
    p.min = WEIR_TLS_1_3;
    p.max = WEIR_TLS_1_2;
    refused_spec(&p, false, "above the maximum");
}

static void test_tls_key_may_have_a_password(void **state)
{
    (void)state;
    char *key = test_cert_encrypted_key(&leaf, "secret");
    struct weir_tls_certificate cert = {weir_str_of(leaf.pem), weir_str_of(key), WEIR_STR("secret"), {0}};
    struct weir_tls_spec sp = spec(), cp = spec(), wrong = spec();
    sp.certificates = &cert;
    sp.certificate_count = 1;
    make_server(&sp);
    make_client(&cp);
    meet();
    struct weir_tls_certificate bad = {weir_str_of(leaf.pem), weir_str_of(key), WEIR_STR("guess"), {0}};
    struct weir_tls_server *none = NULL;
    struct weir_error e = {0};
    wrong.certificates = &bad;
    wrong.certificate_count = 1;
    assert_int_equal(weir_tls_server_create(&wrong, &e, &none), WEIR_ERR_INVALID);
    weir_arena_destroy(wrong.arena);
    free(key);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_tls_talks_both_ways_and_knows_its_peers),
        T(test_tls_client_stays_with_1_2_unless_told),
        T(test_tls_versions_that_do_not_meet),
        T(test_tls_unknown_issuer_is_refused),
        T(test_tls_names_that_do_not_match_are_listed),
        T(test_tls_names_match_exactly_by_suffix_and_by_the_certificates_wildcard),
        T(test_tls_the_name_of_the_connection_is_verified),
        T(test_tls_pinned_hashes),
        T(test_tls_client_without_the_required_certificate_hears_an_alert),
        T(test_tls13_client_without_the_required_certificate_hears_an_alert),
        T(test_tls_untrusted_client_is_refused_or_let_in_as_told),
        T(test_tls_plain_http_is_told_by_its_first_bytes),
        T(test_tls_every_byte_by_itself),
        T(test_tls_close_notify_is_sent_and_heard),
        T(test_tls_finish_sends_all_then_close_notify),
        T(test_tls_back_pressure_bounds_what_is_held),
        T(test_tls_pause_in_the_middle_keeps_what_came),
        T(test_tls_reset_and_bad_records_are_told),
        T(test_tls_sessions_are_resumed),
        T(test_tls13_sessions_are_resumed),
        T(test_tls_handshake_time_is_part_of_the_connect_timeout),
        T(test_tls_refused_connect_says_so),
        T(test_tls_peer_that_leaves_in_the_handshake),
        T(test_tls_name_can_be_required),
        T(test_tls_certificate_is_chosen_by_name_and_kind),
        T(test_tls_bad_material_is_refused_with_a_reason),
        T(test_tls_key_may_have_a_password),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
