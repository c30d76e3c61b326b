/* Sections are written straight from the packed bytes that resources keep, element by element: no tree of the whole configuration
 * exists, nor its text. A mask is applied to each element; one over all sections, to each section that it names. */
#include "dataplane/config/config_dump.h"

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/regex.h"
#include "dataplane/base/str.h"
#include "dataplane/config/compile_types.h"
#include "dataplane/config/dump_parts.h"
#include "dataplane/config/json_mask.h"
#include "dataplane/config/server_internal.h"
#include "xds/pb_tree.h"
#include "xds/scalar.h"

#define STEP_RECORDS 256u /* looked at for one piece, printed or not */
#define URL "type.googleapis.com/envoy.admin.v3."

/* How one element of a part is written. */
struct dump {
    struct weir_server *server;
    struct weir_out *out;
    const struct weir_regex *name_regex; /* NULL: all */
    bool elements;                       /* ?resource=: each element stands alone with its @type */
    uint32_t level;
    const char *body, *element_type;
    enum what { STATIC, ACTIVE, WARMING, DYNAMIC_LISTENER, STATIC_HOSTS, EDS_HOSTS, INLINE_ROUTES } what;
};

static void line(struct dump *d, uint32_t level)
{
    weir_out_add(d->out, WEIR_STR("\n"));
    for (uint32_t i = 0; i < level; i++) weir_out_add(d->out, WEIR_STR(" "));
}

static void key(struct dump *d, uint32_t level, const char *name, bool *first)
{
    if (!*first) weir_out_add(d->out, WEIR_STR(","));
    *first = false;
    line(d, level);
    weir_out_printf(d->out, "\"%s\": ", name);
}

static void string_field(struct dump *d, uint32_t level, const char *name, struct weir_str value, bool *first)
{
    if (value.n == 0) return;
    key(d, level, name, first);
    weir_out_string(d->out, value);
}

static void time_field(struct dump *d, uint32_t level, const char *name, uint64_t wall_ns, bool *first)
{
    char text[48];
    weir_scalar_timestamp_print((int64_t)(wall_ns / 1000000000u), (int32_t)(wall_ns / 1000000u % 1000u) * 1000000, text);
    string_field(d, level, name, weir_str_of(text), first);
}

static void packed_field(struct dump *d, uint32_t level, const char *name, enum weir_resource_type type, struct weir_str packed, bool *first)
{
    key(d, level, name, first);
    ProtobufCBinaryData bytes = {packed.n, (uint8_t *)(uintptr_t)packed.p};
    struct weir_json_options o = {.indent = 1, .level = level, .redact = true};
    if (!weir_any_to_json(weir_resource_type_url(type), bytes, &o, d->out)) weir_out_add(d->out, WEIR_STR("{}"));
}

static void state_fields(struct dump *d, uint32_t level, enum weir_resource_type type, const struct weir_resource *resource, bool *first)
{
    string_field(d, level, "version_info", resource->version, first);
    packed_field(d, level, d->body, type, resource->packed, first);
    time_field(d, level, "last_updated", resource->updated_wall_ns, first);
}

static void error_fields(struct dump *d, uint32_t level, const struct weir_record *r, bool *first)
{
    if (r->refused.error == NULL) return;
    bool inner = true;
    key(d, level, "error_state", first);
    weir_out_add(d->out, WEIR_STR("{"));
    packed_field(d, level + 1, "failed_configuration", r->type, (struct weir_str){r->refused.packed, r->refused.packed_bytes}, &inner);
    time_field(d, level + 1, "last_update_attempt", r->refused.wall_ns, &inner);
    string_field(d, level + 1, "details", weir_str_of(r->refused.error), &inner);
    string_field(d, level + 1, "version_info", r->refused.version, &inner);
    line(d, level);
    weir_out_add(d->out, WEIR_STR("}"));
}

