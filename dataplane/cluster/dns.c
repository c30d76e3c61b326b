/* See dns.h. A c-ares channel for each set of resolvers and options; its sockets are watched by the control loop, its
 * time-outs are one timer of the wheel. c-ares may answer from inside the call (hosts file): every answer is delivered by
 * deferred work, so that callers see it in a later turn. */
#include "dataplane/cluster/dns.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>

#include "dataplane/worker/watch.h"

#define QUERY_TIMEOUT_MS 5000
#define QUERY_TRIES 4
#define SOCKETS_MAX 16

struct watched {
    int fd;
    struct weir_watch *watch; /* NULL: the slot is free */
    struct channel *channel;
};
struct channel {
    struct weir_list node;
    struct weir_dns *dns;
    ares_channel ares;
    struct weir_address *resolvers;
    uint32_t resolver_count;
    bool tcp_only, no_default_search;
    struct watched sockets[SOCKETS_MAX];
    struct weir_timer timeout;
};
struct weir_dns {
    struct weir_worker *worker;
    struct weir_list channels, queries;
    struct weir_dns_counts counts;
};
struct weir_dns_query {
    struct weir_list node;
    struct channel *channel;
    struct weir_deferred deliver;
    void (*on_answer)(void *ctx, const struct weir_dns_answer *a);
    void *ctx;
    enum weir_dns_family family;
    bool second, in_ares, cancelled;
    struct weir_dns_answer answer;
    struct weir_address *addresses;
    char name[];
};

static void timeout_set(struct channel *c)
{
    struct timeval tv, *next = ares_timeout(c->ares, NULL, &tv);
    struct weir_timer_wheel *timers = &c->dns->worker->timers;
    if (next == NULL) weir_timer_stop(timers, &c->timeout);
    else weir_timer_start(timers, &c->timeout, (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1);
}

static void on_timeout(struct weir_timer *t)
{
    struct channel *c = WEIR_CONTAINER_OF(t, struct channel, timeout);
    ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    timeout_set(c);
}

static void on_socket(void *ctx, bool readable, bool writable)
{
    const struct watched *s = ctx;
    struct channel *c = s->channel;
    int fd = s->fd;
    ares_process_fd(c->ares, readable ? fd : ARES_SOCKET_BAD, writable ? fd : ARES_SOCKET_BAD);
    timeout_set(c);
}

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
    struct channel *c = data;
    struct watched *s = NULL;
    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        struct watched *at = &c->sockets[i];
        if (at->watch != NULL && at->fd == fd) {
            s = at;
            break;
        }
        if (at->watch == NULL && s == NULL) s = at;
    }
    if (s == NULL) return; /* more servers than slots: those are left to the time-out */
    if (!readable && !writable) {
        if (s->watch != NULL) weir_watch_destroy(s->watch);
        s->watch = NULL;
        return;
    }
    if (s->watch == NULL) {
        s->fd = fd;
        s->channel = c;
        s->watch = weir_watch_create(c->dns->worker, fd, false, on_socket, s);
        if (s->watch == NULL) return;
    }
    weir_watch_want(s->watch, readable != 0, writable != 0);
}

static void servers_set(struct channel *c)
{
    struct ares_addr_port_node *nodes = calloc(c->resolver_count, sizeof(*nodes));
    if (nodes == NULL) abort();
    for (uint32_t i = 0; i < c->resolver_count; i++) {
        const struct weir_address *a = &c->resolvers[i];
        nodes[i].next = i + 1 < c->resolver_count ? &nodes[i + 1] : NULL;
        nodes[i].family = a->any.sa_family;
        if (nodes[i].family == AF_INET6) memcpy(&nodes[i].addr.addr6, &a->v6.sin6_addr, sizeof(a->v6.sin6_addr));
        else nodes[i].addr.addr4 = a->v4.sin_addr;
        nodes[i].udp_port = nodes[i].tcp_port = weir_address_port(a);
    }
    ares_set_servers_ports(c->ares, nodes);
    free(nodes);
}

