/* Composition and life cycle. Order of start-up as Envoy's: static clusters, then CDS (with EDS), then LDS (with RDS), then
 * workers accept. Each step is bounded by its initial_fetch_timeout. */
#include "dataplane/config/server.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "dataplane/base/log.h"
#include "dataplane/config/server_internal.h"
#include "dataplane/listener/listener.h"
#include "dataplane/observe/log_sink.h"
#include "dataplane/transport/own.h"
#include "dataplane/transport/raw.h"

static void *need(void *p)
{
    if (p == NULL) abort();
    return p;
}

/* --- initialisation --- */

const char *weir_server_state_name(enum weir_server_state s)
{
    static const char *const names[] = {"LIVE", "DRAINING", "PRE_INITIALIZING", "INITIALIZING"};
    return names[s];
}

static void waits_log(struct weir_server *s)
{
    struct weir_out out = {0};
    weir_server_readiness(s, &out);
    for (char *line = strchr(out.p, '\n'); line != NULL && line[1] != '\0';) {
        char *end = strchr(++line, '\n');
        if (end != NULL) *end = '\0';
        WEIR_LOG(MAIN, INFO, "start-up %s", line);
        line = end;
    }
    weir_out_deinit(&out);
}

static void on_waiting(struct weir_timer *t)
{
    struct weir_server *s = WEIR_CONTAINER_OF(t, struct weir_server, wait_log);
    if (s->state == WEIR_LIVE) return;
    waits_log(s);
    weir_timer_start(&s->control->timers, t, 5000);
}

static void on_fetch_timeout(struct weir_timer *t)
{
    struct weir_server *s = WEIR_CONTAINER_OF(t, struct weir_server, fetch_timeout);
    struct weir_str url = weir_resource_type_url(s->stage == WEIR_STAGE_CDS ? WEIR_CLUSTERS : WEIR_LISTENERS);
    WEIR_LOG(CONFIG, WARNING, "gRPC config: initial fetch timed out for %.*s", WEIR_STR_ARG(url));
    s->xds[s->stage == WEIR_STAGE_CDS ? WEIR_CLUSTERS : WEIR_LISTENERS].init_fetch_timeouts++;
    if (s->stage == WEIR_STAGE_CDS) s->cds_answered = true;
    else s->lds_answered = true;
    weir_server_advance(s);
}

static void subscribe(struct weir_server *s, enum weir_resource_type type, const struct weir_source *source)
{
    weir_timer_stop(&s->control->timers, &s->fetch_timeout);
    if (source->initial_fetch_timeout_ms != 0) weir_timer_start(&s->control->timers, &s->fetch_timeout, source->initial_fetch_timeout_ms);
    s->subscribed |= 1u << type;
    weir_ads_subscribe(s->ads, type, true, NULL, 0);
}

static void go_live(struct weir_server *s)
{
    struct weir_error e = {0};
    weir_timer_stop(&s->control->timers, &s->fetch_timeout);
    if (weir_publisher_start_listening(s->publisher, &e) != WEIR_OK) {
        WEIR_LOG(MAIN, CRITICAL, "%s", e.text);
        s->exit_code = 1;
        s->control->stop = true;
        return;
    }
    s->stage = WEIR_STAGE_LIVE;
    s->state = WEIR_LIVE;
    weir_server_stats_live(s);
    WEIR_LOG(MAIN, INFO, "all dependencies initialized. starting workers");
    WEIR_LOG(MAIN, INFO, "starting main dispatch loop");
    if (weir_server_lacks_listeners(s))
        WEIR_LOG(MAIN, WARNING, "waits: a listener; LDS has none for node '%.*s' of cluster '%.*s'", WEIR_STR_ARG(s->b.self.id), WEIR_STR_ARG(s->b.self.cluster));
}

void weir_server_advance(struct weir_server *s)
{
    if (s->advancing) return;
    s->advancing = true;
    if (s->stage == WEIR_STAGE_STATIC) {
        s->stage = WEIR_STAGE_CDS;
        s->state = WEIR_INITIALIZING;
        if (s->ads != NULL && s->b.cds.kind == WEIR_FROM_ADS) {
            WEIR_LOG(CONFIG, INFO, "cm init: initializing cds");
            subscribe(s, WEIR_CLUSTERS, &s->b.cds);
        } else if (s->b.cds.kind == WEIR_FROM_FILE) {
            weir_server_file_start(s, WEIR_CLUSTERS);
        } else {
            s->cds_answered = true;
        }
    }
    if (s->stage == WEIR_STAGE_CDS && s->cds_answered && weir_publisher_warming(s->publisher, WEIR_CLUSTERS) == 0) {
        WEIR_LOG(CONFIG, INFO, "cm init: all clusters initialized");
        WEIR_LOG(MAIN, INFO, "all clusters initialized. initializing init manager");
        s->stage = WEIR_STAGE_LDS;
        if (s->ads != NULL && s->b.lds.kind == WEIR_FROM_ADS) subscribe(s, WEIR_LISTENERS, &s->b.lds);
        else if (s->b.lds.kind == WEIR_FROM_FILE) weir_server_file_start(s, WEIR_LISTENERS);
        else s->lds_answered = true;
    }
    if (s->stage == WEIR_STAGE_LDS && s->lds_answered && weir_publisher_warming(s->publisher, WEIR_LISTENERS) == 0) go_live(s);
    s->advancing = false;
}

