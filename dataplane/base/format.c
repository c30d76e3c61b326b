/* Templates: parsing into parts, printing as text and as JSON, and growing text. Commands themselves are in
 * format_command.c and format_tables.c. */
#include "dataplane/base/format.h"

#include <stdio.h>

#include "dataplane/base/format_command.h"
#include "dataplane/base/str.h"

struct weir_format {
    uint32_t count;
    const struct weir_format_part *parts;
    struct weir_str constant; /* p NULL: has a command */
};

const struct weir_str weir_format_default_text = WEIR_STR_INIT(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% "
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" "
    "\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n");

static char *text_room(struct weir_text *t, size_t n)
{
    if (n > t->capacity - t->n) {
        size_t capacity = t->capacity < 64 ? 128 : t->capacity * 2;
        while (capacity - t->n < n)
            capacity *= 2;
        char *p = weir_arena_alloc(t->arena, capacity);
        if (t->n != 0) memcpy(p, t->p, t->n);
        t->p = p;
        t->capacity = capacity;
    }
    return t->p + t->n;
}

void weir_text_add(struct weir_text *t, struct weir_str s)
{
    if (s.n == 0) return;
    memcpy(text_room(t, s.n), s.p, s.n);
    t->n += s.n;
}

void weir_text_add_printf(struct weir_text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct weir_str s = weir_arena_vprintf(t->arena, fmt, args);
    va_end(args);
    weir_text_add(t, s);
}

/* The escape of a byte that JSON does not take as it is, NULL otherwise. */
static const char *json_escape(unsigned char c, char hex[7])
{
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    case '\b': return "\\b";
    case '\f': return "\\f";
    default: break;
    }
    if (c >= 0x20 && c < 0x80) return NULL;
    (void)snprintf(hex, 7, "\\u%04x", c);
    return hex;
}

void weir_text_add_json_string(struct weir_text *t, struct weir_str s)
{
    /* Bytes that are no UTF-8 are shown as the characters of the same number, so that the line stays JSON. */
    bool utf8 = weir_utf8_valid(s);
    weir_text_add(t, WEIR_STR("\""));
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        char hex[7];
        unsigned char c = (unsigned char)s.p[i];
        const char *escape = c >= 0x80 && utf8 ? NULL : json_escape(c, hex);
        if (escape == NULL) continue;
        weir_text_add(t, (struct weir_str){s.p + from, i - from});
        weir_text_add(t, weir_str_of(escape));
        from = i + 1;
    }
    if (s.n != 0) weir_text_add(t, (struct weir_str){s.p + from, s.n - from});
    weir_text_add(t, WEIR_STR("\""));
}

void weir_text_add_json_value(struct weir_text *t, const struct weir_value *v)
{
    switch (v->kind) {
    case WEIR_VALUE_NULL: weir_text_add(t, WEIR_STR("null")); break;
    case WEIR_VALUE_BOOL: weir_text_add(t, v->boolean ? WEIR_STR("true") : WEIR_STR("false")); break;
    case WEIR_VALUE_NUMBER: {
        char number[WEIR_NUMBER_TEXT_MAX];
        size_t n = weir_number_print(v->number, number);
        weir_text_add(t, v->number - v->number == 0 ? (struct weir_str){number, n} : WEIR_STR("null"));
        break;
    }
    case WEIR_VALUE_STRING: weir_text_add_json_string(t, v->string); break;
    case WEIR_VALUE_LIST:
        weir_text_add(t, WEIR_STR("["));
        for (uint32_t i = 0; i < v->list.count; i++) {
            if (i != 0) weir_text_add(t, WEIR_STR(","));
            weir_text_add_json_value(t, &v->list.at[i]);
        }
        weir_text_add(t, WEIR_STR("]"));
        break;
    case WEIR_VALUE_STRUCT:
        weir_text_add(t, WEIR_STR("{"));
        for (uint32_t i = 0; i < v->fields.count; i++) {
            if (i != 0) weir_text_add(t, WEIR_STR(","));
            weir_text_add_json_string(t, v->fields.at[i].key);
            weir_text_add(t, WEIR_STR(":"));
            weir_text_add_json_value(t, &v->fields.at[i].value);
        }
        weir_text_add(t, WEIR_STR("}"));
        break;
    }
}