static void state_field(struct dump *d, uint32_t level, const char *name, const struct weir_resource *resource, bool *first)
{
    if (resource == NULL) return;
    bool inner = true;
    key(d, level, name, first);
    weir_out_add(d->out, WEIR_STR("{"));
    state_fields(d, level + 1, WEIR_LISTENERS, resource, &inner);
    line(d, level);
    weir_out_add(d->out, WEIR_STR("}"));
}

static void listener_fields(struct dump *d, uint32_t level, const struct weir_record *r, bool *first)
{
    string_field(d, level, "name", r->name, first);
    state_field(d, level, "active_state", r->active, first);
    state_field(d, level, "warming_state", r->warming, first);
    state_field(d, level, "draining_state", weir_publisher_draining_of(d->server->publisher, r->name), first);
    error_fields(d, level, r, first);
}

/* The cluster whose hosts this part shows, NULL: none. */
static const struct weir_cluster_shared *hosts_of(const struct dump *d, const struct weir_record *r)
{
    const struct weir_cluster_shared *c = weir_publisher_cluster(d->server->publisher, r);
    return c != NULL && (c->config->type == WEIR_CLUSTER_EDS) == (d->what == EDS_HOSTS) ? c : NULL;
}

static bool wanted(const struct dump *d, const struct weir_record *r)
{
    bool from_bootstrap = r->source == WEIR_SOURCE_STATIC;
    if (d->name_regex != NULL && d->what != INLINE_ROUTES && !weir_regex_full_match(d->name_regex, r->name)) return false;
    switch (d->what) {
    case STATIC: return from_bootstrap && r->active != NULL;
    case ACTIVE: return !from_bootstrap && (r->active != NULL || (r->refused.error != NULL && r->warming == NULL));
    case WARMING: return !from_bootstrap && r->warming != NULL;
    case DYNAMIC_LISTENER: return !from_bootstrap;
    case STATIC_HOSTS:
    case EDS_HOSTS: return hosts_of(d, r) != NULL;
    case INLINE_ROUTES: return r->active != NULL;
    }
    return false;
}

static void element_begin(struct dump *d, bool *first)
{
    weir_out_add(d->out, WEIR_STR("{"));
    if (!d->elements) return;
    key(d, d->level + 1, "@type", first);
    weir_out_printf(d->out, "\"%s%s\"", URL, d->element_type);
}

static void element_end(struct dump *d)
{
    line(d, d->level);
    weir_out_add(d->out, WEIR_STR("}"));
}

static void assignment_field(struct dump *d, uint32_t level, const struct weir_record *r, bool *first)
{
    key(d, level, d->body, first);
    weir_dump_assignment(hosts_of(d, r), r->name, level, d->out);
}

/* Nothing where the record is not wanted. */
static void element_write(struct dump *d, const struct weir_record *r)
{
    bool first = true;
    if (!wanted(d, r)) return;
    element_begin(d, &first);
    const struct weir_resource *resource = d->what == WARMING ? r->warming : r->active;
    if (d->what == DYNAMIC_LISTENER) listener_fields(d, d->level + 1, r, &first);
    else if (d->what == STATIC_HOSTS || d->what == EDS_HOSTS) assignment_field(d, d->level + 1, r, &first);
    else if (resource != NULL) state_fields(d, d->level + 1, r->type, resource, &first);
    else string_field(d, d->level + 1, "name", r->name, &first);
    if (d->what == ACTIVE) error_fields(d, d->level + 1, r, &first);
    element_end(d);
}

/* A listener that was removed and drains. */
static void gone_write(struct dump *d, const struct weir_resource *r)
{
    bool first = true;
    if (d->name_regex != NULL && !weir_regex_full_match(d->name_regex, r->name)) return;
    element_begin(d, &first);
    string_field(d, d->level + 1, "name", r->name, &first);
    state_field(d, d->level + 1, "draining_state", r, &first);
    element_end(d);
}

