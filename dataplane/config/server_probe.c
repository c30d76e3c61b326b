/* The probe port (--probe-address): what a kubelet and a Prometheus may ask from outside the pod, while admin stays on loopback.
 * It is up before the first configuration and until the process ends. Liveness is the workers': each answers a letter of the
 * control loop, so one that hangs is seen. */
#include <stdio.h>

#include "dataplane/base/log.h"
#include "dataplane/base/str.h"
#include "dataplane/config/server_internal.h"
#include "dataplane/observe/admin.h"
#include "dataplane/observe/admin_stats.h"

#define PULSE_MS 2000u
#define SILENCE_MAX_MS 20000u

static void pong_deliver(struct weir_worker *w, struct weir_mail *m)
{
    (void)w;
    WEIR_CONTAINER_OF(m, struct weir_worker_thread, pong)->ping_ns = 0;
}

static void ping_deliver(struct weir_worker *w, struct weir_mail *m)
{
    (void)w;
    struct weir_worker_thread *t = WEIR_CONTAINER_OF(m, struct weir_worker_thread, ping);
    t->pong.deliver = pong_deliver;
    weir_mailbox_post(t->server->control, &t->pong);
}

static void on_pulse(struct weir_timer *timer)
{
    struct weir_server *s = WEIR_CONTAINER_OF(timer, struct weir_server, pulse);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct weir_worker_thread *t = &s->threads[i];
        if (t->ping_ns != 0) continue;
        t->ping_ns = s->control->now_ns;
        t->ping.deliver = ping_deliver;
        weir_mailbox_post(t->worker, &t->ping);
    }
    weir_timer_start(&s->control->timers, timer, PULSE_MS);
}

static void live(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    (void)r;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        uint64_t asked_ns = s->threads[i].ping_ns, silent_ms = asked_ns != 0 ? (s->control->now_ns - asked_ns) / 1000000u : 0;
        if (silent_ms <= SILENCE_MAX_MS) continue;
        reply->status = 503;
        weir_out_printf(&reply->body, "worker %u has not answered for %llu s\n", i, (unsigned long long)(silent_ms / 1000));
    }
    if (reply->status == 200) weir_out_printf(&reply->body, "LIVE\n");
}

bool weir_server_lacks_listeners(const struct weir_server *s)
{
    return s->state == WEIR_LIVE && s->b.lds.kind != WEIR_FROM_NOWHERE && weir_publisher_count(s->publisher, WEIR_LISTENERS) == 0;
}

/* A node that the control plane does not know looks like this, so the answer says which one asked. */
static bool serves_nothing(struct weir_server *s, struct weir_admin_reply *reply)
{
    if (!weir_server_lacks_listeners(s)) return false;
    reply->status = 503;
    weir_out_printf(&reply->body, "LIVE\nwaits: a listener; LDS has none for node '%.*s' of cluster '%.*s'\n", WEIR_STR_ARG(s->b.self.id), WEIR_STR_ARG(s->b.self.cluster));
    return true;
}

/* Done once everything has come up: what comes later, a drain too, is no start. */
static void startup(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    (void)r;
    if (serves_nothing(s, reply)) return;
    if (s->stage == WEIR_STAGE_LIVE) weir_out_printf(&reply->body, "STARTED\n");
    else reply->status = weir_server_readiness(s, &reply->body);
}

static void ready(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    (void)r;
    if (!serves_nothing(ctx, reply)) reply->status = weir_server_readiness(ctx, &reply->body);
}

static void prometheus(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_server *s = ctx;
    weir_server_stats_refresh(s);
    weir_admin_stats_prometheus(s->stats, r, reply);
    weir_server_flush_first(s, reply);
}

static const struct weir_admin_page pages[] = {
    {"/live", "200 while every worker answers", false, live, NULL},
    {"/ready", "200 while LIVE with a listener, otherwise 503 and what is waited for", false, ready, NULL},
    {"/startup", "200 once the first configuration serves", false, startup, NULL},
    {"/stats/prometheus", "server stats in prometheus format", false, prometheus, NULL},
};

/* "ADDRESS:PORT", IPv6 in brackets. */
static bool address_read(const char *text, struct weir_address *out)
{
    struct weir_str s = weir_str_of(text), host = s;
    uint64_t port;
    while (host.n > 0 && host.p[host.n - 1] != ':') host.n--;
    if (host.n < 2 || !weir_str_u64((struct weir_str){s.p + host.n, s.n - host.n}, &port) || port > UINT16_MAX) return false;
    host.n--;
    if (host.p[0] == '[' && host.p[host.n - 1] == ']') host = (struct weir_str){host.p + 1, host.n - 2};
    return weir_address_parse(host, (uint16_t)port, out);
}

enum weir_err weir_server_probes_start(struct weir_server *s, struct weir_error *e)
{
    struct weir_address at;
    char address[WEIR_ADDRESS_TEXT_MAX];
    if (s->o.probe_address == NULL) return WEIR_OK;
    if (!address_read(s->o.probe_address, &at))
        return weir_error_set(e, WEIR_ERR_INVALID, "--probe-address: an IP address and a port such as 0.0.0.0:15021 were expected, not '%s'", s->o.probe_address);
    enum weir_err err = weir_admin_create(s->control, &at, pages, sizeof(pages) / sizeof(pages[0]), s, &s->probes, e);
    if (err != WEIR_OK) return weir_error_prefix(e, "--probe-address");
    weir_address_print(weir_admin_address(s->probes), address);
    WEIR_LOG(MAIN, INFO, "probe address: %s", address);
    s->pulse.on_due = on_pulse;
    weir_timer_start(&s->control->timers, &s->pulse, PULSE_MS);
    return WEIR_OK;
}

void weir_server_probes_stop(struct weir_server *s)
{
    if (s->control != NULL) weir_timer_stop(&s->control->timers, &s->pulse);
    weir_admin_destroy(s->probes);
    s->probes = NULL;
}
