/* JSON (RFC 8259) to tree. Own reader, since libyaml refuses surrogate pairs in escapes and jansson gives no place for a
 * value. Strict: no comments, no trailing commas, no duplicate keys. */
#include <stdio.h>

#include "dataplane/base/map.h"
#include "dataplane/base/str.h"
#include "dataplane/limits.h"
#include "xds/tree.h"

struct json {
    struct weir_arena *arena;
    const char *file;
    struct weir_error *error;
    const char *at, *end, *line_start;
    uint32_t line;
    uint64_t nodes;
};

static enum weir_err fail(struct json *j, const char *what)
{
    return weir_error_set(j->error, WEIR_ERR_INVALID, "%s:%u:%u: %s", j->file, j->line, (unsigned)(j->at - j->line_start) + 1, what);
}

static void blanks(struct json *j)
{
    for (; j->at < j->end; j->at++) {
        if (*j->at == '\n') {
            j->line++;
            j->line_start = j->at + 1;
        } else if (*j->at != ' ' && *j->at != '\t' && *j->at != '\r') {
            return;
        }
    }
}

static struct weir_tree *node_new(struct json *j, enum weir_tree_kind kind)
{
    struct weir_tree *n = WEIR_NEW(j->arena, struct weir_tree, 1);
    n->kind = kind;
    n->line = j->line;
    n->column = (uint32_t)(j->at - j->line_start) + 1;
    n->expanded = 1;
    j->nodes++;
    return n;
}

static bool hex4(struct json *j, uint32_t *out)
{
    uint64_t v;
    if (j->end - j->at < 4 || !weir_str_hex((struct weir_str){j->at, 4}, &v)) return false;
    j->at += 4;
    *out = (uint32_t)v;
    return true;
}

static size_t utf8_put(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 63));
        to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}

static enum weir_err escape(struct json *j, char *to, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    if (j->at == j->end) return fail(j, "string without end");
    char c = *j->at++;
    const char *known = c != '\0' ? strchr(from, c) : NULL;
    if (known != NULL) {
        to[(*n)++] = into[known - from];
        return WEIR_OK;
    }
    uint32_t u, low;
    if (c != 'u' || !hex4(j, &u)) return fail(j, "unknown escape in a string");
    if (u >= 0xd800 && u < 0xdc00) {
        if (j->end - j->at < 2 || j->at[0] != '\\' || j->at[1] != 'u') return fail(j, "half of a surrogate pair");
        j->at += 2;
        if (!hex4(j, &low) || low < 0xdc00 || low > 0xdfff) return fail(j, "half of a surrogate pair");
        u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
    } else if (u >= 0xdc00 && u < 0xe000) {
        return fail(j, "half of a surrogate pair");
    }
    *n += utf8_put(to + *n, u);
    return WEIR_OK;
}

/* j->at stands behind the opening quote. */
static enum weir_err string(struct json *j, struct weir_str *out)
{
    const char *scan = j->at;
    while (scan < j->end && *scan != '"') scan += *scan == '\\' && scan + 1 < j->end ? 2 : 1;
    if (scan >= j->end) return fail(j, "string without end");
    char *to = weir_arena_alloc(j->arena, (size_t)(scan - j->at) + 1); /* no escape is longer than its text */
    size_t n = 0;
    while (*j->at != '"') {
        if ((unsigned char)*j->at < 0x20) return fail(j, "control character in a string");
        if (*j->at != '\\') {
            to[n++] = *j->at++;
            continue;
        }
        j->at++;
        enum weir_err err = escape(j, to, &n);
        if (err != WEIR_OK) return err;
    }
    j->at++;
    *out = (struct weir_str){to, n};
    return weir_utf8_valid(*out) ? WEIR_OK : fail(j, "string is not valid UTF-8");
}

static bool number_valid(struct weir_str s)
{
    size_t i = 0;
    if (i < s.n && s.p[i] == '-') i++;
    size_t digits = i;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') i++;
    if (i == digits || (s.p[digits] == '0' && i - digits > 1)) return false;
    if (i < s.n && s.p[i] == '.') {
        size_t fraction = ++i;
        while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') i++;
        if (i == fraction) return false;
    }
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.n && (s.p[i] == '+' || s.p[i] == '-')) i++;
        size_t exponent = i;
        while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') i++;
        if (i == exponent) return false;
    }
    return i == s.n;
}

