#include "test/unit/support/http_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/cluster/cluster.h"
#include "dataplane/http/connection.h"
#include "dataplane/route/index.h"
#include "dataplane/route/vhost.h"
#include "test/unit/support/pb_text.h"

/* ---- probes ---- */

static void note(struct rig *r, const char *fmt, ...) WEIR_PRINTF(2, 3);
static void note(struct rig *r, const char *fmt, ...)
{
    char line[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    text_add(&r->log, "%s%s", r->log.n > 0 ? " " : "", line);
}
void rig_write_down(struct rig *r, const char *event)
{
    note(r, "%s", event);
}

static enum weir_verdict next(struct weir_stream *s, struct weir_filter *f, const char **script, bool response)
{
    struct probe *p = (struct probe *)(uintptr_t)f->config;
    p->stream = s;
    p->filter = f;
    char c = *script != NULL && **script != 0 ? *(*script)++ : 'C';
    switch (c) {
    case 'P': return WEIR_PAUSE;
    case 'B': return WEIR_PAUSE_AND_BUFFER;
    case 'r':
        if (response) {
            weir_stream_resume_response(s, f);
        } else {
            weir_stream_resume_request(s, f);
        }
        return WEIR_PAUSE;
    case 'R':
        return weir_stream_reply(s, &(struct weir_local_reply){
                                        .status = 418, .grpc_status = -1, .body = WEIR_STR("teapot"), .details = WEIR_STR("probe")});
    default: return WEIR_CONTINUE;
    }
}
static void probe_note(const struct weir_filter *f, const char *what, size_t bytes, bool with_bytes, bool end)
{
    const struct probe *p = f->config;
    if (p->silent) return;
    if (with_bytes) {
        note(p->rig, "%s.%s%zu%s", p->name, what, bytes, end ? "!" : "");
    } else {
        note(p->rig, "%s.%s%s", p->name, what, end ? "!" : "");
    }
}
static struct probe *probe_of(const struct weir_filter *f)
{
    return (struct probe *)(uintptr_t)f->config;
}
static enum weir_verdict on_request_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    probe_note(f, "h", 0, false, end);
    return next(s, f, &probe_of(f)->request_headers, false);
}
static enum weir_verdict on_request_data(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *data, bool end)
{
    probe_note(f, "d", data->bytes, true, end);
    return next(s, f, &probe_of(f)->request_data, false);
}
static enum weir_verdict on_request_trailers(struct weir_stream *s, struct weir_filter *f, struct weir_headers *t)
{
    (void)t;
    probe_note(f, "t", 0, false, false);
    return next(s, f, &probe_of(f)->request_trailers, false);
}
static enum weir_verdict on_response_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    probe_note(f, "H", 0, false, end);
    return next(s, f, &probe_of(f)->response_headers, true);
}
static enum weir_verdict on_response_data(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *data, bool end)
{
    probe_note(f, "D", data->bytes, true, end);
    return next(s, f, &probe_of(f)->response_data, true);
}
static enum weir_verdict on_response_trailers(struct weir_stream *s, struct weir_filter *f, struct weir_headers *t)
{
    (void)t;
    probe_note(f, "T", 0, false, false);
    return next(s, f, &probe_of(f)->response_trailers, true);
}
static void on_probe_destroy(struct weir_stream *s, struct weir_filter *f)
{
    struct probe *p = probe_of(f);
    if (p->stream == s) p->stream = NULL;
}
const struct weir_http_filter probe_filter = {
    .name = "probe",
    .on_request_headers = on_request_headers,
    .on_request_data = on_request_data,
    .on_request_trailers = on_request_trailers,
    .on_response_headers = on_response_headers,
    .on_response_data = on_response_data,
    .on_response_trailers = on_response_trailers,
    .on_destroy = on_probe_destroy,
};

/* ---- the terminal filter ---- */

