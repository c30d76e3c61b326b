/* Reads the bootstrap and hands out its parts; bootstrap_sources.c has the dynamic ones. */
#include "dataplane/config/bootstrap.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "dataplane/base/pb_facts.h"
#include "dataplane/base/str.h"
#include "dataplane/config/bootstrap_internal.h"
#include "dataplane/config/compile_types.h"
#include "dataplane/config/support.h"
#include "envoy/extensions/regex_engines/v3/google_re2.pb-c.h"
#include "xds/pb_tree.h"
#include "xds/wire_check.h"

static enum weir_err tree_load(const struct weir_options *o, struct weir_bootstrap *b, struct weir_error *e)
{
    const struct weir_tree **documents = NULL;
    size_t count = 0;
    b->file = "--config-yaml";
    if (o->config_path == NULL && o->config_yaml == NULL)
        return weir_error_set(e, WEIR_ERR_INVALID, "At least one of --config-path or --config-yaml should be given");
    if (o->config_path != NULL) {
        struct weir_str bytes;
        b->file = o->config_path;
        enum weir_err err = weir_tree_read_file(&b->scratch, o->config_path, &bytes, e);
        if (err == WEIR_OK) err = weir_tree_parse(&b->scratch, o->config_path, bytes, &documents, &count, e);
        if (err != WEIR_OK) return err;
        if (count != 1) return weir_error_set(e, WEIR_ERR_INVALID, "%s: holds %zu documents, one was expected", o->config_path, count);
        b->tree = documents[0];
    }
    if (o->config_yaml == NULL) return WEIR_OK;
    enum weir_err err = weir_tree_parse(&b->scratch, "--config-yaml", weir_str_of(o->config_yaml), &documents, &count, e);
    if (err != WEIR_OK) return err;
    if (count > 1) return weir_error_set(e, WEIR_ERR_INVALID, "--config-yaml: holds %zu documents, one was expected", count);
    if (count == 1) b->tree = weir_tree_merge(&b->scratch, b->tree, documents[0]);
    if (b->tree == NULL) return weir_error_set(e, WEIR_ERR_INVALID, "--config-yaml: is empty");
    return WEIR_OK;
}

static const char *env_find(void *ctx, const char *name)
{
    (void)ctx;
    return getenv(name);
}

/* Elsewhere "$(" may be text of its own (a regular expression); a node that is not what its pod meant gets a configuration that is
 * not meant for it. */
static enum weir_err env_unknown(void *ctx, const char *path, struct weir_str name, struct weir_error *e)
{
    (void)ctx;
    if (strncmp(path, "node.", 5) != 0) return WEIR_OK;
    return weir_error_set(e, WEIR_ERR_INVALID, "%s: the environment variable '%.*s' is not set", path, WEIR_STR_ARG(name));
}

static enum weir_err env_expand(struct weir_bootstrap *b, struct weir_error *e)
{
    const struct weir_tree_env env = {env_find, env_unknown, NULL};
    return weir_tree_expand(&b->scratch, b->file, b->tree, &env, &b->tree, e);
}

void weir_bootstrap_locate(const struct weir_bootstrap *b, struct weir_error *e)
{
    char path[WEIR_ERROR_TEXT_MAX];
    const char *colon = strstr(e->text, ": ");
    size_t n = colon != NULL ? (size_t)(colon - e->text) : 0;
    memcpy(path, e->text, n);
    path[n] = '\0';
    const struct weir_tree *at = weir_tree_locate(b->tree, path);
    weir_error_prefix(e, "%s:%u:%u", b->file, at != NULL ? at->line : 1, at != NULL ? at->column : 1);
}

static char *text(struct weir_bootstrap *b, const char *z)
{
    return (char *)(uintptr_t)weir_arena_str(&b->arena, weir_str_of(z)).p;
}

/* The machine's first IPv4 address that is not loopback. */
static struct weir_str local_ip(struct weir_arena *arena)
{
    struct ifaddrs *all = NULL;
    struct weir_str found = WEIR_STR("127.0.0.1");
    if (getifaddrs(&all) != 0) return found;
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        struct weir_address a;
        char out[WEIR_ADDRESS_TEXT_MAX];
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & (IFF_UP | IFF_LOOPBACK)) != IFF_UP) continue;
        if (!weir_address_from(i->ifa_addr, sizeof(struct sockaddr_in), &a) || weir_address_is_loopback(&a)) continue;
        found = weir_arena_str(arena, (struct weir_str){out, weir_address_print_ip(&a, out)});
        break;
    }
    freeifaddrs(all);
    return found;
}

