/* Value trees and metadata. */
#include "dataplane/base/metadata.h"

#include <envoy/config/core/v3/base.pb-c.h>
#include <google/protobuf/struct.pb-c.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/str.h"

/* Orders by key, and fields of one key by their place, so that the last one can be kept. */
static int by_key(const void *a, const void *b)
{
    const struct weir_value_field *x = *(const struct weir_value_field *const *)a, *y = *(const struct weir_value_field *const *)b;
    int c = weir_str_cmp(x->key, y->key);
    if (c != 0) return c;
    return x < y ? -1 : x > y;
}

struct weir_value weir_value_struct(struct weir_arena *a, const struct weir_value_field *fields, size_t count)
{
    struct weir_value v = {.kind = WEIR_VALUE_STRUCT};
    if (count == 0) return v;
    const struct weir_value_field **order = WEIR_NEW(a, const struct weir_value_field *, count);
    for (size_t i = 0; i < count; i++)
        order[i] = &fields[i];
    qsort(order, count, sizeof(order[0]), by_key);
    struct weir_value_field *sorted = WEIR_NEW(a, struct weir_value_field, count);
    uint32_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (n != 0 && weir_str_eq(sorted[n - 1].key, order[i]->key)) n--;
        sorted[n++] = *order[i];
    }
    v.fields.at = sorted;
    v.fields.count = n;
    return v;
}

struct weir_value weir_value_from_struct(struct weir_arena *a, const void *struct_message)
{
    const Google__Protobuf__Struct *s = struct_message;
    struct weir_value_field *fields = WEIR_NEW(a, struct weir_value_field, s->n_fields);
    for (size_t i = 0; i < s->n_fields; i++) {
        fields[i].key = weir_arena_str(a, weir_str_of(s->fields[i]->key));
        if (s->fields[i]->value != NULL) fields[i].value = weir_value_from_value(a, s->fields[i]->value);
    }
    return weir_value_struct(a, fields, s->n_fields);
}

struct weir_value weir_value_from_value(struct weir_arena *a, const void *value_message)
{
    const Google__Protobuf__Value *m = value_message;
    struct weir_value v = {.kind = WEIR_VALUE_NULL};
    switch (m->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        v.kind = WEIR_VALUE_BOOL;
        v.boolean = m->bool_value;
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        v.kind = WEIR_VALUE_NUMBER;
        v.number = m->number_value;
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        v.kind = WEIR_VALUE_STRING;
        v.string = weir_arena_str(a, weir_str_of(m->string_value));
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE: return weir_value_from_struct(a, m->struct_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE: {
        struct weir_value *items = WEIR_NEW(a, struct weir_value, m->list_value->n_values);
        for (size_t i = 0; i < m->list_value->n_values; i++)
            items[i] = weir_value_from_value(a, m->list_value->values[i]);
        v.kind = WEIR_VALUE_LIST;
        v.list.at = items;
        v.list.count = (uint32_t)m->list_value->n_values;
        break;
    }
    default: break;
    }
    return v;
}

struct weir_value weir_value_merge(struct weir_arena *a, const struct weir_value *under, const struct weir_value *over)
{
    uint32_t count = under->fields.count + over->fields.count;
    struct weir_value_field *all = WEIR_NEW(a, struct weir_value_field, count);
    for (uint32_t i = 0; i < under->fields.count; i++)
        all[i] = under->fields.at[i];
    for (uint32_t i = 0; i < over->fields.count; i++)
        all[under->fields.count + i] = over->fields.at[i];
    return weir_value_struct(a, all, count);
}

const struct weir_value *weir_value_field(const struct weir_value *v, struct weir_str key)
{
    if (v == NULL || v->kind != WEIR_VALUE_STRUCT) return NULL;
    uint32_t low = 0, high = v->fields.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int c = weir_str_cmp(v->fields.at[middle].key, key);
        if (c == 0) return &v->fields.at[middle].value;
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool weir_value_equal(const struct weir_value *a, const struct weir_value *b)
{
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case WEIR_VALUE_NULL: return true;
    case WEIR_VALUE_BOOL: return a->boolean == b->boolean;
    case WEIR_VALUE_NUMBER: return a->number == b->number;
    case WEIR_VALUE_STRING: return weir_str_eq(a->string, b->string);
    case WEIR_VALUE_LIST:
        if (a->list.count != b->list.count) return false;
        for (uint32_t i = 0; i < a->list.count; i++)
            if (!weir_value_equal(&a->list.at[i], &b->list.at[i])) return false;
        return true;
    case WEIR_VALUE_STRUCT:
        if (a->fields.count != b->fields.count) return false;
        for (uint32_t i = 0; i < a->fields.count; i++) {
            if (!weir_str_eq(a->fields.at[i].key, b->fields.at[i].key)) return false;
            if (!weir_value_equal(&a->fields.at[i].value, &b->fields.at[i].value)) return false;
        }
        return true;
    }
    return false;
}

size_t weir_number_print(double v, char out[WEIR_NUMBER_TEXT_MAX])
{
    if (fabs(v) < 1e15 && v == floor(v)) return (size_t)snprintf(out, WEIR_NUMBER_TEXT_MAX, "%.0f", v + 0.0);
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(out, WEIR_NUMBER_TEXT_MAX, "%.*g", digits, v);
        if (strtod(out, NULL) == v) break;
    }
    return (size_t)n;
}

