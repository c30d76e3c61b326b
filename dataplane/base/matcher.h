/* Matchers that the API uses everywhere: of strings, headers, query parameters apart, value trees and metadata. Compiled into
 * the resource's arena, immutable. */
#ifndef WEIR_BASE_MATCHER_H
#define WEIR_BASE_MATCHER_H

#include "dataplane/base/compile.h"
#include "dataplane/base/headers.h"
#include "dataplane/base/metadata.h"

struct weir_regex;

/* type.matcher.v3.StringMatcher. `custom` is refused. */
struct weir_string_matcher {
    enum { WEIR_MATCH_EXACT, WEIR_MATCH_PREFIX, WEIR_MATCH_SUFFIX, WEIR_MATCH_CONTAINS, WEIR_MATCH_REGEX } kind;
    bool ignore_case; /* never with a regex */
    struct weir_str text;
    const struct weir_regex *regex; /* the whole string must match */
};
/* pb: StringMatcher. field, index (negative: singular) name it in errors; field NULL: the path names it already. */
enum weir_err weir_string_matcher_compile(struct weir_compile *c, const char *field, int index, const void *pb,
                                          struct weir_string_matcher *out) WEIR_MUST_USE;
bool weir_string_matcher_match(const struct weir_string_matcher *m, struct weir_str s);
/* type.matcher.v3.RegexMatcher into the arena, bounded by google_re2.max_program_size or re2.max_program_size.error_level. */
enum weir_err weir_regex_matcher_compile(struct weir_compile *c, const char *field, const void *pb,
                                         const struct weir_regex **out) WEIR_MUST_USE;

/* config.route.v3.HeaderMatcher. Each value of a header is tried by itself; a missing one does not match, inverted or not,
 * unless it is treated as empty or only its presence is asked for. */
struct weir_header_matcher {
    enum { WEIR_HEADER_PRESENT, WEIR_HEADER_RANGE, WEIR_HEADER_STRING } kind;
    bool invert, missing_is_empty, present; /* present: what present_match says */
    uint16_t id;
    struct weir_str name; /* lower case */
    int64_t from, to;     /* [from, to) */
    struct weir_string_matcher string;
};
enum weir_err weir_header_matcher_compile(struct weir_compile *c, const char *field, int index, const void *pb,
                                          struct weir_header_matcher *out) WEIR_MUST_USE;
bool weir_header_matcher_match(const struct weir_header_matcher *m, const struct weir_headers *h);
struct weir_header_matchers {
    uint32_t count;
    const struct weir_header_matcher *at;
};
enum weir_err weir_header_matchers_compile(struct weir_compile *c, const char *field, size_t count, void *const *pb,
                                           struct weir_header_matchers *out) WEIR_MUST_USE;
bool weir_header_matchers_all(const struct weir_header_matchers *m, const struct weir_headers *h); /* none: true */

/* type.matcher.v3.ValueMatcher. */
struct weir_value_matcher {
    enum {
        WEIR_MATCH_NULL,
        WEIR_MATCH_NUMBER, /* from == to: exactly, else [from, to) */
        WEIR_MATCH_STRING,
        WEIR_MATCH_BOOL,
        WEIR_MATCH_PRESENT,
        WEIR_MATCH_ONE_OF_LIST, /* an element matches children[0] */
        WEIR_MATCH_ANY_OF,
    } kind;
    bool boolean;
    double from, to;
    struct weir_string_matcher string;
    uint32_t child_count;
    const struct weir_value_matcher *children;
};
enum weir_err weir_value_matcher_compile(struct weir_compile *c, const char *field, const void *pb,
                                         struct weir_value_matcher *out) WEIR_MUST_USE;
bool weir_value_matcher_match(const struct weir_value_matcher *m, const struct weir_value *v); /* v NULL: not there */

/* type.matcher.v3.MetadataMatcher. */
struct weir_metadata_matcher {
    struct weir_str filter;
    uint32_t path_count;
    const struct weir_str *path;
    struct weir_value_matcher value;
    bool invert;
};
enum weir_err weir_metadata_matcher_compile(struct weir_compile *c, const char *field, const void *pb,
                                            struct weir_metadata_matcher *out) WEIR_MUST_USE;
bool weir_metadata_matcher_match(const struct weir_metadata_matcher *m, const struct weir_metadata *metadata);

/* core.v3.RuntimeFractionalPercent; NULL: not configured. A numerator above its denominator hits always. */
struct weir_fraction;
void weir_fraction_compile(struct weir_compile *c, const void *pb, struct weir_fraction *out);

#endif
