/* Texts of the JSON mapping's scalars: numbers, base64, google.protobuf.Duration and Timestamp. */
#ifndef WEIR_XDS_SCALAR_H
#define WEIR_XDS_SCALAR_H

#include "dataplane/base/arena.h"

/* Whole text a number; an integer may be written 1e3 or 2.0 when it is whole. Hexadecimal 0x.. is taken too (YAML). */
bool weir_scalar_i64(struct weir_str s, int64_t *out);
bool weir_scalar_u64(struct weir_str s, uint64_t *out);
bool weir_scalar_double(struct weir_str s, double *out); /* also NaN, Infinity, -Infinity, .inf, .nan */
/* "1.5s", at most nine decimals. */
bool weir_scalar_duration(struct weir_str s, int64_t *seconds, int32_t *nanos);
/* RFC 3339, with Z or an offset, years 0001 to 9999. */
bool weir_scalar_timestamp(struct weir_str s, int64_t *seconds, int32_t *nanos);
/* Base64 (RFC 4648) in the standard or URL alphabet, padding optional. */
bool weir_scalar_base64(struct weir_arena *a, struct weir_str s, uint8_t **out, size_t *n);
struct weir_str weir_scalar_base64_print(struct weir_arena *a, const uint8_t *p, size_t n);
/* NUL-terminated into out: 0, 3, 6 or 9 decimals. */
void weir_scalar_duration_print(int64_t seconds, int32_t nanos, char out[48]);
void weir_scalar_timestamp_print(int64_t seconds, int32_t nanos, char out[48]);
/* Shortest text that reads back as the same number; `single` for float. */
void weir_scalar_double_print(double v, bool single, char out[40]);

#endif
