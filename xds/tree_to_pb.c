/* Trees to messages by descriptor (JSON mapping of protobuf 3). Allocates every part in the arena in protobuf-c's own
 * layout; what an Any holds is packed at once, so that its bytes are what a control plane would have sent. */
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/str.h"
#include "dataplane/limits.h"
#include "xds/pb_tree.h"
#include "xds/scalar.h"

struct conv {
    struct weir_arena *arena;
    const char *file;
    const struct weir_tree_unknown *unknown; /* NULL: an unknown field is a fault */
    struct weir_error *error;
    size_t path_length;
    char path[512];
};

static size_t path_push(struct conv *c, struct weir_str name, int64_t index)
{
    size_t mark = c->path_length, room = sizeof(c->path) - mark;
    int n = 0;
    if (index >= 0) n = snprintf(c->path + mark, room, "[%lld]", (long long)index);
    else if (name.n > 0) n = snprintf(c->path + mark, room, "%s%.*s", mark > 0 ? "." : "", WEIR_STR_ARG(name));
    c->path_length = n > 0 && (size_t)n < room ? mark + (size_t)n : mark;
    c->path[c->path_length] = '\0';
    return mark;
}

static void path_pop(struct conv *c, size_t mark)
{
    c->path_length = mark;
    c->path[mark] = '\0';
}

WEIR_PRINTF(3, 4) static enum weir_err fail(struct conv *c, const struct weir_tree *at, const char *fmt, ...)
{
    char what[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    return weir_error_set(c->error, WEIR_ERR_INVALID, "%s:%u:%u: %s%s%s", c->file, at->line, at->column, c->path,
                          c->path_length > 0 ? ": " : "", what);
}

static const char *kind_name(const struct weir_tree *t)
{
    static const char *const names[] = {"null", "a scalar", "a list", "a map"};
    return names[t->kind];
}

static enum weir_err expected(struct conv *c, const struct weir_tree *at, const char *what)
{
    if (at->kind == WEIR_TREE_SCALAR)
        return fail(c, at, "%s was expected, not '%.*s'", what, (int)(at->text.n < 80 ? at->text.n : 80), at->text.p);
    return fail(c, at, "%s was expected, not %s", what, kind_name(at));
}

static enum weir_err message_fill(struct conv *c, const struct weir_tree *t, const struct weir_pb_message *facts, ProtobufCMessage *m);

static ProtobufCMessage *message_new(struct conv *c, const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = weir_arena_alloc(c->arena, d->sizeof_message);
    protobuf_c_message_init(d, m);
    return m;
}

static void *member(ProtobufCMessage *m, unsigned offset)
{
    return (char *)m + offset;
}

static char *text_new(struct conv *c, struct weir_str s)
{
    return (char *)(uintptr_t)weir_arena_str(c->arena, s).p;
}

/* --- scalars --- */

static enum weir_err enum_fill(struct conv *c, const struct weir_tree *t, const ProtobufCEnumDescriptor *d, int32_t *to)
{
    if (t->kind != WEIR_TREE_SCALAR) return expected(c, t, "the name of a value");
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value_by_name(d, text_new(c, t->text));
    int64_t number;
    if (v != NULL) {
        *to = v->value;
        return WEIR_OK;
    }
    if (weir_scalar_i64(t->text, &number) && number >= INT32_MIN && number <= INT32_MAX) {
        *to = (int32_t)number;
        return WEIR_OK;
    }
    char names[300];
    size_t n = 0;
    for (unsigned i = 0; i < d->n_value_names && n + 2 < sizeof(names); i++) {
        int added = snprintf(names + n, sizeof(names) - n, "%s%s", i > 0 ? ", " : "", d->values_by_name[i].name);
        n += added > 0 ? (size_t)added : 0;
    }
    return fail(c, t, "'%.*s' is not a value of %s: %s", WEIR_STR_ARG(t->text), d->short_name, names);
}

static enum weir_err bool_fill(struct conv *c, const struct weir_tree *t, protobuf_c_boolean *to)
{
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"};
    static const char *const no[] = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"};
    if (t->kind != WEIR_TREE_SCALAR || t->quoted) return expected(c, t, "true or false");
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (weir_str_eq(t->text, weir_str_of(yes[i]))) *to = 1;
        else if (weir_str_eq(t->text, weir_str_of(no[i]))) *to = 0;
        else continue;
        return WEIR_OK;
    }
    return expected(c, t, "true or false");
}

