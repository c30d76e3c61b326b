/* Matchers: compiled where configuration is, asked on workers. */
#include "dataplane/base/matcher.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/base/regex.h"
#include "dataplane/base/runtime.h"
#include "dataplane/base/str.h"
#include "dataplane/limits.h"

static size_t push(struct weir_compile *c, const char *field, int index)
{
    return field != NULL ? weir_path_push(c, field, index) : c->path_length;
}

enum weir_err weir_regex_matcher_compile(struct weir_compile *c, const char *field, const void *pb, const struct weir_regex **out)
{
    const pb_regex_matcher *m = pb;
    uint64_t bound = weir_runtime_u64(c->runtime, WEIR_STR("re2.max_program_size.error_level"), WEIR_REGEX_PROGRAM_SIZE_DEFAULT);
    if (m->google_re2 != NULL && m->google_re2->max_program_size != NULL) bound = m->google_re2->max_program_size->value;
    struct weir_error error = {0};
    struct weir_str pattern = weir_str_of(m->regex);
    if (weir_regex_compile_into(c->arena, pattern, bound < UINT32_MAX ? (uint32_t)bound : UINT32_MAX, &error, out) != WEIR_OK)
        return weir_reject(c, field, "%s", error.text);
    return WEIR_OK;
}

static enum weir_err string_compile(struct weir_compile *c, const pb_string_matcher *pb, struct weir_string_matcher *out)
{
    *out = (struct weir_string_matcher){.ignore_case = pb->ignore_case};
    switch (pb->match_pattern_case) {
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_EXACT:
        out->kind = WEIR_MATCH_EXACT;
        out->text = weir_compile_str(c, pb->exact);
        return WEIR_OK;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_PREFIX:
        out->kind = WEIR_MATCH_PREFIX;
        out->text = weir_compile_str(c, pb->prefix);
        return WEIR_OK;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SUFFIX:
        out->kind = WEIR_MATCH_SUFFIX;
        out->text = weir_compile_str(c, pb->suffix);
        return WEIR_OK;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_CONTAINS:
        out->kind = WEIR_MATCH_CONTAINS;
        out->text = weir_compile_str(c, pb->contains);
        return WEIR_OK;
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX:
        if (pb->ignore_case) return weir_reject(c, "ignore_case", "has no effect on safe_regex: write (?i) into the pattern");
        out->kind = WEIR_MATCH_REGEX;
        return weir_regex_matcher_compile(c, "safe_regex", pb->safe_regex, &out->regex);
    case ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN_CUSTOM:
        return weir_reject(c, "custom", "custom string matchers are not supported");
    default: return weir_reject(c, NULL, "says nothing to match");
    }
}

enum weir_err weir_string_matcher_compile(struct weir_compile *c, const char *field, int index, const void *pb,
                                          struct weir_string_matcher *out)
{
    size_t mark = push(c, field, index);
    enum weir_err err = string_compile(c, pb, out);
    weir_path_pop(c, mark);
    return err;
}

static bool contains_nocase(struct weir_str s, struct weir_str needle)
{
    for (size_t i = 0; i + needle.n <= s.n; i++)
        if (weir_str_starts_nocase((struct weir_str){s.p + i, s.n - i}, needle)) return true;
    return needle.n == 0;
}

bool weir_string_matcher_match(const struct weir_string_matcher *m, struct weir_str s)
{
    switch (m->kind) {
    case WEIR_MATCH_EXACT: return m->ignore_case ? weir_str_eq_nocase(s, m->text) : weir_str_eq(s, m->text);
    case WEIR_MATCH_PREFIX: return m->ignore_case ? weir_str_starts_nocase(s, m->text) : weir_str_starts(s, m->text);
    case WEIR_MATCH_SUFFIX: return m->ignore_case ? weir_str_ends_nocase(s, m->text) : weir_str_ends(s, m->text);
    case WEIR_MATCH_CONTAINS: return m->ignore_case ? contains_nocase(s, m->text) : weir_str_contains(s, m->text);
    case WEIR_MATCH_REGEX: return weir_regex_full_match(m->regex, s);
    }
    return false;
}

static struct weir_str lower_name(struct weir_compile *c, const char *z)
{
    struct weir_str s = weir_compile_str(c, z);
    char *p = (char *)(uintptr_t)s.p;
    for (size_t i = 0; i < s.n; i++)
        p[i] = weir_lower(p[i]);
    return s;
}

