/* The walk over set fields and the printed table; contract in support.h, the classes come from api/support.txt by way of
 * base/pb_facts.h. */
#include "dataplane/config/support.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "dataplane/base/pb_facts.h"
#include "dataplane/base/pb_path.h"
#include "dataplane/limits.h"

struct weir_support_log {
    weir_support_warn warn;
    void *ctx;
    atomic_ullong count;
    size_t words;
    atomic_ullong seen[]; /* a bit for each field, in the order of the facts table */
};

/* Place of a field among all fields of all messages. */
static size_t place_of(const struct weir_pb_field *f)
{
    return (size_t)(f - weir_pb_field(weir_pb_at(0), 0));
}

static size_t field_total(void)
{
    const struct weir_pb_message *last = weir_pb_at(weir_pb_count() - 1);
    return place_of(weir_pb_field(last, 0)) + last->field_count;
}

struct weir_support_log *weir_support_log_create(weir_support_warn warn, void *ctx)
{
    size_t words = field_total() / 64 + 1;
    struct weir_support_log *log = calloc(1, sizeof *log + words * sizeof log->seen[0]);
    if (log == NULL)
        abort();
    log->warn = warn;
    log->ctx = ctx;
    log->words = words;
    return log;
}

void weir_support_log_destroy(struct weir_support_log *log)
{
    free(log);
}

uint64_t weir_support_log_count(const struct weir_support_log *log)
{
    return atomic_load_explicit(&log->count, memory_order_relaxed);
}

static void full_name(const ProtobufCMessageDescriptor *type, unsigned i, char *out, size_t size)
{
    snprintf(out, size, "%s.%s", type->name, type->fields[i].name);
}

static void note_ignored(struct weir_support_log *log, const ProtobufCMessageDescriptor *type, unsigned i,
                         const struct weir_pb_field *f, const struct weir_pb_path *path)
{
    if (log == NULL)
        return;
    atomic_fetch_add_explicit(&log->count, 1, memory_order_relaxed);
    size_t place = place_of(f);
    unsigned long long bit = 1ull << (place % 64);
    if (atomic_fetch_or_explicit(&log->seen[place / 64], bit, memory_order_relaxed) & bit)
        return;
    char field[256], where[WEIR_PB_PATH_TEXT_MAX];
    full_name(type, i, field, sizeof field);
    if (log->warn != NULL)
        log->warn(log->ctx, field, weir_pb_path_print(path, where, sizeof where), weir_pb_note(f));
}

void weir_support_log_each(const struct weir_support_log *log, void (*each)(void *ctx, const char *field, const char *reason),
                           void *ctx)
{
    for (size_t i = 0; i < weir_pb_count(); i++) {
        const struct weir_pb_message *m = weir_pb_at(i);
        for (unsigned k = 0; k < m->field_count; k++) {
            const struct weir_pb_field *f = weir_pb_field(m, k);
            size_t place = place_of(f);
            if ((atomic_load_explicit(&log->seen[place / 64], memory_order_relaxed) >> (place % 64) & 1) == 0)
                continue;
            char field[256];
            full_name(weir_pb_descriptor(m), k, field, sizeof field);
            each(ctx, field, weir_pb_note(f));
        }
    }
}

struct support_walk {
    struct weir_support_log *log;
    struct weir_error *error;
};

static enum weir_err check_message(struct support_walk *w, const struct weir_pb_message *facts, const ProtobufCMessage *m,
                                   const struct weir_pb_path *up, unsigned depth);

static enum weir_err refuse(struct support_walk *w, const ProtobufCMessageDescriptor *type, unsigned i,
                            const struct weir_pb_field *f, const struct weir_pb_path *path)
{
    char where[WEIR_PB_PATH_TEXT_MAX];
    const char *note = weir_pb_note(f);
    return weir_error_set(w->error, WEIR_ERR_UNSUPPORTED, "%s: weir does not support %s of %s%s%s",
                          weir_pb_path_print(path, where, sizeof where), type->fields[i].name, type->name,
                          note[0] != '\0' ? ": " : "", note);
}

/* A map's key for the path. Number keys show as an index, which names the entry as well. */
static struct weir_str key_of(const ProtobufCMessage *entry)
{
    const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
    if (key->type != PROTOBUF_C_TYPE_STRING)
        return (struct weir_str){NULL, 0};
    const char *z = *(char *const *)weir_pb_value(entry, key, 0);
    return weir_str_of(z != NULL ? z : "");
}

