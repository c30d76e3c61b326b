/* Regular expressions in RE2's syntax, linear in time whatever the pattern and the text. A compiled one is constant: any
 * thread may match with it. Texts are bytes of UTF-8; invalid bytes match no character. */
#ifndef WEIR_BASE_REGEX_H
#define WEIR_BASE_REGEX_H

#ifdef __cplusplus
extern "C" {
#endif

#include "dataplane/base/arena.h"
#include "dataplane/base/error.h"

struct weir_regex;

/* program_size_max bounds the compiled program (0: RE2's own memory bound alone), as regex engines of the API do. The error
 * says what is wrong with the pattern. The caller destroys *out; in a resource: weir_regex_compile_into. */
enum weir_err weir_regex_compile(struct weir_str pattern, uint32_t program_size_max, struct weir_error *error,
                                 struct weir_regex **out) WEIR_MUST_USE;
void weir_regex_destroy(struct weir_regex *r); /* NULL is fine */
/* The same; the arena destroys it. */
enum weir_err weir_regex_compile_into(struct weir_arena *arena, struct weir_str pattern, uint32_t program_size_max,
                                      struct weir_error *error, const struct weir_regex **out) WEIR_MUST_USE;

/* Another one of the same pattern, for an owner that outlives this one's arena. */
const struct weir_regex *weir_regex_copy_into(struct weir_arena *arena, const struct weir_regex *r);

bool weir_regex_full_match(const struct weir_regex *r, struct weir_str text);
bool weir_regex_partial_match(const struct weir_regex *r, struct weir_str text);
/* Capturing groups of the pattern. */
int weir_regex_groups(const struct weir_regex *r);
/* Group 0 (the whole match) to count - 1 of the first match anywhere in text; a group that took no part has p NULL. False
 * without a match. */
bool weir_regex_capture(const struct weir_regex *r, struct weir_str text, struct weir_str *groups, int count);

/* Is `rewrite` fit for the pattern: \0 to \9 name groups that exist, \\ is a backslash, nothing else follows one. */
enum weir_err weir_regex_check_rewrite(const struct weir_regex *r, struct weir_str rewrite, struct weir_error *error)
    WEIR_MUST_USE;
/* Every match in text, left to right without overlap, replaced by `rewrite` (checked before). The result lies in the arena,
 * or is `text` itself when nothing matched. */
struct weir_str weir_regex_replace(const struct weir_regex *r, struct weir_str text, struct weir_str rewrite,
                                   struct weir_arena *arena);

#ifdef __cplusplus
}
#endif

#endif
