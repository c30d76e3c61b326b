/* The way of dynamic configuration through the server: from the ADS client (its own thread) to the compile
 * thread, from there to the publisher (control thread), and back as ACK, NACK and subscriptions. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/base/log.h"
#include "dataplane/config/response_job.h"
#include "dataplane/config/server_internal.h"

#define LARGE_RESPONSE 512u /* resources: what it took to compile goes back to the system */

/* --- what the publisher asks for --- */

static void forget_done(struct weir_compile_job *job)
{
    struct weir_server *s = job->ctx;
    if (weir_server_comes_too_late(s, job)) return;
    weir_publisher_forgotten(s->publisher, job->type, job->removed[0]);
    weir_compile_job_destroy(job);
}

static void forget_dropped(struct weir_compile_job *job)
{
    weir_compile_job_destroy(job);
}

static void on_forget(void *ctx, enum weir_resource_type type, uint32_t source, struct weir_str name)
{
    struct weir_server *s = ctx;
    struct weir_compile_job *job = weir_compile_job_create(type, 0, 1);
    job->source = source;
    job->removed[0] = weir_arena_str(&job->arena, name);
    weir_ttls_set(s->ttls, type, name, 0, 0);
    job->ctx = s;
    job->done = forget_done;
    job->dropped = forget_dropped;
    weir_server_submit(s, job);
}

static void on_wanted(void *ctx, enum weir_resource_type type)
{
    struct weir_server *s = ctx;
    s->wanted |= 1u << type;
    weir_worker_defer(s->control, &s->wanted_later);
}

/* One subscription change for all clusters and listeners of a turn. */
void weir_server_wanted_send(struct weir_deferred *d)
{
    struct weir_server *s = WEIR_CONTAINER_OF(d, struct weir_server, wanted_later);
    static const enum weir_resource_type types[] = {WEIR_ENDPOINTS, WEIR_ROUTES};
    weir_publisher_forget_left(s->publisher);
    for (size_t i = 0; i < 2; i++) {
        if ((s->wanted & 1u << types[i]) == 0 || s->ads == NULL) continue;
        struct weir_arena a = {0};
        size_t count;
        struct weir_str *names = weir_publisher_wanted(s->publisher, types[i], &a, &count);
        if (count > 0 || (s->subscribed & 1u << types[i])) weir_ads_subscribe(s->ads, types[i], false, names, count);
        s->subscribed |= count > 0 ? 1u << types[i] : 0;
        weir_arena_deinit(&a);
    }
    s->wanted = 0;
}

static void on_warmed(void *ctx)
{
    weir_server_advance(ctx);
    weir_server_files_warmed(ctx);
}

const struct weir_publisher_events weir_server_publisher_events = {.on_wanted = on_wanted, .on_forget = on_forget, .on_warmed = on_warmed};

/* The response lives as long as its job: the job's items point into it. */
struct response_job {
    struct weir_server *server;
    struct weir_ads_response *response;
};

static void expiry_done(struct weir_compile_job *job)
{
    struct weir_server *s = job->ctx;
    if (weir_server_comes_too_late(s, job)) return;
    for (size_t i = 0; i < job->removed_count; i++) {
        if (job->removed[i].n == 0) continue;
        WEIR_LOG(CONFIG, WARNING, "%s: the time to live of '%.*s' has ended: taken as removed", weir_resource_type_name(job->type), WEIR_STR_ARG(job->removed[i]));
        weir_ads_forget(s->ads, job->type, job->removed[i]);
    }
    (void)weir_publisher_apply(s->publisher, job); /* nothing in it that could be refused */
    weir_compile_job_destroy(job);
    weir_server_advance(s);
}

/* Goes the way of a removal, in order with the responses that are under way: one of them may have it live on. */
void weir_server_expired(void *ctx, enum weir_resource_type type, const struct weir_ttl_end *ends, size_t count)
{
    struct weir_server *s = ctx;
    struct weir_compile_job *job = weir_compile_job_create(type, 0, count);
    uint64_t *heard = WEIR_NEW(&job->arena, uint64_t, count);
    job->source = WEIR_SOURCE_ADS;
    job->removed_heard = heard;
    for (size_t i = 0; i < count; i++) {
        job->removed[i] = weir_arena_str(&job->arena, ends[i].name);
        heard[i] = ends[i].heard;
    }
    job->ctx = s;
    job->done = expiry_done;
    weir_server_submit(s, job);
}

/* A refused resource leaves the time of the one that serves on as it was. */
static void ttls_update(struct weir_server *s, const struct weir_compile_job *job)
{
    for (size_t i = 0; i < job->removed_count; i++) weir_ttls_set(s->ttls, job->type, job->removed[i], 0, 0);
    for (size_t i = 0; i < job->count; i++) {
        const struct weir_compile_item *item = &job->items[i];
        if (item->state != WEIR_COMPILED_REFUSED) weir_ttls_set(s->ttls, job->type, item->name, item->ttl_ms, item->heard);
    }
}

