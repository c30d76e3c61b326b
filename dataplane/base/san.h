/* Names that a peer's certificate must have (match_typed_subject_alt_names of
 * extensions.transport_sockets.tls.v3.CertificateValidationContext). For the transports' own TLS and for that of the xDS channel. */
#ifndef WEIR_BASE_SAN_H
#define WEIR_BASE_SAN_H

#include "dataplane/base/matcher.h"

enum weir_san_type { WEIR_SAN_EMAIL = 1, WEIR_SAN_DNS, WEIR_SAN_URI, WEIR_SAN_IP };
struct weir_san_match {
    enum weir_san_type type;
    struct weir_string_matcher matcher; /* an exact DNS name is also matched by a certificate's wildcard */
};
/* `san`: a subject alternative name of m's type. */
bool weir_san_matches(const struct weir_san_match *m, struct weir_str san);
/* Whole copies, texts and regular expressions with them, for an owner that outlives the resource they are of. */
struct weir_san_match *weir_sans_copy(struct weir_arena *a, const struct weir_san_match *sans, uint32_t count);
/* A DNS name against one of a certificate, which may begin with a wildcard label (RFC 6125 6.4.3). */
bool weir_san_dns_matches(struct weir_str name, struct weir_str san);

#endif
