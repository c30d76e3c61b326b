/* google.protobuf.FieldMask over printed JSON: what admin's ?mask= asks for. */
#ifndef WEIR_CONFIG_JSON_MASK_H
#define WEIR_CONFIG_JSON_MASK_H

#include "dataplane/base/out.h"
#include "xds/tree.h"

/* Prints `value` (an element, a section) cut down to the paths of the mask ("cluster.name,version_info"), which go through lists;
 * @type stays. False: no path is found in it, nothing was printed. `level`: of the line that it stands on. */
bool weir_json_mask_print(struct weir_arena *a, const struct weir_tree *value, struct weir_str mask, uint32_t level, struct weir_out *out);

#endif