/* One repeated field of a section. */
struct part {
    const char *resource; /* field name: also the value of ?resource= */
    enum weir_resource_type type;
    enum what what;
    const char *body, *element_type;
};
#define PARTS_MAX 3
static const struct section {
    const char *type;
    struct part parts[PARTS_MAX];
} sections[] = {
    {"ClustersConfigDump",
     {{"static_clusters", WEIR_CLUSTERS, STATIC, "cluster", "ClustersConfigDump.StaticCluster"},
      {"dynamic_active_clusters", WEIR_CLUSTERS, ACTIVE, "cluster", "ClustersConfigDump.DynamicCluster"},
      {"dynamic_warming_clusters", WEIR_CLUSTERS, WARMING, "cluster", "ClustersConfigDump.DynamicCluster"}}},
    {"EndpointsConfigDump",
     {{"static_endpoint_configs", WEIR_CLUSTERS, STATIC_HOSTS, "endpoint_config", "EndpointsConfigDump.StaticEndpointConfig"},
      {"dynamic_endpoint_configs", WEIR_CLUSTERS, EDS_HOSTS, "endpoint_config", "EndpointsConfigDump.DynamicEndpointConfig"}}},
    {"ListenersConfigDump",
     {{"static_listeners", WEIR_LISTENERS, STATIC, "listener", "ListenersConfigDump.StaticListener"},
      {"dynamic_listeners", WEIR_LISTENERS, DYNAMIC_LISTENER, "listener", "ListenersConfigDump.DynamicListener"}}},
    {"ScopedRoutesConfigDump", {{NULL, WEIR_ROUTES, STATIC, NULL, NULL}}},
    {"RoutesConfigDump",
     {{"static_route_configs", WEIR_LISTENERS, INLINE_ROUTES, "route_config", "RoutesConfigDump.StaticRouteConfig"},
      {"dynamic_route_configs", WEIR_ROUTES, ACTIVE, "route_config", "RoutesConfigDump.DynamicRouteConfig"}}},
    {"SecretsConfigDump", {{NULL, WEIR_ROUTES, STATIC, NULL, NULL}}},
};
#define SECTION_COUNT (sizeof(sections) / sizeof(sections[0]))

/* Clusters and listeners come as a whole, with one version; the others have none of their own. */
static bool versioned(const struct section *s)
{
    return s->parts[0].what == STATIC && s->parts[0].resource != NULL;
}

/* --- masks --- */

/* A field of what an Any of the element holds: a path through it is right as far as the message is known. */
static bool path_in(const ProtobufCMessageDescriptor *type, struct weir_str path)
{
    while (path.n > 0) {
        char name[128];
        size_t n = weir_str_find(path, '.');
        if (n >= sizeof(name)) return false;
        memcpy(name, path.p, n);
        name[n] = 0;
        const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(type, name);
        if (f == NULL) return false;
        path = n < path.n ? (struct weir_str){path.p + n + 1, path.n - n - 1} : (struct weir_str){0};
        if (f->type != PROTOBUF_C_TYPE_MESSAGE) return path.n == 0;
        type = f->descriptor;
        if (strcmp(type->name, "google.protobuf.Any") == 0 || strcmp(type->name, "google.protobuf.Struct") == 0) return true;
    }
    return true;
}

static bool path_known(const struct part *part, struct weir_str path)
{
    static const struct weir_str fields[] = {WEIR_STR_INIT("name"), WEIR_STR_INIT("version_info"), WEIR_STR_INIT("last_updated"),
                                             WEIR_STR_INIT("error_state"), WEIR_STR_INIT("client_status")};
    static const struct weir_str states[] = {WEIR_STR_INIT("active_state"), WEIR_STR_INIT("warming_state"), WEIR_STR_INIT("draining_state")};
    size_t dot = weir_str_find(path, '.');
    struct weir_str first = {path.p, dot}, rest = dot < path.n ? (struct weir_str){path.p + dot + 1, path.n - dot - 1} : (struct weir_str){0};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (weir_str_eq(first, fields[i])) return true;
    for (size_t i = 0; part->what == DYNAMIC_LISTENER && i < sizeof(states) / sizeof(states[0]); i++)
        if (weir_str_eq(first, states[i])) return true;
    enum weir_resource_type held = part->what == INLINE_ROUTES ? WEIR_ROUTES : part->what == STATIC_HOSTS || part->what == EDS_HOSTS ? WEIR_ENDPOINTS : part->type;
    return weir_str_eq(first, weir_str_of(part->body)) && path_in(weir_compile_types[held].descriptor, rest);
}