/* The node as Envoy sends it: user agent, version and what the client can do. */
static void node_fill(struct weir_bootstrap *b, const struct weir_options *o)
{
    static const char *const features[] = {"envoy.lb.does_not_support_overprovisioning", "envoy.lrs.supports_send_all_clusters"};
    pb_node *n = b->pb->node;
    if (n == NULL) {
        n = WEIR_NEW(&b->arena, pb_node, 1);
        protobuf_c_message_init(&pb_node_type, &n->base);
        b->pb->node = n;
    }
    if (o->service_node != NULL) n->id = text(b, o->service_node);
    if (o->service_cluster != NULL) n->cluster = text(b, o->service_cluster);
    if (o->service_zone != NULL) {
        if (n->locality == NULL) {
            n->locality = WEIR_NEW(&b->arena, Envoy__Config__Core__V3__Locality, 1);
            protobuf_c_message_init(&envoy__config__core__v3__locality__descriptor, &n->locality->base);
        }
        n->locality->zone = text(b, o->service_zone);
    }
    n->user_agent_name = text(b, "weir");
    n->user_agent_version_type_case = ENVOY__CONFIG__CORE__V3__NODE__USER_AGENT_VERSION_TYPE_USER_AGENT_VERSION;
    n->user_agent_version = text(b, WEIR_VERSION);
    size_t had = n->n_client_features, more = sizeof(features) / sizeof(features[0]);
    char **all = WEIR_NEW(&b->arena, char *, had + more);
    if (had > 0) memcpy(all, n->client_features, had * sizeof(*all));
    for (size_t i = 0; i < more; i++) all[had + i] = text(b, features[i]);
    n->client_features = all;
    n->n_client_features = had + more;
    b->node = n;
    b->self = (struct weir_compile_node){
        .id = weir_str_of(n->id),
        .cluster = weir_str_of(n->cluster),
        .zone = n->locality != NULL ? weir_str_of(n->locality->zone) : WEIR_STR(""),
        .local_ip = local_ip(&b->arena),
    };
}

static enum weir_err admin_fill(struct weir_bootstrap *b, struct weir_error *e)
{
    const pb_bootstrap_admin *a = b->pb->admin;
    if (a == NULL || a->address == NULL) return WEIR_OK;
    b->has_admin = true;
    const pb_address *at = a->address;
    if (at->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE) {
        if (weir_address_unix(weir_str_of(at->pipe->path), &b->admin)) return WEIR_OK;
        return weir_error_set(e, WEIR_ERR_INVALID, "admin.address.pipe.path: too long for a Unix socket");
    }
    if (at->address_case != ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS ||
        at->socket_address->port_specifier_case != ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE)
        return weir_error_set(e, WEIR_ERR_INVALID, "admin.address: a socket_address with port_value or a pipe was expected");
    if (!weir_address_parse(weir_str_of(at->socket_address->address), (uint16_t)at->socket_address->port_value, &b->admin))
        return weir_error_set(e, WEIR_ERR_INVALID, "admin.address.socket_address.address: malformed IP address: %s", at->socket_address->address);
    return WEIR_OK;
}

/* A job over static resources, each packed again: what an xDS response would have carried. */
static struct weir_compile_job *static_job(struct weir_bootstrap *b, enum weir_resource_type type, size_t count, ProtobufCMessage *const *at)
{
    struct weir_compile_job *job = weir_compile_job_create(type, count, 0);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    job->received_wall_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    job->source = WEIR_SOURCE_STATIC;
    for (size_t i = 0; i < count; i++) {
        size_t n = protobuf_c_message_get_packed_size(at[i]);
        uint8_t *packed = weir_arena_alloc(&job->arena, n + 1);
        protobuf_c_message_pack(at[i], packed);
        job->items[i].packed = (struct weir_str){(const char *)packed, n};
        struct weir_str name = weir_resource_name_peek(type, job->items[i].packed);
        if (name.n == 0 && type == WEIR_LISTENERS) name = weir_arena_printf(&job->arena, "listener_%zu", i);
        job->items[i].name = name;
    }
    (void)b;
    return job;
}

static const char *case_of_layer(const pb_runtime_layer *l)
{
    switch (l->layer_specifier_case) {
    case ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_DISK_LAYER: return "disk_layer";
    case ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_RTDS_LAYER: return "rtds_layer";
    default: return NULL;
    }
}

