/* Carries headers, data and trailers through a stream's filters. Called by http/stream with what the codec or the terminal
 * filter gives, and by filters' resumes. */
#include "dataplane/http/filter_chain.h"

#include <assert.h>

#include "dataplane/http/stream.h"

static struct weir_chain_filter *filter_at(struct weir_chain *chain, enum weir_direction d, uint32_t position)
{
    return &chain->at[d == WEIR_REQUEST ? position : chain->count - 1 - position];
}
static uint32_t position_of(const struct weir_chain *chain, enum weir_direction d, const struct weir_chain_filter *cf)
{
    uint32_t index = (uint32_t)(cf - chain->at);
    return d == WEIR_REQUEST ? index : chain->count - 1 - index;
}
static bool over(const struct weir_stream *s, enum weir_direction d)
{
    return s->chain.stopped[d] || (d == WEIR_RESPONSE && s->reply_pending);
}

/* A callback is framed by begin() and verdict(): what it asked for meanwhile decides before what it returned. */
static void begin(struct weir_stream *s, enum weir_direction d, struct weir_chain_filter *cf)
{
    assert(s->chain.running[d] == NULL);
    s->chain.running[d] = cf;
    cf->resume_self[d] = false;
}
static enum weir_verdict verdict(struct weir_stream *s, enum weir_direction d, struct weir_chain_filter *cf, enum weir_verdict v)
{
    s->chain.running[d] = NULL;
    if (over(s, d)) return WEIR_ENDED;
    if (v == WEIR_ENDED) s->chain.stopped[d] = true;
    return (v == WEIR_PAUSE || v == WEIR_PAUSE_AND_BUFFER) && cf->resume_self[d] ? WEIR_CONTINUE : v;
}
static enum weir_verdict call_headers(struct weir_stream *s, enum weir_direction d, struct weir_chain_filter *cf, bool end)
{
    const struct weir_http_filter *t = cf->filter.table;
    enum weir_verdict (*on)(struct weir_stream *, struct weir_filter *, bool) =
        d == WEIR_REQUEST ? t->on_request_headers : t->on_response_headers;
    if (on == NULL) return WEIR_CONTINUE;
    begin(s, d, cf);
    return verdict(s, d, cf, on(s, &cf->filter, end));
}
static enum weir_verdict call_data(struct weir_stream *s, enum weir_direction d, struct weir_chain_filter *cf,
                                   struct weir_buffer *data, bool end)
{
    const struct weir_http_filter *t = cf->filter.table;
    enum weir_verdict (*on)(struct weir_stream *, struct weir_filter *, struct weir_buffer *, bool) =
        d == WEIR_REQUEST ? t->on_request_data : t->on_response_data;
    if (on == NULL) return WEIR_CONTINUE;
    begin(s, d, cf);
    return verdict(s, d, cf, on(s, &cf->filter, data, end));
}
static enum weir_verdict call_trailers(struct weir_stream *s, enum weir_direction d, struct weir_chain_filter *cf,
                                       struct weir_headers *trailers)
{
    const struct weir_http_filter *t = cf->filter.table;
    enum weir_verdict (*on)(struct weir_stream *, struct weir_filter *, struct weir_headers *) =
        d == WEIR_REQUEST ? t->on_request_trailers : t->on_response_trailers;
    if (on == NULL) return WEIR_CONTINUE;
    begin(s, d, cf);
    return verdict(s, d, cf, on(s, &cf->filter, trailers));
}

