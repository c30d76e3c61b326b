/* Words that every file uses: the byte-string view, the error enum, the must-use mark. */
#ifndef WEIR_H
#define WEIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WEIR_VERSION "0.1.0"

/* A fallible function's result may not be dropped. */
#define WEIR_MUST_USE __attribute__((warn_unused_result))
#define WEIR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define WEIR_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Borrowed bytes, not NUL-terminated, n may be 0 with p NULL. Who owns the bytes is said where a view is stored. */
struct weir_str {
    const char *p;
    size_t n;
};
#define WEIR_STR(literal) ((struct weir_str){(literal), sizeof(literal) - 1})
#define WEIR_STR_INIT(literal) {(literal), sizeof(literal) - 1} /* for static initialisers */
#define WEIR_STR_ARG(s) (int)(s).n, ((s).p != NULL ? (s).p : "") /* for "%.*s" */

static inline struct weir_str weir_str_of(const char *z)
{
    return (struct weir_str){z, z != NULL ? strlen(z) : 0};
}
static inline bool weir_str_eq(struct weir_str a, struct weir_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Why a function failed. What a person reads travels beside it as text (struct weir_error, base/error.h). */
enum weir_err {
    WEIR_OK = 0,
    WEIR_ERR_INVALID,     /* the peer's or the configuration's fault */
    WEIR_ERR_LIMIT,       /* a bound of limits.h or of the configuration */
    WEIR_ERR_UNSUPPORTED, /* known, and refused by name */
    WEIR_ERR_NOT_FOUND,
    WEIR_ERR_EXISTS,
    WEIR_ERR_IO, /* the system refused; the text names errno */
    WEIR_ERR_CLOSED,
    WEIR_ERR_AGAIN, /* not now */
};

#endif