/* A command as it stands in the template: the parts of %NAME(args):length%. */
struct token {
    struct weir_str name, args; /* args.p NULL: no brackets */
    uint32_t length;            /* UINT32_MAX: none */
    size_t end;                 /* behind the last % */
};

/* ":digits%" or "%" at `at`; sets length and end. */
static bool token_tail(struct weir_str s, size_t at, struct token *t)
{
    t->length = UINT32_MAX;
    if (at < s.n && s.p[at] == ':') {
        size_t from = ++at;
        while (at < s.n && s.p[at] >= '0' && s.p[at] <= '9')
            at++;
        uint64_t v;
        if (!weir_str_u64((struct weir_str){s.p + from, at - from}, &v) || v >= UINT32_MAX) return false;
        t->length = (uint32_t)v;
    }
    if (at >= s.n || s.p[at] != '%') return false;
    t->end = at + 1;
    return true;
}

/* The command that begins behind the % at s.p[at - 1]. */
static bool token_find(struct weir_str s, size_t at, struct token *t)
{
    size_t i = at;
    while (i < s.n && ((s.p[i] >= 'A' && s.p[i] <= 'Z') || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '_'))
        i++;
    t->name = (struct weir_str){s.p + at, i - at};
    t->args = (struct weir_str){NULL, 0};
    if (t->name.n == 0) return false;
    if (i >= s.n || s.p[i] != '(') return token_tail(s, i, t);
    /* Arguments may hold % and ), as time formats do: they end at the first ) after which the command can end. */
    for (size_t close = i + 1; close < s.n; close++) {
        if (s.p[close] != ')' || !token_tail(s, close + 1, t)) continue;
        t->args = (struct weir_str){s.p + i + 1, close - i - 1};
        return true;
    }
    return false;
}

struct parser {
    struct weir_format_part *parts;
    uint32_t count, capacity;
    struct weir_text literal;
};

static struct weir_format_part *part_add(struct weir_compile *c, struct parser *p)
{
    if (p->count == p->capacity) {
        uint32_t capacity = p->capacity == 0 ? 8 : p->capacity * 2;
        struct weir_format_part *parts = weir_new(c, struct weir_format_part, capacity);
        if (p->count != 0) memcpy(parts, p->parts, sizeof(*parts) * p->count);
        p->parts = parts;
        p->capacity = capacity;
    }
    return &p->parts[p->count++];
}

static void literal_end(struct weir_compile *c, struct parser *p)
{
    if (p->literal.n == 0) return;
    struct weir_str text = {p->literal.p, p->literal.n};
    *part_add(c, p) = (struct weir_format_part){.text = text};
    p->literal = (struct weir_text){.arena = c->arena};
}

enum weir_err weir_format_compile(struct weir_compile *c, const char *field, struct weir_str text, struct weir_format **out)
{
    struct parser p = {.literal = {.arena = c->arena}};
    bool command = false;
    for (size_t i = 0; i < text.n;) {
        size_t n = weir_str_find((struct weir_str){text.p + i, text.n - i}, '%');
        weir_text_add(&p.literal, (struct weir_str){text.p + i, n});
        i += n;
        if (i == text.n) break;
        if (i + 1 < text.n && text.p[i + 1] == '%') {
            weir_text_add(&p.literal, WEIR_STR("%"));
            i += 2;
            continue;
        }
        struct token t;
        if (!token_find(text, i + 1, &t))
            return weir_reject(c, field, "format: no complete command at position %zu: '%.*s'", i,
                               (int)(text.n - i < 40 ? text.n - i : 40), text.p + i);
        literal_end(c, &p);
        const char *reason = NULL;
        struct weir_format_part *part = part_add(c, &p);
        if (!weir_format_command_parse(c, t.name, t.args, t.length, part, &reason))
            return weir_reject(c, field, "format: %s at position %zu: '%.*s'", reason, i, (int)(t.end - i), text.p + i);
        command = true;
        i = t.end;
    }
    literal_end(c, &p);
    struct weir_format *f = weir_new(c, struct weir_format, 1);
    f->count = p.count;
    f->parts = p.parts;
    if (!command) f->constant = p.count != 0 ? p.parts[0].text : WEIR_STR("");
    *out = f;
    return WEIR_OK;
}

