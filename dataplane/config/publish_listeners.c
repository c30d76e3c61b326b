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
    struct weir_listener_sockets *fresh;   /* bound for what warms; NULL: `sockets` fit, or nothing warms */
    struct weir_resource *unbound;         /* whose socket could not be made: tried again when its bytes come again */
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

static bool has_address(const struct weir_listener_sockets *s, const struct weir_address *a)
{
    return s != NULL && weir_address_equal(weir_listener_sockets_address(s), a, true);
}

/* Two listeners on one address would share its connections: SO_REUSEPORT lets both bind, and a connection that is handed over
 * to the address has to find one. */
static enum weir_err address_is_free(const struct entry *e, const struct weir_listener_config *config, struct weir_error *error)
{
    size_t at = 0;
    void *value;
    const struct weir_address *a = &config->socket.address;
    if (weir_address_is_ip(a) && weir_address_port(a) == 0) return WEIR_OK;
    while (weir_map_next(&e->publisher->records[WEIR_LISTENERS], &at, NULL, &value)) {
        const struct entry *other = ((const struct weir_record *)value)->entry;
        if (other == NULL || other == e || (!has_address(other->sockets, a) && !has_address(other->fresh, a))) continue;
        char text[WEIR_ADDRESS_TEXT_MAX];
        (void)weir_address_print(a, text);
        return weir_error_set(error, WEIR_ERR_EXISTS,
                              "error adding listener: '%.*s' has duplicate address '%s' as existing listener, to check if the listener has "
                              "duplicated addresses with other listeners or 'enable_reuse_port' is set to 'false' for the listener",
                              WEIR_STR_ARG(e->record->name), text);
    }
    return WEIR_OK;
}

static void sockets_swap(struct weir_listener_sockets **at, struct weir_listener_sockets *with)
{
    struct weir_listener_sockets *old = *at;
    *at = with;
    if (old != NULL) weir_listener_sockets_release(old);
}

static bool fits(const struct weir_listener_sockets *s, const struct weir_listener_config *config)
{
    return s != NULL && weir_listener_sockets_fit(s, config);
}

/* Sockets that a removed listener leaves in the same response: nobody on their way in is lost. */
struct spare {
    struct weir_list node;
    struct weir_listener_sockets *sockets;
};

static struct weir_listener_sockets *spare_take(struct weir_publisher *p, const struct weir_listener_config *config)
{
    for (struct weir_list *at = p->spare.next; at != &p->spare; at = at->next) {
        struct spare *s = WEIR_CONTAINER_OF(at, struct spare, node);
        if (!fits(s->sockets, config)) continue;
        struct weir_listener_sockets *found = s->sockets;
        weir_list_remove(&s->node);
        free(s);
        return found;
    }
    return NULL;
}

static void spare_add(struct weir_publisher *p, struct weir_listener_sockets *sockets)
{
    struct spare *s = calloc(1, sizeof(*s));
    if (s == NULL) abort();
    s->sockets = sockets;
    weir_list_push_back(&p->spare, &s->node);
}

void weir_publish_listeners_applied(struct weir_publisher *p)
{
    while (!weir_list_empty(&p->spare)) {
        struct spare *s = WEIR_CONTAINER_OF(p->spare.next, struct spare, node);
        weir_list_remove(&s->node);
        weir_listener_sockets_release(s->sockets);
        free(s);
    }
}

/* A path is replaced by binding it, under whoever serves there: only when the new version begins. */
static bool binds_late(const struct entry *e, const struct weir_listener_config *config)
{
    return !weir_address_is_ip(&config->socket.address) && has_address(e->sockets, &config->socket.address);
}

/* Makes e->fresh where e->sockets do not do. */
static enum weir_err sockets_make(struct entry *e, const struct weir_listener_config *config, struct weir_error *error)
{
    struct weir_listener_sockets *made = NULL;
    if (fits(e->sockets, config)) {
        sockets_swap(&e->fresh, NULL);
        return WEIR_OK;
    }
    if (fits(e->fresh, config)) return WEIR_OK;
    enum weir_err err = address_is_free(e, config, error);
    if (err != WEIR_OK) return err;
    made = spare_take(e->publisher, config);
    if (made == NULL) err = weir_listener_sockets_open(config, e->publisher->o.worker_count, error, &made);
    if (err == WEIR_OK) sockets_swap(&e->fresh, made);
    else e->publisher->counts[WEIR_LISTENERS].refused++;
    return err;
}

static enum weir_err sockets_listen(struct entry *e, struct weir_error *error)
{
    enum weir_err err = weir_listener_sockets_listen(e->fresh != NULL ? e->fresh : e->sockets, error);
    if (err != WEIR_OK) e->publisher->counts[WEIR_LISTENERS].refused++;
    return err;
}

/* Chains of the old version that the new one does not have. */
static size_t chains_gone(const struct weir_listener_config *old, const struct weir_listener_config *new)
{
    size_t gone = 0;
    for (uint32_t i = 0; i < old->chain_count; i++) {
        bool kept = false;
        for (uint32_t k = 0; k < new->chain_count && !kept; k++) kept = weir_str_eq(old->chains[i].identity, new->chains[k].identity);
        gone += !kept;
    }
    return gone;
}