static struct weir_chain_hold *hold_of(struct weir_stream *s, enum weir_direction d, struct weir_chain_filter *cf)
{
    if (cf->hold[d] == NULL) {
        cf->hold[d] = WEIR_NEW(s->arena, struct weir_chain_hold, 1);
        weir_buffer_init(&cf->hold[d]->data);
        weir_buffer_init(&cf->hold[d]->waiting);
        s->chain.any_hold[d] = true;
    }
    return cf->hold[d];
}
static struct weir_chain_hold *hold(struct weir_stream *s, enum weir_direction d, struct weir_chain_filter *cf, enum weir_verdict v)
{
    struct weir_chain_hold *h = hold_of(s, d, cf);
    h->mode = v == WEIR_PAUSE ? WEIR_HOLD_PAUSED : WEIR_HOLD_COLLECTING;
    return h;
}
/* A collecting filter may not collect for ever. */
static void check_collected(struct weir_stream *s, enum weir_direction d, const struct weir_chain_hold *h)
{
    if (h->mode != WEIR_HOLD_COLLECTING || h->data.bytes <= s->buffer_limit[d]) return;
    static const struct weir_local_reply too_large[WEIR_DIRECTIONS] = {
        [WEIR_REQUEST] = {.status = 413,
                          .grpc_status = -1,
                          .body = WEIR_STR_INIT("Payload Too Large"),
                          .details = WEIR_STR_INIT("request_payload_too_large")},
        [WEIR_RESPONSE] = {.status = 500,
                           .grpc_status = -1,
                           .body = WEIR_STR_INIT("Internal Server Error"),
                           .details = WEIR_STR_INIT("response_payload_too_large")},
    };
    weir_stream_count(s, d == WEIR_REQUEST ? WEIR_HTTP_RQ_TOO_LARGE : WEIR_HTTP_RS_TOO_LARGE);
    weir_stream_reply_self(s, &too_large[d]);
}

static void release(struct weir_stream *s, enum weir_direction d, uint32_t position);

