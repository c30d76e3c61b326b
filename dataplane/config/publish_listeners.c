/* Listeners: sockets are made here, so that a bind error is known before a worker hears of the listener; a listener warms
 * until the route tables that it names are there. An update keeps the sockets where address and options are the same. */
#include <stdlib.h>

#include "dataplane/base/log.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/config/publish_internal.h"
#include "dataplane/listener/listener.h"

struct entry {
    struct weir_publisher *publisher;
    struct weir_record *record;
    struct weir_listener_sockets *sockets; /* NULL: not bound yet */
    struct weir_timer give_up;
    struct weir_timer drained; /* a graceful drain asked for by admin: then the port closes */
    bool waits;
    bool started; /* workers know it */
};

enum what { START, UPDATE, STOP, DRAIN };
struct listener_mail {
    struct weir_mail mail;
    enum what what;
    struct weir_listener_config *config;   /* START, UPDATE: a reference */
    struct weir_listener_sockets *sockets; /* START: a reference */
    uint64_t drain_ms;
    bool immediately;
    size_t name_length;
    char name[]; /* STOP, UPDATE */
};

static void deliver(struct weir_worker *w, struct weir_mail *m)
{
    struct listener_mail *l = WEIR_CONTAINER_OF(m, struct listener_mail, mail);
    struct weir_listener *there = l->what == START ? NULL : weir_listener_find(w, (struct weir_str){l->name, l->name_length});
    if (l->what == START) weir_listener_start(w, l->config, l->sockets);
    else if (there != NULL && l->what == UPDATE) weir_listener_update(there, l->config, l->drain_ms, l->immediately);
    else if (there != NULL && l->what == DRAIN) weir_listener_drain(there, l->drain_ms, l->immediately);
    else if (there != NULL) weir_listener_stop(there, l->drain_ms, l->immediately, NULL, NULL);
    if (l->config != NULL) weir_resource_release(&l->config->resource);
    if (l->sockets != NULL) weir_listener_sockets_release(l->sockets);
    free(l);
}

static void tell_workers(struct entry *e, enum what what)
{
    struct weir_publisher *p = e->publisher;
    struct weir_resource *config = what == STOP || what == DRAIN ? NULL : e->record->active;
    struct weir_str name = e->record->name;
    if (p->closing) return; /* workers have stopped */
    for (uint32_t i = 0; i < p->o.worker_count; i++) {
        struct listener_mail *l = calloc(1, sizeof(*l) + name.n);
        if (l == NULL) abort();
        l->mail.deliver = deliver;
        l->what = what;
        l->config = (struct weir_listener_config *)(void *)config;
        if (config != NULL) weir_resource_acquire(config);
        l->sockets = what == START ? weir_listener_sockets_acquire(e->sockets) : NULL;
        l->drain_ms = (uint64_t)p->o.drain_time_s * 1000;
        l->immediately = p->o.drain_immediately;
        l->name_length = name.n;
        memcpy(l->name, name.p, name.n);
        weir_mailbox_post(p->o.workers[i], &l->mail);
    }
}

static bool needs_met(struct weir_publisher *p, const struct weir_resource *config)
{
    for (uint32_t i = 0; i < config->need_count; i++) {
        const struct weir_record *r = weir_publisher_record(p, WEIR_ROUTES, config->needs[i].name);
        if (r == NULL || r->active == NULL) return false;
    }
    return true;
}

/* Two listeners on one address would share its connections: SO_REUSEPORT lets both bind, and a connection that is handed over
 * to the address has to find one. */
static enum weir_err address_is_free(const struct entry *e, const struct weir_listener_config *config, struct weir_error *error)
{
    size_t at = 0;
    struct weir_str name;
    void *value;
    const struct weir_address *a = &config->socket.address;
    if (weir_address_is_ip(a) && weir_address_port(a) == 0) return WEIR_OK;
    while (weir_map_next(&e->publisher->records[WEIR_LISTENERS], &at, &name, &value)) {
        const struct entry *other = ((const struct weir_record *)value)->entry;
        if (other == NULL || other == e || other->sockets == NULL) continue;
        if (!weir_address_equal(weir_listener_sockets_address(other->sockets), a, true)) continue;
        char text[WEIR_ADDRESS_TEXT_MAX];
        (void)weir_address_print(a, text);
        return weir_error_set(error, WEIR_ERR_EXISTS, "error adding listener: '%.*s' has duplicate address '%s' as existing listener '%.*s'",
                              WEIR_STR_ARG(e->record->name), text, WEIR_STR_ARG(name));
    }
    return WEIR_OK;
}

