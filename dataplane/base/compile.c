/* What every compile function uses: the path of the field at hand and the refusal that names it. */
#include "dataplane/base/compile.h"

#include <google/protobuf/duration.pb-c.h>
#include <stdio.h>

size_t weir_path_push(struct weir_compile *c, const char *field, int index)
{
    size_t mark = c->path_length;
    size_t room = sizeof(c->path) - mark;
    const char *dot = mark != 0 ? "." : "";
    int n = index < 0 ? snprintf(c->path + mark, room, "%s%s", dot, field)
                      : snprintf(c->path + mark, room, "%s%s[%d]", dot, field, index);
    if (n > 0) c->path_length += (size_t)n < room ? (size_t)n : room - 1; /* a path too long is cut */
    return mark;
}

void weir_path_pop(struct weir_compile *c, size_t mark)
{
    c->path_length = mark;
    c->path[mark] = '\0';
}

enum weir_err weir_reject(struct weir_compile *c, const char *field, const char *fmt, ...)
{
    char reason[WEIR_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);
    const char *dot = c->path_length != 0 && field != NULL ? "." : "";
    const char *colon = c->path_length != 0 || field != NULL ? ": " : "";
    return weir_error_set(c->error, WEIR_ERR_INVALID, "%.*s%s%s%s%s", (int)c->path_length, c->path, dot,
                          field != NULL ? field : "", colon, reason);
}

struct weir_str weir_compile_str(struct weir_compile *c, const char *z)
{
    return weir_arena_str(c->arena, weir_str_of(z));
}

uint64_t weir_duration_ms(const void *duration, uint64_t otherwise)
{
    const Google__Protobuf__Duration *d = duration;
    if (d == NULL) return otherwise;
    if (d->seconds < 0 || d->nanos < 0) return 0;
    uint64_t seconds = (uint64_t)d->seconds, ms;
    if (__builtin_mul_overflow(seconds, (uint64_t)1000, &ms)) return UINT64_MAX;
    uint64_t rest = ((uint64_t)d->nanos + 999999) / 1000000;
    return __builtin_add_overflow(ms, rest, &ms) ? UINT64_MAX : ms;
}