static enum weir_err signed_fill(struct conv *c, const struct weir_tree *t, bool wide, void *to)
{
    int64_t v;
    if (t->kind != WEIR_TREE_SCALAR || !weir_scalar_i64(t->text, &v)) return expected(c, t, "an integer");
    if (wide) {
        *(int64_t *)to = v;
        return WEIR_OK;
    }
    if (v < INT32_MIN || v > INT32_MAX) return expected(c, t, "an integer of 32 bits");
    *(int32_t *)to = (int32_t)v;
    return WEIR_OK;
}

static enum weir_err unsigned_fill(struct conv *c, const struct weir_tree *t, bool wide, void *to)
{
    uint64_t v;
    if (t->kind != WEIR_TREE_SCALAR || !weir_scalar_u64(t->text, &v)) return expected(c, t, "an integer that is not negative");
    if (wide) {
        *(uint64_t *)to = v;
        return WEIR_OK;
    }
    if (v > UINT32_MAX) return expected(c, t, "an integer of 32 bits");
    *(uint32_t *)to = (uint32_t)v;
    return WEIR_OK;
}

static enum weir_err scalar_fill(struct conv *c, const struct weir_tree *t, const ProtobufCFieldDescriptor *f, void *to)
{
    double d;
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32: return signed_fill(c, t, false, to);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64: return signed_fill(c, t, true, to);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32: return unsigned_fill(c, t, false, to);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64: return unsigned_fill(c, t, true, to);
    case PROTOBUF_C_TYPE_FLOAT:
        if (t->kind != WEIR_TREE_SCALAR || !weir_scalar_double(t->text, &d)) return expected(c, t, "a number");
        *(float *)to = (float)d;
        return WEIR_OK;
    case PROTOBUF_C_TYPE_DOUBLE:
        if (t->kind != WEIR_TREE_SCALAR || !weir_scalar_double(t->text, &d)) return expected(c, t, "a number");
        *(double *)to = d;
        return WEIR_OK;
    case PROTOBUF_C_TYPE_BOOL: return bool_fill(c, t, to);
    case PROTOBUF_C_TYPE_ENUM: return enum_fill(c, t, f->descriptor, to);
    case PROTOBUF_C_TYPE_STRING:
        if (t->kind != WEIR_TREE_SCALAR) return expected(c, t, "a string");
        if (memchr(t->text.p, '\0', t->text.n) != NULL) return fail(c, t, "a string may not hold a NUL character");
        *(char **)to = text_new(c, t->text);
        return WEIR_OK;
    case PROTOBUF_C_TYPE_BYTES: {
        ProtobufCBinaryData *b = to;
        if (t->kind != WEIR_TREE_SCALAR || !weir_scalar_base64(c->arena, t->text, &b->data, &b->len)) return expected(c, t, "base64");
        return WEIR_OK;
    }
    case PROTOBUF_C_TYPE_MESSAGE: break;
    }
    return fail(c, t, "unknown type of field");
}

/* --- messages with a JSON form of their own --- */

static const ProtobufCFieldDescriptor *field_named(const ProtobufCMessageDescriptor *d, const char *name)
{
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(d, name);
    if (f == NULL) abort(); /* the well-known types are ours, in api/protos/google */
    return f;
}

static void member_set_number(ProtobufCMessage *m, const char *name, int64_t v)
{
    const ProtobufCFieldDescriptor *f = field_named(m->descriptor, name);
    if (f->type == PROTOBUF_C_TYPE_INT32) *(int32_t *)member(m, f->offset) = (int32_t)v;
    else *(int64_t *)member(m, f->offset) = v;
}

static enum weir_err time_fill(struct conv *c, const struct weir_tree *t, bool timestamp, ProtobufCMessage *m)
{
    int64_t seconds = 0;
    int32_t nanos = 0;
    bool ok = t->kind == WEIR_TREE_SCALAR && (timestamp ? weir_scalar_timestamp(t->text, &seconds, &nanos)
                                                        : weir_scalar_duration(t->text, &seconds, &nanos));
    if (!ok) return expected(c, t, timestamp ? "a time such as 2026-01-31T12:00:00Z" : "a duration such as 1.5s");
    member_set_number(m, "seconds", seconds);
    member_set_number(m, "nanos", nanos);
    return WEIR_OK;
}

