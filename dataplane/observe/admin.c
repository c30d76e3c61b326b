/* Connections of the admin server. One request at a time on each; a request's body is read and dropped, unless it is a form. */
#include "dataplane/observe/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "dataplane/base/log.h"
#include "dataplane/base/str.h"
#include "dataplane/codec/codec.h"
#include "dataplane/transport/raw.h"
#include "dataplane/worker/watch.h"

#define CONNECTIONS_MAX 256
#define LINGER_MS 1000
#define FORM_BYTES_MAX (64u * 1024u) /* what is longer is refused */
#define QUEUE_HIGH_BYTES (256u * 1024u) /* of a page that its reader has not taken: no more of it is rendered */
#define QUEUE_LOW_BYTES (64u * 1024u)

struct connection {
    struct weir_list node;
    struct weir_admin *admin;
    struct weir_transport *transport; /* NULL once it has gone */
    struct weir_codec *codec;
    struct weir_codec_stream *stream;
    struct weir_arena arena; /* of the request at hand */
    struct weir_headers *request;
    struct weir_out form; /* so far; at most FORM_BYTES_MAX */
    struct weir_admin_source *source; /* of the page on its way */
    struct weir_deferred flush;
    struct weir_dead dead;
    uint64_t start_ns, request_ns; /* the second: of the request at hand */
    bool last; /* close once all is written */
};
struct weir_admin {
    struct weir_worker *worker;
    struct weir_watch *watch; /* owns `listening` */
    int listening;
    struct weir_address address;
    const struct weir_admin_page *pages;
    size_t page_count;
    void *ctx;
    struct weir_list connections;
    uint32_t connection_count;
    struct weir_admin_counts counts;
    struct weir_admin_times times;
};

static const struct weir_codec_config codec_config = {
    .header_bytes_max = 60 * 1024,
    .header_count_max = 100,
    .stream_high_water = QUEUE_HIGH_BYTES,
    .stream_low_water = QUEUE_LOW_BYTES,
    .h1_allow_absolute_url = true,
    .h1_accept_http_10 = true,
    .h1_default_host = WEIR_STR_INIT("admin"),
};

/* --- pages --- */

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = weir_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct weir_str decoded(struct weir_arena *a, struct weir_str s)
{
    char *to = weir_arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
            to[n++] = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
            i += 2;
        } else {
            to[n++] = s.p[i] == '+' ? ' ' : s.p[i];
        }
    }
    return (struct weir_str){to, n};
}

bool weir_admin_param_next(const struct weir_admin_request *r, size_t *at, struct weir_str *name, struct weir_str *value)
{
    while (*at < r->query.n && r->query.p[*at] == '&') (*at)++;
    if (*at >= r->query.n) return false;
    struct weir_str rest = {r->query.p + *at, r->query.n - *at};
    struct weir_str pair = {rest.p, weir_str_find(rest, '&')};
    size_t equals = weir_str_find(pair, '=');
    *name = decoded(r->arena, (struct weir_str){pair.p, equals});
    *value = equals < pair.n ? decoded(r->arena, (struct weir_str){pair.p + equals + 1, pair.n - equals - 1}) : WEIR_STR("");
    *at += pair.n;
    return true;
}

struct weir_str weir_admin_param(const struct weir_admin_request *r, struct weir_str name)
{
    size_t at = 0;
    struct weir_str key, value;
    while (weir_admin_param_next(r, &at, &key, &value))
        if (weir_str_eq(key, name)) return value;
    return (struct weir_str){0};
}

const char *weir_admin_regex_error(const struct weir_error *e)
{
    static const char marker[] = "regular expression: ";
    const char *why = strstr(e->text, marker);
    return why != NULL ? why + sizeof(marker) - 1 : e->text;
}

static bool line_next(struct weir_str *rest, struct weir_str *line)
{
    if (rest->n == 0) return false;
    *line = (struct weir_str){rest->p, weir_str_find(*rest, '\n')};
    size_t n = line->n + (line->n < rest->n);
    *rest = (struct weir_str){rest->p + n, rest->n - n};
    return true;
}

static void html_add(struct weir_out *out, struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '<') weir_out_add(out, WEIR_STR("&lt;"));
        else if (s.p[i] == '&') weir_out_add(out, WEIR_STR("&amp;"));
        else weir_out_add(out, (struct weir_str){s.p + i, 1});
    }
}