/* ?resource=: Envoy answers the same for a path that its message does not have. */
static bool mask_known(const struct part *part, struct weir_str mask)
{
    while (mask.n > 0) {
        size_t comma = weir_str_find(mask, ',');
        if (!path_known(part, weir_str_trim((struct weir_str){mask.p, comma}))) return false;
        mask = comma < mask.n ? (struct weir_str){mask.p + comma + 1, mask.n - comma - 1} : (struct weir_str){0};
    }
    return true;
}

/* A mask over all sections: whether one of them has one of its paths. */
static bool mask_means(struct weir_str mask, const struct section *s)
{
    for (struct weir_str path; weir_json_mask_next(&mask, &path);) {
        size_t dot = weir_str_find(path, '.');
        struct weir_str first = {path.p, dot}, rest = dot < path.n ? (struct weir_str){path.p + dot + 1, path.n - dot - 1} : (struct weir_str){0};
        if (s == NULL) { /* BootstrapConfigDump */
            if (weir_str_eq(path, WEIR_STR("last_updated")) ||
                (weir_str_eq(first, WEIR_STR("bootstrap")) && path_in(&envoy__config__bootstrap__v3__bootstrap__descriptor, rest)))
                return true;
            continue;
        }
        if (versioned(s) && weir_str_eq(path, WEIR_STR("version_info"))) return true;
        for (size_t j = 0; j < PARTS_MAX && s->parts[j].resource != NULL; j++)
            if (weir_str_eq(first, weir_str_of(s->parts[j].resource)) && (rest.n == 0 || path_known(&s->parts[j], rest))) return true;
    }
    return false;
}

static bool mask_means_any(struct weir_str mask)
{
    bool any = mask_means(mask, NULL);
    for (size_t i = 0; i < SECTION_COUNT && !any; i++) any = mask_means(mask, &sections[i]);
    return any;
}

/* --- the page --- */

struct page {
    struct weir_admin_source source;
    struct dump dump;
    struct weir_str mask;      /* the request's */
    struct weir_str part_mask; /* what it says of each element at hand; empty: nothing */
    struct weir_regex *regex;
    const struct part *one; /* ?resource=; NULL: all sections */
    bool include_eds;
    struct weir_out *out;    /* the piece at hand */
    struct weir_out element; /* scratch */
    bool configs_open;       /* their list has begun; without any the page is {} */
    bool bootstrap_done, bootstrap_open, static_open;
    struct weir_arena masks;       /* parts of the mask */
    struct weir_arena arena;       /* of `bootstrap`, while that is printed */
    const pb_bootstrap *bootstrap;
    unsigned bootstrap_field, resource_field; /* where it is; the second in static_resources */
    size_t resource;
    bool list_open;
    struct weir_str bootstrap_mask, static_mask; /* what the mask says of it, and of static_resources */
    size_t element_bytes; /* of this step: rendered, whatever a mask left of it */
    size_t section, part;    /* of all sections */
    bool section_open, part_open, first_field, first_element;
    struct weir_publisher_walk *walk; /* of the part at hand */
};

static void add_line(struct weir_out *out, uint32_t level)
{
    weir_out_add(out, WEIR_STR("\n"));
    for (uint32_t i = 0; i < level; i++) weir_out_add(out, WEIR_STR(" "));
}

static void config_begin(struct page *p)
{
    weir_out_add(p->out, p->configs_open ? WEIR_STR(",") : WEIR_STR("{\n \"configs\": ["));
    p->configs_open = true;
    add_line(p->out, 2);
}

