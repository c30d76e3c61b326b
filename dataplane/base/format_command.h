/* What format.c (templates) and format_command*.c (commands) share. A command is found and its arguments are parsed once,
 * on the compile thread; its value is asked for on workers. */
#ifndef WEIR_BASE_FORMAT_COMMAND_H
#define WEIR_BASE_FORMAT_COMMAND_H

#include "dataplane/base/format.h"
#include "dataplane/base/metadata.h"

struct weir_format_value {
    enum { WEIR_FORMAT_ABSENT, WEIR_FORMAT_STRING, WEIR_FORMAT_NUMBER, WEIR_FORMAT_TREE } kind;
    struct weir_str string; /* of the request, of the format, or in `small` or the arena of the evaluation */
    int64_t number;
    const struct weir_value *tree;
};
/* One evaluation. */
struct weir_format_eval {
    const struct weir_request *request;
    struct weir_str local_reply_body;
    struct weir_arena *arena;
    char small[WEIR_ADDRESS_TEXT_MAX]; /* what a value may be printed into */
};

struct weir_format_part;
struct weir_format_command {
    const char *name;
    /* Parses what stands in the brackets (args.p NULL: no brackets). NULL: the command takes none. `reason` on refusal. */
    bool (*parse)(struct weir_compile *c, struct weir_format_part *part, struct weir_str args, const char **reason);
    /* Leaves *out absent (as it is when called) where there is no value. */
    void (*value)(const struct weir_format_part *part, struct weir_format_eval *e, struct weir_format_value *out);
    uint16_t at, at2; /* offsets for commands that read fields */
};

/* A literal (command NULL, text) or a command with its arguments. Immutable after compile. */
struct weir_format_part {
    const struct weir_format_command *command;
    struct weir_str text; /* literal; or an argument: header name, namespace, time format, constant value */
    struct weir_str text2; /* the alternative header */
    uint16_t id, id2;      /* of the two, interned */
    uint8_t choice, choice2; /* enumerated arguments */
    bool cut;
    uint32_t length_max; /* where cut */
    uint32_t path_count;
    const struct weir_str *path; /* of metadata keys */
    uint32_t child_count;
    const struct weir_format_part *children; /* of COALESCE */
};

/* Fills `part` for the command with these arguments; on refusal *reason says why ("unknown command", ...). `length`: the
 * ":N" suffix, UINT32_MAX without. */
bool weir_format_command_parse(struct weir_compile *c, struct weir_str name, struct weir_str args, uint32_t length,
                               struct weir_format_part *part, const char **reason);
void weir_format_command_value(const struct weir_format_part *part, struct weir_format_eval *e, struct weir_format_value *out);

/* format_tables.c */
extern const struct weir_format_command weir_format_commands[];
extern const size_t weir_format_command_count;
extern const char *const weir_format_unsupported[]; /* known to Envoy, refused by name; NULL at the end */

/* format_time.c: Envoy's time formats: strftime's, %s, %f, %1f..%9f, and %E#S, %E*S, %E#f, %E*f, %Ez, %E4Y. */
bool weir_time_format_valid(struct weir_str format);
/* Prints wall-clock nanoseconds; format.p NULL: "2006-01-02T15:04:05.000Z". `out` NULL-terminated, cut at size; the length. */
size_t weir_time_print(struct weir_str format, uint64_t wall_ns, bool local, char *out, size_t size);

#endif
