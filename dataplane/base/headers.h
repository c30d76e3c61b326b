/* One message's headers: an ordered list of names and values, pseudo headers (RFC 9113 8.3) among them, first. Names are
 * in lower case, always: codecs lower them on the way in. Bytes live in the map's arena (the stream's) unless they are
 * literals; a value set by a filter must live as long as the arena. */
#ifndef WEIR_BASE_HEADERS_H
#define WEIR_BASE_HEADERS_H

#include "dataplane/base/arena.h"
#include "dataplane/base/header_names.h"

struct weir_header {
    struct weir_str name, value;
    uint16_t id; /* enum weir_header_id */
};
/* Zeroed apart from `arena` is empty. */
struct weir_headers {
    struct weir_arena *arena; /* not owned */
    struct weir_header *at;
    uint32_t count, capacity;
    uint32_t bytes; /* sum of name and value lengths */
};
void weir_headers_init(struct weir_headers *h, struct weir_arena *arena);

/* The id of a name in lower case, WEIR_H_NONE where it is not interned; and back (static bytes). */
enum weir_header_id weir_header_id(struct weir_str name);
struct weir_str weir_header_name(enum weir_header_id id);

/* First value, or NULL. The pointer is valid until the map changes. */
struct weir_header *weir_headers_find(const struct weir_headers *h, enum weir_header_id id);
struct weir_header *weir_headers_find_name(const struct weir_headers *h, struct weir_str name); /* name in lower case */
/* First value, or an empty view with p NULL. */
struct weir_str weir_headers_get(const struct weir_headers *h, enum weir_header_id id);
/* All values of a name joined by "," in order, as RFC 9110 5.3 allows; one value is returned as is. p NULL: absent. */
struct weir_str weir_headers_get_joined(const struct weir_headers *h, struct weir_str name, struct weir_arena *arena);

/* Borrowing forms: name and value must outlive the map. */
void weir_headers_add(struct weir_headers *h, enum weir_header_id id, struct weir_str value);
void weir_headers_add_name(struct weir_headers *h, struct weir_str lower_name, struct weir_str value);
/* Copying form, lowers the name: for bytes that a codec or a peer owns. */
void weir_headers_add_copy(struct weir_headers *h, struct weir_str name, struct weir_str value);
/* Replaces the first value and removes the others; adds where absent. Pseudo headers are added before all regular ones. */
void weir_headers_set(struct weir_headers *h, enum weir_header_id id, struct weir_str value);
void weir_headers_set_name(struct weir_headers *h, struct weir_str lower_name, struct weir_str value);
void weir_headers_set_int(struct weir_headers *h, enum weir_header_id id, uint64_t value);
/* Removes all values; returns how many there were. */
uint32_t weir_headers_remove(struct weir_headers *h, enum weir_header_id id);
uint32_t weir_headers_remove_name(struct weir_headers *h, struct weir_str lower_name);
void weir_headers_remove_at(struct weir_headers *h, uint32_t index);
/* Requests: names that Envoy holds once have their values joined by "," at the first one's place (RFC 9110 5.3). Others,
 * cookies among them, keep their lines. */
void weir_headers_join_known(struct weir_headers *h);
/* Shares the bytes of `from`, which must outlive `to`. */
void weir_headers_copy(struct weir_headers *to, const struct weir_headers *from);

/* Field syntax, RFC 9110 5.1 and 5.5: token; no CTL but HTAB. */
bool weir_header_name_valid(struct weir_str name);
bool weir_header_value_valid(struct weir_str value);
/* A comma separated list's next element, blanks trimmed, empty ones skipped (RFC 9110 5.6.1). *at starts at 0. */
bool weir_header_list_next(struct weir_str value, size_t *at, struct weir_str *element);
bool weir_header_list_has(struct weir_str value, struct weir_str lower_token); /* case-insensitive */

#endif
