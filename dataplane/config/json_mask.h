/* google.protobuf.FieldMask over printed JSON: what admin's ?mask= asks for. */
#ifndef WEIR_CONFIG_JSON_MASK_H
#define WEIR_CONFIG_JSON_MASK_H

#include "dataplane/base/out.h"
#include "xds/tree.h"

/* Prints `value` (an element, a section) cut down to the paths of the mask ("cluster.name,version_info"), which go through lists;
 * @type stays. False: no path is found in it, nothing was printed. `level`: of the line that it stands on. */
bool weir_json_mask_print(struct weir_arena *a, const struct weir_tree *value, struct weir_str mask, uint32_t level, struct weir_out *out);

/* The next path of a mask, without spaces around it. False: that was the last. */
bool weir_json_mask_next(struct weir_str *mask, struct weir_str *path);
/* What a mask says of the field `name`: nothing, that it is wanted with all that is in it (an empty mask says so of every field), or
 * which paths below it (*below, in the arena; empty where all of it is wanted). */
enum weir_mask_says { WEIR_MASK_NOT, WEIR_MASK_WHOLE, WEIR_MASK_PART };
enum weir_mask_says weir_json_mask_below(struct weir_arena *a, struct weir_str mask, struct weir_str name, struct weir_str *below);

#endif