static enum weir_err word(struct json *j, const struct weir_tree **out)
{
    struct weir_tree *n = node_new(j, WEIR_TREE_SCALAR);
    const char *start = j->at;
    while (j->at < j->end && strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", *j->at) != NULL && *j->at != '\0')
        j->at++;
    struct weir_str s = {start, (size_t)(j->at - start)};
    n->text = weir_arena_str(j->arena, s);
    *out = n;
    if (weir_str_eq(s, WEIR_STR("null"))) {
        n->kind = WEIR_TREE_NULL;
        return WEIR_OK;
    }
    if (weir_str_eq(s, WEIR_STR("true")) || weir_str_eq(s, WEIR_STR("false")) || number_valid(s)) return WEIR_OK;
    j->at = start;
    return fail(j, "a JSON value was expected");
}

static enum weir_err value(struct json *j, uint32_t depth, const struct weir_tree **out);

static enum weir_err list(struct json *j, uint32_t depth, const struct weir_tree **out)
{
    struct weir_tree *n = node_new(j, WEIR_TREE_LIST);
    *out = n;
    j->at++;
    blanks(j);
    if (j->at < j->end && *j->at == ']') {
        j->at++;
        return WEIR_OK;
    }
    for (;;) {
        const struct weir_tree *item = NULL;
        enum weir_err err = value(j, depth + 1, &item);
        if (err != WEIR_OK) return err;
        n->items = weir_tree_grow(j->arena, n->items, n->count, sizeof(*n->items));
        n->items[n->count++] = item;
        n->expanded += item->expanded;
        if (j->at < j->end && *j->at == ',') {
            j->at++;
            continue;
        }
        if (j->at == j->end || *j->at != ']') return fail(j, "',' or ']' was expected");
        j->at++;
        return WEIR_OK;
    }
}

static enum weir_err entry(struct json *j, uint32_t depth, struct weir_tree *n, struct weir_map *own)
{
    blanks(j);
    if (j->at == j->end || *j->at != '"') return fail(j, "a key in quotes was expected");
    struct weir_tree *key = node_new(j, WEIR_TREE_SCALAR);
    key->quoted = true;
    j->at++;
    enum weir_err err = string(j, &key->text);
    if (err != WEIR_OK) return err;
    if (weir_map_set(own, key->text, key) != NULL) return fail(j, "key is given twice in one object");
    blanks(j);
    if (j->at == j->end || *j->at != ':') return fail(j, "':' was expected");
    j->at++;
    const struct weir_tree *v = NULL;
    err = value(j, depth + 1, &v);
    if (err != WEIR_OK) return err;
    n->entries = weir_tree_grow(j->arena, n->entries, n->count, sizeof(*n->entries));
    n->entries[n->count++] = (struct weir_tree_entry){key, v};
    n->expanded += 1 + v->expanded;
    return WEIR_OK;
}

static enum weir_err object(struct json *j, uint32_t depth, const struct weir_tree **out)
{
    struct weir_tree *n = node_new(j, WEIR_TREE_MAP);
    struct weir_map own = {0};
    enum weir_err err = WEIR_OK;
    *out = n;
    j->at++;
    blanks(j);
    bool more = j->at == j->end || *j->at != '}';
    if (!more) j->at++;
    while (more && err == WEIR_OK) {
        err = entry(j, depth, n, &own);
        if (err != WEIR_OK) break;
        if (j->at < j->end && *j->at == ',') {
            j->at++;
            continue;
        }
        more = false;
        if (j->at == j->end || *j->at != '}') err = fail(j, "',' or '}' was expected");
        else j->at++;
    }
    weir_map_deinit(&own);
    return err;
}

static enum weir_err value(struct json *j, uint32_t depth, const struct weir_tree **out)
{
    blanks(j);
    if (depth > WEIR_YAML_DEPTH_MAX) return fail(j, "nested too deeply");
    if (j->nodes > WEIR_YAML_NODES_MAX) return fail(j, "document is too large");
    if (j->at == j->end) return fail(j, "a JSON value was expected");
    enum weir_err err;
    if (*j->at == '{') {
        err = object(j, depth, out);
    } else if (*j->at == '[') {
        err = list(j, depth, out);
    } else if (*j->at == '"') {
        struct weir_tree *n = node_new(j, WEIR_TREE_SCALAR);
        n->quoted = true;
        *out = n;
        j->at++;
        err = string(j, &n->text);
    } else {
        err = word(j, out);
    }
    blanks(j);
    return err;
}

enum weir_err weir_json_parse(struct weir_arena *a, const char *file, struct weir_str bytes, const struct weir_tree **document,
                              struct weir_error *e)
{
    struct json j = {.arena = a, .file = file, .error = e, .at = bytes.p, .end = bytes.p + bytes.n, .line_start = bytes.p, .line = 1};
    if (bytes.n > WEIR_YAML_BYTES_MAX) return weir_error_set(e, WEIR_ERR_LIMIT, "%s: larger than %u bytes", file, WEIR_YAML_BYTES_MAX);
    if (bytes.n == 0) return weir_error_set(e, WEIR_ERR_INVALID, "%s:1:1: a JSON value was expected", file);
    enum weir_err err = value(&j, 0, document);
    if (err == WEIR_OK && j.at != j.end) err = fail(&j, "text after the end of the JSON value");
    return err;
}