/* Makes the resource the one that serves. A socket that cannot be made leaves what served before. */
static enum weir_err commit(struct entry *e, struct weir_resource *resource, struct weir_error *error)
{
    struct weir_publisher *p = e->publisher;
    struct weir_listener_config *config = (struct weir_listener_config *)(void *)resource;
    struct weir_listener_sockets *fresh = NULL;
    if (p->stopping) {
        weir_record_set_active(e->record, resource);
        return WEIR_OK;
    }
    bool fit = e->sockets != NULL && weir_listener_sockets_fit(e->sockets, config);
    if (!fit) {
        enum weir_err err = address_is_free(e, config, error);
        if (err == WEIR_OK) err = weir_listener_sockets_open(config, p->o.worker_count, error, &fresh);
        if (err != WEIR_OK) {
            weir_resource_release(resource);
            return err;
        }
    }
    if (!fit && e->sockets != NULL) {
        if (e->started) tell_workers(e, STOP);
        e->started = false;
        weir_listener_sockets_release(e->sockets);
    }
    if (!fit) e->sockets = fresh;
    weir_record_set_active(e->record, resource);
    if (!p->listening) return WEIR_OK;
    tell_workers(e, e->started ? UPDATE : START);
    e->started = true;
    return WEIR_OK;
}

static void commit_or_keep(struct entry *e, struct weir_resource *resource)
{
    struct weir_error error = {0};
    struct weir_publisher *p = e->publisher;
    if (commit(e, resource, &error) == WEIR_OK) return;
    WEIR_LOG(CONFIG, ERROR, "listener '%.*s': %s", WEIR_STR_ARG(e->record->name), error.text);
    if (p->listen_error.code == WEIR_OK) p->listen_error = error;
}

static void warmed(struct entry *e)
{
    struct weir_resource *resource = e->record->warming;
    e->waits = false;
    weir_timer_stop(&e->publisher->o.control->timers, &e->give_up);
    if (resource != NULL) {
        weir_resource_acquire(resource);
        weir_record_set_warming(e->record, NULL);
        commit_or_keep(e, resource);
    }
    weir_publisher_now_warming(e->publisher, WEIR_LISTENERS, false);
}

static void on_give_up(struct weir_timer *t)
{
    struct entry *e = WEIR_CONTAINER_OF(t, struct entry, give_up);
    WEIR_LOG(CONFIG, WARNING, "listener '%.*s': initial fetch of its route tables timed out, it serves without them",
             WEIR_STR_ARG(e->record->name));
    warmed(e);
}

static void port_close(struct entry *e)
{
    if (e->started) tell_workers(e, STOP);
    e->started = false;
    if (e->sockets != NULL) weir_listener_sockets_release(e->sockets);
    e->sockets = NULL;
}

static void on_drained(struct weir_timer *t)
{
    port_close(WEIR_CONTAINER_OF(t, struct entry, drained));
}

void weir_publisher_drain_listeners(struct weir_publisher *p, bool inbound_only, bool graceful)
{
    size_t at = 0;
    struct weir_str name;
    void *value;
    while (weir_map_next(&p->records[WEIR_LISTENERS], &at, &name, &value)) {
        const struct weir_record *r = value;
        struct entry *e = r->entry;
        if (e == NULL || !e->started || r->active == NULL) continue;
        const struct weir_listener_config *c = (const struct weir_listener_config *)(const void *)r->active;
        if (inbound_only && c->traffic_direction != ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__INBOUND) continue;
        if (!graceful) {
            port_close(e);
            continue;
        }
        tell_workers(e, DRAIN);
        weir_timer_start(&p->o.control->timers, &e->drained, (uint64_t)p->o.drain_time_s * 1000);
    }
}

bool weir_publisher_has_outbound(struct weir_publisher *p)
{
    size_t at = 0;
    struct weir_str name;
    void *value;
    while (weir_map_next(&p->records[WEIR_LISTENERS], &at, &name, &value)) {
        const struct weir_record *r = value;
        if (r->active != NULL && ((const struct weir_listener_config *)(const void *)r->active)->outbound) return true;
    }
    return false;
}

void weir_publisher_stop_listening(struct weir_publisher *p)
{
    size_t at = 0;
    struct weir_str name;
    void *value;
    p->stopping = true;
    while (weir_map_next(&p->records[WEIR_LISTENERS], &at, &name, &value)) {
        struct entry *e = ((const struct weir_record *)value)->entry;
        if (e == NULL) continue;
        weir_timer_stop(&p->o.control->timers, &e->drained);
        if (e->sockets != NULL) weir_listener_sockets_release(e->sockets);
        e->sockets = NULL;
        e->started = false;
    }
}

void weir_publish_listener(struct weir_publisher *p, struct weir_record *r, struct weir_resource *resource)
{
    struct entry *e = r->entry;
    if (e == NULL) {
        e = calloc(1, sizeof(*e));
        if (e == NULL) abort();
        e->publisher = p;
        e->record = r;
        e->give_up.on_due = on_give_up;
        e->drained.on_due = on_drained;
        r->entry = e;
    }
    bool needy = resource->need_count > 0;
    if (needs_met(p, resource)) {
        if (e->waits) {
            weir_record_set_warming(r, resource);
            warmed(e);
        } else {
            commit_or_keep(e, resource);
        }
        if (needy && r->active != NULL) p->events->on_wanted(p->ctx, WEIR_ROUTES);
        return;
    }
    uint64_t bound = 0;
    bool for_ever = false;
    for (uint32_t i = 0; i < resource->need_count; i++) {
        for_ever |= resource->needs[i].initial_fetch_timeout_ms == 0;
        if (resource->needs[i].initial_fetch_timeout_ms > bound) bound = resource->needs[i].initial_fetch_timeout_ms;
    }
    weir_record_set_warming(r, resource);
    if (!e->waits) weir_publisher_now_warming(p, WEIR_LISTENERS, true);
    e->waits = true;
    if (!for_ever) weir_timer_start(&p->o.control->timers, &e->give_up, bound);
    p->events->on_wanted(p->ctx, WEIR_ROUTES);
}