static struct rig *rig_of(const struct weir_filter *f)
{
    return (struct rig *)(uintptr_t)f->config;
}
static void answer(struct rig *r)
{
    if (!r->answer) return;
    const char *body = r->body != NULL ? r->body : "ok";
    char length[24];
    (void)snprintf(length, sizeof(length), "%zu", strlen(body));
    rig_respond(r, false, LIST(":status", "200", "content-length", length));
    rig_respond_data(r, body, true);
}
static enum weir_verdict terminal_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    struct rig *r = rig_of(f);
    r->stream = s;
    r->terminal = f;
    if (!r->quiet_terminal) note(r, end ? "up.h!" : "up.h");
    if (end) answer(r);
    return WEIR_CONTINUE;
}
static enum weir_verdict terminal_data(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *data, bool end)
{
    struct rig *r = rig_of(f);
    (void)s;
    if (!r->quiet_terminal) note(r, "up.d%zu%s", data->bytes, end ? "!" : "");
    if (end) answer(r);
    return WEIR_CONTINUE;
}
static enum weir_verdict terminal_trailers(struct weir_stream *s, struct weir_filter *f, struct weir_headers *t)
{
    struct rig *r = rig_of(f);
    (void)s, (void)t;
    if (!r->quiet_terminal) note(r, "up.t");
    answer(r);
    return WEIR_CONTINUE;
}
static void terminal_blocked(struct weir_stream *s, struct weir_filter *f, bool blocked)
{
    (void)s;
    rig_of(f)->blocked = blocked;
}
static void terminal_destroy(struct weir_stream *s, struct weir_filter *f)
{
    struct rig *r = rig_of(f);
    r->destroyed++;
    if (r->stream == s) r->stream = NULL;
}
static const struct weir_http_filter terminal_filter = {
    .name = "terminal",
    .terminal = true,
    .on_request_headers = terminal_headers,
    .on_request_data = terminal_data,
    .on_request_trailers = terminal_trailers,
    .on_downstream_blocked = terminal_blocked,
    .on_destroy = terminal_destroy,
};
struct weir_headers *rig_headers(struct weir_arena *arena, const char *const *fields)
{
    struct weir_headers *h = WEIR_NEW(arena, struct weir_headers, 1);
    weir_headers_init(h, arena);
    for (; *fields != NULL; fields += 2) weir_headers_add_copy(h, weir_str_of(fields[0]), weir_str_of(fields[1]));
    return h;
}
void rig_respond(struct rig *r, bool end, const char *const *fields)
{
    weir_stream_respond_headers(r->stream, rig_headers(weir_stream_arena(r->stream), fields), end);
}
void rig_respond_data(struct rig *r, const char *body, bool end)
{
    if (r->stream == NULL) return;
    struct weir_buffer b;
    weir_buffer_init(&b);
    weir_buffer_append(&b, &r->w->blocks, body, strlen(body));
    weir_stream_respond_data(r->stream, &b, end);
    weir_buffer_deinit(&b);
}
void rig_respond_trailers(struct rig *r, const char *const *fields)
{
    weir_stream_respond_trailers(r->stream, rig_headers(weir_stream_arena(r->stream), fields));
}

/* ---- the transport ---- */

static struct rig *rig_of_transport(const struct weir_transport *t)
{
    return WEIR_CONTAINER_OF(t, struct rig, transport);
}
static void t_read(struct weir_transport *t, bool on)
{
    rig_of_transport(t)->reading = on;
}
static void t_write(struct weir_transport *t, struct weir_buffer *b)
{
    struct rig *r = rig_of_transport(t);
    assert_false(r->closed || r->finished);
    for (uint32_t i = 0; i < b->count; i++) {
        const struct weir_slice *s = weir_buffer_slice(b, i);
        text_add_bytes(&r->sent, s->p, s->n);
    }
    t->tx_bytes += b->bytes;
    r->sent_bytes += b->bytes;
    if (r->slow_client) r->queue += b->bytes;
    weir_buffer_deinit(b);
}
static size_t t_queued(const struct weir_transport *t)
{
    return rig_of_transport(t)->queue;
}
static void t_notify_flushed(struct weir_transport *t)
{
    (void)t;
}
static void t_shutdown(struct weir_transport *t)
{
    rig_of_transport(t)->fin = true;
}
static void t_close(struct weir_transport *t, bool reset)
{
    struct rig *r = rig_of_transport(t);
    r->closed = true;
    r->reset = reset;
}
static void t_finish(struct weir_transport *t, uint32_t linger_ms)
{
    struct rig *r = rig_of_transport(t);
    r->finished = true;
    r->linger_ms = linger_ms;
}
static void t_idle(struct weir_transport *t)
{
    (void)t;
}
static const struct weir_transport_ops transport_ops = {
    .read = t_read,
    .write = t_write,
    .queued = t_queued,
    .notify_flushed = t_notify_flushed,
    .shutdown = t_shutdown,
    .close = t_close,
    .finish = t_finish,
    .idle = t_idle,
};

