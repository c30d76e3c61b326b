/* What HttpConnectionManager and a cluster's HttpProtocolOptions say of codecs alike. */
#ifndef WEIR_CONFIG_COMPILE_CODEC_H
#define WEIR_CONFIG_COMPILE_CODEC_H

#include "dataplane/base/compile.h"
#include "dataplane/codec/codec.h"

/* core.v3.Http1ProtocolOptions, core.v3.Http2ProtocolOptions, core.v3.HttpProtocolOptions; each may be NULL: defaults. Fill
 * their part of `out` and leave the rest. */
enum weir_err weir_codec_h1_compile(struct weir_compile *c, const char *field, const void *pb, struct weir_codec_config *out) WEIR_MUST_USE;
enum weir_err weir_codec_h2_compile(struct weir_compile *c, const char *field, const void *pb, struct weir_codec_config *out) WEIR_MUST_USE;
void weir_codec_common_compile(const void *pb, uint32_t header_kib_default, struct weir_codec_config *out);

/* KeepaliveSettings.interval_jitter in whole percents, 15 by default. */
uint32_t weir_ping_jitter_percent(const void *keepalive_settings);

#endif
