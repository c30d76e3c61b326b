#include "control-plane-stub/stream.h"

#include <stdlib.h>
#include <xxhash.h>

#include "dataplane/base/str.h"
#include "xds/pb_tree.h"
#include "xds/wire_check.h"

#define TYPES_MAX 64

static const struct weir_str google = WEIR_STR_INIT("type.googleapis.com/");

static void *must(void *p)
{
    if (p == NULL) abort();
    return p;
}

void weir_plane_stream_init(struct weir_plane_stream *s, bool delta, FILE *report)
{
    *s = (struct weir_plane_stream){.delta = delta, .report = report};
    weir_list_init(&s->subscriptions);
}

void weir_plane_stream_deinit(struct weir_plane_stream *s)
{
    while (!weir_list_empty(&s->subscriptions)) {
        struct weir_plane_subscription *u = WEIR_CONTAINER_OF(s->subscriptions.next, struct weir_plane_subscription, link);
        WEIR_PLANE_EACH_NAME(u, at, following)
            free(weir_plane_name_at(at));
        weir_map_deinit(&u->by_name);
        weir_list_remove(&u->link);
        free((char *)u->type_url.p);
        free(u);
    }
    free(s->node_id);
    free(s->node_cluster);
}

/* Clusters and endpoints before what refers to them. */
static int rank_of(struct weir_str url)
{
    static const char *const order[] = {"envoy.config.cluster.v3.Cluster", "envoy.config.endpoint.v3.ClusterLoadAssignment", NULL,
                                        "envoy.config.listener.v3.Listener", "envoy.config.route.v3.RouteConfiguration"};
    for (int i = 0; i < (int)(sizeof order / sizeof order[0]); i++)
        if (order[i] != NULL && weir_str_ends(url, weir_str_of(order[i]))) return i;
    return 2;
}

bool weir_plane_type_is_wildcard(struct weir_str url)
{
    int rank = rank_of(url);
    return rank == 0 || rank == 3 || weir_str_ends(url, WEIR_STR("/envoy.config.route.v3.ScopedRouteConfiguration"));
}

struct weir_plane_subscription *weir_plane_subscription_of(struct weir_plane_stream *s, struct weir_str url)
{
    struct weir_list *before = &s->subscriptions;
    int rank = rank_of(url), count = 0;
    for (struct weir_list *at = s->subscriptions.next; at != &s->subscriptions; at = at->next) {
        struct weir_plane_subscription *u = WEIR_CONTAINER_OF(at, struct weir_plane_subscription, link);
        if (weir_str_eq(u->type_url, url)) return u;
        if (u->rank > rank && before == &s->subscriptions) before = at;
        count++;
    }
    if (count == TYPES_MAX) return NULL;
    struct weir_plane_subscription *u = must(calloc(1, sizeof *u));
    char *copy = must(malloc(url.n + 1));
    if (url.n > 0) memcpy(copy, url.p, url.n);
    copy[url.n] = '\0';
    u->type_url = (struct weir_str){copy, url.n};
    u->rank = rank;
    u->first = true;
    weir_list_init(&u->names);
    weir_list_push_back(before, &u->link);
    return u;
}

struct weir_plane_name *weir_plane_name_of(struct weir_plane_subscription *u, struct weir_str name)
{
    struct weir_plane_name *n = weir_map_get(&u->by_name, name);
    if (n != NULL) return n;
    n = must(calloc(1, sizeof *n + name.n + 1));
    n->n = name.n;
    if (name.n > 0) memcpy(n->text, name.p, name.n);
    weir_list_push_back(&u->names, &n->link);
    weir_map_set(&u->by_name, weir_plane_name_text(n), n);
    return n;
}

void weir_plane_name_drop(struct weir_plane_subscription *u, struct weir_plane_name *n)
{
    weir_map_remove(&u->by_name, weir_plane_name_text(n));
    weir_list_remove(&n->link);
    free(n);
}

void weir_plane_version_print(uint64_t version, char out[17])
{
    snprintf(out, 17, "%016llx", (unsigned long long)version);
}

uint64_t weir_plane_version_parse(const char *text)
{
    uint64_t v = 0;
    return strlen(text) == 16 && weir_str_hex(weir_str_of(text), &v) ? v : 0;
}

