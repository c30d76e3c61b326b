/* See out.h. */
#include "dataplane/base/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void weir_out_deinit(struct weir_out *o)
{
    free(o->p);
    *o = (struct weir_out){0};
}

void weir_out_add(struct weir_out *o, struct weir_str s)
{
    if (o->n + s.n + 1 > o->capacity) {
        size_t capacity = o->capacity * 2 > o->n + s.n + 1 ? o->capacity * 2 : o->n + s.n + 256;
        char *p = realloc(o->p, capacity);
        if (p == NULL) abort();
        o->p = p;
        o->capacity = capacity;
    }
    if (s.n > 0) memcpy(o->p + o->n, s.p, s.n);
    o->n += s.n;
    o->p[o->n] = '\0';
}

static void add(struct weir_out *o, const char *z)
{
    weir_out_add(o, weir_str_of(z));
}

void weir_out_printf(struct weir_out *o, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n < 0) return;
    if ((size_t)n < sizeof(text)) {
        weir_out_add(o, (struct weir_str){text, (size_t)n});
        return;
    }
    char *wider = malloc((size_t)n + 1);
    if (wider == NULL) abort();
    va_start(args, fmt);
    vsnprintf(wider, (size_t)n + 1, fmt, args);
    va_end(args);
    weir_out_add(o, (struct weir_str){wider, (size_t)n});
    free(wider);
}

void weir_out_string(struct weir_out *o, struct weir_str s)
{
    add(o, "\"");
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        char buf[8];
        const char *with = NULL;
        if (c == '"') with = "\\\"";
        else if (c == '\\') with = "\\\\";
        else if (c == '\n') with = "\\n";
        else if (c == '\r') with = "\\r";
        else if (c == '\t') with = "\\t";
        else if (c < 0x20 || c == 0x7f) {
            snprintf(buf, sizeof(buf), "\\u%04x", c);
            with = buf;
        }
        if (with == NULL) continue;
        weir_out_add(o, (struct weir_str){s.p + from, i - from});
        add(o, with);
        from = i + 1;
    }
    weir_out_add(o, (struct weir_str){s.p + from, s.n - from});
    add(o, "\"");
}