static enum weir_err field_mask_fill(struct conv *c, const struct weir_tree *t, ProtobufCMessage *m)
{
    if (t->kind != WEIR_TREE_SCALAR) return expected(c, t, "field paths separated by commas");
    const ProtobufCFieldDescriptor *f = field_named(m->descriptor, "paths");
    size_t n = 0;
    char **paths = WEIR_NEW(c->arena, char *, t->text.n + 1);
    struct weir_str rest = t->text;
    while (rest.n > 0) {
        size_t comma = weir_str_find(rest, ',');
        paths[n++] = text_new(c, weir_str_trim((struct weir_str){rest.p, comma}));
        rest = comma < rest.n ? (struct weir_str){rest.p + comma + 1, rest.n - comma - 1} : (struct weir_str){0};
    }
    *(char ***)member(m, f->offset) = paths;
    *(size_t *)member(m, f->quantifier_offset) = n;
    return WEIR_OK;
}

static void oneof_set(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) *(uint32_t *)member(m, f->quantifier_offset) = f->id;
}

static enum weir_err list_fill(struct conv *c, const struct weir_tree *t, const ProtobufCFieldDescriptor *f,
                               const struct weir_pb_message *child, ProtobufCMessage *m);
static enum weir_err map_fill(struct conv *c, const struct weir_tree *t, const ProtobufCFieldDescriptor *f,
                              const struct weir_pb_message *entry, ProtobufCMessage *m);

/* google.protobuf.Value: by what the tree holds. */
static enum weir_err value_fill(struct conv *c, const struct weir_tree *t, const struct weir_pb_message *facts, ProtobufCMessage *m)
{
    const char *name;
    double number = 0;
    bool scalar = t->kind == WEIR_TREE_SCALAR;
    struct weir_tree as_text = *t;
    if (t->kind == WEIR_TREE_NULL) name = "null_value";
    else if (t->kind == WEIR_TREE_MAP) name = "struct_value";
    else if (t->kind == WEIR_TREE_LIST) name = "list_value";
    else if (scalar && !t->quoted && (weir_str_eq(t->text, WEIR_STR("true")) || weir_str_eq(t->text, WEIR_STR("false")))) name = "bool_value";
    else if (scalar && !t->quoted && weir_scalar_double(t->text, &number)) name = "number_value";
    else name = "string_value";
    const ProtobufCFieldDescriptor *f = field_named(m->descriptor, name);
    oneof_set(m, f);
    if (t->kind == WEIR_TREE_NULL) return WEIR_OK;
    if (f->type != PROTOBUF_C_TYPE_MESSAGE) return scalar_fill(c, &as_text, f, member(m, f->offset));
    ProtobufCMessage *sub = message_new(c, f->descriptor);
    *(ProtobufCMessage **)member(m, f->offset) = sub;
    return message_fill(c, t, weir_pb_child(weir_pb_field(facts, (size_t)(f - m->descriptor->fields))), sub);
}

/* The types whose JSON form is not a map of their fields stand under "value" in an Any. */
static bool wrapped_in_any(enum weir_pb_kind k)
{
    return k != WEIR_PB_PLAIN && k != WEIR_PB_EMPTY;
}

