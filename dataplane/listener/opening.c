/* An accepted socket until its filter chain is known. Where nothing must be peeked at that is at once; else the first bytes are
 * looked at (PROXY protocol, ClientHello, HTTP), at most for listener_filters_timeout, and put back for whoever comes next. */
#include <assert.h>
#include <stdlib.h>

#include "dataplane/base/log.h"
#include "dataplane/base/str.h"
#include "dataplane/limits.h"
#include "dataplane/listener/chain_match.h"
#include "dataplane/listener/http_peek.h"
#include "dataplane/listener/internal.h"
#include "dataplane/listener/original_dst.h"
#include "dataplane/listener/proxy_protocol.h"
#include "dataplane/transport/hello.h"
#include "dataplane/transport/own.h"
#include "dataplane/transport/raw.h"

struct weir_opening {
    struct weir_list node; /* listener->opening */
    struct weir_listener *listener;
    struct weir_transport *transport; /* raw */
    struct weir_timer timer;
    struct weir_dead dead;
    struct weir_slice bytes; /* all that came so far, after the PROXY header */
    struct weir_address direct;
    uint64_t start_ns;
    bool proxied;     /* the PROXY header is done with */
    bool handed_over; /* by another listener: it stays here */
    bool over;
};
/* What peeking found. */
struct found {
    uint8_t scratch[WEIR_HELLO_WIRE_BYTES_MAX]; /* what alpn may point into */
    char server_name[256];
    size_t server_name_length;
    struct weir_str alpn;
    bool tls;
};
/* Leaves the scratch alone. */
static void found_nothing(struct found *f)
{
    f->server_name_length = 0;
    f->alpn = (struct weir_str){0};
    f->tls = false;
}

enum progress { MORE, READY, REFUSED };

static void destroy(struct weir_dead *d)
{
    free(WEIR_CONTAINER_OF(d, struct weir_opening, dead));
}

/* The transport has gone on, or is closed. */
static void opening_end(struct weir_opening *o)
{
    struct weir_listener *l = o->listener;
    if (o->over) return;
    o->over = true;
    weir_list_remove(&o->node);
    weir_timer_stop(&l->worker->timers, &o->timer);
    if (o->bytes.block != NULL) weir_block_release(o->bytes.block);
    o->dead.destroy = destroy;
    weir_worker_bury(l->worker, &o->dead);
    weir_listener_count(l, WEIR_LS_downstream_pre_cx_active, -1);
    l->opening_count--;
    weir_listener_ended_one(l);
}

static void opening_close(struct weir_opening *o, bool reset)
{
    weir_transport_close(o->transport, reset);
    opening_end(o);
}

void weir_openings_close(struct weir_listener *l)
{
    l->opening_count++; /* keeps the listener until the loop is over */
    while (!weir_list_empty(&l->opening))
        opening_close(WEIR_CONTAINER_OF(l->opening.next, struct weir_opening, node), false);
    l->opening_count--;
    weir_listener_ended_one(l);
}

static struct weir_listener_chain *choose(struct weir_listener *l, const struct weir_transport *t, const struct weir_address *direct,
                                 const struct found *f)
{
    const struct weir_address local = weir_transport_local(t), remote = weir_transport_remote(t);
    struct weir_chain_input in = {
        .local = &local,
        .direct_remote = direct != NULL ? direct : &remote,
        .remote = &remote,
        .server_name = {f->server_name, f->server_name_length},
        .transport_protocol = f->tls ? WEIR_STR("tls") : WEIR_STR("raw_buffer"),
        .alpn = f->alpn,
    };
    uint32_t i = weir_chain_match_find(l->config->match, &in);
    if (i == WEIR_CHAIN_NONE && l->config->has_default) i = l->config->chain_count - 1;
    return i == WEIR_CHAIN_NONE ? NULL : l->chains[i];
}

/* The listener of the original destination, where this one leaves connections to it. */
static struct weir_listener *destination_of(struct weir_listener *l, const struct weir_transport *t, bool handed_over)
{
    if (handed_over || !l->config->use_original_dst || !t->local_restored) return NULL;
    const struct weir_address local = weir_transport_local(t);
    struct weir_listener *to = weir_listener_at(l->worker, &local);
    return to != l ? to : NULL;
}

static void begin(struct weir_listener *l, struct weir_transport *t, const struct weir_address *direct, uint64_t start_ns, bool handed_over);

/* What was peeked at has been put back. */
static void go_on(struct weir_listener *l, struct weir_transport *t, const struct weir_address *direct, const struct found *f, uint64_t start_ns,
                  bool handed_over)
{
    struct weir_listener *to = destination_of(l, t, handed_over);
    if (to != NULL) {
        begin(to, t, direct, start_ns, true);
        return;
    }
    struct weir_listener_chain *chain = choose(l, t, direct, f);
    if (chain == NULL) {
        weir_listener_count(l, WEIR_LS_no_filter_chain_match, 1);
        WEIR_LOG(CONNECTION, DEBUG, "[C%llu] closing connection: no matching filter chain found", (unsigned long long)t->id);
        weir_transport_close(t, true);
        return;
    }
    weir_listener_connection_start(chain, t, (struct weir_str){f->server_name, f->server_name_length}, direct, start_ns);
}