void weir_publish_listener_removed(struct weir_publisher *p, struct weir_record *r)
{
    struct entry *e = r->entry;
    if (e == NULL) return;
    r->entry = NULL;
    weir_timer_stop(&p->o.control->timers, &e->give_up);
    weir_timer_stop(&p->o.control->timers, &e->drained);
    if (e->started) tell_workers(e, STOP);
    if (e->sockets != NULL) weir_listener_sockets_release(e->sockets);
    bool waited = e->waits;
    bool needed = (r->active != NULL && r->active->need_count > 0) || (r->warming != NULL && r->warming->need_count > 0);
    weir_record_set_active(r, NULL);
    weir_record_set_warming(r, NULL);
    free(e);
    if (waited) weir_publisher_now_warming(p, WEIR_LISTENERS, false);
    if (needed && !p->closing) p->events->on_wanted(p->ctx, WEIR_ROUTES);
}

void weir_publish_listeners_check(struct weir_publisher *p)
{
    size_t at = 0;
    struct weir_str name;
    void *value;
    while (p->warming[WEIR_LISTENERS] > 0 && weir_map_next(&p->records[WEIR_LISTENERS], &at, &name, &value)) {
        struct weir_record *r = value;
        struct entry *e = r->entry;
        if (e != NULL && e->waits && r->warming != NULL && needs_met(p, r->warming)) warmed(e);
    }
}

static void names_add(struct weir_map *seen, struct weir_str *out, size_t *count, const struct weir_resource *config, struct weir_arena *a)
{
    for (uint32_t i = 0; config != NULL && i < config->need_count; i++) {
        if (weir_map_get(seen, config->needs[i].name) != NULL) continue;
        struct weir_str copy = weir_arena_str(a, config->needs[i].name);
        weir_map_set(seen, copy, out);
        out[(*count)++] = copy;
    }
}

struct weir_str *weir_publish_rds_names(struct weir_publisher *p, struct weir_arena *a, size_t *count)
{
    size_t at = 0, room = 0;
    struct weir_str name;
    void *value;
    while (weir_map_next(&p->records[WEIR_LISTENERS], &at, &name, &value)) {
        const struct weir_record *r = value;
        room += (r->active != NULL ? r->active->need_count : 0) + (r->warming != NULL ? r->warming->need_count : 0);
    }
    struct weir_str *out = WEIR_NEW(a, struct weir_str, room + 1);
    struct weir_map seen = {0};
    at = 0;
    *count = 0;
    while (weir_map_next(&p->records[WEIR_LISTENERS], &at, &name, &value)) {
        const struct weir_record *r = value;
        names_add(&seen, out, count, r->active, a);
        names_add(&seen, out, count, r->warming, a);
    }
    weir_map_deinit(&seen);
    return out;
}

const char *weir_publish_listener_waits(struct weir_publisher *p, const struct weir_record *r, struct weir_arena *a)
{
    const struct entry *e = r->entry;
    if (e == NULL || !e->waits || r->warming == NULL) return NULL;
    for (uint32_t i = 0; i < r->warming->need_count; i++) {
        const struct weir_record *table = weir_publisher_record(p, WEIR_ROUTES, r->warming->needs[i].name);
        if (table == NULL || table->active == NULL)
            return weir_arena_printf(a, "route table '%.*s' (RDS)", WEIR_STR_ARG(r->warming->needs[i].name)).p;
    }
    return "publication";
}

const struct weir_address *weir_publisher_listener_address(struct weir_publisher *p, struct weir_str name)
{
    const struct weir_record *r = weir_publisher_record(p, WEIR_LISTENERS, name);
    const struct entry *e = r != NULL ? r->entry : NULL;
    return e != NULL && e->sockets != NULL ? weir_listener_sockets_address(e->sockets) : NULL;
}

enum weir_err weir_publisher_bind_error(const struct weir_publisher *p, struct weir_error *e)
{
    if (p->listen_error.code != WEIR_OK) *e = p->listen_error;
    return p->listen_error.code;
}

enum weir_err weir_publisher_start_listening(struct weir_publisher *p, struct weir_error *e)
{
    size_t at = 0;
    struct weir_str name;
    void *value;
    enum weir_err err = weir_publisher_bind_error(p, e);
    if (err != WEIR_OK) return err;
    p->listening = true;
    while (weir_map_next(&p->records[WEIR_LISTENERS], &at, &name, &value)) {
        const struct weir_record *r = value;
        struct entry *l = r->entry;
        if (l == NULL || r->active == NULL || l->started) continue;
        tell_workers(l, START);
        l->started = true;
    }
    return WEIR_OK;
}
