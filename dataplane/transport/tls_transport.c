/* TLS over a raw transport. The library reads ciphertext out of `in` and writes it into `wire`, both by a BIO of ours, and never
 * sees a socket; it keeps its own record buffers only while they hold something. Plain bytes to send are gathered until the
 * turn's end, so that the pieces of one message make one record.
 *
 * Invariant: no callback of the owner runs inside a call of the library. */
#include <assert.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "dataplane/limits.h"
#include "dataplane/transport/ops.h"
#include "dataplane/transport/raw.h"
#include "dataplane/transport/room.h"
#include "dataplane/transport/tls_internal.h"

#define RECORD_BYTES 16384u
#define WIRE_BYTES_MAX (256u * 1024u) /* ciphertext waiting in the socket's queue: more is encrypted once that has left */
#define PLAIN_ROOM_MIN 1024u
#define ALERT_LINGER_MS 1000u

struct weir_tls {
    struct weir_transport t;
    struct weir_transport *raw; /* NULL: gone */
    SSL *ssl;
    struct weir_tls_session session;
    struct weir_buffer in, wire; /* ciphertext: come, to go */
    struct weir_buffer plain;    /* to be encrypted */
    struct weir_deferred flush, pump;
    struct weir_timer timer; /* client: connect and handshake */
    struct weir_dead dead;
    struct weir_tls_info info;
    struct weir_arena arena; /* of info */
    char *failure;
    bool client, handshaken, reading, wire_eof, eof, eof_told, fin_wanted, fin_sent, flushed_wanted, broken, closed;
};

static struct weir_tls *tls_of(struct weir_transport *t)
{
    return WEIR_CONTAINER_OF(t, struct weir_tls, t);
}

static int bio_read(BIO *b, char *out, int size)
{
    struct weir_tls *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (size <= 0) return 0;
    size_t n = weir_buffer_copy_out(&t->in, 0, out, (size_t)size);
    if (n == 0) {
        if (t->wire_eof && t->handshaken) return 0;
        BIO_set_retry_read(b);
        return -1;
    }
    weir_buffer_consume(&t->in, n);
    return (int)n;
}

static int bio_write(BIO *b, const char *p, int size)
{
    struct weir_tls *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (size <= 0) return 0;
    weir_buffer_append(&t->wire, &t->t.worker->blocks, p, (size_t)size);
    return size;
}

static long bio_ctrl(BIO *b, int command, long number, void *p)
{
    struct weir_tls *t = BIO_get_data(b);
    (void)number, (void)p;
    return command == BIO_CTRL_FLUSH ? 1 : command == BIO_CTRL_EOF ? t->wire_eof && t->in.bytes == 0 : 0;
}

BIO_METHOD *weir_tls_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "weir");
    if (m == NULL) return NULL;
    (void)BIO_meth_set_read(m, bio_read);
    (void)BIO_meth_set_write(m, bio_write);
    (void)BIO_meth_set_ctrl(m, bio_ctrl);
    return m;
}

/* The socket's, as far as they are known by now. */
static void keep_addresses(struct weir_tls *t)
{
    const struct weir_address local = weir_transport_local(t->raw), remote = weir_transport_remote(t->raw);
    weir_address_keep(&t->t.local, &local);
    weir_address_keep(&t->t.remote, &remote);
}

static void destroy(struct weir_dead *d)
{
    struct weir_tls *t = WEIR_CONTAINER_OF(d, struct weir_tls, dead);
    /* A connection that just goes away says nothing against its session: the library would forbid to resume it. */
    if (t->handshaken && !t->broken) SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->ssl);
    weir_buffer_deinit(&t->in);
    weir_buffer_deinit(&t->wire);
    weir_buffer_deinit(&t->plain);
    weir_tls_context_release(t->session.context);
    weir_arena_deinit(&t->arena);
    free((void *)(uintptr_t)t->session.sni.p);
    free((void *)(uintptr_t)t->session.san.p);
    weir_address_kept_deinit(&t->t.local);
    weir_address_kept_deinit(&t->t.remote);
    free(t->failure);
    free(t);
}

/* Everything but memory; the raw transport is the caller's business. */
static void close_now(struct weir_tls *t)
{
    if (t->closed) return;
    t->closed = true;
    weir_timer_stop(&t->t.worker->timers, &t->timer);
    weir_worker_undefer(&t->flush);
    weir_worker_undefer(&t->pump);
    t->dead.destroy = destroy;
    weir_worker_bury(t->t.worker, &t->dead);
}