static enum weir_err any_parts(struct conv *c, const struct weir_tree *t, struct weir_str *type_url, ProtobufCBinaryData *value)
{
    const struct weir_tree *type = weir_tree_get(t, WEIR_STR("@type"));
    if (t->kind != WEIR_TREE_MAP || type == NULL || type->kind != WEIR_TREE_SCALAR)
        return fail(c, t, "a map with @type was expected");
    const struct weir_pb_message *facts = weir_pb_find_url(type->text);
    if (facts == NULL) return fail(c, type, "unknown type '%.*s'", WEIR_STR_ARG(type->text));
    ProtobufCMessage *m = message_new(c, weir_pb_descriptor(facts));
    struct weir_tree rest = *t;
    const struct weir_tree *from = &rest;
    if (wrapped_in_any(facts->kind)) {
        from = weir_tree_get(t, WEIR_STR("value"));
        if (from == NULL) return fail(c, t, "'value' was expected beside @type %.*s", WEIR_STR_ARG(type->text));
    } else {
        rest.entries = WEIR_NEW(c->arena, struct weir_tree_entry, t->count);
        rest.count = 0;
        for (uint32_t i = 0; i < t->count; i++)
            if (!weir_str_eq(t->entries[i].key->text, WEIR_STR("@type"))) rest.entries[rest.count++] = t->entries[i];
    }
    enum weir_err err = message_fill(c, from, facts, m);
    if (err != WEIR_OK) return err;
    value->len = protobuf_c_message_get_packed_size(m);
    value->data = weir_arena_alloc(c->arena, value->len + 1);
    protobuf_c_message_pack(m, value->data);
    *type_url = weir_arena_str(c->arena, type->text);
    if (weir_str_find(*type_url, '/') == type_url->n)
        *type_url = weir_arena_printf(c->arena, "type.googleapis.com/%.*s", WEIR_STR_ARG(type->text));
    return WEIR_OK;
}

static enum weir_err any_fill(struct conv *c, const struct weir_tree *t, ProtobufCMessage *m)
{
    struct weir_str url;
    enum weir_err err = any_parts(c, t, &url, member(m, field_named(m->descriptor, "value")->offset));
    if (err == WEIR_OK) *(char **)member(m, field_named(m->descriptor, "type_url")->offset) = (char *)(uintptr_t)url.p;
    return err;
}

/* --- plain messages --- */

/* Levenshtein distance, both at most 63 long; larger: far. */
static unsigned distance(const char *a, struct weir_str b)
{
    size_t n = strlen(a);
    unsigned row[64];
    if (n > 63 || b.n > 63) return 99;
    for (size_t j = 0; j <= b.n; j++) row[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned up = row[j], best = diagonal + (a[i - 1] != b.p[j - 1]);
            if (up + 1 < best) best = up + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = up;
            row[j] = best;
        }
    }
    return row[b.n];
}

static enum weir_err unknown_field(struct conv *c, const struct weir_tree *key, const struct weir_pb_message *facts,
                                   const ProtobufCMessageDescriptor *d)
{
    if (c->unknown != NULL) {
        struct weir_str path = {c->path, c->path_length};
        c->unknown->on_unknown(c->unknown->ctx, d->name, weir_arena_str(c->arena, path).p, weir_arena_str(c->arena, key->text).p);
        return WEIR_OK;
    }
    if (weir_pb_was_removed(facts, key->text))
        return fail(c, key, "field '%.*s' was removed from %s in the v3 API", WEIR_STR_ARG(key->text), d->name);
    const char *nearest = NULL;
    unsigned best = key->text.n / 3 + 2;
    for (unsigned i = 0; i < d->n_fields; i++) {
        unsigned far = distance(d->fields[i].name, key->text);
        if (far >= best) continue;
        best = far;
        nearest = d->fields[i].name;
    }
    if (nearest != NULL)
        return fail(c, key, "%s has no field '%.*s'; did you mean '%s'?", d->name, WEIR_STR_ARG(key->text), nearest);
    return fail(c, key, "%s has no field '%.*s'", d->name, WEIR_STR_ARG(key->text));
}

/* By proto name, else by lowerCamel name. */
static const ProtobufCFieldDescriptor *field_find(const ProtobufCMessageDescriptor *d, struct weir_str key)
{
    char name[128];
    size_t n = 0;
    if (key.n >= sizeof(name) / 2) return NULL;
    memcpy(name, key.p, key.n);
    name[key.n] = '\0';
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(d, name);
    if (f != NULL) return f;
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] == '_') return NULL;
        if (key.p[i] >= 'A' && key.p[i] <= 'Z') name[n++] = '_';
        name[n++] = weir_lower(key.p[i]);
    }
    name[n] = '\0';
    f = protobuf_c_message_descriptor_get_field_by_name(d, name);
    if (f != NULL) return f;
    /* "foo_2bar" is "foo2bar" in lowerCamel: compare without underscores */
    for (unsigned i = 0; i < d->n_fields; i++) {
        const char *p = d->fields[i].name;
        size_t j = 0;
        bool up = false;
        for (; *p != '\0' && j < key.n; p++) {
            if (*p == '_') {
                up = true;
                continue;
            }
            char want = up && *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
            if (key.p[j] != want) break;
            up = false;
            j++;
        }
        if (*p == '\0' && j == key.n) return &d->fields[i];
    }
    return NULL;
}

