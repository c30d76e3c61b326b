/* The API's validation rules (protoc-gen-validate), all of them, on an unpacked message. Driven by the facts table
 * (base/pb_facts.h). Called for every resource after decoding, and for the message in every Any once it is unpacked. */
#ifndef WEIR_CONFIG_VALIDATE_H
#define WEIR_CONFIG_VALIDATE_H

#include <protobuf-c/protobuf-c.h>

#include "dataplane/base/error.h"

/* Checks the message and all below it but not what an Any holds. Refused are also fields and enum values that the API has
 * disallowed, and Durations and Timestamps out of their range. The error reads "FIELD PATH: value must ...", the path as in
 * `virtual_hosts[3].domains[0]`; a fault of the root itself has its message's name there. Keeps no reference. */
enum weir_err weir_validate(const ProtobufCMessage *m, struct weir_error *error) WEIR_MUST_USE;

#endif
