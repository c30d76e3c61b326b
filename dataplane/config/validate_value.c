/* The rules of single values; see validate_value.h. */
#include "dataplane/config/validate_value.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/regex.h"
#include "dataplane/base/str.h"

void weir_validator_deinit(struct weir_validator *v)
{
    for (size_t i = 0; i < v->pattern_count; i++)
        weir_regex_destroy(v->patterns[i].regex);
    v->pattern_count = 0;
}

enum weir_err weir_validator_refuse(struct weir_validator *v, const struct weir_pb_path *path, const char *fmt, ...)
{
    char where[WEIR_PB_PATH_TEXT_MAX], what[WEIR_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    weir_pb_path_print(path, where, sizeof where);
    return weir_error_set(v->error, WEIR_ERR_INVALID, "%s: %s", path != NULL ? where : v->root, what);
}

struct weir_seconds weir_seconds_of(const ProtobufCMessage *m)
{
    /* Duration and Timestamp are alike: int64 seconds = 1; int32 nanos = 2. */
    struct weir_seconds t;
    memcpy(&t.seconds, weir_pb_value(m, &m->descriptor->fields[0], 0), sizeof t.seconds);
    memcpy(&t.nanos, weir_pb_value(m, &m->descriptor->fields[1], 0), sizeof t.nanos);
    return t;
}

/* --- numbers */

struct number {
    enum weir_pb_number kind;
    int64_t i;
    uint64_t u;
    double d;
    int32_t nanos; /* of NANOSECONDS: i holds whole seconds */
};

static struct number number_of(const ProtobufCFieldDescriptor *d, const void *value)
{
    struct number n = {.kind = WEIR_PB_SIGNED};
    int32_t i32 = 0;
    float f = 0;
    switch (d->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_ENUM:
        memcpy(&i32, value, sizeof i32);
        n.i = i32;
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        memcpy(&i32, value, sizeof i32);
        n.kind = WEIR_PB_UNSIGNED;
        n.u = (uint32_t)i32;
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        n.kind = WEIR_PB_UNSIGNED;
        memcpy(&n.u, value, sizeof n.u);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        memcpy(&f, value, sizeof f);
        n.kind = WEIR_PB_DOUBLE;
        n.d = (double)f;
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        n.kind = WEIR_PB_DOUBLE;
        memcpy(&n.d, value, sizeof n.d);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        n.i = *(const protobuf_c_boolean *)value != 0;
        break;
    default: /* 64-bit signed */
        memcpy(&n.i, value, sizeof n.i);
    }
    return n;
}

/* Does `n OP bound` hold? A NaN is within no bound. */
static bool holds(const struct number *n, const struct weir_pb_rule *r)
{
    int order;
    switch (n->kind) {
    case WEIR_PB_DOUBLE:
        if (!(n->d < r->value.d) && !(n->d > r->value.d) && !(n->d == r->value.d))
            return false;
        order = (n->d > r->value.d) - (n->d < r->value.d);
        break;
    case WEIR_PB_UNSIGNED:
        order = (n->u > r->value.u) - (n->u < r->value.u);
        break;
    case WEIR_PB_NANOSECONDS: {
        int64_t seconds = r->value.i / 1000000000;
        int32_t nanos = (int32_t)(r->value.i % 1000000000);
        order = (n->i > seconds) - (n->i < seconds);
        if (order == 0)
            order = (n->nanos > nanos) - (n->nanos < nanos);
        break;
    }
    default:
        order = (n->i > r->value.i) - (n->i < r->value.i);
    }
    switch (r->op) {
    case WEIR_PB_OP_GT:
        return order > 0;
    case WEIR_PB_OP_GTE:
        return order >= 0;
    case WEIR_PB_OP_LT:
        return order < 0;
    case WEIR_PB_OP_LTE:
        return order <= 0;
    default: /* NOT_IN */
        return order != 0;
    }
}

static void print_bound(const struct weir_pb_rule *r, char *out, size_t size)
{
    switch ((enum weir_pb_number)r->number) {
    case WEIR_PB_DOUBLE:
        snprintf(out, size, "%g", r->value.d);
        return;
    case WEIR_PB_UNSIGNED:
        snprintf(out, size, "%" PRIu64, r->value.u);
        return;
    case WEIR_PB_SIGNED:
        snprintf(out, size, "%" PRId64, r->value.i);
        return;
    case WEIR_PB_NANOSECONDS: {
        int length = snprintf(out, size, "%" PRId64 ".%09d", r->value.i / 1000000000, (int)(r->value.i % 1000000000));
        while (length > 0 && out[length - 1] == '0')
            length--;
        if (length > 0 && out[length - 1] == '.')
            length--;
        snprintf(out + length, size - (size_t)length, "s");
    }
    }
}

static void print_rule(const struct weir_pb_rule *r, char *out, size_t size)
{
    static const char *const words[] = {
        [WEIR_PB_OP_GT] = "greater than", [WEIR_PB_OP_GTE] = "at least",      [WEIR_PB_OP_LT] = "less than",
        [WEIR_PB_OP_LTE] = "at most",     [WEIR_PB_OP_NOT_IN] = "other than",
    };
    char bound[48];
    print_bound(r, bound, sizeof bound);
    snprintf(out, size, "%s %s", words[r->op], bound);
}

/* The bound at *at, or the two alternatives behind EITHER; moves *at to the last rule that it has read. */
static enum weir_err check_bound(struct weir_validator *v, const struct weir_pb_rule **at, const struct number *n,
                                 const struct weir_pb_path *path)
{
    bool either = (*at)->op == WEIR_PB_OP_EITHER;
    const struct weir_pb_rule *first = *at + either, *second = first + either;
    *at = second;
    if (holds(n, first) || (either && holds(n, second)))
        return WEIR_OK;
    char text[64], other[64];
    print_rule(first, text, sizeof text);
    print_rule(second, other, sizeof other);
    return weir_validator_refuse(v, path, "value must be %s%s%s", text, either ? " or " : "", either ? other : "");
}

struct weir_str weir_value_print(const ProtobufCFieldDescriptor *d, const void *value, char *out, size_t size)
{
    struct number n = number_of(d, value);
    int length = d->type == PROTOBUF_C_TYPE_BOOL ? snprintf(out, size, "%s", n.i != 0 ? "true" : "false")
                 : n.kind == WEIR_PB_DOUBLE      ? snprintf(out, size, "%g", n.d)
                 : n.kind == WEIR_PB_UNSIGNED    ? snprintf(out, size, "%" PRIu64, n.u)
                                                 : snprintf(out, size, "%" PRId64, n.i);
    return (struct weir_str){out, length > 0 ? (size_t)length : 0};
}

/* --- texts */

static size_t characters(struct weir_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

static bool is_header_lenient(struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\0' || s.p[i] == '\n' || s.p[i] == '\r')
            return false;
    return true;
}

static bool is_header_name(struct weir_str s)
{
    size_t i = s.n > 0 && s.p[0] == ':';
    if (i == s.n)
        return false;
    for (; i < s.n; i++) {
        char c = s.p[i];
        bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        /* The comma is no token character of RFC 9110, but the API's pattern takes it. */
        if (!alphanumeric && (c == '\0' || strchr("!#$%&'*+,-.^_|~`", c) == NULL))
            return false;
    }
    return true;
}

static bool is_header_value(struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static const struct weir_regex *pattern_of(struct weir_validator *v, uint32_t text)
{
    for (size_t i = 0; i < v->pattern_count; i++)
        if (v->patterns[i].text == text)
            return v->patterns[i].regex;
    struct weir_regex *regex;
    if (weir_regex_compile(weir_str_of(weir_pb_text(text)), 0, v->error, &regex) != WEIR_OK)
        return NULL;
    size_t at = v->pattern_count;
    if (at == WEIR_VALIDATOR_PATTERNS)
        weir_regex_destroy(v->patterns[--at].regex);
    v->patterns[at].text = text;
    v->patterns[at].regex = regex;
    v->pattern_count = at + 1;
    return regex;
}

static bool is_one_of(const struct weir_pb_rule *r, struct weir_str s)
{
    const char *at = weir_pb_text(r->text);
    for (uint64_t i = 0; i < r->value.u; i++, at += strlen(at) + 1)
        if (weir_str_eq(weir_str_of(at), s))
            return true;
    return false;
}

static enum weir_err refuse_not_one_of(struct weir_validator *v, const struct weir_pb_rule *r, const struct weir_pb_path *path)
{
    char names[512] = "";
    size_t n = 0;
    const char *at = weir_pb_text(r->text);
    for (uint64_t i = 0; i < r->value.u && n < sizeof names; i++, at += strlen(at) + 1) {
        int length = snprintf(names + n, sizeof names - n, "%s\"%s\"", i > 0 ? ", " : "", at);
        n += length > 0 ? (size_t)length : 0;
    }
    return weir_validator_refuse(v, path, "value must be one of %s", names);
}

static enum weir_err check_length(struct weir_validator *v, const struct weir_pb_rule *r, struct weir_str s, bool is_string,
                                  const struct weir_pb_path *path)
{
    bool in_characters = is_string && r->op != WEIR_PB_OP_MAX_BYTES;
    size_t length = in_characters ? characters(s) : s.n;
    bool good = r->op == WEIR_PB_OP_MIN_LEN ? length >= r->value.u : length <= r->value.u;
    if (good)
        return WEIR_OK;
    return weir_validator_refuse(v, path, "value must have at %s %" PRIu64 " %s%s", r->op == WEIR_PB_OP_MIN_LEN ? "least" : "most",
                                 r->value.u, in_characters ? "character" : "byte", r->value.u == 1 ? "" : "s");
}

static enum weir_err check_text(struct weir_validator *v, const struct weir_pb_rule *r, struct weir_str s, bool is_string,
                                const struct weir_pb_path *path)
{
    const char *text = weir_pb_text(r->text);
    switch ((enum weir_pb_op)r->op) {
    case WEIR_PB_OP_MIN_LEN:
    case WEIR_PB_OP_MAX_LEN:
    case WEIR_PB_OP_MAX_BYTES:
        return check_length(v, r, s, is_string, path);
    case WEIR_PB_OP_PREFIX:
        return weir_str_starts(s, weir_str_of(text)) ? WEIR_OK
                                                     : weir_validator_refuse(v, path, "value must begin with \"%s\"", text);
    case WEIR_PB_OP_SUFFIX:
        return weir_str_ends(s, weir_str_of(text)) ? WEIR_OK : weir_validator_refuse(v, path, "value must end in \"%s\"", text);
    case WEIR_PB_OP_PATTERN: {
        const struct weir_regex *regex = pattern_of(v, r->text);
        if (regex == NULL)
            return WEIR_ERR_INVALID;
        return weir_regex_partial_match(regex, s) ? WEIR_OK : weir_validator_refuse(v, path, "value must match \"%s\"", text);
    }
    case WEIR_PB_OP_IN:
        return is_one_of(r, s) ? WEIR_OK : refuse_not_one_of(v, r, path);
    case WEIR_PB_OP_HEADER_NAME:
    case WEIR_PB_OP_HEADER_VALUE: {
        if (r->value.u == 2)
            return is_header_lenient(s) ? WEIR_OK : weir_validator_refuse(v, path, "value must not contain NUL, CR or LF");
        bool name = r->op == WEIR_PB_OP_HEADER_NAME;
        if (name ? is_header_name(s) : is_header_value(s))
            return WEIR_OK;
        return weir_validator_refuse(v, path, name ? "value must be a header name"
                                                   : "value must be a header value, without control characters");
    }
    default:
        return WEIR_OK;
    }
}

static enum weir_err check_enum(struct weir_validator *v, const struct weir_pb_rule *r, const ProtobufCFieldDescriptor *d,
                                int value, const struct weir_pb_path *path)
{
    const ProtobufCEnumDescriptor *type = d->descriptor;
    if (r->op != WEIR_PB_OP_DEFINED_ONLY || protobuf_c_enum_descriptor_get_value(type, value) != NULL)
        return WEIR_OK;
    return weir_validator_refuse(v, path, "value must be one that %s defines, %d is none", type->name, value);
}

/* --- one value */

enum weir_err weir_validate_scalar(struct weir_validator *v, const struct weir_pb_rule *rules, enum weir_pb_scope scope,
                                   const ProtobufCFieldDescriptor *d, const void *value, const struct weir_pb_path *path)
{
    bool is_string = d->type == PROTOBUF_C_TYPE_STRING;
    struct weir_str text = {NULL, 0};
    struct number n = {.kind = WEIR_PB_SIGNED};
    if (is_string) {
        text = weir_str_of(*(char *const *)value);
    } else if (d->type == PROTOBUF_C_TYPE_BYTES) {
        const ProtobufCBinaryData *bytes = value;
        text = (struct weir_str){(const char *)bytes->data, bytes->len};
    } else {
        n = number_of(d, value);
    }
    if (d->type == PROTOBUF_C_TYPE_ENUM && (weir_pb_enum_flags(d->descriptor, (int)n.i) & WEIR_PB_DISALLOWED))
        return weir_validator_refuse(v, path, "the API no longer allows this value");
    for (const struct weir_pb_rule *r = rules; r->op != WEIR_PB_OP_END; r++) {
        if (r->scope != scope)
            continue;
        enum weir_err err = WEIR_OK;
        if (r->op == WEIR_PB_OP_IGNORE_EMPTY) {
            if (text.n == 0 && n.i == 0 && n.u == 0 && n.d == 0)
                return WEIR_OK;
        } else if (r->op == WEIR_PB_OP_IS_TRUE) {
            if (n.i == 0)
                err = weir_validator_refuse(v, path, "value must be true");
        } else if (r->op == WEIR_PB_OP_DEFINED_ONLY) {
            err = check_enum(v, r, d, (int)n.i, path);
        } else if ((r->op >= WEIR_PB_OP_GT && r->op <= WEIR_PB_OP_NOT_IN) || r->op == WEIR_PB_OP_EITHER) {
            err = check_bound(v, &r, &n, path);
        } else {
            err = check_text(v, r, text, is_string, path);
        }
        if (err != WEIR_OK)
            return err;
    }
    return WEIR_OK;
}

enum weir_err weir_validate_duration(struct weir_validator *v, const struct weir_pb_rule *rules, enum weir_pb_scope scope,
                                     const ProtobufCMessage *duration, const struct weir_pb_path *path)
{
    struct weir_seconds t = weir_seconds_of(duration);
    struct number n = {.kind = WEIR_PB_NANOSECONDS, .i = t.seconds, .nanos = t.nanos};
    for (const struct weir_pb_rule *r = rules; r->op != WEIR_PB_OP_END; r++) {
        if (r->scope != scope || r->number != WEIR_PB_NANOSECONDS)
            continue;
        enum weir_err err = check_bound(v, &r, &n, path);
        if (err != WEIR_OK)
            return err;
    }
    return WEIR_OK;
}

/* --- lists */

enum weir_err weir_validate_count(struct weir_validator *v, const struct weir_pb_rule *rules, size_t count,
                                  const struct weir_pb_path *path)
{
    for (const struct weir_pb_rule *r = rules; r->op != WEIR_PB_OP_END; r++) {
        bool least = r->op == WEIR_PB_OP_MIN_ITEMS || r->op == WEIR_PB_OP_MIN_PAIRS;
        if (!least && r->op != WEIR_PB_OP_MAX_ITEMS)
            continue;
        if (least ? count < r->value.u : count > r->value.u)
            return weir_validator_refuse(v, path, "value must have at %s %" PRIu64 " %s%s", least ? "least" : "most", r->value.u,
                                         r->op == WEIR_PB_OP_MIN_PAIRS ? "entr" : "element",
                                         r->op == WEIR_PB_OP_MIN_PAIRS ? (r->value.u == 1 ? "y" : "ies")
                                                                       : (r->value.u == 1 ? "" : "s"));
    }
    return WEIR_OK;
}

static int order_views(const void *a, const void *b)
{
    return weir_str_cmp(*(const struct weir_str *)a, *(const struct weir_str *)b);
}

enum weir_err weir_validate_unique(struct weir_validator *v, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *d,
                                   size_t count, const struct weir_pb_path *path)
{
    if (count < 2)
        return WEIR_OK;
    struct weir_str *views = malloc(count * sizeof *views);
    if (views == NULL)
        return weir_validator_refuse(v, path, "no memory to compare %zu elements", count);
    for (size_t i = 0; i < count; i++) {
        const void *value = weir_pb_value(m, d, i);
        views[i] = d->type == PROTOBUF_C_TYPE_STRING ? weir_str_of(*(char *const *)value)
                                                     : (struct weir_str){value, weir_pb_value_size(d->type)};
    }
    qsort(views, count, sizeof *views, order_views);
    enum weir_err err = WEIR_OK;
    for (size_t i = 1; i < count && err == WEIR_OK; i++)
        if (weir_str_eq(views[i - 1], views[i]))
            err = d->type == PROTOBUF_C_TYPE_STRING
                      ? weir_validator_refuse(v, path, "value must not have an element twice: \"%.*s\"", WEIR_STR_ARG(views[i]))
                      : weir_validator_refuse(v, path, "value must not have an element twice");
    free(views);
    return err;
}
