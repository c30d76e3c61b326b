/* Rules that add, append, replace and remove headers by configured values with formats (core.v3.HeaderValueOption,
 * *_headers_to_add, *_headers_to_remove, config.common.mutation_rules.v3.HeaderMutation): one piece for every level of routes and
 * for filters. Immutable after compile. */
#ifndef WEIR_BASE_HEADER_RULE_H
#define WEIR_BASE_HEADER_RULE_H

#include "dataplane/base/compile.h"
#include "dataplane/base/format.h"
#include "dataplane/base/headers.h"

struct weir_header_rule {
    enum {
        WEIR_HEADER_APPEND_OR_ADD,
        WEIR_HEADER_ADD_IF_ABSENT,
        WEIR_HEADER_OVERWRITE_OR_ADD,
        WEIR_HEADER_OVERWRITE_IF_PRESENT,
        WEIR_HEADER_REMOVE,
    } action;
    uint16_t id;          /* interned, or WEIR_H_NONE */
    bool keep_empty_value;
    struct weir_str name; /* lower case */
    struct weir_str constant; /* the value where it has no command (p not NULL) */
    const struct weir_format *value;
};
struct weir_header_rules {
    uint32_t count;
    const struct weir_header_rule *at;
};
/* HeaderValueOption[count] (adds) and names (removes, applied first, as Envoy does) to rules. Refuses :-names and host as Envoy,
 * and names and constant values that no message may carry. */
enum weir_err weir_header_rules_compile(struct weir_compile *c, const char *add_field, size_t add_count, void *const *add,
                                        const char *remove_field, size_t remove_count, char *const *remove,
                                        struct weir_header_rules *out) WEIR_MUST_USE;
/* HeaderMutation[count] of config.common.mutation_rules.v3, in order. */
enum weir_err weir_header_mutations_compile(struct weir_compile *c, const char *field, size_t count, void *const *pb,
                                            struct weir_header_rules *out) WEIR_MUST_USE;
/* Values are formatted into h->arena; one that comes out empty (unless kept) or not fit for a header adds nothing. */
void weir_header_rules_apply(const struct weir_header_rules *rules, const struct weir_request *r, struct weir_headers *h);

#endif
