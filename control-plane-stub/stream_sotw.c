/* State-of-the-world: every response holds all that the client asked for. Sent when a resource of it changed, when one
 * that it newly names is there, or when the client asks again for the same names after its ACK (Envoy does for a cluster
 * that warms anew, and waits for the answer). Called by stream.c. */
#include "control-plane-stub/stream.h"
#include "dataplane/base/str.h"

typedef Envoy__Service__Discovery__V3__DiscoveryRequest request;

/* Returns whether the request asks for something else than the one before. */
static bool take_names(struct weir_plane_subscription *u, const request *r)
{
    bool wildcard = false, changed = false;
    size_t kept = 0, before = 0;
    struct weir_map now = {0};
    WEIR_PLANE_EACH_NAME(u, at, following)
        before += weir_plane_name_at(at)->subscribed;
    for (size_t i = 0; i < r->n_resource_names; i++) {
        struct weir_str text = weir_str_of(r->resource_names[i]);
        if (weir_str_eq(text, WEIR_STR("*"))) {
            wildcard = true;
            continue;
        }
        struct weir_plane_name *n = weir_plane_name_of(u, text);
        if (weir_map_set(&now, weir_plane_name_text(n), n) != NULL) continue;
        kept += n->subscribed;
        n->subscribed = true;
    }
    if (r->n_resource_names > 0) u->named = true;
    if (r->n_resource_names == 0 && !u->named) wildcard = weir_plane_type_is_wildcard(u->type_url);
    changed = wildcard != u->wildcard || kept != before || kept != now.count;
    u->wildcard = wildcard;
    WEIR_PLANE_EACH_NAME(u, at, following) {
        struct weir_plane_name *n = weir_plane_name_at(at);
        n->subscribed = weir_map_get(&now, weir_plane_name_text(n)) != NULL;
        if (!n->subscribed && !wildcard) weir_plane_name_drop(u, n);
    }
    weir_map_deinit(&now);
    return changed;
}

void weir_plane_sotw_request(struct weir_plane_stream *s, const request *r)
{
    struct weir_plane_subscription *u = weir_plane_subscription_of(s, weir_str_of(r->type_url));
    if (u == NULL) return;
    uint64_t nonce = 0;
    bool answers = r->response_nonce[0] != '\0';
    if (answers && (!weir_str_u64(weir_str_of(r->response_nonce), &nonce) || nonce != u->nonce)) {
        if (r->error_detail != NULL) weir_plane_report(s, u, r->response_nonce, r->error_detail);
        return; /* stale: the client will answer the newer response too */
    }
    bool was_awaiting = u->awaiting;
    if (answers && (r->error_detail != NULL || was_awaiting)) weir_plane_report(s, u, r->response_nonce, r->error_detail);
    u->awaiting = false;
    bool changed = take_names(u, r);
    if (u->first && !answers) u->version = weir_plane_version_parse(r->version_info);
    if (answers && !was_awaiting && !changed && !u->wildcard && r->error_detail == NULL) u->again = true;
    u->dirty = true;
}

static bool selected(const struct weir_plane_subscription *u, const struct weir_plane_resource *r)
{
    if (u->wildcard) return true;
    const struct weir_plane_name *n = weir_map_get(&u->by_name, r->name);
    return n != NULL && n->subscribed;
}

/* The client now has exactly what is selected. */
static void take_as_sent(struct weir_plane_subscription *u, const struct weir_plane_type *t)
{
    WEIR_PLANE_EACH_NAME(u, at, following) {
        struct weir_plane_name *n = weir_plane_name_at(at);
        n->sent = 0;
        if (!n->subscribed) weir_plane_name_drop(u, n);
    }
    for (size_t i = 0; t != NULL && i < t->count; i++)
        if (selected(u, t->list[i])) weir_plane_name_of(u, t->list[i]->name)->sent = t->list[i]->version;
}

bool weir_plane_sotw_next(struct weir_plane_stream *s, struct weir_plane_subscription *u, const struct weir_plane_type *t,
                          struct weir_wire_out *out)
{
    uint64_t version = 0;
    size_t count = 0;
    bool due = false;
    for (size_t i = 0; t != NULL && i < t->count; i++) {
        const struct weir_plane_resource *r = t->list[i];
        if (!selected(u, r)) continue;
        const struct weir_plane_name *n = weir_map_get(&u->by_name, r->name);
        due = due || n == NULL || n->sent != r->version;
        version = weir_plane_version_add(version, r);
        count++;
    }
    /* Leaving a resource out removes it where the list is complete; elsewhere it says nothing. */
    if (u->wildcard) {
        WEIR_PLANE_EACH_NAME(u, at, following) {
            const struct weir_plane_name *n = weir_plane_name_at(at);
            due = due || (n->sent != 0 && (t == NULL || weir_map_get(&t->by_name, weir_plane_name_text(n)) == NULL));
        }
        due = due || u->first;
    }
    if (version == 0) version = 1; /* of an empty set */
    due = due || (u->again && count > 0);
    u->again = false;
    if (due && u->first && u->version == version && u->nonce == 0) {
        due = false; /* it says that it has this already */
        u->first = false;
        take_as_sent(u, t);
    }
    if (!due) return false;
    char text[24];
    u->version = version;
    u->nonce = ++s->nonces;
    u->first = false;
    u->awaiting = true;
    weir_plane_version_print(version, text);
    weir_wire_put_text(out, 1, weir_str_of(text));
    for (size_t i = 0; t != NULL && i < t->count; i++)
        if (selected(u, t->list[i])) weir_wire_put_bytes(out, 2, t->list[i]->any);
    weir_wire_put_text(out, 4, u->type_url);
    snprintf(text, sizeof text, "%llu", (unsigned long long)u->nonce);
    weir_wire_put_text(out, 5, weir_str_of(text));
    weir_plane_put_control_plane(out, 6);
    take_as_sent(u, t);
    return true;
}
