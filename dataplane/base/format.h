/* Templates of %COMMAND(args):length% as in access logs, header values, local replies and redirects (Envoy's
 * substitution format). Parsed once, on the compile thread; printed on workers without allocation beyond the target.
 * Unknown commands are refused by name and position. */
#ifndef WEIR_BASE_FORMAT_H
#define WEIR_BASE_FORMAT_H

#include "dataplane/base/compile.h"
#include "dataplane/base/request.h"

struct weir_format; /* immutable, in the arena it was compiled into */

enum weir_err weir_format_compile(struct weir_compile *c, const char *field, struct weir_str text, struct weir_format **out)
    WEIR_MUST_USE;
/* The whole template has no command: its text; else p NULL. */
struct weir_str weir_format_constant(const struct weir_format *f);

/* Growing text in an arena, used for one line or value. */
struct weir_text {
    struct weir_arena *arena;
    char *p;
    size_t n, capacity;
};
void weir_text_add(struct weir_text *t, struct weir_str s);
void weir_text_add_printf(struct weir_text *t, const char *fmt, ...) WEIR_PRINTF(2, 3);
void weir_text_add_json_string(struct weir_text *t, struct weir_str s); /* with quotes, RFC 8259 escapes */
struct weir_value;
void weir_text_add_json_value(struct weir_text *t, const struct weir_value *v); /* compact, fields sorted */

/* Absent values are "-" in logs; in headers an absent value is empty (`absent` chooses). local_reply_body may be empty. */
void weir_format_print(const struct weir_format *f, const struct weir_request *r, struct weir_str local_reply_body,
                       struct weir_str absent, struct weir_text *out);
/* Whether the template is exactly one command, whose JSON type (number or string) a JSON log keeps. Prints it as JSON:
 * null where absent. */
bool weir_format_is_single(const struct weir_format *f);
void weir_format_print_json(const struct weir_format *f, const struct weir_request *r, struct weir_str local_reply_body,
                            struct weir_text *out);

/* The gRPC status that a client learns: of the trailers, of a trailers-only answer, else mapped from the HTTP status; -1 where
 * the upstream sent something that is no number. */
int64_t weir_request_grpc_status(const struct weir_request *r);

/* Envoy's default access log line. */
extern const struct weir_str weir_format_default_text;

#endif