/* What the mask leaves of p->element replaces it. False: nothing is left. */
static bool mask_apply(struct page *p, struct weir_str mask, uint32_t level)
{
    struct weir_arena scratch = {0};
    const struct weir_tree *tree = NULL;
    struct weir_error e = {0};
    struct weir_out cut = {0};
    bool found = weir_json_parse(&scratch, "config_dump", (struct weir_str){p->element.p, p->element.n}, &tree, &e) == WEIR_OK &&
                 weir_json_mask_print(&scratch, tree, mask, level, &cut);
    weir_out_deinit(&p->element);
    p->element = cut;
    weir_arena_deinit(&scratch);
    return found;
}

static void field_begin(struct page *p, const char *name)
{
    if (!p->first_field) weir_out_add(p->out, WEIR_STR(","));
    p->first_field = false;
    add_line(p->out, 3);
    weir_out_printf(p->out, "\"%s\": ", name);
}

/* Takes p->element into the page. */
static void element_put(struct page *p, const struct part *part)
{
    if (p->element.n == 0) return;
    if (p->one != NULL) {
        bool left = p->mask.n == 0 || mask_apply(p, p->mask, 2);
        config_begin(p);
        if (!left) weir_out_printf(&p->element, "{\n   \"@type\": \"%s%s\"\n  }", URL, part->element_type);
    } else {
        if (p->part_mask.n > 0 && !mask_apply(p, p->part_mask, 4)) {
            p->element.n = 0;
            return;
        }
        if (!p->part_open) {
            field_begin(p, part->resource);
            weir_out_add(p->out, WEIR_STR("["));
            p->first_element = p->part_open = true;
        }
        if (!p->first_element) weir_out_add(p->out, WEIR_STR(","));
        p->first_element = false;
        add_line(p->out, 4);
    }
    weir_out_add(p->out, (struct weir_str){p->element.p, p->element.n});
    p->element.n = 0;
}

struct gone {
    struct page *page;
    const struct part *part;
};

static void gone_put(void *ctx, const struct weir_resource *r)
{
    struct gone *g = ctx;
    gone_write(&g->page->dump, r);
    element_put(g->page, g->part);
}

struct inline_routes {
    struct page *page;
    const struct part *part;
    const struct weir_resource *listener;
};

static void route_put(void *ctx, const ProtobufCMessage *m)
{
    const struct inline_routes *i = ctx;
    struct dump *d = &i->page->dump;
    bool first = true;
    struct weir_str name = weir_str_of(((const pb_route_configuration *)(const void *)m)->name);
    if (d->name_regex != NULL && !weir_regex_full_match(d->name_regex, name)) return;
    element_begin(d, &first);
    key(d, d->level + 1, d->body, &first);
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *packed = malloc(n + 1);
    if (packed == NULL) abort();
    (void)protobuf_c_message_pack(m, packed);
    struct weir_json_options o = {.indent = 1, .level = d->level + 1, .redact = true};
    if (!weir_any_to_json(weir_resource_type_url(WEIR_ROUTES), (ProtobufCBinaryData){n, packed}, &o, d->out)) weir_out_add(d->out, WEIR_STR("{}"));
    free(packed);
    time_field(d, d->level + 1, "last_updated", i->listener->updated_wall_ns, &first);
    element_end(d);
    element_put(i->page, i->part);
}

