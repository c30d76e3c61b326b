/* Stream ids (RFC 9113 5.1, 5.1.1) and floods of inbound frames (10.5; Http2ProtocolOptions.max_inbound_*, with the sums that
 * Envoy makes of them). */
#include "dataplane/codec/h2_guard.h"

#include <nghttp2/nghttp2.h>

static const struct weir_h2_guard_fault not_http2 = {NGHTTP2_PROTOCOL_ERROR, WEIR_STR_INIT("codec_error:SETTINGS_expected"), -1};
static const struct weir_h2_guard_fault too_long = {NGHTTP2_FRAME_SIZE_ERROR, WEIR_STR_INIT("codec_error:too_large_frame_size"),
                                                    -1};
static const struct weir_h2_guard_fault id_skipped = {NGHTTP2_PROTOCOL_ERROR,
                                                      WEIR_STR_INIT("codec_error:stream_id_smaller_than_before"), -1};
static const struct weir_h2_guard_fault id_closed = {NGHTTP2_STREAM_CLOSED, WEIR_STR_INIT("codec_error:stream_closed"), -1};
static const struct weir_h2_guard_fault empty_flood = {
    NGHTTP2_ENHANCE_YOUR_CALM, WEIR_STR_INIT("http2.inbound_empty_frames_flood"), WEIR_H2_STAT_INBOUND_EMPTY_FRAMES_FLOOD};
static const struct weir_h2_guard_fault priority_flood = {NGHTTP2_ENHANCE_YOUR_CALM,
                                                          WEIR_STR_INIT("codec_error:Too_many_PRIORITY_frames"),
                                                          WEIR_H2_STAT_INBOUND_PRIORITY_FRAMES_FLOOD};
static const struct weir_h2_guard_fault window_flood = {NGHTTP2_ENHANCE_YOUR_CALM,
                                                        WEIR_STR_INIT("codec_error:Too_many_WINDOW_UPDATE_frames"),
                                                        WEIR_H2_STAT_INBOUND_WINDOW_UPDATE_FRAMES_FLOOD};

void weir_h2_guard_init(struct weir_h2_guard *g, bool server, const struct weir_codec_config *config)
{
    *g = (struct weir_h2_guard){.server = server};
    g->empty_max = weir_h2_setting(config->h2_max_inbound_empty_frames, WEIR_H2_CONSECUTIVE_EMPTY_FRAMES_MAX);
    g->priorities_max = weir_h2_setting(config->h2_max_inbound_priority_per_stream, WEIR_H2_PRIORITIES_PER_STREAM_MAX);
    g->window_updates_max = weir_h2_setting(config->h2_max_inbound_window_update_per_data, WEIR_H2_WINDOW_UPDATES_PER_DATA_MAX);
}

void weir_h2_frame_parse(struct weir_h2_frame *f, const uint8_t head[WEIR_H2_FRAME_HEADER])
{
    f->length = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    f->type = head[3];
    f->flags = head[4];
    f->stream_id = (int32_t)(((uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8]) & 0x7fffffff);
}

static void gap_add(struct weir_h2_guard *g, int32_t from, int32_t to)
{
    if (g->gap_count == WEIR_H2_ID_GAPS_MAX) {
        memmove(&g->gaps[0], &g->gaps[1], sizeof(g->gaps[0]) * (WEIR_H2_ID_GAPS_MAX - 1));
        g->gap_count--;
    }
    g->gaps[g->gap_count].from = from;
    g->gaps[g->gap_count++].to = to;
}

static bool in_gap(const struct weir_h2_guard *g, int32_t id)
{
    for (uint32_t i = 0; i < g->gap_count; i++)
        if (id >= g->gaps[i].from && id <= g->gaps[i].to) return true;
    return false;
}

static bool was_reset(const struct weir_h2_guard *g, int32_t id)
{
    if (id <= g->reset_forgotten) return true;
    for (uint32_t i = 0; i < g->reset_count && i < WEIR_H2_RESETS_KEPT; i++)
        if (g->resets[i] == id) return true;
    return false;
}

void weir_h2_guard_reset(struct weir_h2_guard *g, int32_t stream_id)
{
    int32_t *at = &g->resets[g->reset_count++ % WEIR_H2_RESETS_KEPT];
    if (g->reset_count > WEIR_H2_RESETS_KEPT && *at > g->reset_forgotten) g->reset_forgotten = *at;
    *at = stream_id;
}

void weir_h2_guard_opened(struct weir_h2_guard *g, int32_t stream_id)
{
    g->last_id = stream_id;
    g->opened++;
}

/* HEADERS and DATA: the stream must be one that the peer may still send on. Idle and even ids are nghttp2's to refuse. */
static const struct weir_h2_guard_fault *message_frame(struct weir_h2_guard *g, const struct weir_h2_frame *f, bool open)
{
    int32_t id = f->stream_id;
    if (open || (id & 1) == 0) return NULL;
    if (id > g->last_id) {
        if (!g->server || f->type != NGHTTP2_HEADERS) return NULL;
        if (id > g->last_id + 2) gap_add(g, g->last_id == 0 ? 1 : g->last_id + 2, id - 2);
        weir_h2_guard_opened(g, id);
        return NULL;
    }
    if (was_reset(g, id)) return NULL;
    return f->type == NGHTTP2_HEADERS && in_gap(g, id) ? &id_skipped : &id_closed;
}

static const struct weir_h2_guard_fault *head_frame(struct weir_h2_guard *g, const struct weir_h2_frame *f, bool open)
{
    const struct weir_h2_guard_fault *fault = f->type == NGHTTP2_HEADERS ? message_frame(g, f, open) : NULL;
    return fault != NULL ? fault : weir_h2_guard_payload(g, f->length, (f->flags & NGHTTP2_FLAG_END_STREAM) != 0);
}

const struct weir_h2_guard_fault *weir_h2_guard_frame(struct weir_h2_guard *g, const struct weir_h2_frame *f, bool open)
{
    if (!g->settings_seen && (f->type != NGHTTP2_SETTINGS || (f->flags & NGHTTP2_FLAG_ACK) != 0)) return &not_http2;
    if (f->length > WEIR_H2_FRAME_PAYLOAD_MAX) return &too_long;
    switch (f->type) {
    case NGHTTP2_DATA: return message_frame(g, f, open); /* what is in it is known later: weir_h2_guard_payload() */
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION: return head_frame(g, f, open);
    case NGHTTP2_SETTINGS: g->settings_seen = true; return NULL;
    case NGHTTP2_PRIORITY: return ++g->priorities > g->priorities_max * (1 + g->opened) ? &priority_flood : NULL;
    case NGHTTP2_WINDOW_UPDATE:
        return ++g->window_updates > 5 + 2 * (g->opened + g->window_updates_max * g->data_sent) ? &window_flood : NULL;
    default: return NULL;
    }
}

const struct weir_h2_guard_fault *weir_h2_guard_payload(struct weir_h2_guard *g, size_t payload, bool end_stream)
{
    if (payload != 0 || end_stream) {
        g->empty_run = 0;
        return NULL;
    }
    return ++g->empty_run > g->empty_max ? &empty_flood : NULL;
}