static void response_done(struct weir_compile_job *job)
{
    struct response_job *r = job->ctx;
    struct weir_server *s = r->server;
    if (weir_server_comes_too_late(s, job)) return;
    size_t changed = 0, refused = 0;
    for (size_t i = 0; i < job->count; i++) {
        changed += job->items[i].state == WEIR_COMPILED_NEW;
        refused += job->items[i].state == WEIR_COMPILED_REFUSED;
    }
    const char *nack = weir_publisher_apply(s->publisher, job);
    WEIR_LOG(CONFIG, INFO, "%s: response with version '%.*s': %zu of %zu resources changed, %zu removed, %zu refused",
             weir_resource_type_name(job->type), WEIR_STR_ARG(job->version), changed, job->count, job->removed_count, refused);
    if (job->type == WEIR_CLUSTERS) s->cds_answered = true;
    if (job->type == WEIR_LISTENERS) s->lds_answered = true;
    weir_server_stats_update(s, job, nack == NULL, changed + job->removed_count > 0);
    if (nack == NULL) snprintf(s->xds[job->type].version, sizeof(s->xds[job->type].version), "%.*s", WEIR_STR_ARG(job->version));
    weir_server_refusals_tell(job, s->b.ads_cluster);
    ttls_update(s, job);
    weir_ads_verdict(s->ads, r->response, nack);
    bool large = job->count >= LARGE_RESPONSE;
    weir_compile_job_destroy(job);
    if (large) (void)malloc_trim(0);
    weir_server_advance(s);
}

static void response_dropped(struct weir_compile_job *job)
{
    struct response_job *r = job->ctx;
    weir_ads_verdict(r->server->ads, r->response, NULL);
    weir_compile_job_destroy(job);
}

static void on_response(void *ctx, struct weir_ads_response *r)
{
    struct weir_server *s = ctx;
    struct weir_compile_job *job = weir_response_job_create(r);
    struct response_job *j = WEIR_NEW(&job->arena, struct response_job, 1);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (r->control_plane.n > 0) weir_stats_set_text(s->stats, WEIR_STR("control_plane.identifier"), r->control_plane);
    *j = (struct response_job){s, r};
    job->ctx = j;
    job->received_wall_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    job->source = WEIR_SOURCE_ADS;
    job->done = response_done;
    job->dropped = response_dropped;
    pthread_mutex_lock(&s->lock);
    bool closing = s->closing;
    if (!closing) weir_compiler_submit(s->compiler, job);
    pthread_mutex_unlock(&s->lock);
    if (closing) response_dropped(job);
}

static void failed_deliver(struct weir_worker *control, struct weir_mail *m)
{
    struct weir_server *s = WEIR_CONTAINER_OF(m, struct weir_server, ads_failed);
    (void)control;
    atomic_store_explicit(&s->ads_failed_posted, false, memory_order_seq_cst);
    uint64_t failures = atomic_load_explicit(&s->ads_failures, memory_order_seq_cst);
    weir_publisher_sources_failed(s->publisher, failures - s->ads_failures_told);
    s->ads_failures_told = failures;
}

static void failure_tell(struct weir_server *s)
{
    atomic_fetch_add_explicit(&s->ads_failures, 1, memory_order_seq_cst);
    if (atomic_exchange_explicit(&s->ads_failed_posted, true, memory_order_seq_cst)) return;
    pthread_mutex_lock(&s->lock);
    s->ads_failed.deliver = failed_deliver;
    if (!s->closing) weir_mailbox_post(s->control, &s->ads_failed);
    pthread_mutex_unlock(&s->lock);
}

static void on_ads_state(void *ctx, bool connected, struct weir_str why)
{
    struct weir_server *s = ctx;
    char text[sizeof(s->ads_why)] = "";
    snprintf(text, sizeof(text), "%.*s", connected ? 0 : (int)why.n, why.p);
    atomic_store_explicit(&s->ads_connected, connected, memory_order_relaxed);
    pthread_mutex_lock(&s->lock);
    bool known = !connected && strcmp(s->ads_why, text) == 0;
    memcpy(s->ads_why, text, sizeof(text));
    pthread_mutex_unlock(&s->lock);
    /* A control plane that stays away is told of once: it is asked for every few seconds. */
    if (connected) WEIR_LOG(CONFIG, INFO, "ads: stream to '%.*s' is up", WEIR_STR_ARG(s->b.ads_cluster));
    else if (!known) WEIR_LOG(CONFIG, WARNING, "ads: stream to '%.*s' ended: %.*s; what was accepted serves on", WEIR_STR_ARG(s->b.ads_cluster), WEIR_STR_ARG(why));
    else WEIR_LOG(CONFIG, DEBUG, "ads: stream to '%.*s' ended once more", WEIR_STR_ARG(s->b.ads_cluster));
    if (!connected) failure_tell(s);
}

const struct weir_ads_events weir_server_ads_events = {.on_response = on_response, .on_state = on_ads_state};