static void help_print(const struct weir_admin *a, struct weir_out *out)
{
    weir_out_printf(out, "admin commands are:\n  /: Admin home page\n");
    for (size_t i = 0; i < a->page_count; i++) {
        weir_out_printf(out, "  %s%s: %s\n", a->pages[i].path, a->pages[i].post ? " (POST)" : "", a->pages[i].help);
        struct weir_str line, rest = weir_str_of(a->pages[i].params != NULL ? a->pages[i].params : "");
        while (line_next(&rest, &line)) weir_out_printf(out, "      %.*s\n", WEIR_STR_ARG(line));
    }
}

static void index_print(const struct weir_admin *a, struct weir_out *out)
{
    weir_out_printf(out, "<!DOCTYPE html>\n<html><head><title>weir admin</title></head><body>\n<table>\n<thead><th>Command</th><th>Description</th></thead>\n");
    for (size_t i = 0; i < a->page_count; i++) {
        const struct weir_admin_page *p = &a->pages[i];
        if (p->post) weir_out_printf(out, "<tr><td><form action='%s' method='post'><button>%s</button></form></td><td>", p->path + 1, p->path + 1);
        else weir_out_printf(out, "<tr><td><a href='%s'>%s</a></td><td>", p->path + 1, p->path + 1);
        html_add(out, weir_str_of(p->help));
        struct weir_str line, rest = weir_str_of(p->params != NULL ? p->params : "");
        while (line_next(&rest, &line)) {
            weir_out_printf(out, "<br>?");
            html_add(out, line);
        }
        weir_out_printf(out, "</td></tr>\n");
    }
    weir_out_printf(out, "</table>\n</body></html>\n");
}

static void page_serve(const struct weir_admin *a, const struct weir_admin_request *r, struct weir_admin_reply *reply)
{
    if (weir_str_eq(r->path, WEIR_STR("/"))) {
        reply->content_type = WEIR_ADMIN_HTML;
        index_print(a, &reply->body);
        return;
    }
    if (weir_str_eq(r->path, WEIR_STR("/help"))) {
        help_print(a, &reply->body);
        return;
    }
    for (size_t i = 0; i < a->page_count; i++) {
        const struct weir_admin_page *p = &a->pages[i];
        if (!weir_str_eq(r->path, weir_str_of(p->path))) continue;
        if (p->post && !weir_str_eq(r->method, WEIR_STR("POST"))) {
            reply->status = 405;
            weir_out_printf(&reply->body, "Method %.*s not allowed, POST required.", WEIR_STR_ARG(r->method));
            return;
        }
        p->handle(a->ctx, r, reply);
        return;
    }
    reply->status = 404;
    weir_out_printf(&reply->body, "invalid path. ");
    help_print(a, &reply->body);
}

/* --- connections --- */

static void connection_free(struct weir_dead *d)
{
    struct connection *c = WEIR_CONTAINER_OF(d, struct connection, dead);
    if (c->codec != NULL) weir_codec_destroy(c->codec);
    weir_arena_deinit(&c->arena);
    weir_out_deinit(&c->form);
    free(c);
}

static void source_end(struct connection *c)
{
    if (c->source != NULL) c->source->destroy(c->source);
    c->source = NULL;
}

static uint64_t since_ms(const struct connection *c, uint64_t then_ns)
{
    return (c->admin->worker->now_ns - then_ns) / 1000000u;
}

static void request_end(struct connection *c)
{
    struct weir_admin *a = c->admin;
    if (c->request_ns == 0) return;
    a->counts.requests_active--;
    if (a->times.request_ended != NULL) a->times.request_ended(a->times.ctx, since_ms(c, c->request_ns));
    c->request_ns = 0;
}

/* c->transport is the present one still, or NULL once it has gone by itself. */
static void connection_end(struct connection *c)
{
    struct weir_admin *a = c->admin;
    source_end(c);
    request_end(c);
    a->counts.active--;
    a->counts.ended++;
    if (c->transport == NULL) a->counts.ended_by_peer++;
    if (a->times.connection_ended != NULL) a->times.connection_ended(a->times.ctx, since_ms(c, c->start_ns));
    c->transport = NULL;
    weir_worker_undefer(&c->flush);
    weir_list_remove(&c->node);
    c->admin->connection_count--;
    weir_worker_bury(c->admin->worker, &c->dead);
}