static enum weir_err header_compile(struct weir_compile *c, const pb_header_matcher *pb, struct weir_header_matcher *out)
{
    *out = (struct weir_header_matcher){.kind = WEIR_HEADER_STRING, .invert = pb->invert_match};
    out->missing_is_empty = pb->treat_missing_header_as_empty;
    out->name = lower_name(c, pb->name);
    out->id = (uint16_t)weir_header_id(out->name);
    switch (pb->header_match_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH:
        return weir_string_matcher_compile(c, "string_match", -1, pb->string_match, &out->string);
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_EXACT_MATCH:
        out->string = (struct weir_string_matcher){.kind = WEIR_MATCH_EXACT, .text = weir_compile_str(c, pb->exact_match)};
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PREFIX_MATCH:
        out->string = (struct weir_string_matcher){.kind = WEIR_MATCH_PREFIX, .text = weir_compile_str(c, pb->prefix_match)};
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SUFFIX_MATCH:
        out->string = (struct weir_string_matcher){.kind = WEIR_MATCH_SUFFIX, .text = weir_compile_str(c, pb->suffix_match)};
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_CONTAINS_MATCH:
        out->string = (struct weir_string_matcher){.kind = WEIR_MATCH_CONTAINS, .text = weir_compile_str(c, pb->contains_match)};
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SAFE_REGEX_MATCH:
        out->string.kind = WEIR_MATCH_REGEX;
        return weir_regex_matcher_compile(c, "safe_regex_match", pb->safe_regex_match, &out->string.regex);
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_RANGE_MATCH:
        out->kind = WEIR_HEADER_RANGE;
        out->from = pb->range_match->start;
        out->to = pb->range_match->end;
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH:
        out->kind = WEIR_HEADER_PRESENT;
        out->present = pb->present_match;
        return WEIR_OK;
    default:
        out->kind = WEIR_HEADER_PRESENT;
        out->present = true;
        return WEIR_OK;
    }
}

enum weir_err weir_header_matcher_compile(struct weir_compile *c, const char *field, int index, const void *pb,
                                          struct weir_header_matcher *out)
{
    size_t mark = push(c, field, index);
    enum weir_err err = header_compile(c, pb, out);
    weir_path_pop(c, mark);
    return err;
}

static bool value_matches(const struct weir_header_matcher *m, struct weir_str value)
{
    if (m->kind == WEIR_HEADER_STRING) return weir_string_matcher_match(&m->string, value);
    int64_t v;
    return weir_str_i64(value, &v) && v >= m->from && v < m->to;
}

static bool named(const struct weir_header_matcher *m, const struct weir_header *h)
{
    if (m->id != WEIR_H_NONE) {
        /* A request carries one of the two; a rule on either means it. */
        if (m->id == WEIR_H_HOST && h->id == WEIR_H_AUTHORITY) return true;
        return h->id == m->id;
    }
    return h->id == WEIR_H_NONE && weir_str_eq(h->name, m->name);
}

bool weir_header_matcher_match(const struct weir_header_matcher *m, const struct weir_headers *h)
{
    bool found = false, matched = false;
    for (uint32_t i = 0; i < h->count && !matched; i++) {
        if (!named(m, &h->at[i])) continue;
        found = true;
        if (m->kind == WEIR_HEADER_PRESENT) break;
        matched = value_matches(m, h->at[i].value);
    }
    if (m->kind == WEIR_HEADER_PRESENT) return (found == m->present) != m->invert;
    if (!found) {
        if (!m->missing_is_empty) return false;
        matched = value_matches(m, WEIR_STR(""));
    }
    return matched != m->invert;
}

enum weir_err weir_header_matchers_compile(struct weir_compile *c, const char *field, size_t count, void *const *pb,
                                           struct weir_header_matchers *out)
{
    struct weir_header_matcher *at = weir_new(c, struct weir_header_matcher, count);
    *out = (struct weir_header_matchers){(uint32_t)count, at};
    for (size_t i = 0; i < count; i++) {
        enum weir_err err = weir_header_matcher_compile(c, field, (int)i, pb[i], &at[i]);
        if (err != WEIR_OK) return err;
    }
    return WEIR_OK;
}

bool weir_header_matchers_all(const struct weir_header_matchers *m, const struct weir_headers *h)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (!weir_header_matcher_match(&m->at[i], h)) return false;
    return true;
}

static enum weir_err number_compile(struct weir_compile *c, const Envoy__Type__Matcher__V3__DoubleMatcher *pb,
                                    struct weir_value_matcher *out)
{
    out->kind = WEIR_MATCH_NUMBER;
    if (pb->match_pattern_case == ENVOY__TYPE__MATCHER__V3__DOUBLE_MATCHER__MATCH_PATTERN_EXACT) {
        out->from = out->to = pb->exact;
        return WEIR_OK;
    }
    if (pb->range == NULL) return weir_reject(c, "double_match", "says nothing to match");
    out->from = pb->range->start;
    out->to = pb->range->end;
    /* An empty range must not read as an exact number. */
    return out->from < out->to ? WEIR_OK : weir_reject(c, "double_match.range", "holds no number");
}

static enum weir_err value_compile(struct weir_compile *c, const pb_value_matcher *pb, struct weir_value_matcher *out);

static enum weir_err children_compile(struct weir_compile *c, const char *field, size_t count, pb_value_matcher *const *pb,
                                      struct weir_value_matcher *out)
{
    struct weir_value_matcher *children = weir_new(c, struct weir_value_matcher, count);
    out->children = children;
    out->child_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        size_t mark = weir_path_push(c, field, (int)i);
        enum weir_err err = value_compile(c, pb[i], &children[i]);
        weir_path_pop(c, mark);
        if (err != WEIR_OK) return err;
    }
    return WEIR_OK;
}