/* ---- the rig ---- */

static void write_access(const void *config, struct weir_worker *w, const struct weir_request *q, struct weir_str local_reply_body)
{
    struct rig *r = (struct rig *)(uintptr_t)config;
    (void)w, (void)local_reply_body;
    static const char *const flags[] = {
#define X(id, s, l) s,
        WEIR_RESPONSE_FLAGS(X)
#undef X
    };
    text_add(&r->access, "%s%u ", r->access.n > 0 ? "\n" : "", q->status);
    bool any = false;
    for (int i = 0; i < WEIR_FLAG_COUNT; i++) {
        if (!(q->flags & (uint64_t)1 << i)) continue;
        text_add(&r->access, "%s%s", any ? "," : "", flags[i]);
        any = true;
    }
    text_add(&r->access, "%s %.*s", any ? "" : "-", WEIR_STR_ARG(q->code_details.n > 0 ? q->code_details : WEIR_STR("-")));
}
void rig_init(struct rig *r)
{
    *r = (struct rig){0};
    r->w = weir_worker_create_simulated(0, 1, 7);
    r->w->now_ns = 1000000000u;
    r->w->wall_ns = 1700000000000000000u;
    weir_worker_finish_turn(r->w);
    r->registry = weir_stats_registry_create(1);

    struct listener {
        struct weir_resource resource;
        struct weir_hcm hcm;
    } *l = weir_resource_create(sizeof(struct listener), WEIR_STR("l"));
    r->hcm = &l->hcm;
    r->pin = weir_pin_create(&l->resource);
    weir_resource_release(&l->resource);
    struct weir_access_sink *sink = WEIR_NEW(&l->resource.arena, struct weir_access_sink, 1);
    *sink = (struct weir_access_sink){.write = write_access, .config = r};
    *r->hcm = (struct weir_hcm){
        .stats = weir_stats_acquire(r->registry, WEIR_STR("http.in."), weir_http_stat_descs, WEIR_HTTP_STAT_COUNT),
        .listener_stats = weir_stats_acquire(r->registry, WEIR_STR("listener.l.http.in."), weir_http_listener_stat_descs,
                                             WEIR_HTTP_LISTENER_STAT_COUNT),
        .codec = config_by_default(),
        .route_table_slot = 0,
        .filters = {.at = r->filters},
        .drain_timeout_ms = 5000,
        .delayed_close_timeout_ms = 1000,
        .server_name = WEIR_STR("weir"),
        .access_log_count = 1,
        .access_logs = sink,
    };
    r->chain = (struct weir_filter_chain){
        .pin = r->pin,
        .filters = &r->use,
        .filter_count = 1,
        .buffer_limit_bytes = 65536,
        .name = WEIR_STR("chain"),
        .listener_name = WEIR_STR("l"),
    };
    r->use = (struct weir_network_filter_use){.filter = &weir_network_filter_http, .config = r->hcm};
}
void rig_use_route(struct rig *r, struct weir_route *route)
{
    struct weir_arena *arena = &r->pin->resource->arena;
    struct weir_route_table *table = WEIR_NEW(arena, struct weir_route_table, 1);
    struct weir_virtual_host *vhost = WEIR_NEW(arena, struct weir_virtual_host, 1);
    struct weir_route_match *match = WEIR_NEW(arena, struct weir_route_match, 1);
    *match = (struct weir_route_match){.kind = WEIR_PATH_PREFIX, .path = WEIR_STR(""), .plain = true};
    route->match = match;
    route->cluster_slot = WEIR_CLUSTER_SLOT_NONE;
    *vhost = (struct weir_virtual_host){.name = WEIR_STR("v"), .table = table, .route_count = 1, .routes = route};
    vhost->index = weir_route_index_build(arena, route, 1);
    struct weir_vhost_domain domain = {WEIR_STR("*"), vhost};
    uint32_t again;
    assert_int_equal(weir_vhost_index_build(arena, &domain, 1, &again, &table->vhosts), WEIR_OK);
    table->name = WEIR_STR("routes");
    r->hcm->routes = table;
}
void rig_add_filter(struct rig *r, const struct weir_http_filter *table, const void *config)
{
    uint32_t i = r->hcm->filters.count++;
    assert_true(i < RIG_FILTERS_MAX - 1);
    r->filters[i] = (struct weir_hcm_filter){.name = weir_str_of(table->name), .table = table, .config = config};
}
struct probe *rig_probe(struct rig *r, const char *name)
{
    struct probe *p = &r->probes[r->hcm->filters.count];
    *p = (struct probe){.rig = r, .name = name};
    rig_add_filter(r, &probe_filter, p);
    return p;
}
static uint32_t cluster_slot(void *ctx, struct weir_str name)
{
    (void)ctx;
    return weir_str_eq(name, WEIR_STR("c0")) ? 0 : 1;
}
static const struct weir_compile_node node = {.id = WEIR_STR_INIT("n1"), .cluster = WEIR_STR_INIT("nc1")};
static struct weir_compile compile_of(struct rig *r, struct weir_arena *scratch)
{
    static const struct weir_compile_names names = {.cluster_slot = cluster_slot};
    r->error = (struct weir_error){0};
    return (struct weir_compile){
        .arena = &r->pin->resource->arena,
        .resource = r->pin->resource,
        .error = &r->error,
        .names = &names,
        .stats = r->registry,
        .node = &node,
        .worker_count = 1,
        .scratch = scratch,
    };
}
const char *rig_compile_filter(struct rig *r, const struct weir_http_filter *table, const char *json)
{
    struct weir_arena scratch = {0};
    struct weir_compile c = compile_of(r, &scratch);
    const void *config = NULL;
    enum weir_err err = WEIR_OK;
    if (table->compile != NULL)
        err = table->compile(&c, pb_text(&scratch, table->config_type, json), WEIR_STR("http.in."), &config);
    weir_arena_deinit(&scratch);
    if (err != WEIR_OK) return r->error.text;
    rig_add_filter(r, table, config);
    return NULL;
}
const void *rig_compile_route(struct rig *r, const struct weir_http_filter *table, const char *json)
{
    struct weir_arena scratch = {0};
    struct weir_compile c = compile_of(r, &scratch);
    const void *config = NULL;
    enum weir_err err = table->compile_route(&c, pb_text(&scratch, table->route_config_type, json), &config);
    weir_arena_deinit(&scratch);
    return err == WEIR_OK ? config : NULL;
}
static void find_counter(void *ctx, const struct weir_stat_value *v)
{
    struct {
        const char *name;
        int64_t value;
    } *wanted = ctx;
    size_t n = strlen(wanted->name);
    if (n == v->prefix.n + v->leaf.n && memcmp(wanted->name, v->prefix.p, v->prefix.n) == 0 &&
        memcmp(wanted->name + v->prefix.n, v->leaf.p, v->leaf.n) == 0)
        wanted->value = v->value;
}
int64_t rig_counter(struct rig *r, const char *name)
{
    struct {
        const char *name;
        int64_t value;
    } wanted = {name, 0};
    struct weir_stats_view view;
    weir_stats_view_init(&view, r->registry);
    for (size_t i = 0; i < view.count;) i = weir_stats_view_visit(&view, i, find_counter, &wanted);
    weir_stats_view_deinit(&view);
    return wanted.value;
}
static void on_done(struct weir_connection *c)
{
    struct rig *r = WEIR_CONTAINER_OF(c->chain, struct rig, chain);
    assert_ptr_equal(r->base, c);
    r->base = NULL;
    free(c->states);
    free(c);
}
void rig_connect(struct rig *r)
{
    if (r->hcm->filters.count == 0 || !r->filters[r->hcm->filters.count - 1].table->terminal) rig_add_filter(r, &terminal_filter, r);
    r->reading = r->fin = r->finished = r->closed = r->reset = false;
    r->transport = (struct weir_transport){.ops = &transport_ops, .worker = r->w, .id = weir_worker_next_connection_id(r->w)};
    struct weir_address at;
    assert_true(weir_address_parse(WEIR_STR("127.0.0.1"), 8080, &at));
    weir_address_keep(&r->transport.local, &at);
    assert_true(weir_address_parse(WEIR_STR("127.0.0.1"), 40000, &at));
    weir_address_keep(&r->transport.remote, &at);
    if (r->tls.alpn.n > 0) r->transport.tls = &r->tls;
    r->base = calloc(1, sizeof(*r->base));
    *r->base = (struct weir_connection){
        .chain = &r->chain, .transport = &r->transport, .worker = r->w, .start_ns = r->w->now_ns, .on_done = on_done};
    r->base->states = calloc(1, weir_network_filter_http.state_size);
    assert_int_equal(weir_network_filter_http.on_connection(r->base), WEIR_NETWORK_CONTINUE);
}
void rig_deinit(struct rig *r)
{
    if (r->base != NULL) rig_vanish(r);
    rig_turn(r);
    assert_null(r->base);
    assert_int_equal(rig_stat(r, WEIR_HTTP_RQ_ACTIVE), 0);
    assert_int_equal(rig_stat(r, WEIR_HTTP_CX_ACTIVE), 0);
    assert_int_equal(rig_stat(r, WEIR_HTTP_CX_HTTP1_ACTIVE), 0);
    assert_int_equal(rig_stat(r, WEIR_HTTP_CX_HTTP2_ACTIVE), 0);
    assert_int_equal(rig_stat(r, WEIR_HTTP_CX_UPGRADES_ACTIVE), 0);
    assert_int_equal(r->w->blocks.live, 0);
    assert_true(weir_timer_wheel_wait_ms(&r->w->timers) == UINT64_MAX);
    assert_int_equal(r->pin->refs, 1);
    weir_stats_release(r->hcm->stats);
    weir_stats_release(r->hcm->listener_stats);
    weir_pin_release(r->pin);
    weir_worker_destroy(r->w);
    weir_stats_registry_destroy(r->registry);
    text_free(&r->sent);
    text_free(&r->log);
    text_free(&r->access);
}
void rig_turn(struct rig *r)
{
    weir_worker_finish_turn(r->w);
}
void rig_advance(struct rig *r, uint64_t ms)
{
    r->w->now_ns += ms * 1000000u;
    r->w->wall_ns += ms * 1000000u;
    rig_turn(r);
    rig_turn(r);
}
void rig_send(struct rig *r, const char *p, size_t n)
{
    if (r->base == NULL) return;
    struct weir_block *b = weir_block_create(&r->w->blocks, n);
    memcpy(b->data, p, n);
    r->transport.rx_bytes += n;
    r->transport.events->on_read(r->transport.owner, (struct weir_slice){b->data, n, b});
    rig_turn(r);
}
void rig_eof(struct rig *r)
{
    if (r->base == NULL) return;
    r->transport.events->on_eof(r->transport.owner);
    rig_turn(r);
}
void rig_vanish(struct rig *r)
{
    r->transport.events->on_closed(r->transport.owner, WEIR_CLOSE_RESET);
    rig_turn(r);
}
void rig_client_reads(struct rig *r)
{
    r->queue = 0;
    if (!r->transport.above_high) return;
    r->transport.above_high = false;
    r->transport.events->on_drained(r->transport.owner);
    rig_turn(r);
}
const char *rig_take(struct rig *r)
{
    static char out[65536];
    out[0] = 0;
    size_t n = 0;
    const char *p = r->sent.p != NULL ? r->sent.p : "", *end = p + r->sent.n;
    while (p < end && n < sizeof(out) - 64) {
        if (strncmp(p, "date: ", 6) == 0) {
            n += (size_t)sprintf(out + n, "date: DATE\r\n");
            while (p < end && *p++ != '\n') {
            }
            continue;
        }
        while (p < end && n < sizeof(out) - 64) {
            out[n++] = *p;
            if (*p++ == '\n') break;
        }
    }
    out[n] = 0;
    text_free(&r->sent);
    r->sent = (struct text){0};
    return out;
}
const char *rig_log(struct rig *r)
{
    static char out[4096];
    (void)snprintf(out, sizeof(out), "%s", r->log.n > 0 ? r->log.p : "");
    text_free(&r->log);
    r->log = (struct text){0};
    return out;
}
int64_t rig_stat(struct rig *r, enum weir_http_stat stat)
{
    return weir_stat_sum(r->hcm->stats, stat);
}