static size_t element_size(const ProtobufCFieldDescriptor *f)
{
    return weir_pb_value_size(f->type);
}

static enum weir_err element_fill(struct conv *c, const struct weir_tree *t, const ProtobufCFieldDescriptor *f,
                                  const struct weir_pb_message *child, void *to)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE) return scalar_fill(c, t, f, to);
    ProtobufCMessage *sub = message_new(c, f->descriptor);
    *(ProtobufCMessage **)to = sub;
    return message_fill(c, t, child, sub);
}

static enum weir_err list_fill(struct conv *c, const struct weir_tree *t, const ProtobufCFieldDescriptor *f,
                               const struct weir_pb_message *child, ProtobufCMessage *m)
{
    if (t->kind != WEIR_TREE_LIST) return expected(c, t, "a list");
    size_t size = element_size(f);
    char *items = weir_arena_alloc(c->arena, size * t->count);
    *(void **)member(m, f->offset) = items;
    *(size_t *)member(m, f->quantifier_offset) = t->count;
    for (uint32_t i = 0; i < t->count; i++) {
        size_t mark = path_push(c, (struct weir_str){0}, i);
        if (t->items[i]->kind == WEIR_TREE_NULL && child != NULL && child->kind != WEIR_PB_VALUE)
            return fail(c, t->items[i], "null may not stand in a list");
        enum weir_err err = element_fill(c, t->items[i], f, child, items + size * i);
        if (err != WEIR_OK) return err;
        path_pop(c, mark);
    }
    return WEIR_OK;
}

static enum weir_err map_fill(struct conv *c, const struct weir_tree *t, const ProtobufCFieldDescriptor *f,
                              const struct weir_pb_message *entry, ProtobufCMessage *m)
{
    if (t->kind != WEIR_TREE_MAP) return expected(c, t, "a map");
    ProtobufCMessage **entries = WEIR_NEW(c->arena, ProtobufCMessage *, t->count + 1);
    const ProtobufCMessageDescriptor *d = f->descriptor;
    *(ProtobufCMessage ***)member(m, f->offset) = entries;
    *(size_t *)member(m, f->quantifier_offset) = t->count;
    for (uint32_t i = 0; i < t->count; i++) {
        char quoted[160];
        int n = snprintf(quoted, sizeof(quoted), "[\"%.*s\"]", (int)(t->entries[i].key->text.n < 120 ? t->entries[i].key->text.n : 120),
                         t->entries[i].key->text.p);
        size_t mark = c->path_length;
        if (n > 0 && mark + (size_t)n < sizeof(c->path)) {
            memcpy(c->path + mark, quoted, (size_t)n + 1);
            c->path_length = mark + (size_t)n;
        }
        entries[i] = message_new(c, d);
        enum weir_err err = scalar_fill(c, t->entries[i].key, &d->fields[0], member(entries[i], d->fields[0].offset));
        if (err == WEIR_OK)
            err = element_fill(c, t->entries[i].value, &d->fields[1], weir_pb_child(weir_pb_field(entry, 1)),
                               member(entries[i], d->fields[1].offset));
        if (err != WEIR_OK) return err;
        path_pop(c, mark);
    }
    return WEIR_OK;
}