static void body_send(struct connection *c, const struct weir_out *piece, bool end)
{
    struct weir_buffer b;
    weir_buffer_init(&b);
    if (piece->n > 0) weir_buffer_append(&b, &c->admin->worker->blocks, piece->p, piece->n);
    weir_codec_stream_send_data(c->stream, &b, end);
    weir_buffer_deinit(&b);
}

/* One piece of the page; its sending defers the flush anew. */
static void source_go_on(struct connection *c)
{
    struct weir_out piece = {0};
    bool end = !c->source->more(c->source, &piece);
    if (end) source_end(c);
    if (end || piece.n > 0) body_send(c, &piece, end);
    weir_out_deinit(&piece);
    weir_worker_defer(c->admin->worker, &c->flush);
}

static void flush_run(struct weir_deferred *d)
{
    struct connection *c = WEIR_CONTAINER_OF(d, struct connection, flush);
    struct weir_buffer b;
    if (c->transport == NULL) return;
    weir_buffer_init(&b);
    do {
        size_t before = b.bytes;
        weir_codec_output(c->codec, &b);
        if (b.bytes == before) break;
    } while (true);
    c->admin->counts.tx_bytes += b.bytes;
    if (!weir_buffer_empty(&b)) weir_transport_write(c->transport, &b);
    weir_buffer_deinit(&b);
    if (c->source != NULL && c->stream != NULL) {
        if (weir_transport_queued(c->transport) < QUEUE_HIGH_BYTES) source_go_on(c); /* else on_drained */
        return;
    }
    if (!c->last || !weir_codec_idle(c->codec)) return;
    weir_transport_finish(c->transport, LINGER_MS);
    connection_end(c);
}

static void on_output(void *owner)
{
    struct connection *c = owner;
    weir_worker_defer(c->admin->worker, &c->flush);
}

static void reply_send(struct connection *c, struct weir_admin_reply *reply)
{
    struct weir_headers h;
    struct weir_worker *w = c->admin->worker;
    weir_headers_init(&h, &c->arena);
    struct weir_str status = weir_arena_printf(&c->arena, "%u", reply->status);
    weir_headers_add(&h, WEIR_H_STATUS, status);
    weir_headers_add(&h, WEIR_H_CONTENT_TYPE, weir_str_of(reply->content_type));
    weir_headers_add(&h, WEIR_H_CACHE_CONTROL, WEIR_STR("no-cache, max-age=0"));
    weir_headers_add_name(&h, WEIR_STR("x-content-type-options"), WEIR_STR("nosniff"));
    weir_headers_add(&h, WEIR_H_DATE, weir_arena_str(&c->arena, weir_worker_date(w)));
    weir_headers_add(&h, WEIR_H_SERVER, WEIR_STR("envoy"));
    if (weir_codec_stream_send_headers(c->stream, &h, false) != WEIR_OK) {
        weir_codec_stream_reset(c->stream, WEIR_RESET_LOCAL);
        c->stream = NULL;
        source_end(c);
        return;
    }
    if (reply->status >= 100 && reply->status < 600) c->admin->counts.answers[reply->status / 100 - 1]++;
    body_send(c, &reply->body, c->source == NULL);
}

static void request_serve(struct connection *c)
{
    struct weir_str target = weir_headers_get(c->request, WEIR_H_PATH);
    size_t question = weir_str_find(target, '?');
    struct weir_admin_request r = {.method = weir_headers_get(c->request, WEIR_H_METHOD), .path = {target.p, question}, .arena = &c->arena};
    if (question < target.n) r.query = (struct weir_str){target.p + question + 1, target.n - question - 1};
    struct weir_admin_reply reply = {.status = 200, .content_type = WEIR_ADMIN_TEXT};
    if (r.query.n == 0 && c->form.n > 0) r.query = (struct weir_str){c->form.p, c->form.n};
    if (c->form.n > FORM_BYTES_MAX) reply.status = 413;
    else page_serve(c->admin, &r, &reply);
    c->source = reply.source;
    /* A short page ends with its first piece, and nobody is to render what is not sent. */
    if (c->source != NULL && (weir_str_eq(r.method, WEIR_STR("HEAD")) || !c->source->more(c->source, &reply.body))) source_end(c);
    reply_send(c, &reply);
    weir_out_deinit(&reply.body);
}