/* --- signals and the end --- */

static void shutdown_order(struct weir_server *s, enum weir_shutdown_part part);

static void on_worker_idle(struct weir_worker *w, struct weir_mail *m)
{
    (void)w;
    struct weir_worker_thread *t = WEIR_CONTAINER_OF(m, struct weir_worker_thread, idle);
    struct weir_server *s = t->server;
    if (--s->busy_workers != 0) return;
    if (t->shutdown.part == WEIR_SHUTDOWN_INBOUND) {
        WEIR_LOG(MAIN, INFO, "drained: nothing comes in any more; waiting for what goes out");
        shutdown_order(s, WEIR_SHUTDOWN_OUTBOUND);
        return;
    }
    WEIR_LOG(MAIN, INFO, "drained: nothing is active any more");
    s->control->stop = true;
}

static void shutdown_deliver(struct weir_worker *w, struct weir_mail *m)
{
    struct weir_worker_thread *t = WEIR_CONTAINER_OF(m, struct weir_worker_thread, order);
    t->idle.deliver = on_worker_idle;
    weir_listeners_shutdown(w, &t->shutdown, &t->idle, t->server->control);
}

static void shutdown_order(struct weir_server *s, enum weir_shutdown_part part)
{
    uint64_t now_ns = s->control->now_ns;
    s->busy_workers = s->worker_count;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct weir_worker_thread *t = &s->threads[i];
        t->shutdown = (struct weir_shutdown_order){.part = part, .linger_ms = s->drain_linger_ms,
                                                   .drain_ms = now_ns < s->drain_end_ns ? (s->drain_end_ns - now_ns) / 1000000u : 0};
        t->order.deliver = shutdown_deliver;
        weir_mailbox_post(t->worker, &t->order);
    }
}

void weir_server_drain(struct weir_server *s, uint64_t linger_ms, uint64_t drain_ms)
{
    if (s->state == WEIR_DRAINING) {
        s->control->stop = true; /* asked twice: at once */
        return;
    }
    s->state = WEIR_DRAINING;
    s->drain_linger_ms = linger_ms;
    s->drain_end_ns = s->control->now_ns + drain_ms * 1000000u;
    shutdown_order(s, weir_publisher_has_outbound(s->publisher) ? WEIR_SHUTDOWN_INBOUND : WEIR_SHUTDOWN_ALL);
    weir_publisher_stop_listening(s->publisher);
}

struct health_mail {
    struct weir_mail mail;
    bool failed;
};

static void health_deliver(struct weir_worker *w, struct weir_mail *m)
{
    struct health_mail *h = WEIR_CONTAINER_OF(m, struct health_mail, mail);
    w->draining = h->failed;
    free(h);
}

void weir_server_health_tell(struct weir_server *s, bool failed)
{
    if (s->state == WEIR_DRAINING) return; /* on the way out already */
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct health_mail *h = need(calloc(1, sizeof(*h)));
        h->mail.deliver = health_deliver;
        h->failed = failed;
        weir_mailbox_post(s->workers[i], &h->mail);
    }
}

void weir_server_logs_reopen(struct weir_server *s)
{
    weir_log_sinks_reopen(s->log_sinks);
}

void weir_worker_close_all(struct weir_worker *w)
{
    weir_listeners_deinit(w);
    weir_clusters_deinit(w);
    weir_raw_close_lingering(w);
    weir_publish_worker_deinit(w);
}

static void on_signal(void *ctx, bool readable, bool writable)
{
    struct weir_server *s = ctx;
    struct signalfd_siginfo info;
    (void)writable;
    while (readable && read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGTERM:
        case SIGINT:
            WEIR_LOG(MAIN, WARNING, "caught %s", info.ssi_signo == SIGTERM ? "ENVOY_SIGTERM" : "SIGINT");
            WEIR_LOG(MAIN, INFO, "shutting down server instance");
            weir_server_drain(s, (uint64_t)s->o.drain_min_time_s * 1000, (uint64_t)s->o.drain_time_s * 1000);
            break;
        case SIGHUP:
        case SIGUSR1:
            WEIR_LOG(MAIN, WARNING, "caught %s. Reopening access logs.", info.ssi_signo == SIGHUP ? "SIGHUP" : "SIGUSR1");
            weir_log_reopen();
            weir_server_logs_reopen(s);
            break;
        default: break;
        }
    }
}