static enum weir_err field_fill(struct conv *c, const struct weir_tree_entry *e, const struct weir_pb_message *facts, ProtobufCMessage *m,
                                uint8_t *seen)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    const ProtobufCFieldDescriptor *f = field_find(d, e->key->text);
    if (f == NULL) return unknown_field(c, e->key, facts, d);
    size_t index = (size_t)(f - d->fields);
    const struct weir_pb_field *fact = weir_pb_field(facts, index);
    const struct weir_pb_message *child = weir_pb_child(fact);
    size_t mark = path_push(c, weir_str_of(f->name), -1);
    if (seen[index / 8] & (1u << index % 8)) return fail(c, e->key, "given twice, under both spellings of its name");
    seen[index / 8] |= (uint8_t)(1u << index % 8);
    if (e->value->kind == WEIR_TREE_NULL && (child == NULL || child->kind != WEIR_PB_VALUE || f->label == PROTOBUF_C_LABEL_REPEATED)) {
        path_pop(c, mark);
        return WEIR_OK; /* null is: not set */
    }
    enum weir_err err;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        err = fact->flags & WEIR_PB_MAP ? map_fill(c, e->value, f, child, m) : list_fill(c, e->value, f, child, m);
    } else {
        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
            if (*(uint32_t *)member(m, f->quantifier_offset) != 0) {
                path_pop(c, mark);
                return fail(c, e->key, "'%s' stands beside another member of the oneof '%s'", f->name,
                            fact->oneof > 0 ? weir_pb_text(weir_pb_oneof(facts, fact->oneof - 1u)->name) : "");
            }
            oneof_set(m, f);
        } else if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->quantifier_offset != 0) {
            *(protobuf_c_boolean *)member(m, f->quantifier_offset) = 1;
        }
        err = element_fill(c, e->value, f, child, member(m, f->offset));
    }
    if (err == WEIR_OK) path_pop(c, mark);
    return err;
}

static enum weir_err plain_fill(struct conv *c, const struct weir_tree *t, const struct weir_pb_message *facts, ProtobufCMessage *m)
{
    uint8_t seen[64] = {0};
    if (t->kind != WEIR_TREE_MAP) return expected(c, t, "a map");
    if (m->descriptor->n_fields > sizeof(seen) * 8) return fail(c, t, "too many fields in %s", m->descriptor->name);
    for (uint32_t i = 0; i < t->count; i++) {
        enum weir_err err = field_fill(c, &t->entries[i], facts, m, seen);
        if (err != WEIR_OK) return err;
    }
    return WEIR_OK;
}

static enum weir_err message_fill(struct conv *c, const struct weir_tree *t, const struct weir_pb_message *facts, ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    switch (facts->kind) {
    case WEIR_PB_WRAPPER: return scalar_fill(c, t, &d->fields[0], member(m, d->fields[0].offset));
    case WEIR_PB_DURATION: return time_fill(c, t, false, m);
    case WEIR_PB_TIMESTAMP: return time_fill(c, t, true, m);
    case WEIR_PB_FIELD_MASK: return field_mask_fill(c, t, m);
    case WEIR_PB_ANY: return any_fill(c, t, m);
    case WEIR_PB_VALUE: return value_fill(c, t, facts, m);
    case WEIR_PB_STRUCT:
        return map_fill(c, t, &d->fields[0], weir_pb_child(weir_pb_field(facts, 0)), m);
    case WEIR_PB_LIST_VALUE:
        return list_fill(c, t, &d->fields[0], weir_pb_child(weir_pb_field(facts, 0)), m);
    case WEIR_PB_PLAIN:
    case WEIR_PB_EMPTY:
    case WEIR_PB_MAP_ENTRY: break;
    }
    return plain_fill(c, t, facts, m);
}

enum weir_err weir_tree_to_pb(struct weir_arena *a, const char *file, const struct weir_tree *tree,
                              const ProtobufCMessageDescriptor *type, ProtobufCMessage **out, struct weir_error *e)
{
    return weir_tree_to_pb_leniently(a, file, tree, type, NULL, out, e);
}

enum weir_err weir_tree_to_pb_leniently(struct weir_arena *a, const char *file, const struct weir_tree *tree,
                                        const ProtobufCMessageDescriptor *type, const struct weir_tree_unknown *unknown,
                                        ProtobufCMessage **out, struct weir_error *e)
{
    struct conv c = {.arena = a, .file = file, .unknown = unknown, .error = e};
    const struct weir_pb_message *facts = weir_pb_of(type);
    if (facts == NULL) return weir_error_set(e, WEIR_ERR_UNSUPPORTED, "%s: unknown message type %s", file, type->name);
    *out = message_new(&c, type);
    return message_fill(&c, tree, facts, *out);
}

enum weir_err weir_tree_to_any(struct weir_arena *a, const char *file, const struct weir_tree *tree, struct weir_str *type_url,
                               ProtobufCBinaryData *value, struct weir_error *e)
{
    struct conv c = {.arena = a, .file = file, .error = e};
    return any_parts(&c, tree, type_url, value);
}