struct weir_str weir_format_constant(const struct weir_format *f)
{
    return f->constant;
}

bool weir_format_is_single(const struct weir_format *f)
{
    return f->count == 1 && f->parts[0].command != NULL;
}

static void print_value(const struct weir_format_part *part, const struct weir_format_value *v, struct weir_str absent,
                        struct weir_text *out)
{
    struct weir_str s = absent;
    char number[24];
    switch (v->kind) {
    case WEIR_FORMAT_ABSENT: break;
    case WEIR_FORMAT_STRING: s = v->string; break;
    case WEIR_FORMAT_NUMBER: {
        number[0] = '-';
        size_t sign = v->number < 0;
        s = (struct weir_str){number, sign + weir_u64_print(number + sign, sign ? 0 - (uint64_t)v->number : (uint64_t)v->number)};
        break;
    }
    case WEIR_FORMAT_TREE:
        if (v->tree->kind != WEIR_VALUE_STRING) {
            weir_text_add_json_value(out, v->tree);
            return; /* structured values are never cut */
        }
        s = v->tree->string;
        break;
    }
    if (part->cut && s.n > part->length_max) s.n = part->length_max;
    weir_text_add(out, s);
}

void weir_format_print(const struct weir_format *f, const struct weir_request *r, struct weir_str local_reply_body,
                       struct weir_str absent, struct weir_text *out)
{
    struct weir_format_eval e;
    e.request = r;
    e.local_reply_body = local_reply_body;
    e.arena = out->arena;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct weir_format_part *part = &f->parts[i];
        if (part->command == NULL) {
            weir_text_add(out, part->text);
            continue;
        }
        struct weir_format_value v = {.kind = WEIR_FORMAT_ABSENT};
        weir_format_command_value(part, &e, &v);
        print_value(part, &v, absent, out);
    }
}

void weir_format_print_json(const struct weir_format *f, const struct weir_request *r, struct weir_str local_reply_body,
                            struct weir_text *out)
{
    struct weir_text text = {.arena = out->arena};
    if (!weir_format_is_single(f)) {
        weir_format_print(f, r, local_reply_body, WEIR_STR("-"), &text);
        weir_text_add_json_string(out, (struct weir_str){text.p, text.n});
        return;
    }
    struct weir_format_eval e;
    e.request = r;
    e.local_reply_body = local_reply_body;
    e.arena = out->arena;
    struct weir_format_value v = {.kind = WEIR_FORMAT_ABSENT};
    const struct weir_format_part *part = &f->parts[0];
    weir_format_command_value(part, &e, &v);
    if (v.kind == WEIR_FORMAT_ABSENT) {
        weir_text_add(out, WEIR_STR("null"));
    } else if (v.kind == WEIR_FORMAT_NUMBER) {
        print_value(part, &v, WEIR_STR(""), out);
    } else if (v.kind == WEIR_FORMAT_TREE && v.tree->kind != WEIR_VALUE_STRING) {
        weir_text_add_json_value(out, v.tree);
    } else {
        print_value(part, &v, WEIR_STR(""), &text);
        weir_text_add_json_string(out, (struct weir_str){text.p, text.n});
    }
}