static void *worker_main(void *arg)
{
    struct weir_worker_thread *t = arg;
    weir_worker_run(t->worker);
    /* Sockets of a loop may be closed by the loop's own thread alone. */
    weir_worker_close_all(t->worker);
    weir_worker_finish_turn(t->worker);
    return NULL;
}

static void worker_stop_deliver(struct weir_worker *w, struct weir_mail *m)
{
    (void)m;
    w->stop = true;
}

static void threads_start(struct weir_server *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        char name[32];
        if (pthread_create(&s->threads[i].thread, NULL, worker_main, &s->threads[i]) != 0) abort();
        snprintf(name, sizeof(name), "wrk:worker_%u", i);
        pthread_setname_np(s->threads[i].thread, name);
    }
    s->started = s->ran = true;
    s->compiler = weir_compiler_create(&s->env, s->memory, s->control);
    s->memory = NULL;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void threads_stop(struct weir_server *s)
{
    for (uint32_t i = 0; s->started && i < s->worker_count; i++) {
        s->threads[i].end.deliver = worker_stop_deliver;
        weir_mailbox_post(s->threads[i].worker, &s->threads[i].end);
    }
    for (uint32_t i = 0; s->started && i < s->worker_count; i++) pthread_join(s->threads[i].thread, NULL);
    s->started = false;
}

int weir_server_run(struct weir_server *s)
{
    struct weir_error e = {0};
    threads_start(s);
    if (s->b.has_ads && weir_ads_create(&s->b.ads, &weir_server_ads_events, s, &s->ads, &e) != WEIR_OK) {
        WEIR_LOG(MAIN, CRITICAL, "%s", e.text);
        return 1;
    }
    weir_timer_start(&s->control->timers, &s->wait_log, 5000);
    weir_server_stats_start(s);
    weir_server_overload_start(s);
    if (s->wanted != 0) weir_worker_defer(s->control, &s->wanted_later);
    weir_server_advance(s);
    weir_worker_run(s->control);
    WEIR_LOG(MAIN, INFO, "main dispatch loop exited");
    return s->exit_code;
}

/* --- making and unmaking --- */

static enum weir_err publish_static(struct weir_server *s, struct weir_error *e)
{
    weir_publisher_apply(s->publisher, s->b.clusters);
    weir_publisher_apply(s->publisher, s->b.listeners);
    return weir_publisher_bind_error(s->publisher, e);
}

static enum weir_err workers_create(struct weir_server *s, struct weir_error *e)
{
    s->control = weir_worker_create(s->worker_count, s->worker_count);
    s->own = weir_own_connections_create();
    s->threads = need(calloc(s->worker_count, sizeof(*s->threads)));
    s->workers = need(calloc(s->worker_count, sizeof(struct weir_worker *)));
    for (uint32_t i = 0; i < s->worker_count; i++) {
        s->workers[i] = weir_worker_create(i, s->worker_count);
        if (s->workers[i] == NULL) return weir_error_set(e, WEIR_ERR_IO, "worker %u cannot be made: %s", i, strerror(errno));
        s->workers[i]->own = s->own;
        s->threads[i].worker = s->workers[i];
        s->threads[i].server = s;
    }
    if (s->control == NULL) return weir_error_set(e, WEIR_ERR_IO, "the control loop cannot be made: %s", strerror(errno));
    return WEIR_OK;
}

static void signals_watch(struct weir_server *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    s->signals = weir_watch_create(s->control, s->signal_fd, true, on_signal, s);
    weir_watch_want(s->signals, true, false);
}

static void timers_set(struct weir_server *s)
{
    s->fetch_timeout.on_due = on_fetch_timeout;
    s->wait_log.on_due = on_waiting;
    s->wanted_later.run = weir_server_wanted_send;
}