uint64_t weir_plane_version_add(uint64_t sum, const struct weir_plane_resource *r)
{
    return sum + XXH3_64bits_withSeed(r->name.p, r->name.n, r->version);
}

void weir_plane_put_control_plane(struct weir_wire_out *out, uint32_t number)
{
    struct weir_wire_out inner = {0};
    weir_wire_put_text(&inner, 1, WEIR_STR("weir-control-plane"));
    weir_wire_put_bytes(out, number, weir_wire_out_str(&inner));
    weir_wire_out_deinit(&inner);
}

/* One line, whatever the client put into its names and reasons. */
void weir_plane_report(struct weir_plane_stream *s, const struct weir_plane_subscription *u, const char *nonce,
                       const Google__Rpc__Status *error)
{
    if (s->report == NULL) return;
    struct weir_out line = {0};
    struct weir_str type = u->type_url;
    char version[17];
    weir_plane_version_print(u->version, version);
    if (weir_str_starts(type, google)) type = (struct weir_str){type.p + google.n, type.n - google.n};
    weir_out_add(&line, error != NULL ? WEIR_STR("NACK node ") : WEIR_STR("ACK node "));
    weir_out_string(&line, weir_str_of(s->node_id != NULL ? s->node_id : ""));
    weir_out_add(&line, WEIR_STR(" type "));
    weir_out_string(&line, type);
    weir_out_add(&line, WEIR_STR(" version "));
    weir_out_string(&line, weir_str_of(version));
    weir_out_add(&line, WEIR_STR(" nonce "));
    weir_out_string(&line, weir_str_of(nonce));
    if (error != NULL) {
        weir_out_add(&line, WEIR_STR(" reason "));
        weir_out_string(&line, weir_str_of(error->message));
    }
    weir_out_add(&line, WEIR_STR("\n"));
    fwrite(line.p, 1, line.n, s->report);
    fflush(s->report);
    weir_out_deinit(&line);
}

static void keep_node(struct weir_plane_stream *s, const Envoy__Config__Core__V3__Node *node)
{
    if (node == NULL || s->node_id != NULL) return;
    s->node_id = must(strdup(node->id));
    s->node_cluster = must(strdup(node->cluster));
}

enum weir_err weir_plane_stream_request(struct weir_plane_stream *s, struct weir_str bytes, struct weir_error *e)
{
    struct weir_arena arena = {0};
    ProtobufCMessage *m;
    const ProtobufCMessageDescriptor *type = s->delta ? &envoy__service__discovery__v3__delta_discovery_request__descriptor
                                                      : &envoy__service__discovery__v3__discovery_request__descriptor;
    enum weir_err err = weir_pb_decode(&arena, type, bytes, &m, e);
    if (err == WEIR_OK && s->delta) {
        const Envoy__Service__Discovery__V3__DeltaDiscoveryRequest *r = (const void *)m;
        keep_node(s, r->node);
        weir_plane_delta_request(s, r);
    } else if (err == WEIR_OK) {
        const Envoy__Service__Discovery__V3__DiscoveryRequest *r = (const void *)m;
        keep_node(s, r->node);
        weir_plane_sotw_request(s, r);
    }
    weir_arena_deinit(&arena);
    return err;
}

bool weir_plane_stream_next(struct weir_plane_stream *s, const struct weir_plane_resources *r, struct weir_wire_out *out)
{
    const struct weir_plane_set *set = weir_plane_set_of(r, weir_str_of(s->node_id), weir_str_of(s->node_cluster));
    for (struct weir_list *at = s->subscriptions.next; at != &s->subscriptions; at = at->next) {
        struct weir_plane_subscription *u = WEIR_CONTAINER_OF(at, struct weir_plane_subscription, link);
        if (u->generation == r->generation && !u->dirty) continue;
        u->generation = r->generation;
        u->dirty = false;
        const struct weir_plane_type *type = weir_plane_type_of(set, u->type_url);
        bool due = s->delta ? weir_plane_delta_next(s, u, type, out) : weir_plane_sotw_next(s, u, type, out);
        if (due) return true;
    }
    return false;
}
