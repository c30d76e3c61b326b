/* Byte-string helpers. Called from everywhere; nothing here allocates or depends on the locale. */
#include "dataplane/base/str.h"

static bool eq_nocase(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (weir_lower(a[i]) != weir_lower(b[i])) return false;
    return true;
}

bool weir_str_eq_nocase(struct weir_str a, struct weir_str b)
{
    return a.n == b.n && eq_nocase(a.p, b.p, a.n);
}

bool weir_str_starts(struct weir_str s, struct weir_str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool weir_str_ends(struct weir_str s, struct weir_str suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n) == 0);
}

bool weir_str_starts_nocase(struct weir_str s, struct weir_str prefix)
{
    return s.n >= prefix.n && eq_nocase(s.p, prefix.p, prefix.n);
}

bool weir_str_ends_nocase(struct weir_str s, struct weir_str suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || eq_nocase(s.p + (s.n - suffix.n), suffix.p, suffix.n));
}

bool weir_str_contains(struct weir_str s, struct weir_str needle)
{
    if (needle.n == 0) return true;
    if (s.n < needle.n) return false;
    return memmem(s.p, s.n, needle.p, needle.n) != NULL;
}

struct weir_str weir_str_trim(struct weir_str s)
{
    while (s.n != 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n != 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

size_t weir_str_find(struct weir_str s, char c)
{
    const char *p = s.n != 0 ? memchr(s.p, c, s.n) : NULL;
    return p != NULL ? (size_t)(p - s.p) : s.n;
}

int weir_str_cmp(struct weir_str a, struct weir_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n != 0 ? memcmp(a.p, b.p, n) : 0;
    if (c != 0) return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

bool weir_str_u64(struct weir_str s, uint64_t *out)
{
    if (s.n == 0) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) || __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) return false;
    }
    *out = v;
    return true;
}

bool weir_str_i64(struct weir_str s, int64_t *out)
{
    bool negative = s.n != 0 && s.p[0] == '-';
    if (negative) s = (struct weir_str){s.p + 1, s.n - 1};
    uint64_t v;
    if (!weir_str_u64(s, &v)) return false;
    if (v > (uint64_t)INT64_MAX + (negative ? 1u : 0u)) return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool weir_str_hex(struct weir_str s, uint64_t *out)
{
    if (s.n == 0) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = weir_lower(s.p[i]);
        uint64_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint64_t)(c - 'a') + 10;
        else
            return false;
        if (v >> 60 != 0) return false;
        v = v << 4 | digit;
    }
    *out = v;
    return true;
}

size_t weir_u64_print(char out[20], uint64_t v)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

/* Length of the well-formed sequence at p (Unicode 15, table 3-7), 0 where there is none. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned char c = p[0];
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return 0;
    size_t length = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (n < length) return 0;
    unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return length;
}

bool weir_utf8_valid(struct weir_str s)
{
    for (size_t i = 0; i < s.n;) {
        size_t n = utf8_sequence((const unsigned char *)s.p + i, s.n - i);
        if (n == 0) return false;
        i += n;
    }
    return true;
}
