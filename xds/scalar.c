/* See scalar.h. No locale, no time zone of the machine: the same text means the same everywhere. */
#include "xds/scalar.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/str.h"

bool weir_scalar_double(struct weir_str s, double *out)
{
    static const struct {
        const char *text;
        double value;
    } words[] = {{"NaN", NAN}, {".nan", NAN}, {".NaN", NAN}, {"Infinity", INFINITY}, {".inf", INFINITY}, {"-Infinity", -INFINITY},
                 {"-.inf", -INFINITY}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!weir_str_eq(s, weir_str_of(words[i].text))) continue;
        *out = words[i].value;
        return true;
    }
    char text[64];
    if (s.n == 0 || s.n >= sizeof(text)) return false;
    for (size_t i = 0; i < s.n; i++)
        if (strchr("+-.0123456789eE", s.p[i]) == NULL || s.p[i] == '\0') return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return *end == '\0' && !(errno == ERANGE && isinf(*out));
}

bool weir_scalar_u64(struct weir_str s, uint64_t *out)
{
    if (s.n > 1 && s.p[0] == '+') s = (struct weir_str){s.p + 1, s.n - 1};
    if (weir_str_u64(s, out)) return true;
    if (s.n > 2 && s.p[0] == '0' && (s.p[1] == 'x' || s.p[1] == 'X')) return weir_str_hex((struct weir_str){s.p + 2, s.n - 2}, out);
    double d;
    if (!weir_scalar_double(s, &d) || !(d >= 0 && d < 18446744073709551616.0) || d != floor(d)) return false;
    *out = (uint64_t)d;
    return true;
}

bool weir_scalar_i64(struct weir_str s, int64_t *out)
{
    if (weir_str_i64(s, out)) return true;
    uint64_t u;
    bool minus = s.n > 1 && s.p[0] == '-';
    if (!weir_scalar_u64(minus ? (struct weir_str){s.p + 1, s.n - 1} : s, &u) || u > (uint64_t)INT64_MAX) return false;
    *out = minus ? -(int64_t)u : (int64_t)u;
    return true;
}

/* ".25" → 250,000,000; false unless one to nine digits. */
static bool fraction(struct weir_str s, int32_t *nanos)
{
    if (s.n < 1 || s.n > 9) return false;
    int32_t v = 0;
    for (size_t i = 0; i < 9; i++) {
        if (i < s.n && (s.p[i] < '0' || s.p[i] > '9')) return false;
        v = v * 10 + (i < s.n ? s.p[i] - '0' : 0);
    }
    *nanos = v;
    return true;
}

bool weir_scalar_duration(struct weir_str s, int64_t *seconds, int32_t *nanos)
{
    if (s.n < 2 || s.p[s.n - 1] != 's') return false;
    s.n--;
    bool minus = s.p[0] == '-';
    if (minus) s = (struct weir_str){s.p + 1, s.n - 1};
    size_t dot = weir_str_find(s, '.');
    uint64_t whole;
    *nanos = 0;
    if (!weir_str_u64((struct weir_str){s.p, dot}, &whole) || whole > 315576000000u) return false;
    if (dot < s.n && !fraction((struct weir_str){s.p + dot + 1, s.n - dot - 1}, nanos)) return false;
    *seconds = minus ? -(int64_t)whole : (int64_t)whole;
    if (minus) *nanos = -*nanos;
    return true;
}

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned of_era = (unsigned)(year - era * 400);
    unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + (int64_t)(of_era * 365 + of_era / 4 - of_era / 100 + of_year) - 719468;
}

static bool digits(struct weir_str s, size_t at, size_t n, uint64_t *out)
{
    return at + n <= s.n && weir_str_u64((struct weir_str){s.p + at, n}, out);
}

bool weir_scalar_timestamp(struct weir_str s, int64_t *seconds, int32_t *nanos)
{
    uint64_t year, month, day, hour, minute, second;
    if (s.n < 20 || !digits(s, 0, 4, &year) || s.p[4] != '-' || !digits(s, 5, 2, &month) || s.p[7] != '-' || !digits(s, 8, 2, &day) ||
        (s.p[10] != 'T' && s.p[10] != 't') || !digits(s, 11, 2, &hour) || s.p[13] != ':' || !digits(s, 14, 2, &minute) ||
        s.p[16] != ':' || !digits(s, 17, 2, &second))
        return false;
    static const uint8_t month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > month_days[month - 1] || hour > 23 || minute > 59 || second > 59)
        return false;
    size_t at = 19;
    *nanos = 0;
    if (s.p[at] == '.') {
        size_t n = 0;
        while (at + 1 + n < s.n && s.p[at + 1 + n] >= '0' && s.p[at + 1 + n] <= '9') n++;
        if (!fraction((struct weir_str){s.p + at + 1, n}, nanos)) return false;
        at += 1 + n;
    }
    int64_t offset = 0;
    if (at + 1 == s.n && (s.p[at] == 'Z' || s.p[at] == 'z')) {
        offset = 0;
    } else {
        uint64_t h, m;
        if (at + 6 != s.n || (s.p[at] != '+' && s.p[at] != '-') || !digits(s, at + 1, 2, &h) || s.p[at + 3] != ':' ||
            !digits(s, at + 4, 2, &m) || h > 23 || m > 59)
            return false;
        offset = (int64_t)(h * 3600 + m * 60) * (s.p[at] == '-' ? -1 : 1);
    }
    *seconds = days_of((int64_t)year, (unsigned)month, (unsigned)day) * 86400 + (int64_t)(hour * 3600 + minute * 60 + second) - offset;
    return true;
}

