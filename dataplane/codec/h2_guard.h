/* What nghttp2 leaves to its user: which stream a frame may name, and how many frames that cost us work a peer may send.
 * Looks at frame headers only. Called by h2_receive.c before nghttp2 sees the frame. */
#ifndef WEIR_CODEC_H2_GUARD_H
#define WEIR_CODEC_H2_GUARD_H

#include "dataplane/codec/codec.h"
#include "dataplane/codec/h2_stats.h"
#include "dataplane/limits.h"

#define WEIR_H2_FRAME_HEADER 9u
#define WEIR_H2_FRAME_PAYLOAD_MAX 16384u /* SETTINGS_MAX_FRAME_SIZE, which we never raise */

/* A configured number: 0 is the default, UINT32_MAX none. */
static inline uint32_t weir_h2_setting(uint32_t configured, uint32_t otherwise)
{
    return configured == 0 ? otherwise : configured == UINT32_MAX ? 0 : configured;
}

struct weir_h2_frame {
    uint32_t length;
    uint8_t type, flags;
    int32_t stream_id;
};

/* A connection error. */
struct weir_h2_guard_fault {
    uint32_t code; /* RFC 9113 7 */
    struct weir_str details;
    int stat; /* enum weir_h2_stat; -1: none */
};

struct weir_h2_guard {
    bool server;
    bool settings_seen;
    int32_t last_id; /* the highest stream: server, of the peer; client, of ours */
    /* Ids that the peer skipped: they are closed without ever having been used. Newest last; the oldest is forgotten. */
    struct {
        int32_t from, to;
    } gaps[WEIR_H2_ID_GAPS_MAX];
    uint32_t gap_count;
    /* Streams that we reset while the peer could still send: what comes on them is no fault. Of ids up to `reset_forgotten`
     * that is no longer known, so all is let pass. */
    int32_t resets[WEIR_H2_RESETS_KEPT];
    uint32_t reset_count;
    int32_t reset_forgotten;

    uint64_t opened, data_sent, priorities, window_updates;
    uint32_t empty_run;
    uint32_t empty_max, priorities_max, window_updates_max;
};

void weir_h2_guard_init(struct weir_h2_guard *g, bool server, const struct weir_codec_config *config);
void weir_h2_frame_parse(struct weir_h2_frame *f, const uint8_t head[WEIR_H2_FRAME_HEADER]);
/* `open`: the stream is known and not closed. NULL: let the frame in. */
const struct weir_h2_guard_fault *weir_h2_guard_frame(struct weir_h2_guard *g, const struct weir_h2_frame *f, bool open);
/* A DATA frame has come whole; `payload` is without padding. */
const struct weir_h2_guard_fault *weir_h2_guard_payload(struct weir_h2_guard *g, size_t payload, bool end_stream);
void weir_h2_guard_opened(struct weir_h2_guard *g, int32_t stream_id); /* client */
void weir_h2_guard_reset(struct weir_h2_guard *g, int32_t stream_id);

#endif
