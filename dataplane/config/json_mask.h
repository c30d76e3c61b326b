/* google.protobuf.FieldMask over printed JSON: what admin's ?mask= asks for. */
#ifndef WEIR_CONFIG_JSON_MASK_H
#define WEIR_CONFIG_JSON_MASK_H

#include "dataplane/base/out.h"
#include "xds/tree.h"

/* Prints the elements of root's list `list` ("configs"), each cut down to the paths of the mask ("cluster.name,version_info"),
 * which go through lists; @type stays. Elements in which no path is found are left out; returns how many are left. */
size_t weir_json_mask_print(struct weir_arena *a, const struct weir_tree *root, struct weir_str list, struct weir_str mask, struct weir_out *out);

#endif