static void pass_headers(struct weir_stream *s, enum weir_direction d, uint32_t position, bool end)
{
    for (; position < s->chain.count; position++) {
        struct weir_chain_filter *cf = filter_at(&s->chain, d, position);
        s->chain.seen[d] = position + 1;
        enum weir_verdict v = call_headers(s, d, cf, end);
        if (v == WEIR_ENDED) return;
        if (v == WEIR_CONTINUE) continue;
        struct weir_chain_hold *h = hold(s, d, cf, v);
        h->headers = true;
        h->headers_end = end;
        return;
    }
    if (d == WEIR_RESPONSE) weir_stream_send_headers(s, end);
}
static void pass_data(struct weir_stream *s, enum weir_direction d, uint32_t position, struct weir_buffer *data, bool end)
{
    for (; position < s->chain.count; position++) {
        struct weir_chain_filter *cf = filter_at(&s->chain, d, position);
        struct weir_chain_hold *h = cf->hold[d];
        if (h != NULL && h->mode == WEIR_HOLD_PAUSED) {
            weir_buffer_move(&h->waiting, data);
            h->waiting_end |= end;
            return;
        }
        bool collecting = h != NULL && h->mode == WEIR_HOLD_COLLECTING;
        enum weir_verdict v = call_data(s, d, cf, data, end);
        if (v == WEIR_ENDED) return;
        if (v == WEIR_CONTINUE && !collecting) continue;
        h = v == WEIR_CONTINUE ? h : hold(s, d, cf, v);
        weir_buffer_move(&h->data, data);
        h->end |= end;
        if (v == WEIR_CONTINUE) {
            release(s, d, position);
        } else {
            check_collected(s, d, h);
        }
        return;
    }
    if (d == WEIR_RESPONSE) weir_stream_send_data(s, data, end);
}
static void pass_trailers(struct weir_stream *s, enum weir_direction d, uint32_t position, struct weir_headers *trailers)
{
    for (; position < s->chain.count; position++) {
        struct weir_chain_filter *cf = filter_at(&s->chain, d, position);
        struct weir_chain_hold *h = cf->hold[d];
        if (h != NULL && h->mode == WEIR_HOLD_PAUSED) {
            h->waiting_trailers = trailers;
            return;
        }
        bool collecting = h != NULL && h->mode == WEIR_HOLD_COLLECTING;
        enum weir_verdict v = call_trailers(s, d, cf, trailers);
        if (v == WEIR_ENDED) return;
        h = cf->hold[d];
        bool holds = collecting || (h != NULL && h->data.bytes > 0); /* bytes that the filter made of the trailers */
        if (v == WEIR_CONTINUE && !holds) continue;
        h = v == WEIR_CONTINUE ? h : hold(s, d, cf, v);
        h->trailers = trailers;
        if (v == WEIR_CONTINUE) release(s, d, position);
        return;
    }
    if (d == WEIR_RESPONSE) weir_stream_send_trailers(s, trailers);
}
/* Everything that the filter holds goes on, then what waits in front of it comes in; either may pause it again. */
static void release(struct weir_stream *s, enum weir_direction d, uint32_t position)
{
    struct weir_chain_hold *h = filter_at(&s->chain, d, position)->hold[d];
    h->mode = WEIR_HOLD_OPEN;
    if (h->headers) {
        /* A body that has turned out empty is none. */
        bool over_already = h->end || (h->trailers != NULL && h->trailers->count == 0);
        bool bodiless = over_already && h->data.bytes == 0;
        if (bodiless) {
            h->end = false;
            h->trailers = NULL;
        }
        h->headers = false;
        pass_headers(s, d, position + 1, h->headers_end || bodiless);
    }
    struct weir_buffer data;
    weir_buffer_init(&data);
    if (!over(s, d) && (h->data.bytes > 0 || h->end)) {
        weir_buffer_move(&data, &h->data);
        bool end = h->end;
        h->end = false;
        pass_data(s, d, position + 1, &data, end);
    }
    if (!over(s, d) && h->trailers != NULL) {
        struct weir_headers *trailers = h->trailers;
        h->trailers = NULL;
        pass_trailers(s, d, position + 1, trailers);
    }
    weir_buffer_deinit(&data);
    if (!over(s, d) && (h->waiting.bytes > 0 || h->waiting_end)) {
        weir_buffer_move(&data, &h->waiting);
        bool end = h->waiting_end;
        h->waiting_end = false;
        pass_data(s, d, position, &data, end);
    }
    weir_buffer_deinit(&data);
    if (!over(s, d) && h->waiting_trailers != NULL && h->mode != WEIR_HOLD_PAUSED) {
        struct weir_headers *trailers = h->waiting_trailers;
        h->waiting_trailers = NULL;
        pass_trailers(s, d, position, trailers);
    }
}

/* Tells the direction's source to stop while paused filters hold as much as the stream may buffer. */
static void check_overfull(struct weir_stream *s, enum weir_direction d)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->chain.count; i++) {
        const struct weir_chain_hold *h = s->chain.at[i].hold[d];
        if (h != NULL && h->mode == WEIR_HOLD_PAUSED) bytes += h->data.bytes + h->waiting.bytes;
    }
    bool overfull = bytes >= s->buffer_limit[d] && !s->chain.stopped[d];
    if (overfull == s->chain.overfull[d]) return;
    s->chain.overfull[d] = overfull;
    if (d == WEIR_REQUEST) {
        weir_stream_pause_request(s, overfull);
    } else {
        weir_stream_update_blocked(s);
    }
}
static void run_resumes(struct weir_stream *s, enum weir_direction d)
{
    while (s->chain.any_resume[d]) {
        s->chain.any_resume[d] = false;
        for (uint32_t p = 0; p < s->chain.count && !over(s, d); p++) {
            struct weir_chain_filter *cf = filter_at(&s->chain, d, p);
            if (!cf->resume_later[d]) continue;
            cf->resume_later[d] = false;
            if (cf->hold[d] != NULL && cf->hold[d]->mode != WEIR_HOLD_OPEN) release(s, d, p);
        }
    }
}
static void enter(struct weir_stream *s, enum weir_direction d)
{
    assert(s->chain.depth[d] == 0);
    s->chain.depth[d]++;
}
static void leave(struct weir_stream *s, enum weir_direction d)
{
    run_resumes(s, d);
    s->chain.depth[d]--;
    if (s->chain.any_hold[d]) check_overfull(s, d);
    if (d == WEIR_RESPONSE && s->reply_pending) {
        s->reply_pending = false;
        weir_local_reply_send(s, &s->pending_reply);
    }
}