bool weir_scalar_base64(struct weir_arena *a, struct weir_str s, uint8_t **out, size_t *n)
{
    while (s.n > 0 && s.p[s.n - 1] == '=') s.n--;
    if (s.n % 4 == 1) return false;
    uint8_t *to = weir_arena_alloc(a, s.n / 4 * 3 + 3);
    uint32_t bits = 0, have = 0;
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        uint32_t v;
        if (c >= 'A' && c <= 'Z') v = (uint32_t)(c - 'A');
        else if (c >= 'a' && c <= 'z') v = (uint32_t)(c - 'a') + 26;
        else if (c >= '0' && c <= '9') v = (uint32_t)(c - '0') + 52;
        else if (c == '+' || c == '-') v = 62;
        else if (c == '/' || c == '_') v = 63;
        else return false;
        bits = bits << 6 | v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            to[(*n)++] = (uint8_t)(bits >> have);
        }
    }
    *out = to;
    return true;
}

struct weir_str weir_scalar_base64_print(struct weir_arena *a, const uint8_t *p, size_t n)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *to = weir_arena_alloc(a, (n + 2) / 3 * 4 + 1);
    size_t at = 0;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
        to[at++] = alphabet[v >> 18];
        to[at++] = alphabet[v >> 12 & 63];
        to[at++] = i + 1 < n ? alphabet[v >> 6 & 63] : '=';
        to[at++] = i + 2 < n ? alphabet[v & 63] : '=';
    }
    return (struct weir_str){to, at};
}

static size_t fraction_print(int32_t nanos, char *out, size_t room)
{
    if (nanos < 0) nanos = -nanos;
    if (nanos == 0) return 0;
    if (nanos % 1000000 == 0) return (size_t)snprintf(out, room, ".%03d", nanos / 1000000);
    if (nanos % 1000 == 0) return (size_t)snprintf(out, room, ".%06d", nanos / 1000);
    return (size_t)snprintf(out, room, ".%09d", nanos);
}

void weir_scalar_duration_print(int64_t seconds, int32_t nanos, char out[48])
{
    bool minus = seconds < 0 || nanos < 0;
    int n = snprintf(out, 48, "%s%llu", minus ? "-" : "", (unsigned long long)(seconds < 0 ? -seconds : seconds));
    n += (int)fraction_print(nanos, out + n, 48 - (size_t)n);
    snprintf(out + n, 48 - (size_t)n, "s");
}

void weir_scalar_timestamp_print(int64_t seconds, int32_t nanos, char out[48])
{
    int64_t days = seconds / 86400, of_day = seconds % 86400;
    if (of_day < 0) {
        of_day += 86400;
        days--;
    }
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned of_era = (unsigned)(z - era * 146097);
    unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100), mp = (5 * of_year + 2) / 153;
    unsigned day = of_year - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    long long year = (long long)year_of_era + era * 400 + (month <= 2);
    int n = snprintf(out, 48, "%04lld-%02u-%02uT%02u:%02u:%02u", year, month, day, (unsigned)(of_day / 3600), (unsigned)(of_day / 60 % 60),
                     (unsigned)(of_day % 60));
    n += (int)fraction_print(nanos, out + n, 48 - (size_t)n);
    snprintf(out + n, 48 - (size_t)n, "Z");
}

void weir_scalar_double_print(double v, bool single, char out[40])
{
    if (isnan(v)) snprintf(out, 40, "\"NaN\"");
    else if (isinf(v)) snprintf(out, 40, v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    else {
        for (int digits_n = 6; digits_n <= 17; digits_n++) {
            snprintf(out, 40, "%.*g", digits_n, v);
            double back = strtod(out, NULL);
            if (single ? (float)back == (float)v : back == v) return;
        }
    }
}
