/* Error texts. Called by whoever refuses something; the text is always one NUL-terminated line within its bounds. */
#include "dataplane/base/error.h"

#include <stdarg.h>
#include <stdio.h>

/* `wanted` is what vsnprintf would have written: marks a cut and keeps the text to one line. */
static void text_finish(struct weir_error *e, size_t wanted)
{
    if (wanted >= sizeof(e->text)) memcpy(e->text + sizeof(e->text) - 4, "...", 4);
    for (char *p = e->text; *p != '\0'; p++)
        if (*p == '\n' || *p == '\r') *p = ' ';
}

enum weir_err weir_error_set(struct weir_error *e, enum weir_err code, const char *fmt, ...)
{
    if (e == NULL) return code;
    e->code = code;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(e->text, sizeof(e->text), fmt, args);
    va_end(args);
    text_finish(e, n < 0 ? 0 : (size_t)n);
    return code;
}

enum weir_err weir_error_prefix(struct weir_error *e, const char *fmt, ...)
{
    if (e == NULL) return WEIR_OK;
    char was[WEIR_ERROR_TEXT_MAX];
    memcpy(was, e->text, sizeof(was));
    was[sizeof(was) - 1] = '\0';
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(e->text, sizeof(e->text), fmt, args);
    va_end(args);
    size_t at = n < 0 ? 0 : (size_t)n;
    if (at < sizeof(e->text)) at += (size_t)snprintf(e->text + at, sizeof(e->text) - at, ": %s", was);
    text_finish(e, at);
    return e->code;
}