/* False: this piece is full. */
static bool part_print(struct page *p, const struct part *part, size_t begun)
{
    struct dump *d = &p->dump;
    const struct weir_record *r;
    if (p->walk == NULL) {
        d->elements = p->one != NULL;
        d->level = p->one != NULL ? 2 : 4;
        d->body = part->body;
        d->element_type = part->element_type;
        d->what = part->what;
        p->part_open = false;
        p->walk = weir_publisher_walk_create(d->server->publisher, part->type);
    }
    for (size_t visited = 0;; visited++) {
        if (visited >= STEP_RECORDS || p->out->n - begun >= WEIR_ADMIN_PIECE_BYTES) return false;
        if (!weir_publisher_walk_next(p->walk, &r)) break;
        if (r == NULL) return false;
        if (part->what == INLINE_ROUTES) {
            if (wanted(d, r)) weir_dump_inline_routes(r->active->packed, route_put, &(struct inline_routes){p, part, r->active});
            continue;
        }
        element_write(d, r);
        element_put(p, part);
    }
    weir_publisher_walk_destroy(p->walk);
    p->walk = NULL;
    if (part->what == DYNAMIC_LISTENER) weir_publisher_each_gone(d->server->publisher, gone_put, &(struct gone){p, part});
    if (p->part_open) {
        add_line(p->out, 3);
        weir_out_add(p->out, WEIR_STR("]"));
    }
    return true;
}

static void section_begin(struct page *p, const struct section *s)
{
    config_begin(p);
    weir_out_add(p->out, WEIR_STR("{"));
    p->section_open = p->first_field = true;
    p->part = 0;
    field_begin(p, "@type");
    weir_out_printf(p->out, "\"%s%s\"", URL, s->type);
    if (!versioned(s) || weir_json_mask_below(&p->masks, p->mask, WEIR_STR("version_info"), &(struct weir_str){0}) == WEIR_MASK_NOT) return;
    const char *version = p->dump.server->xds[s->parts[0].type].version;
    if (version[0] == 0) return;
    field_begin(p, "version_info");
    weir_out_string(p->out, weir_str_of(version));
}

/* False: this piece is full. */
static bool section_print(struct page *p, const struct section *s, size_t begun)
{
    if (!p->section_open) section_begin(p, s);
    for (; p->part < PARTS_MAX && s->parts[p->part].resource != NULL; p->part++) {
        if (p->walk == NULL && weir_json_mask_below(&p->masks, p->mask, weir_str_of(s->parts[p->part].resource), &p->part_mask) == WEIR_MASK_NOT) continue;
        if (!part_print(p, &s->parts[p->part], begun)) return false;
    }
    add_line(p->out, 2);
    weir_out_add(p->out, WEIR_STR("}"));
    p->section_open = false;
    return true;
}

/* static_resources, resource by resource. False: this piece is full. */
static bool static_resources_print(struct page *p, const ProtobufCMessage *m, size_t begun)
{
    static const struct weir_json_options o = {.indent = 1, .level = 6, .redact = true};
    for (; p->resource_field < m->descriptor->n_fields; p->resource_field++, p->resource = 0) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[p->resource_field];
        size_t n = weir_pb_length(m, f);
        struct weir_str mask;
        if (weir_json_mask_below(&p->masks, p->static_mask, weir_str_of(f->name), &mask) == WEIR_MASK_NOT) continue;
        if (p->resource == 0) p->list_open = false;
        for (; p->resource < n; p->resource++) {
            if (p->out->n - begun >= WEIR_ADMIN_PIECE_BYTES || p->element_bytes >= WEIR_ADMIN_PIECE_BYTES) return false;
            weir_pb_to_json(*(ProtobufCMessage *const *)weir_pb_value(m, f, p->resource), &o, &p->element);
            p->element_bytes += p->element.n;
            if (mask.n == 0 || mask_apply(p, mask, 6)) {
                if (!p->list_open) {
                    weir_out_add(p->out, p->first_element ? WEIR_STR("{") : WEIR_STR(","));
                    p->first_element = false;
                    add_line(p->out, 5);
                    weir_out_printf(p->out, "\"%s\": [", f->name);
                } else {
                    weir_out_add(p->out, WEIR_STR(","));
                }
                p->list_open = true;
                add_line(p->out, 6);
                weir_out_add(p->out, (struct weir_str){p->element.p, p->element.n});
            }
            p->element.n = 0;
        }
        if (!p->list_open) continue;
        add_line(p->out, 5);
        weir_out_add(p->out, WEIR_STR("]"));
    }
    if (p->first_element) weir_out_add(p->out, WEIR_STR("{"));
    else add_line(p->out, 4);
    weir_out_add(p->out, WEIR_STR("}"));
    return true;
}

