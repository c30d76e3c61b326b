/* The rules of single values, for the walk in validate.c alone. */
#ifndef WEIR_CONFIG_VALIDATE_VALUE_H
#define WEIR_CONFIG_VALIDATE_VALUE_H

#include "dataplane/base/error.h"
#include "dataplane/base/pb_facts.h"
#include "dataplane/base/pb_path.h"

#define WEIR_VALIDATOR_PATTERNS 8

struct weir_regex;

/* One run over one root. Zero but for root and error. */
struct weir_validator {
    const char *root; /* full name of the root message */
    struct weir_error *error;
    /* Patterns compiled in this run: a route table uses one of them ten thousand times. */
    struct {
        uint32_t text;
        struct weir_regex *regex;
    } patterns[WEIR_VALIDATOR_PATTERNS];
    size_t pattern_count;
};
void weir_validator_deinit(struct weir_validator *v);

/* Writes "PATH: text" and returns WEIR_ERR_INVALID. */
enum weir_err weir_validator_refuse(struct weir_validator *v, const struct weir_pb_path *path, const char *fmt, ...)
    WEIR_PRINTF(3, 4) WEIR_MUST_USE;

/* A google.protobuf.Duration or Timestamp. */
struct weir_seconds {
    int64_t seconds;
    int32_t nanos;
};
struct weir_seconds weir_seconds_of(const ProtobufCMessage *m);

/* Those of `rules` that have this scope, on a number, bool, enum, string or bytes. */
enum weir_err weir_validate_scalar(struct weir_validator *v, const struct weir_pb_rule *rules, enum weir_pb_scope scope,
                                   const ProtobufCFieldDescriptor *d, const void *value, const struct weir_pb_path *path)
    WEIR_MUST_USE;
enum weir_err weir_validate_duration(struct weir_validator *v, const struct weir_pb_rule *rules, enum weir_pb_scope scope,
                                     const ProtobufCMessage *duration, const struct weir_pb_path *path) WEIR_MUST_USE;
enum weir_err weir_validate_count(struct weir_validator *v, const struct weir_pb_rule *rules, size_t count,
                                  const struct weir_pb_path *path) WEIR_MUST_USE;
enum weir_err weir_validate_unique(struct weir_validator *v, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *d,
                                   size_t count, const struct weir_pb_path *path) WEIR_MUST_USE;

/* A number in decimal, for messages and paths; borrows `out`. */
struct weir_str weir_value_print(const ProtobufCFieldDescriptor *d, const void *value, char *out, size_t size);

#endif