void weir_chain_headers(struct weir_stream *s, enum weir_direction d, uint32_t from, bool end)
{
    enter(s, d);
    pass_headers(s, d, from, end);
    leave(s, d);
}
void weir_chain_data(struct weir_stream *s, enum weir_direction d, uint32_t from, struct weir_buffer *data, bool end)
{
    enter(s, d);
    pass_data(s, d, from, data, end);
    leave(s, d);
}
void weir_chain_trailers(struct weir_stream *s, enum weir_direction d, uint32_t from, struct weir_headers *trailers)
{
    enter(s, d);
    pass_trailers(s, d, from, trailers);
    leave(s, d);
}
void weir_chain_resume(struct weir_stream *s, enum weir_direction d, struct weir_chain_filter *cf)
{
    if (over(s, d)) return;
    if (s->chain.running[d] == cf) {
        cf->resume_self[d] = true;
    } else if (s->chain.depth[d] > 0) {
        cf->resume_later[d] = true;
        s->chain.any_resume[d] = true;
    } else if (cf->hold[d] != NULL && cf->hold[d]->mode != WEIR_HOLD_OPEN) {
        enter(s, d);
        release(s, d, position_of(&s->chain, d, cf));
        leave(s, d);
    }
}
void weir_chain_drop_held(struct weir_stream *s, enum weir_direction d)
{
    if (!s->chain.any_hold[d]) return;
    for (uint32_t i = 0; i < s->chain.count; i++) {
        struct weir_chain_hold *h = s->chain.at[i].hold[d];
        if (h == NULL) continue;
        weir_buffer_deinit(&h->data);
        weir_buffer_deinit(&h->waiting);
        *h = (struct weir_chain_hold){.mode = WEIR_HOLD_OPEN};
        weir_buffer_init(&h->data);
        weir_buffer_init(&h->waiting);
    }
    check_overfull(s, d);
}

static const struct weir_filter_route_configs *route_configs(const struct weir_stream *s)
{
    return weir_route_filter_configs(&s->route);
}
/* The most specific configuration of a filter on the route, NULL: none. */
static const struct weir_filter_route_config *route_config_of(const struct weir_filter_route_configs *all,
                                                              struct weir_str name, const struct weir_http_filter *table)
{
    for (uint32_t i = 0; all != NULL && i < all->count; i++) {
        const struct weir_filter_route_config *rc = &all->at[i];
        if ((rc->filter == NULL || rc->filter == table) && weir_str_eq(rc->filter_name, name)) return rc;
    }
    return NULL;
}
uint32_t weir_stream_route_configs(struct weir_stream *s, const struct weir_filter *f, const void **out, uint32_t max)
{
    const struct weir_filter_route_configs *all = route_configs(s);
    uint32_t n = 0;
    for (uint32_t i = 0; all != NULL && i < all->count && n < max; i++) {
        const struct weir_filter_route_config *rc = &all->at[i];
        if (rc->filter == f->table && rc->config != NULL && weir_str_eq(rc->filter_name, f->name)) out[n++] = rc->config;
    }
    return n;
}
void weir_chain_create(struct weir_stream *s, const struct weir_hcm_chain *filters)
{
    const struct weir_filter_route_configs *all = route_configs(s);
    struct weir_chain *chain = &s->chain;
    chain->at = WEIR_NEW(s->arena, struct weir_chain_filter, filters->count);
    chain->count = 0;
    for (uint32_t i = 0; i < filters->count; i++) {
        const struct weir_hcm_filter *entry = &filters->at[i];
        const struct weir_filter_route_config *rc = all != NULL ? route_config_of(all, entry->name, entry->table) : NULL;
        if (rc != NULL ? rc->disabled : entry->disabled) continue;
        struct weir_filter *f = &chain->at[chain->count].filter;
        f->table = entry->table;
        f->stream = s;
        f->config = entry->config;
        f->route_config = rc != NULL ? rc->config : NULL;
        f->state = entry->table->state_size > 0 ? weir_arena_alloc(s->arena, entry->table->state_size) : NULL;
        f->name = entry->name;
        f->index = chain->count++;
    }
}
void weir_chain_update_route(struct weir_stream *s)
{
    const struct weir_filter_route_configs *all = route_configs(s);
    for (uint32_t i = 0; i < s->chain.count; i++) {
        struct weir_filter *f = &s->chain.at[i].filter;
        const struct weir_filter_route_config *rc = route_config_of(all, f->name, f->table);
        f->route_config = rc != NULL ? rc->config : NULL;
    }
}