const struct weir_metadata *weir_metadata_compile(struct weir_arena *a, const void *metadata_message)
{
    const Envoy__Config__Core__V3__Metadata *message = metadata_message;
    if (message == NULL) return NULL;
    struct weir_metadata *m = WEIR_NEW(a, struct weir_metadata, 1);
    m->capacity = (uint32_t)message->n_filter_metadata;
    m->at = WEIR_NEW(a, struct weir_metadata_entry, m->capacity);
    for (size_t i = 0; i < message->n_filter_metadata; i++) {
        if (message->filter_metadata[i]->value == NULL) continue;
        m->at[m->count].name = weir_arena_str(a, weir_str_of(message->filter_metadata[i]->key));
        m->at[m->count].value = weir_value_from_struct(a, message->filter_metadata[i]->value);
        m->count++;
    }
    return m;
}

static struct weir_metadata_entry *find(const struct weir_metadata *m, struct weir_str name)
{
    for (uint32_t i = 0; m != NULL && i < m->count; i++)
        if (weir_str_eq(m->at[i].name, name)) return &m->at[i];
    return NULL;
}

const struct weir_value *weir_metadata_get(const struct weir_metadata *m, struct weir_str name)
{
    const struct weir_metadata_entry *e = find(m, name);
    return e != NULL ? &e->value : NULL;
}

const struct weir_value *weir_metadata_find(const struct weir_metadata *m, struct weir_str name, const struct weir_str *path,
                                            size_t path_count)
{
    const struct weir_value *v = weir_metadata_get(m, name);
    for (size_t i = 0; i < path_count; i++)
        v = weir_value_field(v, path[i]);
    return v;
}

void weir_metadata_merge(struct weir_metadata *m, struct weir_arena *a, struct weir_str name, const struct weir_value *value)
{
    struct weir_metadata_entry *e = find(m, name);
    if (e != NULL) {
        e->value = weir_value_merge(a, &e->value, value);
        return;
    }
    if (m->count == m->capacity) {
        uint32_t capacity = m->capacity == 0 ? 4 : m->capacity * 2;
        struct weir_metadata_entry *at = WEIR_NEW(a, struct weir_metadata_entry, capacity);
        if (m->count != 0) memcpy(at, m->at, sizeof(*at) * m->count);
        m->at = at;
        m->capacity = capacity;
    }
    m->at[m->count++] = (struct weir_metadata_entry){name, *value};
}
