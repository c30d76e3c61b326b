/* Near the memory limit of the container weir refuses new requests, so that one slow reader's backlog gives errors instead of an
 * out-of-memory kill that cuts everybody. Envoy's action stop_accepting_requests, driven by its monitor cgroup_memory, with
 * thresholds that need no configuration. */
#include <stdlib.h>

#include "dataplane/base/log.h"
#include "dataplane/config/server_internal.h"
#include "dataplane/observe/stats.h"

#define LOOK_MS 250u
#define BEGIN_PERCENT 95u
#define END_PERCENT 90u

static const struct weir_stat_desc monitor_descs[] = {{"pressure", WEIR_GAUGE}};
static const struct weir_stat_desc action_descs[] = {{"active", WEIR_GAUGE}};

struct overload_mail {
    struct weir_mail mail;
    bool on;
};

static void deliver(struct weir_worker *w, struct weir_mail *m)
{
    struct overload_mail *o = WEIR_CONTAINER_OF(m, struct overload_mail, mail);
    w->overloaded = o->on;
    free(o);
}

static void tell(struct weir_server *s, bool on)
{
    s->overloaded = on;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct overload_mail *o = calloc(1, sizeof(*o));
        if (o == NULL) abort();
        o->mail.deliver = deliver;
        o->on = on;
        weir_mailbox_post(s->workers[i], &o->mail);
    }
}

static void on_look(struct weir_timer *t)
{
    struct weir_server *s = WEIR_CONTAINER_OF(t, struct weir_server, overload_look);
    uint64_t used = weir_memory_limit_used(&s->memory_limit), percent = used / (s->memory_limit.bytes / 100 + 1);
    bool on = s->overloaded ? percent >= END_PERCENT : percent >= BEGIN_PERCENT;
    weir_stat_set(weir_stats_shard(s->overload_monitor_stats, s->worker_count), 0, (int64_t)percent);
    if (on != s->overloaded) {
        tell(s, on);
        weir_stat_set(weir_stats_shard(s->overload_action_stats, s->worker_count), 0, on);
        WEIR_LOG(MAIN, WARNING, "memory: %llu of %llu bytes of the container's limit are used: new requests are %s",
                 (unsigned long long)used, (unsigned long long)s->memory_limit.bytes, on ? "answered with 503" : "taken again");
    }
    weir_timer_start(&s->control->timers, t, LOOK_MS);
}

void weir_server_overload_start(struct weir_server *s)
{
    weir_memory_limit_find("", &s->memory_limit);
    if (s->memory_limit.bytes == 0) return;
    WEIR_LOG(MAIN, INFO, "memory limit: %llu bytes (%s)", (unsigned long long)s->memory_limit.bytes, s->memory_limit.directory);
    s->overload_monitor_stats = weir_stats_acquire(s->stats, WEIR_STR("overload.envoy.resource_monitors.cgroup_memory."), monitor_descs, 1);
    s->overload_action_stats = weir_stats_acquire(s->stats, WEIR_STR("overload.envoy.overload_actions.stop_accepting_requests."), action_descs, 1);
    s->overload_look.on_due = on_look;
    weir_timer_start(&s->control->timers, &s->overload_look, 0);
}

void weir_server_overload_stop(struct weir_server *s)
{
    if (s->control != NULL) weir_timer_stop(&s->control->timers, &s->overload_look);
    if (s->overload_monitor_stats != NULL) weir_stats_release(s->overload_monitor_stats);
    if (s->overload_action_stats != NULL) weir_stats_release(s->overload_action_stats);
}