/* Struct keys are nested by dots: {a: {b: 1}} is a.b. A map with numerator is a FractionalPercent and stays whole, as JSON. */
static void layer_fill(struct weir_bootstrap *b, uint32_t layer, struct weir_str prefix, const pb_struct *s)
{
    for (size_t i = 0; s != NULL && i < s->n_fields; i++) {
        const Google__Protobuf__Value *v = s->fields[i]->value;
        const char *key = s->fields[i]->key;
        struct weir_str name = weir_arena_printf(&b->arena, "%.*s%s%s", WEIR_STR_ARG(prefix), prefix.n > 0 ? "." : "", key);
        if (v == NULL) continue;
        bool nested = v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        bool fraction = false;
        for (size_t j = 0; nested && v->struct_value != NULL && j < v->struct_value->n_fields; j++)
            fraction |= strcmp(v->struct_value->fields[j]->key, "numerator") == 0;
        if (nested && !fraction) {
            layer_fill(b, layer, name, v->struct_value);
            continue;
        }
        struct weir_str value;
        if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE) {
            value = weir_str_of(v->string_value);
        } else {
            struct weir_out json = {0};
            weir_pb_to_json(&v->base, &(struct weir_json_options){0}, &json);
            value = weir_arena_str(&b->arena, (struct weir_str){json.p, json.n});
            weir_out_deinit(&json);
        }
        weir_runtime_set(b->runtime, layer, name, value);
    }
}

static enum weir_err runtime_fill(struct weir_bootstrap *b, struct weir_error *e)
{
    b->admin_layer = -1;
    if (b->pb->layered_runtime == NULL) return WEIR_OK;
    size_t n = b->pb->layered_runtime->n_layers;
    struct weir_str *names = WEIR_NEW(&b->arena, struct weir_str, n + 1);
    for (size_t i = 0; i < n; i++) {
        const pb_runtime_layer *l = b->pb->layered_runtime->layers[i];
        names[i] = weir_str_of(l->name);
        if (case_of_layer(l) != NULL)
            return weir_error_set(e, WEIR_ERR_UNSUPPORTED, "layered_runtime.layers[%zu].%s: weir does not support it", i, case_of_layer(l));
        if (l->layer_specifier_case != ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_ADMIN_LAYER) continue;
        if (b->admin_layer >= 0)
            return weir_error_set(e, WEIR_ERR_INVALID, "layered_runtime.layers[%zu].admin_layer: there may be only one", i);
        b->admin_layer = (int)i;
    }
    b->runtime = weir_runtime_create(names, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        const pb_runtime_layer *l = b->pb->layered_runtime->layers[i];
        if (l->layer_specifier_case == ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_STATIC_LAYER)
            layer_fill(b, (uint32_t)i, (struct weir_str){0}, l->static_layer);
    }
    b->runtime_at_start = b->runtime;
    weir_resource_acquire(weir_runtime_resource(b->runtime));
    return WEIR_OK;
}

/* There is one engine; naming another one means other expressions. */
static enum weir_err regex_engine_check(struct weir_bootstrap *b, struct weir_error *e)
{
    const Envoy__Config__Core__V3__TypedExtensionConfig *engine = b->pb->default_regex_engine;
    if (engine == NULL) return WEIR_OK;
    const char *url = engine->typed_config != NULL ? engine->typed_config->type_url : "";
    const struct weir_pb_message *facts = weir_pb_find_url(weir_str_of(url));
    if (facts != NULL && weir_pb_descriptor(facts) == &envoy__extensions__regex_engines__v3__google_re2__descriptor) return WEIR_OK;
    return weir_error_set(e, WEIR_ERR_UNSUPPORTED, "default_regex_engine.typed_config: '%s' is not supported, GoogleRE2 is the only engine", url);
}

static enum weir_err parts_fill(const struct weir_options *o, struct weir_bootstrap *b, struct weir_error *e)
{
    node_fill(b, o);
    const Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *s = b->whole->static_resources;
    b->clusters = static_job(b, WEIR_CLUSTERS, s != NULL ? s->n_clusters : 0, s != NULL ? (ProtobufCMessage *const *)(void *)s->clusters : NULL);
    b->listeners = static_job(b, WEIR_LISTENERS, s != NULL ? s->n_listeners : 0, s != NULL ? (ProtobufCMessage *const *)(void *)s->listeners : NULL);
    enum weir_err err = admin_fill(b, e);
    if (err == WEIR_OK) err = regex_engine_check(b, e);
    if (err == WEIR_OK) err = runtime_fill(b, e);
    if (err == WEIR_OK) err = weir_bootstrap_sources(b, e);
    return err;
}

