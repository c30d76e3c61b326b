/* ListenerFilterChainMatchPredicate to a set of ports: the tree is asked once for each stretch of ports between two bounds that it
 * names, so that a connection costs a look-up in a short list whatever the tree looks like. */
#include <stdlib.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/config/compile_listener.h"
#include "dataplane/limits.h"

#define RULE(name) ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_##name
#define NO_PORT (-1)

struct bounds {
    struct weir_arena *arena;
    uint32_t *at;
    size_t count, capacity;
};

static void add_bound(struct bounds *b, int32_t port)
{
    if (b->count == b->capacity) {
        uint32_t *wider = WEIR_NEW(b->arena, uint32_t, b->capacity * 2 + 16);
        if (b->count != 0) memcpy(wider, b->at, b->count * sizeof(wider[0]));
        b->at = wider;
        b->capacity = b->capacity * 2 + 16;
    }
    b->at[b->count++] = port < 0 ? 0 : port > 65536 ? 65536 : (uint32_t)port;
}

static void collect(const pb_listener_filter_predicate *p, struct bounds *b)
{
    switch (p->rule_case) {
    case RULE(OR_MATCH):
        for (size_t i = 0; i < p->or_match->n_rules; i++) collect(p->or_match->rules[i], b);
        return;
    case RULE(AND_MATCH):
        for (size_t i = 0; i < p->and_match->n_rules; i++) collect(p->and_match->rules[i], b);
        return;
    case RULE(NOT_MATCH): collect(p->not_match, b); return;
    case RULE(DESTINATION_PORT_RANGE):
        add_bound(b, p->destination_port_range->start);
        add_bound(b, p->destination_port_range->end);
        return;
    default: return;
    }
}

/* The recursion is as deep as a message may be. */
static bool holds(const pb_listener_filter_predicate *p, int32_t port)
{
    switch (p->rule_case) {
    case RULE(OR_MATCH):
        for (size_t i = 0; i < p->or_match->n_rules; i++)
            if (holds(p->or_match->rules[i], port)) return true;
        return false;
    case RULE(AND_MATCH):
        for (size_t i = 0; i < p->and_match->n_rules; i++)
            if (!holds(p->and_match->rules[i], port)) return false;
        return true;
    case RULE(NOT_MATCH): return !holds(p->not_match, port);
    case RULE(DESTINATION_PORT_RANGE):
        return port == NO_PORT || (port >= p->destination_port_range->start && port < p->destination_port_range->end);
    default: return true; /* any_match */
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

enum weir_err weir_port_set_compile(struct weir_compile *c, const char *field, const void *predicate, struct weir_port_set *out)
{
    const pb_listener_filter_predicate *p = predicate;
    struct bounds b = {.arena = c->scratch};
    uint32_t count = 0;
    if (p == NULL) return WEIR_OK;
    add_bound(&b, 0);
    add_bound(&b, 65536);
    collect(p, &b);
    if (b.count > WEIR_PORT_BOUNDS_MAX) return weir_reject(c, field, "names more than %u port ranges", WEIR_PORT_BOUNDS_MAX / 2);
    qsort(b.at, b.count, sizeof(b.at[0]), by_value);
    struct weir_port_span *spans = weir_new(c, struct weir_port_span, b.count);
    for (size_t i = 0; i + 1 < b.count; i++) {
        if (b.at[i] == b.at[i + 1] || !holds(p, (int32_t)b.at[i])) continue;
        if (count != 0 && spans[count - 1].end == b.at[i]) spans[count - 1].end = b.at[i + 1];
        else spans[count++] = (struct weir_port_span){b.at[i], b.at[i + 1]};
    }
    *out = (struct weir_port_set){count, spans, holds(p, NO_PORT)};
    return WEIR_OK;
}
