#include "control-plane-stub/resources.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "dataplane/base/str.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "xds/pb_tree.h"
#include "xds/wire_check.h"
#include "xds/wire_read.h"
#include "xds/wire_write.h"

#define PATH_BYTES_MAX 4096

/* One load under way. */
struct load {
    struct weir_plane_resources *r;
    struct weir_arena scratch; /* trees of the file that is being read */
    struct weir_error *e;
};

static void forget_map(void *ctx)
{
    weir_map_deinit(ctx);
}

static bool is_type(struct weir_str url, const char *full_name)
{
    return weir_str_ends(url, weir_str_of(full_name)) && url.n > strlen(full_name) && url.p[url.n - strlen(full_name) - 1] == '/';
}

static struct weir_plane_type *type_make(struct load *l, struct weir_plane_set *set, struct weir_str url)
{
    struct weir_plane_type *t = weir_map_get(&set->by_url, url);
    if (t != NULL) return t;
    struct weir_arena *a = l->r->arena;
    t = WEIR_NEW(a, struct weir_plane_type, 1);
    t->url = weir_arena_str(a, url);
    weir_arena_on_destroy(a, forget_map, &t->by_name);
    set->types = weir_tree_grow(a, set->types, set->type_count, sizeof(struct weir_plane_type *));
    set->types[set->type_count++] = t;
    weir_map_set(&set->by_url, t->url, t);
    return t;
}

/* Field 1 is the name in every type that discovery serves. */
static struct weir_str name_of(ProtobufCBinaryData body)
{
    const uint8_t *at = body.data, *end = at + body.len;
    struct weir_wire_field f;
    while (at < end && weir_wire_next(&at, end, &f) == NULL)
        if (f.number == 1 && f.type == WEIR_WIRE_BYTES) return (struct weir_str){(const char *)f.data, f.n};
    return (struct weir_str){0};
}

static enum weir_err refuse(struct load *l, struct weir_str place, const char *why, struct weir_str what)
{
    return weir_error_set(l->e, WEIR_ERR_INVALID, "%.*s: %s '%.*s'", WEIR_STR_ARG(place), why, WEIR_STR_ARG(what));
}

/* A resource in its discovery wrapper gives the name from there. */
static enum weir_err unwrap(struct load *l, struct weir_str place, struct weir_str *url, ProtobufCBinaryData *body,
                            struct weir_str *name)
{
    if (!is_type(*url, "envoy.service.discovery.v3.Resource")) return WEIR_OK;
    ProtobufCMessage *m;
    enum weir_err err = weir_pb_decode(&l->scratch, &envoy__service__discovery__v3__resource__descriptor,
                                       (struct weir_str){(const char *)body->data, body->len}, &m, l->e);
    if (err != WEIR_OK) return weir_error_prefix(l->e, "%.*s", WEIR_STR_ARG(place));
    const Envoy__Service__Discovery__V3__Resource *w = (const Envoy__Service__Discovery__V3__Resource *)(const void *)m;
    *name = weir_str_of(w->name);
    if (w->resource == NULL) return refuse(l, place, "there is no resource in", *name);
    if (w->ttl != NULL) return refuse(l, place, "a ttl is not served, remove it from", *name);
    *url = weir_str_of(w->resource->type_url);
    *body = w->resource->value;
    return WEIR_OK;
}