/* Puts the bytes back and hands the transport on. */
static void opening_done(struct weir_opening *o, const struct found *f)
{
    struct weir_slice bytes = o->bytes;
    o->bytes = (struct weir_slice){0};
    if (bytes.n != 0)
        weir_raw_unread(o->transport, bytes);
    else if (bytes.block != NULL)
        weir_block_release(bytes.block);
    const struct weir_address remote = weir_transport_remote(o->transport);
    go_on(o->listener, o->transport, weir_address_equal(&o->direct, &remote, true) ? NULL : &o->direct, f, o->start_ns, o->handed_over);
    opening_end(o);
}

/* filter_disabled goes by the port as it is known at that moment: after the original destination, then after the PROXY header. */
static bool is_off(const struct weir_port_set *s, const struct weir_transport *t)
{
    const struct weir_address local = weir_transport_local(t);
    return weir_port_set_has(s, &local);
}
static bool wants_proxy(const struct weir_listener_config *c, const struct weir_transport *t)
{
    return c->proxy_protocol && !is_off(&c->proxy_off, t);
}
static bool wants_tls(const struct weir_listener_config *c, const struct weir_transport *t)
{
    return c->inspect_tls && !is_off(&c->tls_off, t);
}
static bool wants_http(const struct weir_listener_config *c, const struct weir_transport *t)
{
    return c->inspect_http && !is_off(&c->http_off, t);
}

static enum progress peek_proxy(struct weir_opening *o)
{
    struct weir_proxy_header h;
    size_t used;
    switch (weir_proxy_protocol_parse(o->bytes.p, o->bytes.n, &h, &used)) {
    case WEIR_PROXY_MORE: return MORE;
    case WEIR_PROXY_NONE: return o->listener->config->proxy_protocol_optional ? READY : REFUSED;
    case WEIR_PROXY_INVALID: return REFUSED;
    case WEIR_PROXY_DONE: break;
    }
    o->bytes.p += used;
    o->bytes.n -= used;
    if (h.remote.length != 0) {
        const struct weir_address local = weir_transport_local(o->transport);
        o->transport->local_restored |= !weir_address_equal(&local, &h.local, true);
        weir_address_keep(&o->transport->remote, &h.remote);
        weir_address_keep(&o->transport->local, &h.local);
    }
    return READY;
}

static enum progress peek_tls(struct weir_opening *o, struct found *f)
{
    struct weir_hello hello;
    size_t n = o->bytes.n < sizeof(f->scratch) ? o->bytes.n : sizeof(f->scratch);
    switch (weir_hello_parse(o->bytes.p, n, f->scratch, &hello)) {
    case WEIR_HELLO_MORE: return MORE;
    case WEIR_HELLO_TOO_LARGE: return REFUSED;
    case WEIR_HELLO_NOT_TLS: return READY;
    case WEIR_HELLO_DONE: break;
    }
    f->tls = true;
    f->alpn = hello.alpn;
    f->server_name_length = hello.server_name.n < sizeof(f->server_name) ? hello.server_name.n : 0;
    for (size_t i = 0; i < f->server_name_length; i++)
        f->server_name[i] = weir_lower(hello.server_name.p[i]);
    return READY;
}

static enum progress look(struct weir_opening *o, struct found *f)
{
    const struct weir_listener_config *c = o->listener->config;
    enum progress p;
    if (!o->proxied && wants_proxy(c, o->transport)) {
        p = peek_proxy(o);
        if (p != READY) return p;
        o->proxied = true;
    }
    if (wants_tls(c, o->transport)) {
        p = peek_tls(o, f);
        if (p != READY) return p;
    }
    if (wants_http(c, o->transport) && !f->tls && !weir_http_peek(o->bytes.p, o->bytes.n, &f->alpn)) return MORE;
    return READY;
}

/* All that came so far in one piece: mostly it comes in one. */
static void gather(struct weir_opening *o, struct weir_slice more)
{
    if (o->bytes.n == 0) {
        if (o->bytes.block != NULL) weir_block_release(o->bytes.block);
        o->bytes = more;
        return;
    }
    size_t n = o->bytes.n + more.n;
    struct weir_block *block = o->bytes.block;
    uint8_t *at = (uint8_t *)(uintptr_t)o->bytes.p;
    if (block->refs != 1 || at + n > block->data + block->capacity) {
        block = weir_block_create(&o->listener->worker->blocks, n);
        at = block->data;
        memcpy(at, o->bytes.p, o->bytes.n);
        weir_block_release(o->bytes.block);
    }
    memcpy(at + o->bytes.n, more.p, more.n);
    weir_block_release(more.block);
    o->bytes = (struct weir_slice){at, n, block};
}