static void on_headers(void *ctx, struct weir_headers *h, bool end)
{
    struct connection *c = ctx;
    c->request = h;
    if (end) request_serve(c);
}

/* Parameters may come as the values of a form, where the path has none. */
static void form_add(struct connection *c, const struct weir_buffer *data)
{
    char piece[1024];
    struct weir_str type = weir_headers_get(c->request, WEIR_H_CONTENT_TYPE);
    if (!weir_str_eq((struct weir_str){type.p, weir_str_find(type, ';')}, WEIR_STR("application/x-www-form-urlencoded"))) return;
    for (size_t at = 0, n; at < data->bytes && c->form.n <= FORM_BYTES_MAX; at += n) {
        n = weir_buffer_copy_out(data, at, piece, sizeof(piece));
        weir_out_add(&c->form, (struct weir_str){piece, n});
    }
}

static void on_data(void *ctx, struct weir_buffer *data, bool end)
{
    struct connection *c = ctx;
    form_add(c, data);
    weir_buffer_consume(data, data->bytes);
    if (end) request_serve(c);
}

static void on_trailers(void *ctx, struct weir_headers *h)
{
    (void)h;
    request_serve(ctx);
}

static void on_send(void *ctx)
{
    (void)ctx; /* what the transport has queued decides */
}

static void on_stream_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    struct connection *c = ctx;
    (void)reason;
    (void)details;
    c->stream = NULL;
    source_end(c);
    request_end(c);
    weir_worker_defer(c->admin->worker, &c->flush);
}

static const struct weir_stream_events stream_events = {
    .on_headers = on_headers,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_send_blocked = on_send,
    .on_send_ready = on_send,
    .on_closed = on_stream_closed,
};

static void on_stream(void *owner, struct weir_codec_stream *s)
{
    struct connection *c = owner;
    weir_arena_deinit(&c->arena);
    c->form.n = 0;
    c->admin->counts.requests++;
    c->admin->counts.requests_active++;
    c->request_ns = c->admin->worker->now_ns;
    c->stream = s;
    s->events = &stream_events;
    s->ctx = c;
    s->arena = &c->arena;
}

static void on_read_pause(void *owner, bool pause)
{
    struct connection *c = owner;
    if (c->transport != NULL) weir_transport_read(c->transport, !pause);
}

static void on_draining(void *owner)
{
    struct connection *c = owner;
    c->last = true;
    weir_worker_defer(c->admin->worker, &c->flush);
}

static void on_error(void *owner, const struct weir_codec_error *e)
{
    struct connection *c = owner;
    c->admin->counts.protocol_errors++;
    weir_codec_reply(c->codec, e, weir_worker_date(c->admin->worker), WEIR_STR("envoy"));
    c->last = true;
    weir_worker_defer(c->admin->worker, &c->flush);
}

static const struct weir_codec_events codec_events = {
    .on_stream = on_stream,
    .on_output = on_output,
    .on_read_pause = on_read_pause,
    .on_draining = on_draining,
    .on_error = on_error,
};

static void on_read(void *owner, struct weir_slice bytes)
{
    struct connection *c = owner;
    c->admin->counts.rx_bytes += bytes.n;
    weir_codec_input(c->codec, bytes);
}

static void on_eof(void *owner)
{
    struct connection *c = owner;
    weir_codec_input_eof(c->codec);
    c->last = true;
    weir_worker_defer(c->admin->worker, &c->flush);
}

static void on_nothing(void *owner)
{
    (void)owner;
}

static void on_drained(void *owner)
{
    struct connection *c = owner;
    if (c->source != NULL) weir_worker_defer(c->admin->worker, &c->flush);
}

static void on_closed(void *owner, enum weir_close_reason reason)
{
    struct connection *c = owner;
    (void)reason;
    c->transport = NULL;
    weir_codec_fail(c->codec, WEIR_RESET_CONNECTION, WEIR_STR(""));
    connection_end(c);
}

static const struct weir_transport_events transport_events = {
    .on_connected = on_nothing,
    .on_read = on_read,
    .on_eof = on_eof,
    .on_drained = on_drained,
    .on_flushed = on_nothing,
    .on_closed = on_closed,
};