static const struct weir_listener_config *config_of(const struct weir_resource *r)
{
    return (const struct weir_listener_config *)(const void *)r;
}

/* The old version leaves its place: altogether, or some of its chains. */
static void leave(struct entry *e, const struct weir_resource *successor)
{
    struct weir_resource *old = e->record->active;
    if (!e->started || old == NULL) return;
    size_t gone = successor != NULL ? chains_gone(config_of(old), config_of(successor)) : 0;
    if (successor == NULL || gone > 0) weir_publish_draining(e->publisher, old, gone);
}

/* Makes the resource the one that serves; its reference goes over in any case. A socket that cannot be made leaves what served. */
static enum weir_err commit(struct entry *e, struct weir_resource *resource, struct weir_error *error)
{
    struct weir_publisher *p = e->publisher;
    if (p->stopping) {
        weir_record_set_active(e->record, resource);
        return WEIR_OK;
    }
    enum weir_err err = sockets_make(e, config_of(resource), error);
    if (err == WEIR_OK && p->listening) err = sockets_listen(e, error);
    if (err != WEIR_OK) {
        sockets_swap(&e->fresh, NULL);
        weir_resource_release(resource);
        return err;
    }
    if (e->fresh != NULL) {
        leave(e, NULL);
        if (e->started) tell_workers(e, STOP);
        e->started = false;
        sockets_swap(&e->sockets, e->fresh);
        e->fresh = NULL;
    } else {
        leave(e, resource);
        p->counts[WEIR_LISTENERS].updated_in_place += e->record->active != NULL;
    }
    weir_record_set_active(e->record, resource);
    if (!p->listening) return WEIR_OK;
    tell_workers(e, e->started ? UPDATE : START);
    p->counts[WEIR_LISTENERS].created += p->o.worker_count;
    e->started = true;
    return WEIR_OK;
}

static void warming_end(struct entry *e)
{
    if (!e->waits) return;
    e->waits = false;
    weir_timer_stop(&e->publisher->o.control->timers, &e->give_up);
    weir_publisher_now_warming(e->publisher, WEIR_LISTENERS, false);
}

static void warmed(struct entry *e)
{
    struct weir_error error = {0};
    struct weir_resource *resource = e->record->warming;
    if (resource != NULL) {
        weir_resource_acquire(resource);
        weir_record_set_warming(e->record, NULL);
        if (commit(e, resource, &error) != WEIR_OK) WEIR_LOG(CONFIG, ERROR, "listener '%.*s': %s", WEIR_STR_ARG(e->record->name), error.text);
        weir_publish_rds_changed(e->publisher); /* what the version before named is not wanted any more */
    }
    warming_end(e);
}

static void on_give_up(struct weir_timer *t)
{
    struct entry *e = WEIR_CONTAINER_OF(t, struct entry, give_up);
    WEIR_LOG(CONFIG, WARNING, "listener '%.*s': initial fetch of its route tables timed out, it serves without them",
             WEIR_STR_ARG(e->record->name));
    if (e->record->warming != NULL) weir_publish_sources_listener_timed_out(e->publisher, e->record->warming);
    warmed(e);
}

static void port_close(struct entry *e)
{
    if (e->started) tell_workers(e, STOP);
    e->publisher->counts[WEIR_LISTENERS].stopped += e->started;
    e->started = false;
    if (e->sockets != NULL) weir_listener_sockets_release(e->sockets);
    e->sockets = NULL;
}

static void on_drained(struct weir_timer *t)
{
    port_close(WEIR_CONTAINER_OF(t, struct entry, drained));
}

void weir_publisher_drain_listeners(struct weir_publisher *p, bool inbound_only, enum weir_listeners_drain how)
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
        if (how == WEIR_DRAIN_AT_ONCE) {
            port_close(e);
            continue;
        }
        tell_workers(e, DRAIN);
        if (how == WEIR_DRAIN_GRACEFULLY) weir_timer_start(&p->o.control->timers, &e->drained, (uint64_t)p->o.drain_time_s * 1000);
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
        sockets_swap(&e->sockets, NULL);
        sockets_swap(&e->fresh, NULL);
        e->started = false;
    }
}

static struct entry *entry_of(struct weir_publisher *p, struct weir_record *r)
{
    if (r->entry != NULL) return r->entry;
    struct entry *e = calloc(1, sizeof(*e));
    if (e == NULL) abort();
    e->publisher = p;
    e->record = r;
    e->give_up.on_due = on_give_up;
    e->drained.on_due = on_drained;
    r->entry = e;
    return e;
}

static void unbound_set(struct entry *e, struct weir_resource *resource)
{
    if (resource != NULL) weir_resource_acquire(resource);
    if (e->unbound != NULL) weir_resource_release(e->unbound);
    e->unbound = resource;
}

