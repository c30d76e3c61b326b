/* Delta: a response holds what differs from what the client has. A name that is asked for and is not there is told as
 * removed, once. Called by stream.c. */
#include "control-plane-stub/stream.h"
#include "dataplane/base/str.h"

typedef Envoy__Service__Discovery__V3__DeltaDiscoveryRequest request;

static const struct weir_str star = WEIR_STR_INIT("*");

static void subscribe(struct weir_plane_subscription *u, const request *r)
{
    for (size_t i = 0; i < r->n_resource_names_subscribe; i++) {
        struct weir_str text = weir_str_of(r->resource_names_subscribe[i]);
        if (weir_str_eq(text, star)) {
            u->wildcard = true;
            continue;
        }
        /* Asking again for a name has it sent again. */
        struct weir_plane_name *n = weir_plane_name_of(u, text);
        n->subscribed = true;
        n->told = false;
        n->sent = 0;
    }
}

static void unsubscribe(struct weir_plane_subscription *u, const request *r)
{
    for (size_t i = 0; i < r->n_resource_names_unsubscribe; i++) {
        struct weir_str text = weir_str_of(r->resource_names_unsubscribe[i]);
        if (weir_str_eq(text, star)) u->wildcard = false;
        struct weir_plane_name *n = weir_map_get(&u->by_name, text);
        if (n != NULL) n->subscribed = false;
    }
    if (u->wildcard) return;
    WEIR_PLANE_EACH_NAME(u, at, following)
        if (!weir_plane_name_at(at)->subscribed) weir_plane_name_drop(u, weir_plane_name_at(at));
}

void weir_plane_delta_request(struct weir_plane_stream *s, const request *r)
{
    struct weir_plane_subscription *u = weir_plane_subscription_of(s, weir_str_of(r->type_url));
    if (u == NULL) return;
    if (r->response_nonce[0] != '\0') {
        weir_plane_report(s, u, r->response_nonce, r->error_detail);
        u->awaiting = false;
    }
    bool opening = u->first && !u->named;
    if (opening && r->n_resource_names_subscribe == 0) u->wildcard = weir_plane_type_is_wildcard(u->type_url);
    u->named = true;
    subscribe(u, r);
    if (opening) {
        for (size_t i = 0; i < r->n_initial_resource_versions; i++) {
            struct weir_plane_name *n = weir_plane_name_of(u, weir_str_of(r->initial_resource_versions[i]->key));
            n->told = true;
            n->sent = weir_plane_version_parse(r->initial_resource_versions[i]->value);
            if (n->sent == 0) n->sent = UINT64_MAX; /* a version of somebody else: held, and not as it is here */
        }
        /* Who holds something has been answered before. */
        if (r->n_initial_resource_versions > 0) u->first = false;
    }
    unsubscribe(u, r);
    u->dirty = true;
}

static void put_resource(struct weir_wire_out *out, const struct weir_plane_resource *r)
{
    struct weir_wire_out inner = {0};
    char version[17];
    weir_plane_version_print(r->version, version);
    weir_wire_put_text(&inner, 1, weir_str_of(version));
    weir_wire_put_bytes(&inner, 2, r->any);
    weir_wire_put_text(&inner, 3, r->name);
    weir_wire_put_bytes(out, 2, weir_wire_out_str(&inner));
    weir_wire_out_deinit(&inner);
}

/* Returns how many resources were put. */
static size_t put_changes(struct weir_plane_subscription *u, const struct weir_plane_type *t, struct weir_wire_out *out)
{
    size_t count = 0;
    u->version = 0;
    for (size_t i = 0; t != NULL && i < t->count; i++) {
        const struct weir_plane_resource *r = t->list[i];
        struct weir_plane_name *n = weir_map_get(&u->by_name, r->name);
        if (!u->wildcard && (n == NULL || !n->subscribed)) continue;
        u->version = weir_plane_version_add(u->version, r);
        if (n != NULL && n->sent == r->version) continue;
        put_resource(out, r);
        n = weir_plane_name_of(u, r->name);
        n->sent = r->version;
        n->told = true;
        count++;
    }
    if (u->version == 0) u->version = 1;
    return count;
}

static size_t put_removals(struct weir_plane_subscription *u, const struct weir_plane_type *t, struct weir_wire_out *out)
{
    size_t count = 0;
    WEIR_PLANE_EACH_NAME(u, at, following) {
        struct weir_plane_name *n = weir_plane_name_at(at);
        if (t != NULL && weir_map_get(&t->by_name, weir_plane_name_text(n)) != NULL) continue;
        if (n->sent != 0 || !n->told) {
            weir_wire_put_bytes(out, 6, weir_plane_name_text(n));
            count++;
        }
        n->told = true;
        n->sent = 0;
        if (!n->subscribed) weir_plane_name_drop(u, n);
    }
    return count;
}

bool weir_plane_delta_next(struct weir_plane_stream *s, struct weir_plane_subscription *u, const struct weir_plane_type *t,
                           struct weir_wire_out *out)
{
    char text[24];
    size_t count = put_changes(u, t, out);
    count += put_removals(u, t, out);
    /* A client that asked for all waits for an answer even when there is nothing. */
    bool due = count > 0 || (u->first && u->wildcard);
    if (!due) return false;
    u->first = false;
    u->awaiting = true;
    u->nonce = ++s->nonces;
    weir_plane_version_print(u->version, text);
    weir_wire_put_text(out, 1, weir_str_of(text));
    weir_wire_put_text(out, 4, u->type_url);
    snprintf(text, sizeof text, "%llu", (unsigned long long)u->nonce);
    weir_wire_put_text(out, 5, weir_str_of(text));
    weir_plane_put_control_plane(out, 7);
    return true;
}