static void on_unknown(void *ctx, const char *type, const char *path, const char *name)
{
    weir_support_note_static_unknown(ctx, type, path, name);
}

static struct weir_str message_pack(struct weir_arena *arena, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *at = weir_arena_alloc(arena, n + 1);
    protobuf_c_message_pack(m, at);
    return (struct weir_str){(const char *)at, n};
}

/* What outlives the start is unpacked once more, without the static resources. */
static enum weir_err messages_fill(struct weir_bootstrap *b, pb_bootstrap *whole, struct weir_error *e)
{
    Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *resources = whole->static_resources;
    ProtobufCMessage *m = NULL;
    b->packed = message_pack(&b->arena, &whole->base);
    whole->static_resources = NULL;
    enum weir_err err = weir_pb_decode(&b->arena, &pb_bootstrap_type, message_pack(&b->scratch, &whole->base), &m, e);
    whole->static_resources = resources;
    b->whole = whole;
    b->pb = (pb_bootstrap *)(void *)m;
    return err;
}

const pb_bootstrap *weir_bootstrap_whole(const struct weir_bootstrap *b, struct weir_arena *arena)
{
    ProtobufCMessage *m = NULL;
    struct weir_error e = {0};
    if (weir_pb_decode(arena, &pb_bootstrap_type, b->packed, &m, &e) != WEIR_OK) return b->pb; /* deeper than a wire message may be */
    pb_bootstrap *whole = (pb_bootstrap *)(void *)m;
    whole->node = b->node;
    return whole;
}

void weir_bootstrap_settle(struct weir_bootstrap *b)
{
    weir_compile_job_destroy(b->clusters);
    weir_compile_job_destroy(b->listeners);
    b->clusters = b->listeners = NULL;
    b->tree = NULL;
    b->whole = NULL;
    weir_arena_deinit(&b->scratch);
}

enum weir_err weir_bootstrap_load(const struct weir_options *o, struct weir_support_log *support, struct weir_bootstrap *out, struct weir_error *e)
{
    memset(out, 0, sizeof(*out));
    ProtobufCMessage *m = NULL;
    enum weir_err err = tree_load(o, out, e);
    if (err == WEIR_OK) err = env_expand(out, e);
    struct weir_tree_unknown unknown = {on_unknown, support};
    if (err == WEIR_OK)
        err = weir_tree_to_pb_leniently(&out->scratch, out->file, out->tree, &pb_bootstrap_type, o->allow_unknown_fields ? &unknown : NULL, &m, e);
    if (err == WEIR_OK) {
        err = weir_config_check(m, support, e);
        if (err == WEIR_OK) err = messages_fill(out, (pb_bootstrap *)(void *)m, e);
        if (err == WEIR_OK) err = parts_fill(o, out, e);
        if (err != WEIR_OK) weir_bootstrap_locate(out, e);
    }
    if (err != WEIR_OK) weir_bootstrap_deinit(out);
    return err;
}

static enum weir_err job_compile(struct weir_bootstrap *b, const struct weir_compile_env *env, struct weir_compile_memory *memory,
                                 struct weir_compile_job *job, const char *field, struct weir_error *e)
{
    weir_compile_job_run(env, memory, job);
    for (size_t i = 0; i < job->count; i++) {
        if (job->items[i].state != WEIR_COMPILED_REFUSED) continue;
        weir_error_set(e, WEIR_ERR_INVALID, "static_resources.%s[%zu].%s", field, i, job->items[i].error);
        weir_bootstrap_locate(b, e);
        return e->code;
    }
    return WEIR_OK;
}

enum weir_err weir_bootstrap_compile(struct weir_bootstrap *b, const struct weir_compile_env *env, struct weir_compile_memory *memory,
                                     struct weir_error *e)
{
    enum weir_err err = job_compile(b, env, memory, b->clusters, "clusters", e);
    return err != WEIR_OK ? err : job_compile(b, env, memory, b->listeners, "listeners", e);
}

void weir_bootstrap_deinit(struct weir_bootstrap *b)
{
    weir_bootstrap_settle(b);
    if (b->runtime != NULL) weir_resource_release(weir_runtime_resource(b->runtime));
    if (b->runtime_at_start != NULL) weir_resource_release(weir_runtime_resource(b->runtime_at_start));
    weir_arena_deinit(&b->arena);
    memset(b, 0, sizeof(*b));
}