static void bootstrap_begin(struct page *p)
{
    p->bootstrap = weir_bootstrap_whole(&p->dump.server->b, &p->arena);
    config_begin(p);
    weir_out_printf(p->out, "{\n   \"@type\": \"%sBootstrapConfigDump\"", URL);
    p->bootstrap_open = p->first_field = p->first_element = true;
    if (weir_json_mask_below(&p->masks, p->mask, WEIR_STR("bootstrap"), &p->bootstrap_mask) == WEIR_MASK_NOT) p->bootstrap = NULL;
    else weir_out_printf(p->out, ",\n   \"bootstrap\": {");
    p->bootstrap_field = p->resource_field = 0;
    p->resource = 0;
    p->static_open = false;
}

static void bootstrap_field_begin(struct page *p, const char *name)
{
    weir_out_add(p->out, p->first_field ? WEIR_STR("") : WEIR_STR(","));
    p->first_field = false;
    add_line(p->out, 4);
    weir_out_printf(p->out, "\"%s\": ", name);
}

/* One field of it, cut down where the mask says so. False: nothing is left. */
static bool bootstrap_field_print(struct page *p, const ProtobufCMessage *m, const struct weir_json_options *o, struct weir_str mask)
{
    weir_pb_field_to_json(m, p->bootstrap_field, o, &p->element);
    bool left = mask.n == 0 || mask_apply(p, mask, 4);
    if (left) {
        bootstrap_field_begin(p, m->descriptor->fields[p->bootstrap_field].name);
        weir_out_add(p->out, (struct weir_str){p->element.p, p->element.n});
    }
    p->element.n = 0;
    return left;
}

static bool bootstrap_fields_print(struct page *p, size_t begun)
{
    static const struct weir_json_options o = {.indent = 1, .level = 4, .redact = true};
    const ProtobufCMessage *m = &p->bootstrap->base;
    for (; p->bootstrap_field < m->descriptor->n_fields; p->bootstrap_field++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[p->bootstrap_field];
        struct weir_str mask;
        if (!weir_pb_is_set(m, f) || weir_json_mask_below(&p->masks, p->bootstrap_mask, weir_str_of(f->name), &mask) == WEIR_MASK_NOT) continue;
        if (strcmp(f->name, "static_resources") != 0) {
            (void)bootstrap_field_print(p, m, &o, mask);
            continue;
        }
        if (!p->static_open) bootstrap_field_begin(p, f->name);
        p->static_open = true;
        p->static_mask = mask;
        if (!static_resources_print(p, &p->bootstrap->static_resources->base, begun)) return false;
    }
    if (!p->first_field) add_line(p->out, 3);
    weir_out_add(p->out, WEIR_STR("}"));
    return true;
}

/* Field by field, since a large part of what is static stands in it. False: this piece is full. */
static bool bootstrap_print(struct page *p, size_t begun)
{
    if (!p->bootstrap_open) bootstrap_begin(p);
    if (p->bootstrap != NULL && !bootstrap_fields_print(p, begun)) return false;
    bool first = false;
    p->dump.out = p->out;
    if (weir_json_mask_below(&p->masks, p->mask, WEIR_STR("last_updated"), &(struct weir_str){0}) != WEIR_MASK_NOT)
        time_field(&p->dump, 3, "last_updated", p->dump.server->start_wall_ns, &first);
    p->dump.out = &p->element;
    add_line(p->out, 2);
    weir_out_add(p->out, WEIR_STR("}"));
    p->bootstrap_done = true;
    p->bootstrap = NULL;
    weir_arena_deinit(&p->arena);
    return true;
}

