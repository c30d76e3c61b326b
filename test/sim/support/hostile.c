#include "test/sim/support/hostile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPT_MAX 65536u

enum ending { END_FIN, END_RESET, END_NEVER };
struct peer {
    struct weir_list node;
    struct hostile *hostile;
    struct weir_transport *t; /* NULL: gone */
    struct weir_dead dead;
    bool server, h2, speaking;
    uint8_t *script;
    size_t script_bytes, sent, piece;
    uint64_t gap_ns;
    enum ending ending;
    uint32_t pending;
};

static uint64_t below(struct hostile *h, uint64_t n)
{
    return weir_random_below(&h->sim->random, n);
}

/* ---- what is said ---- */

static void put(struct peer *p, const void *bytes, size_t n)
{
    if (n > SCRIPT_MAX - p->script_bytes) n = SCRIPT_MAX - p->script_bytes;
    if (n == 0) return;
    memcpy(p->script + p->script_bytes, bytes, n);
    p->script_bytes += n;
}

static void put_text(struct peer *p, const char *text)
{
    put(p, text, strlen(text));
}

static void put_frame(struct peer *p, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, uint32_t n)
{
    uint8_t head[9] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags, (uint8_t)(stream >> 24), (uint8_t)(stream >> 16),
                       (uint8_t)(stream >> 8), (uint8_t)stream};
    put(p, head, sizeof(head));
    put(p, payload, n);
}

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };

/* HPACK (RFC 7541): indexed fields of the static table and one literal. */
static const uint8_t request_block[] = {0x83, 0x86, 0x84, 0x41, 0x01, 'a'};
static const uint8_t get_block[] = {0x82, 0x86, 0x84, 0x41, 0x01, 'a'};
static const uint8_t response_block[] = {0x88};

static void say_http1_requests(struct peer *p)
{
    static const char *const requests[] = {
        "GET /a HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n0123456789",
        "POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nt: v\r\n\r\n",
        "GET /d HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nbytes of a tunnel",
        "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\nbytes of a tunnel",
        "GET http://a/e HTTP/1.0\r\n\r\n",
        "POST /f HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 100000\r\n\r\n",
    };
    for (uint64_t n = 1 + below(p->hostile, 5); n != 0; n--)
        put_text(p, requests[below(p->hostile, 7)]);
}

static void say_http1_responses(struct peer *p)
{
    static const char *const responses[] = {
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nt: v\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nbytes",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.0 503 No\r\ncontent-length: 0\r\n\r\n",
    };
    for (uint64_t n = 1 + below(p->hostile, 3); n != 0; n--)
        put_text(p, responses[below(p->hostile, 7)]);
}

