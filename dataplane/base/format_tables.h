/* Argument readers and values of commands, as format_tables.c lists them. See struct weir_format_command. */
#ifndef WEIR_BASE_FORMAT_TABLES_H
#define WEIR_BASE_FORMAT_TABLES_H

#include "dataplane/base/format_command.h"

#define WEIR_FORMAT_ARGS(name)                                                                                          \
    bool weir_format_args_##name(struct weir_compile *c, struct weir_format_part *part, struct weir_str args,          \
                                 const char **reason)
WEIR_FORMAT_ARGS(header);
WEIR_FORMAT_ARGS(time);
WEIR_FORMAT_ARGS(mask);
WEIR_FORMAT_ARGS(metadata);
WEIR_FORMAT_ARGS(typed_metadata);
WEIR_FORMAT_ARGS(grpc_status);
WEIR_FORMAT_ARGS(details);
WEIR_FORMAT_ARGS(path);
WEIR_FORMAT_ARGS(server_name);
WEIR_FORMAT_ARGS(query);
WEIR_FORMAT_ARGS(text);
WEIR_FORMAT_ARGS(duration);
WEIR_FORMAT_ARGS(environment);
WEIR_FORMAT_ARGS(hostname);
WEIR_FORMAT_ARGS(coalesce);

#define WEIR_FORMAT_VALUE(name)                                                                                         \
    void weir_format_value_##name(const struct weir_format_part *part, struct weir_format_eval *e, struct weir_format_value *out)
/* Fields of the request at part->command->at. */
WEIR_FORMAT_VALUE(u64);
WEIR_FORMAT_VALUE(u32);
WEIR_FORMAT_VALUE(string);
WEIR_FORMAT_VALUE(duration); /* at2 - at, in milliseconds */
/* Addresses: at the offset of a struct weir_address, or of a pointer to one where at2 is 1. */
WEIR_FORMAT_VALUE(address);
WEIR_FORMAT_VALUE(address_ip);
WEIR_FORMAT_VALUE(address_port);
/* TLS: at the offset of the side's struct weir_tls_info pointer, at2 the offset in it (sans: enum weir_format_sans). */
WEIR_FORMAT_VALUE(tls_string);
WEIR_FORMAT_VALUE(tls_time);
WEIR_FORMAT_VALUE(tls_sans);
enum weir_format_sans { WEIR_SANS_PEER_URI, WEIR_SANS_PEER_DNS, WEIR_SANS_LOCAL_URI, WEIR_SANS_LOCAL_DNS };
/* Headers: at the offset of a pointer to headers. */
WEIR_FORMAT_VALUE(header);
WEIR_FORMAT_VALUE(header_without_query);
WEIR_FORMAT_VALUE(header_bytes);
WEIR_FORMAT_VALUE(absent);
WEIR_FORMAT_VALUE(zero);
WEIR_FORMAT_VALUE(empty); /* a string without characters */
WEIR_FORMAT_VALUE(close_type); /* of the field at the offset; at2 1: only where there is an upstream */
WEIR_FORMAT_VALUE(constant); /* part->text */
WEIR_FORMAT_VALUE(start_time);
WEIR_FORMAT_VALUE(emit_time);
WEIR_FORMAT_VALUE(common_duration);
WEIR_FORMAT_VALUE(protocol); /* of the enum at the offset */
WEIR_FORMAT_VALUE(code_details);
WEIR_FORMAT_VALUE(flags); /* at 1: long names */
WEIR_FORMAT_VALUE(host_name); /* at 1: without port */
WEIR_FORMAT_VALUE(path);
WEIR_FORMAT_VALUE(query_param);
WEIR_FORMAT_VALUE(query_params);
WEIR_FORMAT_VALUE(server_name);
WEIR_FORMAT_VALUE(grpc_status); /* at 1: the number */
WEIR_FORMAT_VALUE(metadata);    /* at: what weir_format_args_typed_metadata puts into choice */
WEIR_FORMAT_VALUE(typed_metadata);
WEIR_FORMAT_VALUE(unique_id);
WEIR_FORMAT_VALUE(local_reply_body);
WEIR_FORMAT_VALUE(log_type);
WEIR_FORMAT_VALUE(coalesce);

/* The number of a COMMON_DURATION point, 0 for one that weir never sets. */
uint8_t weir_format_time_point(struct weir_str name);

#endif