static void end(struct weir_tls *t, enum weir_close_reason reason)
{
    if (t->closed) return;
    close_now(t);
    t->t.events->on_closed(t->t.owner, reason);
}

static void flush_later(struct weir_tls *t)
{
    weir_worker_flush_later(t->t.worker, &t->flush);
}

/* Ciphertext to the socket's queue. */
static void send_wire(struct weir_tls *t)
{
    if (t->wire.bytes != 0 && t->raw != NULL) weir_transport_write(t->raw, &t->wire);
}

static void set_failure(struct weir_tls *t)
{
    if (t->failure != NULL) return;
    t->failure = malloc(WEIR_TLS_REASON_MAX + 256);
    if (t->failure == NULL) abort();
    size_t n = weir_tls_failure_text(&t->session, t->failure, WEIR_TLS_REASON_MAX + 256);
    t->t.failure_reason = (struct weir_str){t->failure, n};
}

/* The library gave up. The alert that it made still goes out, and nothing may overtake it. */
static void fail(struct weir_tls *t)
{
    set_failure(t);
    if (!t->handshaken && t->session.reason[0] == 0) {
        bool no_certificate = strstr(t->failure, "PEER_DID_NOT_RETURN_A_CERTIFICATE") != NULL;
        weir_tls_count(&t->session, no_certificate ? WEIR_TS_fail_verify_no_cert : WEIR_TS_connection_error);
    } else if (t->handshaken) {
        weir_tls_count(&t->session, WEIR_TS_connection_error);
    }
    send_wire(t);
    if (t->raw != NULL) weir_transport_finish(t->raw, ALERT_LINGER_MS);
    t->raw = NULL;
    end(t, WEIR_CLOSE_TLS);
}

static void count_named(struct weir_tls *t, const char *kind, const char *what)
{
    char leaf[96];
    if (what == NULL || t->session.stats == NULL) return;
    int n = snprintf(leaf, sizeof(leaf), "%s.%s", kind, what);
    if (n > 0 && (size_t)n < sizeof(leaf)) weir_stat_inc_named(t->session.stats, (struct weir_str){leaf, (size_t)n});
}

static void handshake_done(struct weir_tls *t)
{
    t->handshaken = true;
    weir_timer_stop(&t->t.worker->timers, &t->timer);
    if (SSL_session_reused(t->ssl)) {
        t->session.validated = t->session.context->has_trust || t->session.context->hash_count + t->session.context->spki_count != 0;
        weir_tls_count(&t->session, WEIR_TS_session_reused);
    }
    weir_tls_info_fill(t->ssl, &t->session, &t->arena, &t->info);
    t->t.tls = &t->info;
    weir_tls_count(&t->session, WEIR_TS_handshake);
    if (!t->info.peer_certificate_presented) weir_tls_count(&t->session, WEIR_TS_no_certificate);
    count_named(t, "ciphers", SSL_get_cipher_name(t->ssl));
    count_named(t, "versions", SSL_get_version(t->ssl));
    int group = SSL_get_negotiated_group(t->ssl);
    if (group != 0 && group != NID_undef) {
        const char *nist = EC_curve_nid2nist(group);
        count_named(t, "curves", nist != NULL ? nist : OBJ_nid2sn(group));
    }
    keep_addresses(t);
    if (t->plain.bytes != 0 || t->fin_wanted || t->flushed_wanted) flush_later(t);
    if (t->t.events->on_connected != NULL) t->t.events->on_connected(t->t.owner);
    if (!t->closed && !t->reading) weir_transport_read(t->raw, false);
}

/* False: not done, or over. */
static bool shake_hands(struct weir_tls *t)
{
    ERR_clear_error();
    int n = SSL_do_handshake(t->ssl);
    if (n == 1) {
        send_wire(t);
        handshake_done(t);
        return !t->closed;
    }
    int error = SSL_get_error(t->ssl, n);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        send_wire(t);
        return false;
    }
    fail(t);
    return false;
}

static void tell_eof(struct weir_tls *t)
{
    if (t->closed || t->eof_told) return;
    t->eof_told = true;
    if (t->t.events->on_eof != NULL) t->t.events->on_eof(t->t.owner);
}

