/* See resolution.h. */
#include "dataplane/cluster/resolution.h"

#include <stdlib.h>

#include "dataplane/base/log.h"

/* One endpoint whose address is a name. */
struct name {
    struct weir_dns_resolution *owner;
    struct weir_str text; /* in the configuration */
    struct weir_dns_query *query;
    struct weir_timer again;
    struct weir_address *addresses;
    uint32_t count;
    uint64_t failure_ms; /* the last back-off, 0 after an answer */
    bool asked;
};
struct weir_dns_resolution {
    struct weir_cluster_shared *shared;
    struct weir_dns *dns;
    struct weir_pin *pin; /* of the configuration whose names these are */
    const struct weir_cluster_config *config;
    struct name *names; /* by endpoint index; text.n 0: a numeric address */
    uint32_t count, waiting;
};

static void ask(struct name *n);

static void on_again(struct weir_timer *t)
{
    ask(WEIR_CONTAINER_OF(t, struct name, again));
}

/* Order does not matter: a resolver may rotate its answers. */
static bool same(const struct name *n, const struct weir_dns_answer *a)
{
    if (n->count != a->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        bool found = false;
        for (uint32_t j = 0; j < n->count && !found; j++) found = weir_address_equal(&n->addresses[j], &a->at[i], false);
        if (!found) return false;
    }
    return true;
}

static uint64_t next_ms(struct name *n, const struct weir_dns_answer *a)
{
    const struct weir_dns_config *c = &n->owner->config->dns;
    struct weir_random *random = &n->owner->shared->env->control->random;
    if (a->status == WEIR_DNS_FAILED && c->failure_base_ms > 0) {
        n->failure_ms = n->failure_ms == 0 ? c->failure_base_ms : n->failure_ms * 2;
        if (n->failure_ms > c->failure_max_ms) n->failure_ms = c->failure_max_ms;
        return 1 + weir_random_below(random, n->failure_ms); /* full jitter */
    }
    n->failure_ms = 0;
    uint64_t ms = c->refresh_ms;
    if (c->respect_ttl && a->status == WEIR_DNS_OK && a->ttl_s > 0) ms = (uint64_t)a->ttl_s * 1000;
    if (ms < c->min_refresh_ms) ms = c->min_refresh_ms;
    return ms + (c->jitter_ms > 0 ? weir_random_below(random, c->jitter_ms) : 0);
}

static void on_answer(void *ctx, const struct weir_dns_answer *a)
{
    struct name *n = ctx;
    struct weir_dns_resolution *r = n->owner;
    n->query = NULL;
    bool changed = a->status != WEIR_DNS_FAILED && !same(n, a);
    if (changed) {
        free(n->addresses);
        n->addresses = calloc(a->count + 1, sizeof(*n->addresses));
        if (n->addresses == NULL) abort();
        if (a->count > 0) memcpy(n->addresses, a->at, a->count * sizeof(*n->addresses));
        n->count = a->count;
    }
    if (a->status == WEIR_DNS_FAILED)
        WEIR_LOG(DNS, DEBUG, "'%.*s' of cluster '%.*s' was not answered; %u addresses are kept", WEIR_STR_ARG(n->text),
                 WEIR_STR_ARG(r->config->resource.name), n->count);
    bool first = !n->asked;
    n->asked = true;
    if (first) r->waiting--;
    weir_timer_start(&r->shared->env->control->timers, &n->again, next_ms(n, a));
    if (changed || (first && r->waiting == 0)) weir_cluster_shared_resolved(r->shared);
}

static void ask(struct name *n)
{
    n->query = weir_dns_lookup(n->owner->dns, n->text, &n->owner->config->dns, on_answer, n);
}

struct weir_dns_resolution *weir_dns_resolution_create(struct weir_cluster_shared *shared, struct weir_dns *dns,
                                                       const struct weir_cluster_config *config)
{
    struct weir_dns_resolution *r = calloc(1, sizeof(*r));
    const struct weir_endpoints *e = config->endpoints;
    if (r == NULL) abort();
    r->shared = shared;
    r->dns = dns;
    r->config = config;
    r->pin = weir_pin_create((struct weir_resource *)(uintptr_t)&config->resource);
    r->count = e != NULL ? e->count : 0;
    r->names = calloc(r->count + 1u, sizeof(*r->names));
    if (r->names == NULL) abort();
    for (uint32_t i = 0; i < r->count; i++) {
        r->names[i] = (struct name){.owner = r, .again = {.on_due = on_again}};
        if (e->at[i].address.length != 0 || dns == NULL) continue;
        r->names[i].text = e->at[i].dns_name;
        r->waiting++;
    }
    for (uint32_t i = 0; i < r->count; i++)
        if (r->names[i].text.n > 0) ask(&r->names[i]);
    return r;
}

void weir_dns_resolution_destroy(struct weir_dns_resolution *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->names[i].query != NULL) weir_dns_cancel(r->names[i].query);
        weir_timer_stop(&r->shared->env->control->timers, &r->names[i].again);
        free(r->names[i].addresses);
    }
    free(r->names);
    weir_pin_release(r->pin);
    free(r);
}

bool weir_dns_resolution_done(const struct weir_dns_resolution *r)
{
    return r->waiting == 0;
}

uint32_t weir_dns_resolution_addresses(const struct weir_dns_resolution *r, uint32_t index, const struct weir_address **out)
{
    *out = r->names[index].addresses;
    return r->names[index].count;
}