static void say_http2_frames(struct peer *p)
{
    struct hostile *h = p->hostile;
    static const uint8_t zeros[64];
    if (!p->server) put_text(p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put_frame(p, SETTINGS, 0, 0, NULL, 0);
    uint32_t stream = 1;
    for (uint64_t n = 1 + below(h, 12); n != 0; n--) {
        uint32_t at = below(h, 4) == 0 ? (uint32_t)below(h, 9) : stream;
        switch (below(h, 10)) {
        case 0:
        case 1:
        case 2:
            if (p->server) {
                put_frame(p, HEADERS, 4 | (uint8_t)below(h, 2), at, response_block, sizeof(response_block));
            } else {
                put_frame(p, HEADERS, 4 | (uint8_t)below(h, 2), at, below(h, 2) == 0 ? request_block : get_block, sizeof(get_block));
                stream += 2;
            }
            break;
        case 3: put_frame(p, DATA, (uint8_t)below(h, 2), at, zeros, (uint32_t)below(h, sizeof(zeros))); break;
        case 4: put_frame(p, RST_STREAM, 0, at, zeros, 4); break;
        case 5: put_frame(p, SETTINGS, (uint8_t)below(h, 2), 0, zeros, 6 * (uint32_t)below(h, 3)); break;
        case 6: put_frame(p, PING, (uint8_t)below(h, 2), 0, zeros, 8); break;
        case 7: put_frame(p, WINDOW_UPDATE, 0, below(h, 2) == 0 ? 0 : at, "\x00\x00\x10\x00", 4); break;
        case 8: put_frame(p, GOAWAY, 0, 0, zeros, 8); break;
        default: put_frame(p, (uint8_t)below(h, 12), (uint8_t)below(h, 256), at, zeros, (uint32_t)below(h, sizeof(zeros))); break;
        }
    }
}

/* The same thing again and again, until it is refused. */
static void say_flood(struct peer *p)
{
    struct hostile *h = p->hostile;
    static const uint8_t zeros[16];
    if (!p->h2) {
        put_text(p, p->server ? "HTTP/1.1 200 OK\r\n" : "GET / HTTP/1.1\r\nhost: a\r\n");
        const char *line[] = {"x: y\r\n", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "HTTP/1.1 100 Continue\r\n\r\n", "\r\n"};
        const char *one = line[below(h, 4)];
        while (p->script_bytes + 64 < SCRIPT_MAX)
            put_text(p, one);
        return;
    }
    if (!p->server) put_text(p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put_frame(p, SETTINGS, 0, 0, NULL, 0);
    uint64_t kind = below(h, 7);
    if (!p->server) put_frame(p, HEADERS, kind == 4 ? 0 : 4, 1, get_block, sizeof(get_block));
    for (uint32_t stream = 3; p->script_bytes + 64 < SCRIPT_MAX; stream += 2) {
        switch (kind) {
        case 0: put_frame(p, PING, 0, 0, zeros, 8); break;
        case 1: put_frame(p, SETTINGS, 0, 0, NULL, 0); break;
        case 2: put_frame(p, DATA, 0, 1, NULL, 0); break;
        case 3:
            put_frame(p, HEADERS, 5, stream, get_block, sizeof(get_block));
            put_frame(p, RST_STREAM, 0, stream, zeros, 4);
            break;
        case 4: put_frame(p, CONTINUATION, 0, 1, "\x40\x01x\x01y", 5); break;
        case 5: put_frame(p, PRIORITY, 0, stream, zeros, 5); break;
        default: put_frame(p, HEADERS, 5, stream, get_block, sizeof(get_block)); break;
        }
    }
}

/* ---- what becomes of it ---- */

static void bend(struct peer *p)
{
    struct hostile *h = p->hostile;
    if (p->script_bytes < 8) return;
    for (uint64_t n = below(h, 5); n != 0; n--) {
        size_t at = below(h, p->script_bytes), span = 1 + below(h, 20);
        if (span > p->script_bytes - at) span = p->script_bytes - at;
        switch (below(h, 5)) {
        case 0: p->script[at] = (uint8_t)below(h, 256); break;
        case 1: p->script[at] ^= (uint8_t)(1u << below(h, 8)); break;
        case 2: /* lost */
            memmove(p->script + at, p->script + at + span, p->script_bytes - at - span);
            p->script_bytes -= span;
            break;
        case 3: /* twice */
            if (p->script_bytes + span > SCRIPT_MAX) break;
            memmove(p->script + at + span, p->script + at, p->script_bytes - at);
            p->script_bytes += span;
            break;
        default: p->script_bytes = at + span; break;
        }
        if (p->script_bytes < 8) return;
    }
}

static void script_make(struct peer *p)
{
    struct hostile *h = p->hostile;
    p->script = malloc(SCRIPT_MAX);
    assert_non_null(p->script);
    uint64_t kind = below(h, 10);
    if (kind == 0) {
        size_t n = below(h, 2000);
        for (size_t i = 0; i < n; i++)
            p->script[i] = (uint8_t)below(h, 256);
        p->script_bytes = n;
    } else if (kind <= 2) {
        say_flood(p);
    } else if (p->h2) {
        say_http2_frames(p);
    } else if (p->server) {
        say_http1_responses(p);
    } else {
        say_http1_requests(p);
    }
    bend(p);
    p->piece = below(h, 2) == 0 ? SCRIPT_MAX : 1 + below(h, 5000);
    p->gap_ns = below(h, 20 * SIM_MS);
    p->ending = (enum ending)below(h, 3);
}

/* ---- how it is said ---- */

static void destroy(struct weir_dead *d)
{
    struct peer *p = WEIR_CONTAINER_OF(d, struct peer, dead);
    free(p->script);
    free(p);
}

static void release(struct peer *p)
{
    if (p->t != NULL || p->pending != 0) return;
    p->dead.destroy = destroy;
    weir_worker_bury(p->hostile->sim->worker, &p->dead);
}

static void gone(struct peer *p)
{
    p->t = NULL;
    p->hostile->alive--;
    weir_list_remove(&p->node);
    release(p);
}

static void on_say(struct sim *s, void *ctx)
{
    struct peer *p = ctx;
    p->pending--;
    if (p->t == NULL) {
        release(p);
        return;
    }
    size_t n = p->script_bytes - p->sent < p->piece ? p->script_bytes - p->sent : p->piece;
    if (n != 0) {
        struct weir_buffer b;
        weir_buffer_init(&b);
        struct weir_block *block = weir_block_create(&s->worker->blocks, n);
        memcpy(block->data, p->script + p->sent, n);
        weir_buffer_push(&b, (struct weir_slice){block->data, n, block});
        weir_transport_write(p->t, &b);
        weir_buffer_deinit(&b);
        p->sent += n;
        p->pending++;
        sim_at(s, p->gap_ns, on_say, p);
        return;
    }
    struct weir_transport *t = p->t;
    if (p->ending == END_FIN) {
        weir_transport_shutdown(t);
    } else if (p->ending == END_RESET) {
        gone(p);
        weir_transport_close(t, true);
    }
}

static void speak(struct peer *p)
{
    if (p->speaking) return;
    p->speaking = true;
    p->pending++;
    sim_at(p->hostile->sim, below(p->hostile, 10 * SIM_MS), on_say, p);
}

static void on_connected(void *owner)
{
    struct peer *p = owner;
    if (below(p->hostile, 4) != 0) weir_transport_read(p->t, true); /* else it never reads */
    speak(p);
}

static void on_read(void *owner, struct weir_slice bytes)
{
    struct peer *p = owner;
    if (bytes.block != NULL) weir_block_release(bytes.block);
    speak(p);
}

static void on_eof(void *owner)
{
    struct peer *p = owner;
    struct weir_transport *t = p->t;
    gone(p);
    weir_transport_close(t, false);
}

static void on_closed(void *owner, enum weir_close_reason reason)
{
    (void)reason;
    gone(owner);
}

static const struct weir_transport_events events = {.on_connected = on_connected, .on_read = on_read, .on_eof = on_eof, .on_closed = on_closed};

static struct peer *peer_new(struct hostile *h, bool server, bool h2)
{
    struct peer *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->hostile = h;
    p->server = server;
    p->h2 = h2;
    h->alive++;
    weir_list_push_back(&h->peers, &p->node);
    script_make(p);
    return p;
}

void hostile_init(struct hostile *h, struct sim *s)
{
    *h = (struct hostile){.sim = s};
    weir_list_init(&h->peers);
}

static void accept_one(struct hostile *h, struct weir_transport *t, bool h2)
{
    struct peer *p = peer_new(h, true, h2);
    p->t = t;
    weir_transport_attach(t, &events, p);
    weir_transport_read(t, true);
    if (below(h, 4) == 0) speak(p); /* before it was asked */
}

static void on_accept_http1(void *ctx, struct weir_transport *t)
{
    accept_one(ctx, t, false);
}

static void on_accept_http2(void *ctx, struct weir_transport *t)
{
    accept_one(ctx, t, true);
}

void hostile_listen(struct hostile *h, struct weir_address at, bool h2)
{
    h->listeners[h2] = (struct sim_listener){.address = at, .on_accept = h2 ? on_accept_http2 : on_accept_http1, .ctx = h};
    sim_listen(h->sim, &h->listeners[h2]);
}

void hostile_connect(struct hostile *h, const struct weir_address *to)
{
    struct peer *p = peer_new(h, false, below(h, 2) == 0);
    struct weir_connect_options o = {.remote = to, .connect_timeout_ms = 10000};
    p->t = weir_transport_connect(h->sim->worker, &o, &events, p);
}

void hostile_deinit(struct hostile *h)
{
    while (!weir_list_empty(&h->peers)) {
        struct peer *p = WEIR_CONTAINER_OF(h->peers.next, struct peer, node);
        struct weir_transport *t = p->t;
        gone(p);
        weir_transport_close(t, true);
    }
    for (int i = 0; i < 2; i++)
        if (h->listeners[i].ctx != NULL) sim_unlisten(&h->listeners[i]);
}