static bool all_print(struct page *p, size_t begun)
{
    if (!p->bootstrap_done && (p->mask.n == 0 || mask_means(p->mask, NULL)) && !bootstrap_print(p, begun)) return false;
    for (; p->section < SECTION_COUNT; p->section++) {
        if (p->mask.n > 0 && !mask_means(p->mask, &sections[p->section])) continue;
        if (p->mask.n == 0 && sections[p->section].parts[0].what == STATIC_HOSTS && !p->include_eds) continue;
        if (!section_print(p, &sections[p->section], begun)) return false;
    }
    return true;
}

static bool more(struct weir_admin_source *source, struct weir_out *out)
{
    struct page *p = WEIR_CONTAINER_OF(source, struct page, source);
    size_t begun = out->n;
    p->out = out;
    p->dump.out = &p->element;
    p->element_bytes = 0;
    if (!(p->one != NULL ? part_print(p, p->one, begun) : all_print(p, begun))) return true;
    weir_out_add(out, p->configs_open ? WEIR_STR("\n ]\n}\n") : WEIR_STR("{}\n"));
    return false;
}

static void destroy(struct weir_admin_source *source)
{
    struct page *p = WEIR_CONTAINER_OF(source, struct page, source);
    weir_publisher_walk_destroy(p->walk);
    weir_out_deinit(&p->element);
    weir_arena_deinit(&p->arena);
    weir_arena_deinit(&p->masks);
    weir_regex_destroy(p->regex);
    free(p);
}

static const struct part *part_find(struct weir_str name)
{
    for (size_t i = 0; i < SECTION_COUNT; i++)
        for (size_t j = 0; j < PARTS_MAX && sections[i].parts[j].resource != NULL; j++)
            if (weir_str_eq(name, weir_str_of(sections[i].parts[j].resource))) return &sections[i].parts[j];
    return NULL;
}

static void refuse(struct weir_admin_reply *reply, uint32_t status)
{
    reply->status = status;
    reply->content_type = "text/plain";
    reply->body.n = 0;
}

void weir_config_dump(struct weir_server *s, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct weir_error e = {0};
    struct weir_regex *regex = NULL;
    struct weir_str resource = weir_admin_param(r, WEIR_STR("resource")), name_regex = weir_admin_param(r, WEIR_STR("name_regex"));
    const struct part *one = resource.n > 0 ? part_find(resource) : NULL;
    struct weir_str mask = weir_admin_param(r, WEIR_STR("mask"));
    if (name_regex.n > 0 && weir_regex_compile(name_regex, 0, &e, &regex) != WEIR_OK) {
        refuse(reply, 400);
        weir_out_printf(&reply->body, "INVALID_ARGUMENT: Error while parsing name_regex from %.*s: %s", WEIR_STR_ARG(name_regex), weir_admin_regex_error(&e));
        return;
    }
    if (resource.n > 0 && one == NULL) {
        refuse(reply, 404);
        weir_out_printf(&reply->body, "%.*s not found in config dump", WEIR_STR_ARG(resource));
        weir_regex_destroy(regex);
        return;
    }
    struct page *p = calloc(1, sizeof(*p));
    if (p == NULL) abort();
    *p = (struct page){.source = {more, destroy}, .mask = mask, .regex = regex, .one = one, .out = &reply->body,
                       .include_eds = weir_admin_param(r, WEIR_STR("include_eds")).p != NULL};
    p->dump = (struct dump){.server = s, .out = &p->element, .name_regex = regex};
    reply->content_type = WEIR_ADMIN_JSON;
    if (mask.n == 0 || (one != NULL ? mask_known(one, mask) : mask_means_any(mask))) {
        reply->source = &p->source;
        return;
    }
    refuse(reply, 400);
    if (one != NULL) weir_out_printf(&reply->body, "FieldMask paths: \"%.*s\"\n could not be successfully used.", WEIR_STR_ARG(mask));
    else weir_out_printf(&reply->body, "FieldMask %.*s could not be successfully applied to any configs.", WEIR_STR_ARG(mask));
    destroy(&p->source);
}
