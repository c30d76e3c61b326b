/* Times in formats. The default form is printed without the C library: it is on every line of an access log. */
#include <stdio.h>
#include <time.h>

#include "dataplane/base/format_command.h"
#include "dataplane/base/str.h"

#define SECOND_NS 1000000000u

static void digits(char *out, uint64_t v, size_t n)
{
    while (n != 0) {
        out[--n] = (char)('0' + v % 10);
        v /= 10;
    }
}

/* Days since 1970-01-01 to a date of the Gregorian calendar, by eras of 400 years that begin on 1 March. */
static void civil(uint64_t days, uint64_t *year, uint64_t *month, uint64_t *day)
{
    days += 719468;
    uint64_t era = days / 146097, of_era = days % 146097;
    uint64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t shifted = (5 * of_year + 2) / 153;
    *day = of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

static size_t print_default(uint64_t wall_ns, char *out, size_t size)
{
    static const char form[] = "0000-00-00T00:00:00.000Z";
    if (size < sizeof(form)) return 0;
    memcpy(out, form, sizeof(form));
    uint64_t seconds = wall_ns / SECOND_NS, year, month, day;
    civil(seconds / 86400, &year, &month, &day);
    digits(out, year, 4);
    digits(out + 5, month, 2);
    digits(out + 8, day, 2);
    digits(out + 11, seconds / 3600 % 24, 2);
    digits(out + 14, seconds / 60 % 60, 2);
    digits(out + 17, seconds % 60, 2);
    digits(out + 20, wall_ns / 1000000 % 1000, 3);
    return sizeof(form) - 1;
}

struct printer {
    char *out;
    size_t n, size;
    uint64_t wall_ns;
    struct tm tm;
};

static void add(struct printer *p, const char *text, size_t n)
{
    if (n > p->size - p->n) n = p->size - p->n;
    memcpy(p->out + p->n, text, n);
    p->n += n;
}

static void add_fraction(struct printer *p, unsigned count)
{
    char nine[9];
    digits(nine, p->wall_ns % SECOND_NS, sizeof(nine));
    add(p, nine, count);
}

static void add_strftime(struct printer *p, char flag)
{
    char out[64];
    const char spec[] = {'%', flag, '\0'};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(out, sizeof(out), spec, &p->tm);
#pragma GCC diagnostic pop
    add(p, out, n);
}

/* Digits of the fraction without trailing zeros: what "*" asks for. */
static unsigned all_digits(uint64_t wall_ns)
{
    uint64_t rest = wall_ns % SECOND_NS;
    unsigned n = 9;
    while (n != 0 && rest % 10 == 0) {
        rest /= 10;
        n--;
    }
    return n;
}

/* What follows "%E". Returns the characters used, 0 where it is no form of it. p NULL: only looks. */
static size_t extended(struct printer *p, struct weir_str s)
{
    if (s.n >= 1 && s.p[0] == 'z') {
        if (p == NULL) return 1;
        char zone[16];
        size_t n = strftime(zone, sizeof(zone), "%z", &p->tm);
        if (n == 5) {
            add(p, zone, 3);
            add(p, ":", 1);
            add(p, zone + 3, 2);
        }
        return 1;
    }
    if (s.n >= 2 && s.p[0] == '4' && s.p[1] == 'Y') {
        if (p != NULL) add_strftime(p, 'Y');
        return 2;
    }
    if (s.n < 2 || !(s.p[0] == '*' || (s.p[0] >= '0' && s.p[0] <= '9')) || (s.p[1] != 'S' && s.p[1] != 'f')) return 0;
    if (p == NULL) return 2;
    unsigned count = s.p[0] == '*' ? all_digits(p->wall_ns) : (unsigned)(s.p[0] - '0');
    if (s.p[1] == 'S') {
        add_strftime(p, 'S');
        if (count != 0) add(p, ".", 1);
    }
    add_fraction(p, count);
    return 2;
}

/* The specification after a "%": characters used, 0 where unknown. p NULL: only looks. */
static size_t specification(struct printer *p, struct weir_str s)
{
    if (s.n == 0) return 0;
    char c = s.p[0];
    if (c == 'E') {
        size_t n = extended(p, (struct weir_str){s.p + 1, s.n - 1});
        return n != 0 ? n + 1 : 0;
    }
    if (c >= '1' && c <= '9') {
        if (s.n < 2 || s.p[1] != 'f') return 0;
        if (p != NULL) add_fraction(p, (unsigned)(c - '0'));
        return 2;
    }
    if (memchr("aAbBcCdDeFgGhHIjmMnprRsStTuUVwWxXyYzZ%f", c, 39) == NULL) return 0;
    if (p == NULL) return 1;
    if (c == 'f')
        add_fraction(p, 9);
    else if (c == 's') {
        char number[20];
        add(p, number, weir_u64_print(number, p->wall_ns / SECOND_NS));
    } else
        add_strftime(p, c);
    return 1;
}

bool weir_time_format_valid(struct weir_str format)
{
    for (size_t i = 0; i < format.n; i++) {
        if (format.p[i] == '\n' || format.p[i] == '\0') return false;
        if (format.p[i] != '%') continue;
        size_t n = specification(NULL, (struct weir_str){format.p + i + 1, format.n - i - 1});
        if (n == 0) return false;
        i += n;
    }
    return true;
}

size_t weir_time_print(struct weir_str format, uint64_t wall_ns, bool local, char *out, size_t size)
{
    if (format.p == NULL && !local) return print_default(wall_ns, out, size);
    if (format.p == NULL) format = WEIR_STR("%Y-%m-%dT%H:%M:%E3S%z");
    struct printer p = {.out = out, .size = size - 1, .wall_ns = wall_ns};
    time_t seconds = (time_t)(wall_ns / SECOND_NS);
    if (local) {
        (void)localtime_r(&seconds, &p.tm);
    } else {
        (void)gmtime_r(&seconds, &p.tm);
        p.tm.tm_zone = "UTC";
    }
    for (size_t i = 0; i < format.n; i++) {
        if (format.p[i] == '%')
            i += specification(&p, (struct weir_str){format.p + i + 1, format.n - i - 1});
        else
            add(&p, &format.p[i], 1);
    }
    out[p.n] = '\0';
    return p.n;
}
