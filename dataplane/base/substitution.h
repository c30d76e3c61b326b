/* core.v3.SubstitutionFormatString: a line or a body, of text or JSON, with commands (base/format.h). Of access logs and local
 * replies. Immutable, in the arena it was compiled into. */
#ifndef WEIR_BASE_SUBSTITUTION_H
#define WEIR_BASE_SUBSTITUTION_H

#include "dataplane/base/format.h"

struct weir_substitution;

/* pb: SubstitutionFormatString. */
enum weir_err weir_substitution_compile(struct weir_compile *c, const char *field, const void *pb,
                                        const struct weir_substitution **out) WEIR_MUST_USE;
/* A plain text template, and a JSON template given as google.protobuf.Struct (deprecated forms of FileAccessLog). */
enum weir_err weir_substitution_text(struct weir_compile *c, const char *field, struct weir_str text,
                                     const struct weir_substitution **out) WEIR_MUST_USE;
enum weir_err weir_substitution_json(struct weir_compile *c, const char *field, const void *struct_pb,
                                     const struct weir_substitution **out) WEIR_MUST_USE;
/* Appends the text; JSON is one object with sorted keys and a newline. */
void weir_substitution_print(const struct weir_substitution *s, const struct weir_request *r, struct weir_str local_reply_body,
                             struct weir_text *out);
bool weir_substitution_is_json(const struct weir_substitution *s);
/* What a local reply of this body is: as configured, else text/plain or application/json. */
struct weir_str weir_substitution_content_type(const struct weir_substitution *s);

#endif