static bool channel_fits(const struct channel *c, const struct weir_dns_config *config)
{
    if (c->tcp_only != config->tcp_only || c->no_default_search != config->no_default_search || c->resolver_count != config->resolver_count)
        return false;
    for (uint32_t i = 0; i < c->resolver_count; i++)
        if (!weir_address_equal(&c->resolvers[i], &config->resolvers[i], true)) return false;
    return true;
}

static struct channel *channel_of(struct weir_dns *d, const struct weir_dns_config *config)
{
    for (struct weir_list *at = d->channels.next; at != &d->channels; at = at->next) {
        struct channel *c = WEIR_CONTAINER_OF(at, struct channel, node);
        if (channel_fits(c, config)) return c;
    }
    struct channel *c = calloc(1, sizeof(*c));
    if (c == NULL) abort();
    c->dns = d;
    c->tcp_only = config->tcp_only;
    c->no_default_search = config->no_default_search;
    c->timeout.on_due = on_timeout;
    struct ares_options o = {.timeout = QUERY_TIMEOUT_MS, .tries = QUERY_TRIES, .sock_state_cb = on_socket_state, .sock_state_cb_data = c};
    o.flags = (config->tcp_only ? ARES_FLAG_USEVC : 0) | (config->no_default_search ? ARES_FLAG_NOSEARCH : 0);
    if (ares_init_options(&c->ares, &o, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_FLAGS) != ARES_SUCCESS) {
        free(c);
        return NULL;
    }
    if (config->resolver_count > 0) {
        c->resolver_count = config->resolver_count;
        c->resolvers = calloc(config->resolver_count, sizeof(*c->resolvers));
        if (c->resolvers == NULL) abort();
        memcpy(c->resolvers, config->resolvers, config->resolver_count * sizeof(*c->resolvers));
        servers_set(c);
    }
    weir_list_push_back(&d->channels, &c->node);
    return c;
}

static void query_free(struct weir_dns_query *q)
{
    weir_worker_undefer(&q->deliver);
    weir_list_remove(&q->node);
    free(q->addresses);
    free(q);
}

static void query_deliver(struct weir_deferred *d)
{
    struct weir_dns_query *q = WEIR_CONTAINER_OF(d, struct weir_dns_query, deliver);
    q->answer.at = q->addresses;
    q->on_answer(q->ctx, &q->answer);
    query_free(q);
}

static void ask(struct weir_dns_query *q);

static void addresses_take(struct weir_dns_query *q, const struct ares_addrinfo *info)
{
    size_t n = 0;
    for (const struct ares_addrinfo_node *at = info->nodes; at != NULL; at = at->ai_next) n++;
    free(q->addresses);
    q->addresses = calloc(n + 1, sizeof(*q->addresses));
    if (q->addresses == NULL) abort();
    q->answer.count = 0;
    q->answer.ttl_s = UINT32_MAX;
    for (const struct ares_addrinfo_node *at = info->nodes; at != NULL; at = at->ai_next) {
        struct weir_address *a = &q->addresses[q->answer.count];
        if (!weir_address_from(at->ai_addr, (socklen_t)at->ai_addrlen, a)) continue;
        weir_address_set_port(a, 0);
        bool twice = false;
        for (uint32_t i = 0; i < q->answer.count; i++) twice |= weir_address_equal(&q->addresses[i], a, false);
        if (twice) continue;
        q->answer.count++;
        if (at->ai_ttl >= 0 && (uint32_t)at->ai_ttl < q->answer.ttl_s) q->answer.ttl_s = (uint32_t)at->ai_ttl;
    }
    if (q->answer.ttl_s == UINT32_MAX) q->answer.ttl_s = 0;
}

