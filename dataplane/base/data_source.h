/* core.v3.DataSource: text in the configuration, in a file or in the environment. */
#ifndef WEIR_BASE_DATA_SOURCE_H
#define WEIR_BASE_DATA_SOURCE_H

#include "dataplane/base/compile.h"

/* pb: core.v3.DataSource, NULL: empty. The content is copied into c->arena, NUL-terminated beyond n. Files are read once, here,
 * at most WEIR_DATA_SOURCE_BYTES_MAX of them. */
enum weir_err weir_data_source_compile(struct weir_compile *c, const char *field, const void *pb, struct weir_str *out)
    WEIR_MUST_USE;

#endif