static void wait_begin(struct entry *e, struct weir_resource *resource)
{
    struct weir_publisher *p = e->publisher;
    uint64_t bound = 0;
    bool for_ever = false;
    for (uint32_t i = 0; i < resource->need_count; i++) {
        for_ever |= resource->needs[i].initial_fetch_timeout_ms == 0;
        if (resource->needs[i].initial_fetch_timeout_ms > bound) bound = resource->needs[i].initial_fetch_timeout_ms;
    }
    weir_record_set_warming(e->record, resource);
    if (!e->waits) weir_publisher_now_warming(p, WEIR_LISTENERS, true);
    e->waits = true;
    if (!for_ever) weir_timer_start(&p->o.control->timers, &e->give_up, bound);
    weir_publish_rds_changed(p);
}

static bool names_tables(const struct weir_record *r)
{
    return (r->active != NULL && r->active->need_count > 0) || (r->warming != NULL && r->warming->need_count > 0);
}

/* As weir_publish_listener; the caller holds a reference too. */
static enum weir_err take(struct entry *e, struct weir_resource *resource, struct weir_error *error)
{
    struct weir_publisher *p = e->publisher;
    struct weir_record *r = e->record;
    if (r->active != NULL && e->started && weir_str_eq(r->active->packed, resource->packed)) { /* back to what serves */
        weir_resource_release(resource);
        weir_record_set_warming(r, NULL);
        sockets_swap(&e->fresh, NULL);
        if (e->waits) weir_publish_rds_changed(p);
        warming_end(e);
        return WEIR_OK;
    }
    enum weir_err err = p->stopping || binds_late(e, config_of(resource)) ? WEIR_OK : sockets_make(e, config_of(resource), error);
    if (err != WEIR_OK) {
        weir_resource_release(resource);
        return err;
    }
    if (r->active != NULL || r->warming != NULL) p->counts[WEIR_LISTENERS].modified++;
    else p->counts[WEIR_LISTENERS].added++;
    weir_publish_sources_listener(p, resource);
    if (!needs_met(p, resource)) {
        wait_begin(e, resource);
        return WEIR_OK;
    }
    bool needy = resource->need_count > 0 || names_tables(r);
    weir_record_set_warming(r, NULL);
    err = commit(e, resource, error);
    warming_end(e);
    if (needy) weir_publish_rds_changed(p);
    return err;
}

enum weir_err weir_publish_listener(struct weir_publisher *p, struct weir_record *r, struct weir_resource *resource, struct weir_error *error)
{
    struct entry *e = entry_of(p, r);
    weir_resource_acquire(resource);
    enum weir_err err = take(e, resource, error);
    unbound_set(e, err != WEIR_OK ? resource : NULL);
    weir_resource_release(resource);
    if (err != WEIR_OK && r->source == WEIR_SOURCE_STATIC && p->listen_error.code == WEIR_OK) p->listen_error = *error;
    return err;
}

enum weir_err weir_publish_listener_again(struct weir_publisher *p, struct weir_record *r, struct weir_error *error)
{
    const struct entry *e = r->entry;
    if (e == NULL || e->unbound == NULL) return WEIR_OK;
    weir_resource_acquire(e->unbound);
    return weir_publish_listener(p, r, e->unbound, error);
}

void weir_publish_listener_removed(struct weir_publisher *p, struct weir_record *r)
{
    struct entry *e = r->entry;
    if (e == NULL) return;
    r->entry = NULL;
    weir_timer_stop(&p->o.control->timers, &e->give_up);
    weir_timer_stop(&p->o.control->timers, &e->drained);
    if (!p->closing) leave(e, NULL);
    if (e->started) tell_workers(e, STOP);
    if (e->sockets != NULL) spare_add(p, e->sockets);
    sockets_swap(&e->fresh, NULL);
    unbound_set(e, NULL);
    bool waited = e->waits;
    bool needed = names_tables(r);
    weir_record_set_active(r, NULL);
    weir_record_set_warming(r, NULL);
    free(e);
    if (waited) weir_publisher_now_warming(p, WEIR_LISTENERS, false);
    if (needed) weir_publish_rds_changed(p);
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
    const struct weir_resource *drains;
    for (struct weir_list *d = NULL; (drains = weir_publish_draining_next(p, &d)) != NULL;) room += drains->need_count;
    struct weir_str *out = WEIR_NEW(a, struct weir_str, room + 1);
    struct weir_map seen = {0};
    at = 0;
    *count = 0;
    while (weir_map_next(&p->records[WEIR_LISTENERS], &at, &name, &value)) {
        const struct weir_record *r = value;
        names_add(&seen, out, count, r->active, a);
        names_add(&seen, out, count, r->warming, a);
    }
    for (struct weir_list *d = NULL; (drains = weir_publish_draining_next(p, &d)) != NULL;) names_add(&seen, out, count, drains, a);
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
        err = sockets_listen(l, e);
        if (err != WEIR_OK && r->source == WEIR_SOURCE_STATIC) return err;
        if (err != WEIR_OK) {
            WEIR_LOG(CONFIG, ERROR, "listener '%.*s': %s", WEIR_STR_ARG(name), e->text);
            continue;
        }
        tell_workers(l, START);
        p->counts[WEIR_LISTENERS].created += p->o.worker_count;
        l->started = true;
    }
    return WEIR_OK;
}
