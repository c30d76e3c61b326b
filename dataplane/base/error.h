/* What a person reads when something is refused: one line that names place, field and reason. Filled by whoever finds
 * the fault, printed by main, carried as NACK text by the xDS client. Fixed size: refusing needs no memory. */
#ifndef WEIR_BASE_ERROR_H
#define WEIR_BASE_ERROR_H

#include "dataplane/weir.h"

#define WEIR_ERROR_TEXT_MAX 1024

struct weir_error {
    enum weir_err code;
    char text[WEIR_ERROR_TEXT_MAX]; /* NUL-terminated, cut with "..." when longer, no newline */
};

/* Writes code and text and returns code, so that `return weir_error_set(...)` reads well. `e` may be NULL. */
enum weir_err weir_error_set(struct weir_error *e, enum weir_err code, const char *fmt, ...) WEIR_PRINTF(3, 4);
/* Puts `fmt` and ": " before the text that is there: each caller adds where it was. Returns e->code. */
enum weir_err weir_error_prefix(struct weir_error *e, const char *fmt, ...) WEIR_PRINTF(2, 3);

#endif