static void on_accept(void *ctx, bool readable, bool writable)
{
    struct weir_admin *a = ctx;
    (void)readable;
    (void)writable;
    struct sockaddr_storage from;
    socklen_t n = sizeof(from);
    int fd = accept4(a->listening, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (a->connection_count >= CONNECTIONS_MAX) {
        a->counts.refused++;
        WEIR_LOG(ADMIN, WARNING, "more than %d admin connections: a new one is closed", CONNECTIONS_MAX);
        close(fd);
        return;
    }
    struct weir_address remote = {0};
    weir_address_from((struct sockaddr *)&from, n, &remote);
    struct connection *c = calloc(1, sizeof(*c));
    if (c == NULL) abort();
    c->admin = a;
    c->flush.run = flush_run;
    c->dead.destroy = connection_free;
    c->transport = weir_raw_accepted(a->worker, fd, &a->address, &remote);
    if (c->transport == NULL) {
        free(c);
        return;
    }
    c->codec = weir_h1_server_create(a->worker, &codec_config, &codec_events, c);
    weir_list_push_back(&a->connections, &c->node);
    a->connection_count++;
    a->counts.connections++;
    a->counts.active++;
    c->start_ns = a->worker->now_ns;
    weir_transport_attach(c->transport, &transport_events, c);
    weir_transport_set_water(c->transport, QUEUE_HIGH_BYTES, QUEUE_LOW_BYTES);
    weir_transport_read(c->transport, true);
}

/* --- the server --- */

static enum weir_err listen_open(struct weir_admin *a, int *out, struct weir_error *e)
{
    char text[WEIR_ADDRESS_TEXT_MAX];
    int one = 1;
    int fd = socket(a->address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && weir_address_is_ip(&a->address)) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd >= 0 && !weir_address_is_ip(&a->address) && a->address.un.sun_path[0] != '\0') unlink(a->address.un.sun_path);
    if (fd < 0 || bind(fd, &a->address.any, a->address.length) != 0 || listen(fd, 128) != 0) {
        int why = errno;
        if (fd >= 0) close(fd);
        weir_address_print(&a->address, text);
        return weir_error_set(e, WEIR_ERR_IO, "cannot bind '%s': %s", text, strerror(why));
    }
    struct sockaddr_storage bound;
    socklen_t n = sizeof(bound);
    if (weir_address_is_ip(&a->address) && getsockname(fd, (struct sockaddr *)&bound, &n) == 0)
        weir_address_from((struct sockaddr *)&bound, n, &a->address);
    *out = fd;
    return WEIR_OK;
}

enum weir_err weir_admin_create(struct weir_worker *control, const struct weir_address *address, const struct weir_admin_page *pages, size_t count,
                                void *ctx, struct weir_admin **out, struct weir_error *e)
{
    struct weir_admin *a = calloc(1, sizeof(*a));
    if (a == NULL) abort();
    a->worker = control;
    a->address = *address;
    a->pages = pages;
    a->page_count = count;
    a->ctx = ctx;
    weir_list_init(&a->connections);
    int fd = -1;
    enum weir_err err = listen_open(a, &fd, e);
    if (err == WEIR_OK && (a->watch = weir_watch_create(control, fd, true, on_accept, a)) == NULL) {
        err = weir_error_set(e, WEIR_ERR_IO, "the admin socket cannot be watched: %s", strerror(errno));
        close(fd);
    }
    if (err != WEIR_OK) {
        free(a);
        return err;
    }
    a->listening = fd;
    weir_watch_want(a->watch, true, false);
    *out = a;
    return WEIR_OK;
}

const struct weir_admin_counts *weir_admin_counts(const struct weir_admin *a)
{
    return &a->counts;
}

void weir_admin_set_times(struct weir_admin *a, const struct weir_admin_times *t)
{
    a->times = *t;
}

const struct weir_address *weir_admin_address(const struct weir_admin *a)
{
    return &a->address;
}

void weir_admin_destroy(struct weir_admin *a)
{
    if (a == NULL) return;
    weir_watch_destroy(a->watch);
    while (!weir_list_empty(&a->connections)) {
        struct connection *c = WEIR_CONTAINER_OF(a->connections.next, struct connection, node);
        weir_transport_finish(c->transport, 0);
        connection_end(c);
    }
    if (!weir_address_is_ip(&a->address) && a->address.un.sun_path[0] != '\0') unlink(a->address.un.sun_path);
    free(a);
}