/* The messages that a set, honoured field holds. */
static enum weir_err check_below(struct support_walk *w, const struct weir_pb_message *child, const ProtobufCMessage *m,
                                 const ProtobufCFieldDescriptor *d, const struct weir_pb_path *up, unsigned depth)
{
    bool list = d->label == PROTOBUF_C_LABEL_REPEATED;
    size_t count = weir_pb_length(m, d);
    bool map = child->kind == WEIR_PB_MAP_ENTRY;
    if (map) /* straight to the values */
        child = weir_pb_child(weir_pb_field(child, 1));
    if (child == NULL || child->kind != WEIR_PB_PLAIN)
        return WEIR_OK;
    for (size_t i = 0; i < count; i++) {
        struct weir_pb_path path = {up, d->name, list ? (uint32_t)i : WEIR_PB_PATH_SINGLE, {NULL, 0}};
        const ProtobufCMessage *below = *(ProtobufCMessage *const *)weir_pb_value(m, d, i);
        if (map && below != NULL) {
            path.key = key_of(below);
            below = *(ProtobufCMessage *const *)weir_pb_value(below, &below->descriptor->fields[1], 0);
        }
        enum weir_err err = below != NULL ? check_message(w, child, below, &path, depth + 1) : WEIR_OK;
        if (err != WEIR_OK)
            return err;
    }
    return WEIR_OK;
}

static enum weir_err check_message(struct support_walk *w, const struct weir_pb_message *facts, const ProtobufCMessage *m,
                                   const struct weir_pb_path *up, unsigned depth)
{
    const ProtobufCMessageDescriptor *type = m->descriptor;
    if (depth > WEIR_PB_DEPTH_MAX)
        return weir_error_set(w->error, WEIR_ERR_LIMIT, "messages must not be nested deeper than %d", WEIR_PB_DEPTH_MAX);
    for (unsigned i = 0; i < facts->field_count; i++) {
        const struct weir_pb_field *f = weir_pb_field(facts, i);
        const ProtobufCFieldDescriptor *d = &type->fields[i];
        const struct weir_pb_message *child = weir_pb_child(f);
        if (f->support == WEIR_PB_HONOURED && child == NULL)
            continue;
        if (!weir_pb_is_set(m, d))
            continue;
        struct weir_pb_path path = {up, d->name, WEIR_PB_PATH_SINGLE, {NULL, 0}};
        enum weir_err err = WEIR_OK;
        if (f->support == WEIR_PB_REFUSED)
            err = refuse(w, type, i, f, &path);
        else if (f->support == WEIR_PB_IGNORED)
            note_ignored(w->log, type, i, f, &path);
        else
            err = check_below(w, child, m, d, up, depth);
        if (err != WEIR_OK)
            return err;
    }
    return WEIR_OK;
}

enum weir_err weir_support_check(const ProtobufCMessage *m, struct weir_support_log *log, struct weir_error *error)
{
    const struct weir_pb_message *facts = weir_pb_of(m->descriptor);
    if (facts == NULL)
        return weir_error_set(error, WEIR_ERR_UNSUPPORTED, "weir does not support %s", m->descriptor->name);
    struct support_walk w = {.log = log, .error = error};
    return check_message(&w, facts, m, NULL, 1);
}

void weir_support_print(FILE *out)
{
    static const char *const classes[] = {
        [WEIR_PB_REFUSED] = "refused", [WEIR_PB_IGNORED] = "ignored", [WEIR_PB_HONOURED] = "honoured"};
    for (size_t i = 0; i < weir_pb_count(); i++) {
        const struct weir_pb_message *m = weir_pb_at(i);
        if (m->kind == WEIR_PB_MAP_ENTRY)
            continue;
        for (unsigned k = 0; k < m->field_count; k++) {
            const struct weir_pb_field *f = weir_pb_field(m, k);
            const char *note = weir_pb_note(f);
            fprintf(out, "%s.%s  %s%s%s\n", weir_pb_descriptor(m)->name, weir_pb_descriptor(m)->fields[k].name,
                    classes[f->support], note[0] != '\0' ? ": " : "", note);
        }
    }
}