static enum weir_err add_resource(struct load *l, struct weir_plane_set *set, const char *file, const struct weir_tree *tree)
{
    struct weir_arena *a = l->r->arena;
    struct weir_str place = weir_arena_printf(a, "%s:%u:%u", file, tree->line, tree->column);
    struct weir_str url, name = {0};
    ProtobufCBinaryData body;
    enum weir_err err = weir_tree_to_any(&l->scratch, file, tree, &url, &body, l->e);
    if (err == WEIR_OK) err = unwrap(l, place, &url, &body, &name);
    if (err != WEIR_OK) return err;
    if (name.n == 0) name = name_of(body);
    if (name.n == 0) return refuse(l, place, "a resource without a name, of type", url);
    struct weir_plane_type *type = type_make(l, set, url);
    const struct weir_plane_resource *other = weir_map_get(&type->by_name, name);
    if (other != NULL)
        return weir_error_set(l->e, WEIR_ERR_EXISTS, "%.*s: '%.*s' is also at %.*s", WEIR_STR_ARG(place), WEIR_STR_ARG(name),
                              WEIR_STR_ARG(other->place));
    struct weir_wire_out any = {0};
    weir_wire_put_text(&any, 1, url);
    weir_wire_put_bytes(&any, 2, (struct weir_str){(const char *)body.data, body.len});
    struct weir_plane_resource *one = WEIR_NEW(a, struct weir_plane_resource, 1);
    one->any = weir_arena_str(a, weir_wire_out_str(&any));
    weir_wire_out_deinit(&any);
    one->body = (ProtobufCBinaryData){body.len, (uint8_t *)one->any.p + one->any.n - body.len};
    one->name = weir_arena_str(a, name);
    one->type_url = type->url;
    one->place = place;
    one->version = XXH3_64bits(one->body.data, one->body.len);
    if (one->version == 0) one->version = 1;
    type->list = weir_tree_grow(a, type->list, type->count, sizeof(struct weir_plane_resource *));
    type->list[type->count++] = one;
    weir_map_set(&type->by_name, one->name, one);
    set->list = weir_tree_grow(a, set->list, set->count, sizeof(struct weir_plane_resource *));
    set->list[set->count++] = one;
    l->r->count++;
    return WEIR_OK;
}

static enum weir_err complain(struct load *l, const char *file, const struct weir_tree *at, const char *what)
{
    return weir_error_set(l->e, WEIR_ERR_INVALID, "%s:%u:%u: %s", file, at->line, at->column, what);
}

/* What a DiscoveryResponse in a file may say besides its resources; the control plane says it itself. */
static bool is_response_field(struct weir_str key)
{
    static const char *const known[] = {"version_info", "versionInfo", "type_url", "typeUrl", "nonce", "canary"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (weir_str_eq(key, weir_str_of(known[i]))) return true;
    return false;
}

static enum weir_err add_document(struct load *l, struct weir_plane_set *set, const char *file, const struct weir_tree *d)
{
    if (d->kind == WEIR_TREE_NULL) return WEIR_OK;
    if (d->kind != WEIR_TREE_MAP) return complain(l, file, d, "a resource with @type is expected, or a list `resources`");
    const struct weir_tree *list = weir_tree_get(d, WEIR_STR("resources"));
    if (list == NULL || weir_tree_get(d, WEIR_STR("@type")) != NULL) return add_resource(l, set, file, d);
    for (uint32_t i = 0; i < d->count; i++) {
        const struct weir_tree *key = d->entries[i].key;
        if (!weir_str_eq(key->text, WEIR_STR("resources")) && !is_response_field(key->text))
            return complain(l, file, key, "only `resources` is expected beside a list of resources");
    }
    if (list->kind == WEIR_TREE_NULL) return WEIR_OK;
    if (list->kind != WEIR_TREE_LIST) return complain(l, file, list, "resources: a list is expected");
    for (uint32_t i = 0; i < list->count; i++) {
        const struct weir_tree *item = list->items[i];
        if (item->kind != WEIR_TREE_MAP) return complain(l, file, item, "resources: a resource with @type is expected");
        enum weir_err err = add_resource(l, set, file, item);
        if (err != WEIR_OK) return err;
    }
    return WEIR_OK;
}

static enum weir_err add_file(struct load *l, struct weir_plane_set *set, const char *file)
{
    struct weir_str bytes;
    const struct weir_tree **documents;
    size_t count;
    enum weir_err err = weir_tree_read_file(&l->scratch, file, &bytes, l->e);
    if (err == WEIR_OK) err = weir_tree_parse(&l->scratch, file, bytes, &documents, &count, l->e);
    for (size_t i = 0; err == WEIR_OK && i < count; i++)
        err = add_document(l, set, file, documents[i]);
    weir_arena_deinit(&l->scratch);
    l->r->file_count++;
    return err;
}

static bool is_resource_file(struct weir_str name)
{
    return weir_str_ends(name, WEIR_STR(".yaml")) || weir_str_ends(name, WEIR_STR(".yml")) || weir_str_ends(name, WEIR_STR(".json"));
}

static enum weir_err add_directory(struct load *l, struct weir_plane_set *set, const char *directory, bool top);

static enum weir_err add_entry(struct load *l, struct weir_plane_set *set, const char *directory, const char *name, bool top)
{
    char path[PATH_BYTES_MAX];
    struct stat st;
    if (name[0] == '.') return WEIR_OK;
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return weir_error_set(l->e, WEIR_ERR_LIMIT, "%s/%s: the path is too long", directory, name);
    if (stat(path, &st) != 0) {
        if (!is_resource_file(weir_str_of(name))) return WEIR_OK;
        return weir_error_set(l->e, WEIR_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    }
    if (S_ISREG(st.st_mode) && is_resource_file(weir_str_of(name))) return add_file(l, set, path);
    if (!S_ISDIR(st.st_mode) || !top) return WEIR_OK;
    struct weir_plane_set *own = WEIR_NEW(l->r->arena, struct weir_plane_set, 1);
    weir_arena_on_destroy(l->r->arena, forget_map, &own->by_url);
    weir_map_set(&l->r->by_node, weir_arena_str(l->r->arena, weir_str_of(name)), own);
    return add_directory(l, own, path, false);
}

static enum weir_err add_directory(struct load *l, struct weir_plane_set *set, const char *directory, bool top)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, alphasort);
    if (count < 0) return weir_error_set(l->e, WEIR_ERR_IO, "%s: cannot be read: %s", directory, strerror(errno));
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < count; i++) {
        if (err == WEIR_OK) err = add_entry(l, set, directory, entries[i]->d_name, top);
        free(entries[i]);
    }
    free(entries);
    return err;
}