static void on_result(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct weir_dns_query *q = arg;
    struct weir_dns_counts *counts = &q->channel->dns->counts;
    q->in_ares = false;
    counts->pending--;
    counts->timeouts += timeouts > 0 ? (uint64_t)timeouts : 0;
    if (status == ARES_ENODATA || status == ARES_ENOTFOUND) counts->not_found++;
    else if (status != ARES_SUCCESS && status != ARES_EDESTRUCTION) counts->failed++;
    if (q->cancelled || status == ARES_EDESTRUCTION) {
        if (info != NULL) ares_freeaddrinfo(info);
        query_free(q);
        return;
    }
    if (status == ARES_SUCCESS && info != NULL) addresses_take(q, info);
    else q->answer.count = 0;
    if (info != NULL) ares_freeaddrinfo(info);
    if (status == ARES_SUCCESS && q->answer.count > 0) q->answer.status = WEIR_DNS_OK;
    else if (status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND) q->answer.status = WEIR_DNS_NO_RECORD;
    else q->answer.status = WEIR_DNS_FAILED;
    bool two = q->family == WEIR_DNS_AUTO || q->family == WEIR_DNS_V4_PREFERRED;
    if (two && !q->second && q->answer.status != WEIR_DNS_OK) {
        q->second = true;
        ask(q);
        return;
    }
    weir_worker_defer(q->channel->dns->worker, &q->deliver);
}

static void ask(struct weir_dns_query *q)
{
    struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_socktype = SOCK_STREAM};
    switch (q->family) {
    case WEIR_DNS_V4_ONLY: hints.ai_family = AF_INET; break;
    case WEIR_DNS_V6_ONLY: hints.ai_family = AF_INET6; break;
    case WEIR_DNS_AUTO: hints.ai_family = q->second ? AF_INET : AF_INET6; break;
    case WEIR_DNS_V4_PREFERRED: hints.ai_family = q->second ? AF_INET6 : AF_INET; break;
    case WEIR_DNS_ALL: hints.ai_family = AF_UNSPEC; break;
    }
    struct channel *c = q->channel;
    q->in_ares = true;
    c->dns->counts.asked++;
    c->dns->counts.pending++;
    ares_getaddrinfo(c->ares, q->name, NULL, &hints, on_result, q); /* q may be gone after it */
    timeout_set(c);
}

struct weir_dns_query *weir_dns_lookup(struct weir_dns *d, struct weir_str name, const struct weir_dns_config *config,
                                       void (*on_answer)(void *ctx, const struct weir_dns_answer *a), void *ctx)
{
    struct weir_dns_query *q = calloc(1, sizeof(*q) + name.n + 1);
    if (q == NULL) abort();
    memcpy(q->name, name.p, name.n);
    q->on_answer = on_answer;
    q->ctx = ctx;
    q->family = config->family;
    q->deliver.run = query_deliver;
    q->channel = channel_of(d, config);
    weir_list_push_back(&d->queries, &q->node);
    if (q->channel == NULL) {
        q->answer.status = WEIR_DNS_FAILED;
        weir_worker_defer(d->worker, &q->deliver);
        return q;
    }
    ask(q);
    return q;
}

void weir_dns_cancel(struct weir_dns_query *q)
{
    q->cancelled = true;
    if (!q->in_ares) query_free(q);
}

struct weir_dns *weir_dns_create(struct weir_worker *control)
{
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) return NULL;
    struct weir_dns *d = calloc(1, sizeof(*d));
    if (d == NULL) abort();
    d->worker = control;
    weir_list_init(&d->channels);
    weir_list_init(&d->queries);
    return d;
}

void weir_dns_destroy(struct weir_dns *d)
{
    while (!weir_list_empty(&d->channels)) {
        struct channel *c = WEIR_CONTAINER_OF(d->channels.next, struct channel, node);
        weir_list_remove(&c->node);
        ares_destroy(c->ares);
        weir_timer_stop(&d->worker->timers, &c->timeout);
        for (size_t i = 0; i < SOCKETS_MAX; i++)
            if (c->sockets[i].watch != NULL) weir_watch_destroy(c->sockets[i].watch);
        free(c->resolvers);
        free(c);
    }
    while (!weir_list_empty(&d->queries)) query_free(WEIR_CONTAINER_OF(d->queries.next, struct weir_dns_query, node));
    ares_library_cleanup();
    free(d);
}

const struct weir_dns_counts *weir_dns_counts(const struct weir_dns *d)
{
    return &d->counts;
}
