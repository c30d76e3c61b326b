/* What was noted so far: counts, and what has been told already. Contract in support.h. */
#include "dataplane/config/support_log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/map.h"
#include "dataplane/base/pb_facts.h"
#include "dataplane/limits.h"
#include "xds/wire_check.h"

#define TOLD_KINDS (WEIR_SUPPORT_WORK_IN_PROGRESS + 1)

struct weir_support_log {
    weir_support_tell tell;
    void *ctx;
    enum weir_unknown_policy unknown;
    atomic_ullong counts[WEIR_SUPPORT_KINDS];
    pthread_mutex_t mutex; /* guards what was unknown */
    uint64_t unknown_seen[WEIR_SUPPORT_UNKNOWN_MAX]; /* hashes */
    uint32_t unknown_count;
    size_t fields;
    /* How often each field was told of, by the first TOLD_KINDS kinds, in the order of the facts table. */
    _Atomic unsigned char told[];
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

struct weir_support_log *weir_support_log_create(weir_support_tell tell, void *ctx, enum weir_unknown_policy unknown)
{
    size_t fields = field_total();
    struct weir_support_log *log = calloc(1, sizeof *log + TOLD_KINDS * fields * sizeof log->told[0]);
    if (log == NULL)
        abort();
    log->tell = tell;
    log->ctx = ctx;
    log->unknown = unknown;
    log->fields = fields;
    pthread_mutex_init(&log->mutex, NULL);
    return log;
}

void weir_support_log_destroy(struct weir_support_log *log)
{
    pthread_mutex_destroy(&log->mutex);
    free(log);
}

uint64_t weir_support_log_count(const struct weir_support_log *log, enum weir_support_kind kind)
{
    return atomic_load_explicit(&log->counts[kind], memory_order_relaxed);
}

static void full_name(const ProtobufCMessageDescriptor *type, unsigned i, char *out, size_t size)
{
    snprintf(out, size, "%s.%s", type->name, type->fields[i].name);
}

static void tell_of(struct weir_support_log *log, enum weir_support_kind kind, const char *field, const char *message, const char *path,
                    const char *detail)
{
    if (log->tell != NULL)
        log->tell(log->ctx, &(struct weir_support_note){kind, field, message, path, detail});
}

void weir_support_log_note(struct weir_support_log *log, enum weir_support_kind kind, const ProtobufCMessageDescriptor *type, unsigned i,
                           const char *message, const struct weir_pb_path *path, const char *detail, bool tell)
{
    if (log == NULL)
        return;
    atomic_fetch_add_explicit(&log->counts[kind], 1, memory_order_relaxed);
    size_t place = kind * log->fields + place_of(weir_pb_field(weir_pb_of(type), i));
    unsigned most = kind == WEIR_SUPPORT_IGNORED ? 1 : WEIR_SUPPORT_NOTES_MAX;
    if (!tell || atomic_load_explicit(&log->told[place], memory_order_relaxed) >= most)
        return;
    if (atomic_fetch_add_explicit(&log->told[place], 1, memory_order_relaxed) >= most)
        return;
    char field[256], where[WEIR_PB_PATH_TEXT_MAX];
    full_name(type, i, field, sizeof field);
    tell_of(log, kind, field, message, weir_pb_path_print(path, where, sizeof where), detail);
}

void weir_support_log_each(const struct weir_support_log *log, void (*each)(void *ctx, const char *field, const char *reason),
                           void *ctx)
{
    for (size_t i = 0; i < weir_pb_count(); i++) {
        const struct weir_pb_message *m = weir_pb_at(i);
        for (unsigned k = 0; k < m->field_count; k++) {
            const struct weir_pb_field *f = weir_pb_field(m, k);
            if (atomic_load_explicit(&log->told[WEIR_SUPPORT_IGNORED * log->fields + place_of(f)], memory_order_relaxed) == 0)
                continue;
            char field[256];
            full_name(weir_pb_descriptor(m), k, field, sizeof field);
            each(ctx, field, weir_pb_note(f));
        }
    }
}

/* A table that is full tells of nothing new. */
static bool is_new(struct weir_support_log *log, uint64_t hash)
{
    bool fresh = true;
    pthread_mutex_lock(&log->mutex);
    for (uint32_t i = 0; fresh && i < log->unknown_count; i++)
        fresh = log->unknown_seen[i] != hash;
    fresh = fresh && log->unknown_count < WEIR_SUPPORT_UNKNOWN_MAX;
    if (fresh)
        log->unknown_seen[log->unknown_count++] = hash;
    pthread_mutex_unlock(&log->mutex);
    return fresh;
}

static void note_unknown(struct weir_support_log *log, enum weir_support_kind kind, const char *type, const char *path, const char *what)
{
    char text[512];
    int n = snprintf(text, sizeof text, "%d %s %s %s", (int)kind, type, path, what);
    if (!is_new(log, weir_hash((struct weir_str){text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1})))
        return;
    atomic_fetch_add_explicit(&log->counts[kind], 1, memory_order_relaxed);
    tell_of(log, kind, type, "", path, what);
}

void weir_support_log_note_message(struct weir_support_log *log, const ProtobufCMessageDescriptor *type)
{
    if (log == NULL)
        return;
    atomic_fetch_add_explicit(&log->counts[WEIR_SUPPORT_WORK_IN_PROGRESS], 1, memory_order_relaxed);
    if (is_new(log, weir_hash((struct weir_str){type->name, strlen(type->name)})))
        tell_of(log, WEIR_SUPPORT_WORK_IN_PROGRESS, type->name, "", "", "");
}

void weir_support_note_static_unknown(struct weir_support_log *log, const char *type, const char *path, const char *name)
{
    if (log != NULL)
        note_unknown(log, WEIR_SUPPORT_STATIC_UNKNOWN, type, path, name);
}

enum weir_err weir_support_check_unknown(struct weir_support_log *log, const struct weir_wire_report *report, struct weir_error *error)
{
    if (log == NULL || log->unknown == WEIR_UNKNOWN_IGNORE)
        return WEIR_OK;
    for (uint32_t i = 0; i < report->unknown_count; i++) {
        const struct weir_wire_unknown *u = &report->unknown[i];
        char numbers[WEIR_WIRE_UNKNOWN_NUMBERS * 12];
        size_t n = 0;
        numbers[0] = '\0';
        for (uint32_t k = 0; k < u->count; k++)
            n += (size_t)snprintf(numbers + n, sizeof numbers - n, "%s%u", k > 0 ? ", " : "", u->numbers[k]);
        if (log->unknown == WEIR_UNKNOWN_REJECT)
            return weir_error_set(error, WEIR_ERR_INVALID, "%s has unknown fields {%s}", u->type->name, numbers);
        note_unknown(log, WEIR_SUPPORT_DYNAMIC_UNKNOWN, u->type->name, "", numbers);
    }
    return WEIR_OK;
}