/* Plain bytes of as many records as are there, at most one large block of them. 0: none. */
static size_t decrypt(struct weir_tls *t, struct weir_slice *out, int *error)
{
    struct weir_worker *w = t->t.worker;
    uint8_t *at;
    uint32_t room;
    size_t want = t->in.bytes + (size_t)SSL_pending(t->ssl);
    if (want > WEIR_BLOCK_BYTES_MAX) want = WEIR_BLOCK_BYTES_MAX;
    uint32_t least = want < PLAIN_ROOM_MIN ? PLAIN_ROOM_MIN : want < WEIR_BLOCK_BYTES ? (uint32_t)want : WEIR_BLOCK_BYTES;
    struct weir_block *block = weir_room_take(w, (uint32_t)want, least, &at, &room);
    size_t got = 0;
    *error = SSL_ERROR_NONE;
    ERR_clear_error();
    while (got < room) {
        int n = SSL_read(t->ssl, at + got, (int)(room - got));
        if (n <= 0) {
            *error = SSL_get_error(t->ssl, n);
            break;
        }
        got += (size_t)n;
        if (t->in.bytes == 0 && SSL_pending(t->ssl) == 0) {
            *error = SSL_ERROR_WANT_READ;
            break;
        }
    }
    if (got == 0) {
        weir_block_release(block);
        return 0;
    }
    weir_room_use(w, block, got);
    *out = (struct weir_slice){at, got, block};
    t->t.rx_bytes += got;
    return got;
}

/* Takes in what has come as far as the owner wants it. */
static void pump(struct weir_tls *t)
{
    if (!t->handshaken && !shake_hands(t)) {
        if (t->closed || !t->wire_eof) return;
        /* The peer went away in the middle of the handshake. */
        weir_tls_count(&t->session, WEIR_TS_connection_error);
        weir_transport_close(t->raw, false);
        t->raw = NULL;
        end(t, WEIR_CLOSE_REMOTE);
        return;
    }
    while (!t->closed && t->reading && !t->eof) {
        struct weir_slice bytes;
        int error;
        size_t n = decrypt(t, &bytes, &error);
        send_wire(t); /* the library answers some messages by itself */
        if (n != 0) t->t.events->on_read(t->t.owner, bytes);
        if (t->closed) return;
        if (error == SSL_ERROR_NONE) continue;
        if (error == SSL_ERROR_WANT_READ) break;
        /* close_notify; or the end of the stream without it, which the protocols above judge by their own framing. */
        if (error == SSL_ERROR_ZERO_RETURN || (t->wire_eof && t->in.bytes == 0)) {
            t->eof = true;
            break;
        }
        t->broken = true;
        fail(t);
        return;
    }
    if (t->closed) return;
    if (t->wire_eof && t->in.bytes == 0 && SSL_pending(t->ssl) == 0) t->eof = true;
    if (t->eof) tell_eof(t);
}

static void run_pump(struct weir_deferred *d)
{
    pump(WEIR_CONTAINER_OF(d, struct weir_tls, pump));
}

static void on_raw_connected(void *owner)
{
    struct weir_tls *t = owner;
    keep_addresses(t);
    weir_transport_read(t->raw, true);
    pump(t);
}

static void on_raw_read(void *owner, struct weir_slice bytes)
{
    struct weir_tls *t = owner;
    weir_buffer_push(&t->in, bytes);
    if (t->reading || !t->handshaken) pump(t);
}

static void on_raw_eof(void *owner)
{
    struct weir_tls *t = owner;
    t->wire_eof = true;
    pump(t);
}

static void on_raw_drained(void *owner)
{
    (void)owner;
}

static void on_raw_flushed(void *owner)
{
    flush_later(owner);
}

static void on_raw_closed(void *owner, enum weir_close_reason reason)
{
    struct weir_tls *t = owner;
    if (t->raw->failure_reason.n != 0) {
        t->failure = malloc(t->raw->failure_reason.n + 1);
        if (t->failure == NULL) abort();
        memcpy(t->failure, t->raw->failure_reason.p, t->raw->failure_reason.n);
        t->t.failure_reason = (struct weir_str){t->failure, t->raw->failure_reason.n};
    }
    t->raw = NULL;
    if (!t->handshaken && (reason == WEIR_CLOSE_RESET || reason == WEIR_CLOSE_REMOTE)) weir_tls_count(&t->session, WEIR_TS_connection_error);
    end(t, reason);
}

static const struct weir_transport_events raw_events = {on_raw_connected, on_raw_read, on_raw_eof, on_raw_drained, on_raw_flushed, on_raw_closed};

/* One record of what waits: a large slice as it is, small ones put together. False: the library gave up. */
static bool encrypt_some(struct weir_tls *t)
{
    uint8_t gathered[RECORD_BYTES];
    const struct weir_slice *first = weir_buffer_slice(&t->plain, 0);
    const uint8_t *p = first->p;
    size_t n = first->n < RECORD_BYTES ? first->n : RECORD_BYTES;
    if (n < RECORD_BYTES && t->plain.count > 1) {
        n = weir_buffer_copy_out(&t->plain, 0, gathered, RECORD_BYTES);
        p = gathered;
    }
    ERR_clear_error();
    int wrote = SSL_write(t->ssl, p, (int)n);
    if (wrote <= 0) return false;
    weir_buffer_consume(&t->plain, (size_t)wrote);
    t->t.tx_bytes += (uint64_t)wrote;
    return true;
}

