/* Between support.c and support_log.c only. */
#ifndef WEIR_CONFIG_SUPPORT_LOG_H
#define WEIR_CONFIG_SUPPORT_LOG_H

#include "dataplane/base/pb_path.h"
#include "dataplane/config/support.h"

/* Counts a use of type->fields[i], and tells of it where `tell` and the bounds of support.h say so. log may be NULL. */
void weir_support_log_note(struct weir_support_log *log, enum weir_support_kind kind, const ProtobufCMessageDescriptor *type, unsigned i,
                           const char *message, const struct weir_pb_path *path, const char *detail, bool tell);

/* The message that is checked is itself unfinished. */
void weir_support_log_note_message(struct weir_support_log *log, const ProtobufCMessageDescriptor *type);

#endif