enum weir_err weir_server_create(const struct weir_options *o, struct weir_bootstrap *b, struct weir_support_log *support, struct weir_server **out,
                                 struct weir_error *e)
{
    struct weir_server *s = need(calloc(1, sizeof(*s)));
    s->o = *o;
    s->b = *b;
    memset(b, 0, sizeof(*b));
    s->state = WEIR_PRE_INITIALIZING;
    s->support = support;
    s->signal_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    s->worker_count = o->concurrency_given ? (o->concurrency == 0 ? 1 : o->concurrency) : weir_cpus_allowed("");
    if (s->worker_count > WEIR_WORKERS_MAX) {
        WEIR_LOG(MAIN, WARNING, "--concurrency %u is cut to %u", s->worker_count, WEIR_WORKERS_MAX);
        s->worker_count = WEIR_WORKERS_MAX;
    }
    timers_set(s);
    s->names = weir_names_create();
    s->stats = weir_stats_registry_create(s->worker_count);
    weir_server_stats_create(s);
    s->memory = weir_compile_memory_create();
    s->log_sinks = weir_log_sinks_create(s->worker_count, o->file_flush_interval_ms, s->stats);
    s->env = (struct weir_compile_env){weir_names_for_compile(s->names), s->stats, s->worker_count, support, s->log_sinks, &s->b.self, s->b.runtime_at_start};
    enum weir_err err = weir_bootstrap_compile(&s->b, &s->env, s->memory, e);
    if (err == WEIR_OK) err = workers_create(s, e);
    if (err == WEIR_OK) {
        weir_worker_read_clock(s->control);
        s->start_ns = s->control->now_ns;
        s->start_wall_ns = s->control->wall_ns;
        signals_watch(s);
        s->clusters = (struct weir_cluster_env){.control = s->control, .workers = s->workers, .worker_count = s->worker_count, .stats = s->stats};
        s->clusters.dns = weir_dns_create(s->control);
        if (s->clusters.dns == NULL) err = weir_error_set(e, WEIR_ERR_IO, "the DNS resolver cannot be started");
    }
    if (err == WEIR_OK) {
        struct weir_publisher_options p = {.control = s->control, .workers = s->workers, .worker_count = s->worker_count, .names = s->names,
                                           .stats = s->stats, .clusters = &s->clusters,
                                           .drain_time_s = o->drain_time_s, .drain_immediately = o->drain_immediately};
        s->publisher = weir_publisher_create(&p, &weir_server_publisher_events, s);
        weir_stats_set_text_teller(s->stats, weir_publisher_tell_texts, s->publisher);
        s->ttls = weir_ttls_create(s->control, weir_server_expired, s);
        if (s->b.runtime != NULL) weir_publisher_set_runtime(s->publisher, s->b.runtime);
        err = weir_server_admin_start(s, e);
        if (err == WEIR_OK) err = weir_server_probes_start(s, e);
    }
    if (err == WEIR_OK) err = publish_static(s, e);
    if (err != WEIR_OK) {
        weir_server_destroy(s);
        return err;
    }
    weir_bootstrap_settle(&s->b);
    (void)malloc_trim(0);
    *out = s;
    return WEIR_OK;
}

static void workers_destroy(struct weir_server *s)
{
    for (uint32_t i = 0; s->workers != NULL && i < s->worker_count; i++) {
        if (s->workers[i] == NULL) continue;
        if (!s->ran) { /* what was published before the threads began */
            weir_worker_turn(s->workers[i], 0);
            weir_worker_close_all(s->workers[i]);
        }
        weir_worker_destroy(s->workers[i]);
    }
    free(s->workers);
    free(s->threads);
    weir_own_connections_destroy(s->own);
}

void weir_server_destroy(struct weir_server *s)
{
    if (s == NULL) return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_mutex_unlock(&s->lock);
    weir_compiler_destroy(s->compiler);
    threads_stop(s);
    if (s->control != NULL) weir_worker_turn(s->control, 0); /* finished jobs are dropped */
    if (s->ads != NULL) weir_ads_destroy(s->ads);
    weir_server_files_stop(s);
    weir_server_admin_stop(s);
    weir_server_probes_stop(s);
    weir_server_overload_stop(s);
    if (s->control != NULL) weir_raw_close_lingering(s->control);
    weir_publisher_destroy(s->publisher);
    weir_ttls_destroy(s->ttls);
    if (s->clusters.dns != NULL) weir_dns_destroy(s->clusters.dns);
    workers_destroy(s);
    if (s->signals != NULL) weir_watch_destroy(s->signals);
    if (s->control != NULL) {
        weir_timer_stop(&s->control->timers, &s->fetch_timeout);
        weir_timer_stop(&s->control->timers, &s->wait_log);
        weir_timer_stop(&s->control->timers, &s->stats_flush);
        weir_worker_destroy(s->control);
    }
    weir_compile_memory_destroy(s->memory);
    weir_bootstrap_deinit(&s->b);
    weir_names_destroy(s->names);
    weir_log_sinks_destroy(s->log_sinks);
    weir_server_stats_destroy(s);
    if (s->stats != NULL) weir_stats_registry_destroy(s->stats);
    for (int i = 0; i < WEIR_RESOURCE_TYPES; i++) free(s->broken[i]);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