/* `all`: whatever the socket's queue holds already. */
static bool encrypt(struct weir_tls *t, bool all)
{
    while (t->plain.bytes != 0 && (all || weir_transport_queued(t->raw) + t->wire.bytes < WIRE_BYTES_MAX)) {
        if (!encrypt_some(t)) return false;
    }
    return true;
}

static void send_fin(struct weir_tls *t)
{
    t->fin_sent = true;
    ERR_clear_error();
    if (!t->broken) (void)SSL_shutdown(t->ssl);
    send_wire(t);
    weir_transport_shutdown(t->raw);
}

static size_t tls_queued(const struct weir_transport *transport)
{
    const struct weir_tls *t = WEIR_CONTAINER_OF(transport, struct weir_tls, t);
    return t->plain.bytes + t->wire.bytes + (t->raw != NULL ? weir_transport_queued(t->raw) : 0);
}

static void flush(struct weir_deferred *d)
{
    struct weir_tls *t = WEIR_CONTAINER_OF(d, struct weir_tls, flush);
    if (t->closed || !t->handshaken || t->raw == NULL) return;
    if (!encrypt(t, false)) {
        fail(t);
        return;
    }
    send_wire(t);
    if (t->plain.bytes == 0 && t->fin_wanted && !t->fin_sent) send_fin(t);
    size_t queued = tls_queued(&t->t);
    if (t->t.above_high && queued < t->t.low_water) {
        t->t.above_high = false;
        if (t->t.events->on_drained != NULL) t->t.events->on_drained(t->t.owner);
        if (t->closed) return;
        queued = tls_queued(&t->t);
    }
    if (queued == 0 && t->flushed_wanted) {
        t->flushed_wanted = false;
        if (t->t.events->on_flushed != NULL) t->t.events->on_flushed(t->t.owner);
    } else if (queued != 0 && (t->t.above_high || t->flushed_wanted || t->plain.bytes != 0)) {
        weir_transport_notify_flushed(t->raw);
    }
}

static void tls_read(struct weir_transport *transport, bool on)
{
    struct weir_tls *t = tls_of(transport);
    if (t->closed) return;
    t->reading = on;
    if (!t->handshaken) return;
    weir_transport_read(t->raw, on);
    if (on && (t->in.bytes != 0 || SSL_pending(t->ssl) != 0 || t->wire_eof)) weir_worker_defer(t->t.worker, &t->pump);
}

static void tls_write(struct weir_transport *transport, struct weir_buffer *b)
{
    struct weir_tls *t = tls_of(transport);
    if (t->closed || t->fin_wanted) {
        weir_buffer_consume(b, b->bytes);
        return;
    }
    weir_buffer_move(&t->plain, b);
    flush_later(t);
}

static void tls_notify_flushed(struct weir_transport *transport)
{
    struct weir_tls *t = tls_of(transport);
    t->flushed_wanted = true;
    flush_later(t);
}

static void tls_shutdown(struct weir_transport *transport)
{
    struct weir_tls *t = tls_of(transport);
    if (t->closed || t->fin_wanted) return;
    t->fin_wanted = true;
    flush_later(t);
}

static void tls_close(struct weir_transport *transport, bool reset)
{
    struct weir_tls *t = tls_of(transport);
    if (t->closed) return;
    if (t->raw != NULL) weir_transport_close(t->raw, reset);
    t->raw = NULL;
    close_now(t);
}

static void tls_finish(struct weir_transport *transport, uint32_t linger_ms)
{
    struct weir_tls *t = tls_of(transport);
    if (t->closed) return;
    if (t->handshaken) {
        if (!encrypt(t, true)) t->broken = true;
        ERR_clear_error();
        if (!t->fin_sent && !t->broken) (void)SSL_shutdown(t->ssl);
    }
    send_wire(t);
    if (t->raw != NULL) {
        t->raw->stall_ms = transport->stall_ms;
        weir_transport_finish(t->raw, linger_ms);
    }
    t->raw = NULL;
    close_now(t);
}