static struct weir_chain_filter *terminal_of(struct weir_chain *chain)
{
    if (chain->count == 0 || !chain->at[chain->count - 1].filter.table->terminal) return NULL;
    return &chain->at[chain->count - 1];
}
void weir_chain_abort_terminal(struct weir_stream *s)
{
    struct weir_chain_filter *cf = terminal_of(&s->chain);
    if (cf == NULL || cf->gone || s->chain.seen[WEIR_REQUEST] < s->chain.count) return;
    cf->gone = true;
    if (cf->filter.table->on_destroy != NULL) cf->filter.table->on_destroy(s, &cf->filter);
}
void weir_chain_complete(struct weir_stream *s)
{
    for (uint32_t i = 0; i < s->chain.count; i++) {
        struct weir_chain_filter *cf = &s->chain.at[i];
        if (!cf->gone && cf->filter.table->on_complete != NULL) cf->filter.table->on_complete(s, &cf->filter);
    }
}
void weir_chain_destroy(struct weir_stream *s)
{
    for (uint32_t i = 0; i < s->chain.count; i++) {
        struct weir_chain_filter *cf = &s->chain.at[i];
        if (!cf->gone && cf->filter.table->on_destroy != NULL) cf->filter.table->on_destroy(s, &cf->filter);
        for (int d = 0; d < WEIR_DIRECTIONS; d++) {
            if (cf->hold[d] == NULL) continue;
            weir_buffer_deinit(&cf->hold[d]->data);
            weir_buffer_deinit(&cf->hold[d]->waiting);
        }
    }
}
void weir_chain_blocked(struct weir_stream *s, bool blocked)
{
    for (uint32_t i = 0; i < s->chain.count; i++) {
        struct weir_chain_filter *cf = &s->chain.at[i];
        if (!cf->gone && cf->filter.table->on_downstream_blocked != NULL)
            cf->filter.table->on_downstream_blocked(s, &cf->filter, blocked);
    }
}

/* filter.h */
static struct weir_chain_filter *chain_filter(struct weir_filter *f)
{
    return WEIR_CONTAINER_OF(f, struct weir_chain_filter, filter);
}
void weir_stream_resume_request(struct weir_stream *s, struct weir_filter *f)
{
    weir_chain_resume(s, WEIR_REQUEST, chain_filter(f));
}
void weir_stream_resume_response(struct weir_stream *s, struct weir_filter *f)
{
    weir_chain_resume(s, WEIR_RESPONSE, chain_filter(f));
}
struct weir_buffer *weir_stream_request_buffer(struct weir_stream *s, struct weir_filter *f)
{
    return &hold_of(s, WEIR_REQUEST, chain_filter(f))->data;
}
struct weir_buffer *weir_stream_response_buffer(struct weir_stream *s, struct weir_filter *f)
{
    return &hold_of(s, WEIR_RESPONSE, chain_filter(f))->data;
}
