/* Sections are written straight from the packed bytes that resources keep: no tree of the whole configuration exists. */
#include "dataplane/config/config_dump.h"

#include <stdio.h>

#include "dataplane/base/regex.h"
#include "dataplane/base/str.h"
#include "dataplane/config/json_mask.h"
#include "dataplane/config/server_internal.h"
#include "xds/pb_tree.h"
#include "xds/scalar.h"

#define URL "type.googleapis.com/envoy.admin.v3."

/* How one element of a section is printed. */
struct dump {
    struct weir_server *server;
    struct weir_out *out;
    const struct weir_regex *name_regex; /* NULL: all */
    bool elements;                       /* ?resource=: each element stands alone with its @type */
    bool first;                          /* no comma needed yet */
    uint32_t level;
    const char *body, *element_type;
    enum what { STATIC, ACTIVE, WARMING, DYNAMIC_LISTENER } what;
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

static bool wanted(const struct dump *d, const struct weir_record *r)
{
    bool from_bootstrap = r->source == WEIR_SOURCE_STATIC;
    if (d->name_regex != NULL && !weir_regex_full_match(d->name_regex, r->name)) return false;
    switch (d->what) {
    case STATIC: return from_bootstrap && r->active != NULL;
    case ACTIVE: return !from_bootstrap && (r->active != NULL || (r->refused.error != NULL && r->warming == NULL));
    case WARMING: return !from_bootstrap && r->warming != NULL;
    case DYNAMIC_LISTENER: return !from_bootstrap;
    }
    return false;
}

static void element_begin(struct dump *d, bool *first)
{
    if (!d->first) weir_out_add(d->out, WEIR_STR(","));
    d->first = false;
    line(d, d->level);
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

static void element_print(void *ctx, const struct weir_record *r)
{
    struct dump *d = ctx;
    bool first = true;
    if (!wanted(d, r)) return;
    element_begin(d, &first);
    const struct weir_resource *resource = d->what == WARMING ? r->warming : r->active;
    if (d->what == DYNAMIC_LISTENER) listener_fields(d, d->level + 1, r, &first);
    else if (resource != NULL) state_fields(d, d->level + 1, r->type, resource, &first);
    else string_field(d, d->level + 1, "name", r->name, &first);
    if (d->what == ACTIVE) error_fields(d, d->level + 1, r, &first);
    element_end(d);
}

/* A listener that was removed and drains. */
static void gone_print(void *ctx, const struct weir_resource *r)
{
    struct dump *d = ctx;
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
static const struct section {
    const char *type;
    struct part parts[3];
} sections[] = {
    {"ClustersConfigDump",
     {{"static_clusters", WEIR_CLUSTERS, STATIC, "cluster", "ClustersConfigDump.StaticCluster"},
      {"dynamic_active_clusters", WEIR_CLUSTERS, ACTIVE, "cluster", "ClustersConfigDump.DynamicCluster"},
      {"dynamic_warming_clusters", WEIR_CLUSTERS, WARMING, "cluster", "ClustersConfigDump.DynamicCluster"}}},
    {"EndpointsConfigDump",
     {{"dynamic_endpoint_configs", WEIR_ENDPOINTS, ACTIVE, "endpoint_config", "EndpointsConfigDump.DynamicEndpointConfig"}}},
    {"ListenersConfigDump",
     {{"static_listeners", WEIR_LISTENERS, STATIC, "listener", "ListenersConfigDump.StaticListener"},
      {"dynamic_listeners", WEIR_LISTENERS, DYNAMIC_LISTENER, "listener", "ListenersConfigDump.DynamicListener"}}},
    {"RoutesConfigDump",
     {{"static_route_configs", WEIR_ROUTES, STATIC, "route_config", "RoutesConfigDump.StaticRouteConfig"},
      {"dynamic_route_configs", WEIR_ROUTES, ACTIVE, "route_config", "RoutesConfigDump.DynamicRouteConfig"}}},
};
#define SECTION_COUNT (sizeof(sections) / sizeof(sections[0]))

static void part_print(struct dump *d, const struct part *p, uint32_t level, bool elements)
{
    d->elements = elements;
    d->first = true;
    d->level = level;
    d->body = p->body;
    d->element_type = p->element_type;
    d->what = p->what;
    weir_publisher_each(d->server->publisher, p->type, element_print, d);
    if (p->what == DYNAMIC_LISTENER) weir_publisher_each_gone(d->server->publisher, gone_print, d);
}

static bool part_has_any(struct dump *d, const struct part *p)
{
    struct weir_out nothing = {0}, *out = d->out;
    d->out = &nothing;
    part_print(d, p, 0, false);
    d->out = out;
    bool any = nothing.n > 0;
    weir_out_deinit(&nothing);
    return any;
}

static void bootstrap_print(struct dump *d)
{
    bool first = true;
    line(d, 2);
    weir_out_printf(d->out, "{\n   \"@type\": \"%sBootstrapConfigDump\",\n   \"bootstrap\": ", URL);
    weir_pb_to_json(&d->server->b.pb->base, &(struct weir_json_options){.indent = 1, .level = 3, .redact = true}, d->out);
    first = false;
    time_field(d, 3, "last_updated", d->server->start_wall_ns, &first);
    line(d, 2);
    weir_out_add(d->out, WEIR_STR("}"));
}

static void all_print(struct dump *d, bool include_eds)
{
    weir_out_add(d->out, WEIR_STR("{\n \"configs\": ["));
    bootstrap_print(d);
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        bool first = true;
        if (sections[i].parts[0].type == WEIR_ENDPOINTS && !include_eds) continue;
        weir_out_add(d->out, WEIR_STR(","));
        line(d, 2);
        weir_out_add(d->out, WEIR_STR("{"));
        key(d, 3, "@type", &first);
        weir_out_printf(d->out, "\"%s%s\"", URL, sections[i].type);
        enum weir_resource_type type = sections[i].parts[0].type;
        string_field(d, 3, "version_info", weir_str_of(d->server->xds[type].version), &first);
        for (size_t j = 0; j < 3 && sections[i].parts[j].resource != NULL; j++) {
            if (!part_has_any(d, &sections[i].parts[j])) continue;
            key(d, 3, sections[i].parts[j].resource, &first);
            weir_out_add(d->out, WEIR_STR("["));
            part_print(d, &sections[i].parts[j], 4, false);
            line(d, 3);
            weir_out_add(d->out, WEIR_STR("]"));
        }
        line(d, 2);
        weir_out_add(d->out, WEIR_STR("}"));
    }
    weir_out_add(d->out, WEIR_STR("\n ]\n}\n"));
}

static void one_print(struct dump *d, const struct part *p)
{
    weir_out_add(d->out, WEIR_STR("{\n \"configs\": ["));
    part_print(d, p, 2, true);
    weir_out_add(d->out, d->first ? WEIR_STR("]\n}\n") : WEIR_STR("\n ]\n}\n"));
}

static void mask_apply(const struct weir_admin_request *r, struct weir_str mask, struct weir_admin_reply *reply)
{
    const struct weir_tree *root = NULL;
    struct weir_error e = {0};
    struct weir_out whole = reply->body;
    reply->body = (struct weir_out){0};
    if (weir_json_parse(r->arena, "config_dump", (struct weir_str){whole.p, whole.n}, &root, &e) == WEIR_OK &&
        weir_json_mask_print(r->arena, root, WEIR_STR("configs"), mask, &reply->body) == 0) {
        reply->status = 400;
        reply->content_type = "text/plain";
        weir_out_deinit(&reply->body);
        weir_out_printf(&reply->body, "FieldMask paths: \"%.*s\"\n could not be successfully used.", WEIR_STR_ARG(mask));
    }
    weir_out_deinit(&whole);
}

void weir_config_dump(struct weir_server *s, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    struct dump d = {.server = s, .out = &reply->body};
    struct weir_error e = {0};
    struct weir_regex *regex = NULL;
    struct weir_str resource = weir_admin_param(r, WEIR_STR("resource")), name_regex = weir_admin_param(r, WEIR_STR("name_regex"));
    if (name_regex.n > 0 && weir_regex_compile(name_regex, 0, &e, &regex) != WEIR_OK) {
        reply->status = 400;
        weir_out_printf(&reply->body, "INVALID_ARGUMENT: Error while parsing name_regex from %.*s: %s", WEIR_STR_ARG(name_regex), e.text);
        return;
    }
    d.name_regex = regex;
    reply->content_type = WEIR_ADMIN_JSON;
    const struct part *found = NULL;
    for (size_t i = 0; i < SECTION_COUNT && resource.n > 0; i++)
        for (size_t j = 0; j < 3 && sections[i].parts[j].resource != NULL; j++)
            if (weir_str_eq(resource, weir_str_of(sections[i].parts[j].resource))) found = &sections[i].parts[j];
    if (resource.n > 0 && found == NULL) {
        reply->status = 404;
        reply->content_type = "text/plain";
        weir_out_printf(&reply->body, "%.*s not found in config dump", WEIR_STR_ARG(resource));
    } else if (found != NULL) {
        one_print(&d, found);
    } else {
        all_print(&d, weir_admin_param(r, WEIR_STR("include_eds")).p != NULL);
    }
    struct weir_str mask = weir_admin_param(r, WEIR_STR("mask"));
    if (mask.n > 0 && reply->status == 200) mask_apply(r, mask, reply);
    if (regex != NULL) weir_regex_destroy(regex);
}