static void tls_idle(struct weir_transport *transport)
{
    struct weir_tls *t = tls_of(transport);
    if (t->in.bytes == 0) weir_buffer_deinit(&t->in);
    if (t->plain.bytes == 0) weir_buffer_deinit(&t->plain);
    if (t->wire.bytes == 0) weir_buffer_deinit(&t->wire);
    if (t->raw != NULL) weir_transport_idle(t->raw);
}

static bool tls_unread(const struct weir_transport *transport)
{
    const struct weir_tls *t = WEIR_CONTAINER_OF(transport, struct weir_tls, t);
    return t->in.bytes != 0 || SSL_pending(t->ssl) != 0 || (t->raw != NULL && weir_transport_unread(t->raw));
}

static const struct weir_transport_ops tls_ops = {
    .read = tls_read,
    .write = tls_write,
    .queued = tls_queued,
    .notify_flushed = tls_notify_flushed,
    .shutdown = tls_shutdown,
    .close = tls_close,
    .finish = tls_finish,
    .idle = tls_idle,
    .unread = tls_unread,
};

static struct weir_tls *tls_new(struct weir_worker *w, const struct weir_tls_context *constant, bool client)
{
    /* The context is constant to its users; its count is not. */
    struct weir_tls_context *c = (struct weir_tls_context *)(uintptr_t)constant;
    struct weir_tls *t = calloc(1, sizeof(*t));
    BIO *bio = BIO_new(c->bio);
    if (t == NULL || bio == NULL) abort();
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    t->t.ops = &tls_ops;
    t->t.worker = w;
    t->client = client;
    t->session.context = c;
    t->session.stats = c->stats != NULL ? weir_stats_shard(c->stats, w->index) : NULL;
    t->flush.run = flush;
    t->pump.run = run_pump;
    t->ssl = SSL_new(c->ssl);
    if (t->ssl == NULL) abort();
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, &t->session);
    return t;
}

static void take_raw(struct weir_tls *t, struct weir_transport *raw)
{
    t->raw = raw;
    keep_addresses(t);
    t->t.local_restored = raw->local_restored;
    t->t.id = raw->id;
}

struct weir_transport *weir_tls_accept(struct weir_transport *raw, const struct weir_tls_server *s,
                                       const struct weir_transport_events *events, void *owner)
{
    struct weir_tls *t = tls_new(raw->worker, &s->c, false);
    SSL_set_accept_state(t->ssl);
    weir_transport_attach(&t->t, events, owner);
    take_raw(t, raw);
    weir_transport_attach(raw, &raw_events, t);
    weir_transport_read(raw, true);
    return &t->t;
}

static struct weir_str copy(struct weir_str s)
{
    if (s.n == 0) return (struct weir_str){0};
    char *p = malloc(s.n + 1);
    if (p == NULL) abort();
    memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return (struct weir_str){p, s.n};
}

static void on_timeout(struct weir_timer *timer)
{
    struct weir_tls *t = WEIR_CONTAINER_OF(timer, struct weir_tls, timer);
    weir_transport_close(t->raw, false);
    t->raw = NULL;
    end(t, WEIR_CLOSE_CONNECT_TIMEOUT);
}

struct weir_transport *weir_tls_connect(struct weir_worker *w, const struct weir_connect_options *o,
                                        const struct weir_transport_events *events, void *owner)
{
    struct weir_tls *t = tls_new(w, &o->tls->c, true);
    const struct weir_tls_context *c = t->session.context;
    SSL_set_connect_state(t->ssl);
    weir_transport_attach(&t->t, events, owner);
    t->session.sni = copy(o->sni.n != 0 ? o->sni : c->auto_host_sni && o->hostname.n != 0 ? o->hostname : c->sni);
    t->session.san = copy(o->san);
    if (t->session.sni.n != 0) (void)SSL_set_tlsext_host_name(t->ssl, t->session.sni.p);
    struct weir_str alpn = o->alpn.n != 0 ? o->alpn : c->alpn;
    if (alpn.n != 0) (void)SSL_set_alpn_protos(t->ssl, (const unsigned char *)alpn.p, (unsigned)alpn.n);
    SSL_SESSION *session = weir_tls_session_find(t->session.context, &t->session);
    if (session != NULL) {
        (void)SSL_set_session(t->ssl, session);
        SSL_SESSION_free(session);
    }
    struct weir_connect_options raw = *o;
    raw.connect_timeout_ms = 0; /* one time for both: ours */
    take_raw(t, weir_raw_connect(w, &raw, &raw_events, t));
    t->timer.on_due = on_timeout;
    if (o->connect_timeout_ms != 0) weir_timer_start(&w->timers, &t->timer, o->connect_timeout_ms);
    return &t->t;
}
