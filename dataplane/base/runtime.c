/* Runtime keys. Built on the control or compile thread, published as a resource, read by workers. Values are parsed when
 * they are set, so that a read is one lookup. */
#include "dataplane/base/runtime.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/map.h"
#include "dataplane/base/str.h"

struct entry {
    struct weir_str key, final;
    struct weir_str *layers; /* one a layer, p NULL where the layer has none */
    bool is_u64, is_double, is_bool, is_fraction;
    bool boolean;
    uint64_t u64;
    double number;
    uint32_t numerator, denominator;
};

struct weir_runtime {
    struct weir_resource resource;
    uint32_t layer_count;
    struct weir_str *layer_names;
    struct weir_map entries;
    struct weir_map groups; /* what stands before a key's first dot → an entry */
};

static void map_free(void *ctx)
{
    weir_map_deinit(ctx);
}

struct weir_runtime *weir_runtime_create(const struct weir_str *layer_names, uint32_t layer_count)
{
    struct weir_runtime *r = weir_resource_create(sizeof(*r), WEIR_STR("runtime"));
    r->layer_count = layer_count;
    r->layer_names = WEIR_NEW(&r->resource.arena, struct weir_str, layer_count);
    for (uint32_t i = 0; i < layer_count; i++)
        r->layer_names[i] = weir_arena_str(&r->resource.arena, layer_names[i]);
    weir_arena_on_destroy(&r->resource.arena, map_free, &r->entries);
    weir_arena_on_destroy(&r->resource.arena, map_free, &r->groups);
    return r;
}

/* A FractionalPercent in JSON, such as {"numerator":5,"denominator":"TEN_THOUSAND"}. */
static bool parse_fraction(struct entry *e)
{
    if (e->final.n == 0 || e->final.p[0] != '{') return false;
    json_error_t error;
    json_t *root = json_loadb(e->final.p, e->final.n, 0, &error);
    if (root == NULL) return false;
    const json_t *numerator = json_object_get(root, "numerator"), *denominator = json_object_get(root, "denominator");
    const char *name = json_string_value(denominator);
    e->denominator = 100;
    if ((name != NULL && strcmp(name, "TEN_THOUSAND") == 0) || (json_is_integer(denominator) && json_integer_value(denominator) == 1))
        e->denominator = 10000;
    if ((name != NULL && strcmp(name, "MILLION") == 0) || (json_is_integer(denominator) && json_integer_value(denominator) == 2))
        e->denominator = 1000000;
    json_int_t n = json_integer_value(numerator);
    e->numerator = n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    json_decref(root);
    return true;
}

static void parse(struct entry *e)
{
    e->is_u64 = e->is_double = e->is_bool = false;
    if (e->final.p == NULL) return;
    e->is_fraction = parse_fraction(e);
    e->boolean = weir_str_eq_nocase(e->final, WEIR_STR("true"));
    e->is_bool = e->boolean || weir_str_eq_nocase(e->final, WEIR_STR("false"));
    char *end;
    e->number = strtod(e->final.p, &end); /* the arena's copy is terminated */
    e->is_double = e->final.n != 0 && end == e->final.p + e->final.n && isfinite(e->number);
    e->is_u64 = weir_str_u64(e->final, &e->u64);
    if (!e->is_u64 && e->is_double && e->number >= 0 && e->number < 0x1p64) {
        e->is_u64 = true;
        e->u64 = (uint64_t)e->number;
    }
}

void weir_runtime_set(struct weir_runtime *r, uint32_t layer, struct weir_str key, struct weir_str value)
{
    assert(layer < r->layer_count);
    struct entry *e = weir_map_get(&r->entries, key);
    if (e == NULL) {
        if (value.p == NULL) return;
        e = WEIR_NEW(&r->resource.arena, struct entry, 1);
        e->key = weir_arena_str(&r->resource.arena, key);
        e->layers = WEIR_NEW(&r->resource.arena, struct weir_str, r->layer_count);
        (void)weir_map_set(&r->entries, e->key, e);
        const char *dot = memchr(e->key.p, '.', e->key.n);
        if (dot != NULL) (void)weir_map_set(&r->groups, (struct weir_str){e->key.p, (size_t)(dot - e->key.p)}, e);
    }
    e->layers[layer] = value.p != NULL ? weir_arena_str(&r->resource.arena, value) : value;
    e->final = (struct weir_str){NULL, 0};
    for (uint32_t i = r->layer_count; i != 0 && e->final.p == NULL; i--)
        e->final = e->layers[i - 1];
    parse(e);
}

struct weir_runtime *weir_runtime_copy(const struct weir_runtime *r)
{
    struct weir_runtime *copy = weir_runtime_create(r->layer_names, r->layer_count);
    size_t at = 0;
    void *value;
    while (weir_map_next(&r->entries, &at, NULL, &value)) {
        const struct entry *e = value;
        for (uint32_t i = 0; i < r->layer_count; i++)
            weir_runtime_set(copy, i, e->key, e->layers[i]);
    }
    return copy;
}

struct weir_resource *weir_runtime_resource(struct weir_runtime *r)
{
    return &r->resource;
}

uint32_t weir_runtime_layer_count(const struct weir_runtime *r)
{
    return r != NULL ? r->layer_count : 0;
}

struct weir_str weir_runtime_layer_name(const struct weir_runtime *r, uint32_t layer)
{
    assert(layer < r->layer_count);
    return r->layer_names[layer];
}

bool weir_runtime_next(const struct weir_runtime *r, size_t *at, struct weir_str *key, struct weir_str *final,
                       const struct weir_str **layer_values)
{
    void *value;
    while (r != NULL && weir_map_next(&r->entries, at, NULL, &value)) {
        const struct entry *e = value;
        if (e->final.p == NULL) continue;
        *key = e->key;
        *final = e->final;
        *layer_values = e->layers;
        return true;
    }
    return false;
}

static const struct entry *find(const struct weir_runtime *r, struct weir_str key)
{
    const struct entry *e = r != NULL ? weir_map_get(&r->entries, key) : NULL;
    return e != NULL && e->final.p != NULL ? e : NULL;
}

bool weir_runtime_has_group(const struct weir_runtime *r, struct weir_str group)
{
    return r != NULL && weir_map_get(&r->groups, group) != NULL;
}

struct weir_str weir_runtime_get(const struct weir_runtime *r, struct weir_str key)
{
    const struct entry *e = find(r, key);
    return e != NULL ? e->final : (struct weir_str){NULL, 0};
}

uint64_t weir_runtime_u64(const struct weir_runtime *r, struct weir_str key, uint64_t otherwise)
{
    const struct entry *e = find(r, key);
    return e != NULL && e->is_u64 ? e->u64 : otherwise;
}

double weir_runtime_double(const struct weir_runtime *r, struct weir_str key, double otherwise)
{
    const struct entry *e = find(r, key);
    return e != NULL && e->is_double ? e->number : otherwise;
}

bool weir_runtime_bool(const struct weir_runtime *r, struct weir_str key, bool otherwise)
{
    const struct entry *e = find(r, key);
    return e != NULL && e->is_bool ? e->boolean : otherwise;
}

bool weir_fraction_hit(const struct weir_fraction *f, const struct weir_runtime *r, uint64_t draw, bool otherwise)
{
    if (f->denominator == 0) return otherwise;
    const struct entry *e = f->runtime_key.n != 0 ? find(r, f->runtime_key) : NULL;
    if (e != NULL && e->is_fraction) return draw % e->denominator < e->numerator;
    if (e != NULL && e->is_u64) return draw % 100 < e->u64;
    return draw % f->denominator < f->numerator;
}