enum weir_err weir_plane_resources_load(const char *directory, uint64_t generation, struct weir_plane_resources **out,
                                        struct weir_error *e)
{
    struct weir_arena *a = weir_arena_create();
    struct weir_plane_resources *r = WEIR_NEW(a, struct weir_plane_resources, 1);
    r->arena = a;
    r->generation = generation;
    weir_arena_on_destroy(a, forget_map, &r->common.by_url);
    weir_arena_on_destroy(a, forget_map, &r->by_node);
    struct load l = {.r = r, .e = e};
    enum weir_err err = add_directory(&l, &r->common, directory, true);
    if (err != WEIR_OK) {
        weir_arena_destroy(a);
        return err;
    }
    *out = r;
    return WEIR_OK;
}

void weir_plane_resources_destroy(struct weir_plane_resources *r)
{
    if (r != NULL) weir_arena_destroy(r->arena);
}

const struct weir_plane_set *weir_plane_set_of(const struct weir_plane_resources *r, struct weir_str id, struct weir_str cluster)
{
    const struct weir_plane_set *s = id.n > 0 ? weir_map_get(&r->by_node, id) : NULL;
    if (s == NULL && cluster.n > 0) s = weir_map_get(&r->by_node, cluster);
    return s != NULL ? s : &r->common;
}

const struct weir_plane_type *weir_plane_type_of(const struct weir_plane_set *s, struct weir_str url)
{
    return weir_map_get(&s->by_url, url);
}

enum weir_err weir_plane_resources_write(const struct weir_plane_resources *r, const char *file, struct weir_error *e)
{
    struct weir_out out = {0};
    weir_out_add(&out, WEIR_STR("{\"resources\": ["));
    for (size_t i = 0; i < r->common.count; i++) {
        const struct weir_plane_resource *one = r->common.list[i];
        weir_out_add(&out, i > 0 ? WEIR_STR(",\n ") : WEIR_STR("\n "));
        if (weir_any_to_json(one->type_url, one->body, &(struct weir_json_options){.indent = 1, .level = 1}, &out)) continue;
        weir_out_deinit(&out);
        return weir_error_set(e, WEIR_ERR_INVALID, "%.*s: cannot be written as JSON", WEIR_STR_ARG(one->place));
    }
    weir_out_add(&out, WEIR_STR("\n]}\n"));
    char temporary[PATH_BYTES_MAX];
    FILE *f = NULL;
    bool written = snprintf(temporary, sizeof temporary, "%s.new", file) < (int)sizeof temporary &&
                   (f = fopen(temporary, "we")) != NULL && fwrite(out.p, 1, out.n, f) == out.n;
    if (f != NULL && fclose(f) != 0) written = false;
    weir_out_deinit(&out);
    if (written && rename(temporary, file) == 0) return WEIR_OK;
    return weir_error_set(e, WEIR_ERR_IO, "%s: cannot be written: %s", file, strerror(errno));
}