static enum weir_err value_compile(struct weir_compile *c, const pb_value_matcher *pb, struct weir_value_matcher *out)
{
    *out = (struct weir_value_matcher){.kind = WEIR_MATCH_NULL};
    switch (pb->match_pattern_case) {
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_NULL_MATCH: return WEIR_OK;
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_DOUBLE_MATCH: return number_compile(c, pb->double_match, out);
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_STRING_MATCH:
        out->kind = WEIR_MATCH_STRING;
        return weir_string_matcher_compile(c, "string_match", -1, pb->string_match, &out->string);
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_BOOL_MATCH:
        out->kind = WEIR_MATCH_BOOL;
        out->boolean = pb->bool_match;
        return WEIR_OK;
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_PRESENT_MATCH:
        out->kind = WEIR_MATCH_PRESENT;
        out->boolean = pb->present_match;
        return WEIR_OK;
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_LIST_MATCH:
        out->kind = WEIR_MATCH_ONE_OF_LIST;
        if (pb->list_match->one_of == NULL) return weir_reject(c, "list_match", "says nothing to match");
        return children_compile(c, "list_match.one_of", 1, &pb->list_match->one_of, out);
    case ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_OR_MATCH:
        out->kind = WEIR_MATCH_ANY_OF;
        return children_compile(c, "or_match.value_matchers", pb->or_match->n_value_matchers, pb->or_match->value_matchers, out);
    default: return weir_reject(c, NULL, "says nothing to match");
    }
}

enum weir_err weir_value_matcher_compile(struct weir_compile *c, const char *field, const void *pb, struct weir_value_matcher *out)
{
    size_t mark = push(c, field, -1);
    enum weir_err err = value_compile(c, pb, out);
    weir_path_pop(c, mark);
    return err;
}

bool weir_value_matcher_match(const struct weir_value_matcher *m, const struct weir_value *v)
{
    if (m->kind == WEIR_MATCH_PRESENT) return (v != NULL) == m->boolean;
    if (v == NULL) return false;
    switch (m->kind) {
    case WEIR_MATCH_NULL: return v->kind == WEIR_VALUE_NULL;
    case WEIR_MATCH_NUMBER:
        if (v->kind != WEIR_VALUE_NUMBER) return false;
        return m->from == m->to ? v->number == m->from : v->number >= m->from && v->number < m->to;
    case WEIR_MATCH_STRING: return v->kind == WEIR_VALUE_STRING && weir_string_matcher_match(&m->string, v->string);
    case WEIR_MATCH_BOOL: return v->kind == WEIR_VALUE_BOOL && v->boolean == m->boolean;
    case WEIR_MATCH_ONE_OF_LIST:
        for (uint32_t i = 0; v->kind == WEIR_VALUE_LIST && i < v->list.count; i++)
            if (weir_value_matcher_match(&m->children[0], &v->list.at[i])) return true;
        return false;
    case WEIR_MATCH_ANY_OF:
        for (uint32_t i = 0; i < m->child_count; i++)
            if (weir_value_matcher_match(&m->children[i], v)) return true;
        return false;
    case WEIR_MATCH_PRESENT: break;
    }
    return false;
}

enum weir_err weir_metadata_matcher_compile(struct weir_compile *c, const char *field, const void *pb,
                                            struct weir_metadata_matcher *out)
{
    const pb_metadata_matcher *m = pb;
    size_t mark = push(c, field, -1);
    struct weir_str *path = weir_new(c, struct weir_str, m->n_path);
    for (size_t i = 0; i < m->n_path; i++)
        path[i] = weir_compile_str(c, m->path[i]->key);
    *out = (struct weir_metadata_matcher){.filter = weir_compile_str(c, m->filter), .path = path, .invert = m->invert};
    out->path_count = (uint32_t)m->n_path;
    enum weir_err err = m->value != NULL ? weir_value_matcher_compile(c, "value", m->value, &out->value)
                                         : weir_reject(c, "value", "is required");
    weir_path_pop(c, mark);
    return err;
}

bool weir_metadata_matcher_match(const struct weir_metadata_matcher *m, const struct weir_metadata *metadata)
{
    const struct weir_value *v = weir_metadata_find(metadata, m->filter, m->path, m->path_count);
    return weir_value_matcher_match(&m->value, v) != m->invert;
}

void weir_fraction_compile(struct weir_compile *c, const void *pb, struct weir_fraction *out)
{
    static const uint32_t denominators[] = {100, 10000, 1000000};
    const pb_runtime_fractional_percent *p = pb;
    *out = (struct weir_fraction){0};
    if (p == NULL) return;
    out->runtime_key = weir_compile_str(c, p->runtime_key);
    out->denominator = 100;
    if (p->default_value == NULL) return;
    out->numerator = p->default_value->numerator;
    if ((size_t)p->default_value->denominator < sizeof(denominators) / sizeof(denominators[0]))
        out->denominator = denominators[p->default_value->denominator];
}
