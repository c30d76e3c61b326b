/* Names of clusters and route tables to dense slots, for the life of the process. Thread-safe: compile and control thread. */
#ifndef WEIR_CONFIG_NAMES_H
#define WEIR_CONFIG_NAMES_H

#include "dataplane/base/compile.h"

struct weir_names;
struct weir_names *weir_names_create(void);
void weir_names_destroy(struct weir_names *n);
uint32_t weir_names_cluster(struct weir_names *n, struct weir_str name);     /* made at first use */
uint32_t weir_names_route_table(struct weir_names *n, struct weir_str name);
/* For workers that resolve a cluster_header value: UINT32_MAX when the name was never heard of. Takes a lock for reading. */
uint32_t weir_names_find_cluster(struct weir_names *n, struct weir_str name);
/* The callback form for struct weir_compile. Valid while n lives. */
const struct weir_compile_names *weir_names_for_compile(struct weir_names *n);

#endif