static void on_read(void *owner, struct weir_slice bytes)
{
    struct weir_opening *o = owner;
    struct found f;
    found_nothing(&f);
    gather(o, bytes);
    switch (look(o, &f)) {
    case MORE:
        if (o->bytes.n <= WEIR_PEEK_BYTES_MAX) return;
        /* fall through */
    case REFUSED:
        weir_listener_count(o->listener, WEIR_LS_downstream_listener_filter_error, 1);
        opening_close(o, true);
        return;
    case READY:
        weir_transport_read(o->transport, false);
        opening_done(o, &f);
    }
}

static void on_eof(void *owner)
{
    struct weir_opening *o = owner;
    weir_listener_count(o->listener, WEIR_LS_downstream_listener_filter_remote_close, 1);
    opening_close(o, false);
}

static void on_closed(void *owner, enum weir_close_reason reason)
{
    struct weir_opening *o = owner;
    (void)reason;
    weir_listener_count(o->listener, WEIR_LS_downstream_listener_filter_remote_close, 1);
    opening_end(o);
}

static void on_timeout(struct weir_timer *t)
{
    struct weir_opening *o = WEIR_CONTAINER_OF(t, struct weir_opening, timer);
    weir_listener_count(o->listener, WEIR_LS_downstream_pre_cx_timeout, 1);
    if (!o->listener->config->continue_on_listener_filters_timeout) {
        opening_close(o, false);
        return;
    }
    struct found f;
    found_nothing(&f);
    weir_transport_read(o->transport, false);
    opening_done(o, &f);
}

static const struct weir_transport_events opening_events = {.on_read = on_read, .on_eof = on_eof, .on_closed = on_closed};

void weir_listener_take(struct weir_listener *l, struct weir_transport *t)
{
    struct found f;
    assert(!l->config->inspect_tls && !l->config->inspect_http && !l->config->proxy_protocol);
    found_nothing(&f);
    go_on(l, t, NULL, &f, l->worker->now_ns, false);
}

/* `direct`: the TCP peer, where the transport names another client; NULL: the transport's remote. */
static void begin(struct weir_listener *l, struct weir_transport *t, const struct weir_address *direct, uint64_t start_ns, bool handed_over)
{
    const struct weir_listener_config *c = l->config;
    if (!wants_proxy(c, t) && !wants_tls(c, t) && !wants_http(c, t)) {
        struct found f;
        found_nothing(&f);
        go_on(l, t, direct, &f, start_ns, handed_over);
        return;
    }
    struct weir_opening *o = calloc(1, sizeof(*o));
    if (o == NULL) abort();
    o->listener = l;
    o->transport = t;
    o->direct = direct != NULL ? *direct : weir_transport_remote(t);
    o->start_ns = start_ns;
    o->handed_over = handed_over;
    o->timer.on_due = on_timeout;
    weir_list_push_back(&l->opening, &o->node);
    l->opening_count++;
    weir_listener_count(l, WEIR_LS_downstream_pre_cx_active, 1);
    weir_transport_attach(t, &opening_events, o);
    weir_transport_read(t, true);
    if (c->listener_filters_timeout_ms != 0) weir_timer_start(&l->worker->timers, &o->timer, c->listener_filters_timeout_ms);
}

/* The rules that redirect do not leave weir's own connections alone: passed on, this one would come back again and again. */
static void refuse_own(struct weir_listener *l, struct weir_transport *t)
{
    char to[WEIR_ADDRESS_TEXT_MAX];
    weir_listener_count(l, WEIR_LS_downstream_listener_filter_error, 1);
    if (!l->loop_told) {
        const struct weir_address local = weir_transport_local(t);
        (void)weir_address_print(&local, to);
        WEIR_LOG(CONNECTION, ERROR, "listener %.*s: weir's own connection to %s was redirected back to weir and is closed; the rules must leave "
                                    "weir's user alone (weir redirect --proxy-uid)", WEIR_STR_ARG(l->config->resource.name), to);
    }
    l->loop_told = true;
    weir_transport_close(t, true);
}

void weir_opening_start(struct weir_listener *l, int fd, const struct weir_address *remote)
{
    static const struct weir_address unknown;
    const struct weir_listener_config *c = l->config;
    const struct weir_address *bound = weir_listener_sockets_address(l->sockets);
    struct weir_transport *t = weir_raw_accepted(l->worker, fd, weir_address_is_wildcard(bound) ? &unknown : bound, remote);
    if (c->original_dst && !is_off(&c->original_dst_off, t)) {
        struct weir_address local = weir_transport_local(t);
        t->local_restored = weir_original_dst(fd, &local, bound, c->socket.transparent, &local);
        if (t->local_restored) weir_address_keep(&t->local, &local);
        if (t->local_restored && l->worker->own != NULL && weir_own_has(l->worker->own, remote, &local)) {
            refuse_own(l, t);
            return;
        }
    }
    begin(l, t, NULL, l->worker->now_ns, false);
}
