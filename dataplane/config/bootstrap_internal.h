/* Between bootstrap.c and bootstrap_sources.c only. */
#ifndef WEIR_CONFIG_BOOTSTRAP_INTERNAL_H
#define WEIR_CONFIG_BOOTSTRAP_INTERNAL_H

#include "dataplane/config/bootstrap.h"

/* dynamic_resources into cds, lds, ads. Errors carry the field path. */
enum weir_err weir_bootstrap_sources(struct weir_bootstrap *b, struct weir_error *e) WEIR_MUST_USE;

#endif
