/* Byte-string helpers without allocation, ASCII only (RFC 9110 names, numbers, hosts). */
#ifndef WEIR_BASE_STR_H
#define WEIR_BASE_STR_H

#include "dataplane/weir.h"

bool weir_str_eq_nocase(struct weir_str a, struct weir_str b);
bool weir_str_starts(struct weir_str s, struct weir_str prefix);
bool weir_str_ends(struct weir_str s, struct weir_str suffix);
bool weir_str_starts_nocase(struct weir_str s, struct weir_str prefix);
bool weir_str_ends_nocase(struct weir_str s, struct weir_str suffix);
bool weir_str_contains(struct weir_str s, struct weir_str needle);
struct weir_str weir_str_trim(struct weir_str s); /* blanks and tabs at both ends */
/* First index of c, or n. */
size_t weir_str_find(struct weir_str s, char c);
int weir_str_cmp(struct weir_str a, struct weir_str b); /* bytewise, as memcmp, shorter first */
/* Whole string a decimal without sign, no overflow. */
bool weir_str_u64(struct weir_str s, uint64_t *out);
bool weir_str_i64(struct weir_str s, int64_t *out);
bool weir_str_hex(struct weir_str s, uint64_t *out);
/* Decimal digits of v, no NUL; returns the length (at most 20). */
size_t weir_u64_print(char out[20], uint64_t v);
bool weir_utf8_valid(struct weir_str s);
static inline char weir_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

#endif
