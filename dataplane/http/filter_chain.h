/* The filters of one stream and what they hold up. A pass carries one event (headers, data, trailers) from filter to filter
 * in the order of its direction; a filter that pauses stops the pass, and what it was given is kept at its place until it is
 * resumed. Only http/stream uses this; verdicts and their effects are in filter.h.
 *
 * Invariants: callbacks of one direction never nest; a resume asked for while a pass of its direction runs is done after it;
 * order within a direction is kept whatever pauses; what is held is bounded by the stream's buffer limit, beyond which the
 * source is paused (PAUSE) or the stream ends (PAUSE_AND_BUFFER). */
#ifndef WEIR_HTTP_FILTER_CHAIN_H
#define WEIR_HTTP_FILTER_CHAIN_H

#include "dataplane/http/filter.h"

struct weir_hcm_chain;

enum weir_direction { WEIR_REQUEST, WEIR_RESPONSE, WEIR_DIRECTIONS };

/* What a filter holds in one direction; made when it first pauses. */
struct weir_chain_hold {
    enum { WEIR_HOLD_OPEN, WEIR_HOLD_PAUSED, WEIR_HOLD_COLLECTING } mode;
    /* Given to the filter, not passed on. */
    bool headers, headers_end, end;
    struct weir_headers *trailers;
    struct weir_buffer data;
    /* Not given yet. */
    bool waiting_end;
    struct weir_headers *waiting_trailers;
    struct weir_buffer waiting;
};
struct weir_chain_filter {
    struct weir_filter filter; /* first */
    struct weir_chain_hold *hold[WEIR_DIRECTIONS];
    bool resume_self[WEIR_DIRECTIONS];  /* asked for inside its own callback */
    bool resume_later[WEIR_DIRECTIONS]; /* asked for while a pass ran */
    bool gone;                          /* on_destroy came early: a terminal filter whose response is not wanted */
};
struct weir_chain {
    uint32_t count;
    struct weir_chain_filter *at;
    struct weir_chain_filter *running[WEIR_DIRECTIONS]; /* whose callback is on the stack */
    uint32_t depth[WEIR_DIRECTIONS];
    uint32_t seen[WEIR_DIRECTIONS];                     /* how many filters, in the direction's order, saw the headers */
    bool stopped[WEIR_DIRECTIONS];                      /* no callback of this direction any more */
    bool overfull[WEIR_DIRECTIONS];                     /* held bytes are at the limit: the source is paused */
    bool any_hold[WEIR_DIRECTIONS], any_resume[WEIR_DIRECTIONS];
};

/* Makes the filters of `filters` that are on for the stream's route. Once a stream. */
void weir_chain_create(struct weir_stream *s, const struct weir_hcm_chain *filters);
/* Sets each filter's route_config anew. */
void weir_chain_update_route(struct weir_stream *s);
/* Entry points of a direction: from its first filter on; responses start at filter `from` of the direction's order. */
void weir_chain_headers(struct weir_stream *s, enum weir_direction d, uint32_t from, bool end);
void weir_chain_data(struct weir_stream *s, enum weir_direction d, uint32_t from, struct weir_buffer *data, bool end);
void weir_chain_trailers(struct weir_stream *s, enum weir_direction d, uint32_t from, struct weir_headers *trailers);
void weir_chain_resume(struct weir_stream *s, enum weir_direction d, struct weir_chain_filter *cf);
/* Forgets what the response direction holds: another response takes its place. */
void weir_chain_drop_held(struct weir_stream *s, enum weir_direction d);
/* on_complete and on_destroy of every filter; on_destroy of the terminal one before the stream's end. */
void weir_chain_complete(struct weir_stream *s);
void weir_chain_destroy(struct weir_stream *s);
void weir_chain_abort_terminal(struct weir_stream *s);
void weir_chain_blocked(struct weir_stream *s, bool blocked);

#endif
