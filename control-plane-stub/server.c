#include "control-plane-stub/server.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <stdlib.h>

#include "control-plane-stub/stream.h"

#define SERVICE "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
#define REQUEST_BYTES_MAX (64 << 20)

enum op { OP_CALL, OP_RECEIVE, OP_SEND, OP_CLOSE, OP_STATUS, OPS };

/* One client. Freed when its last batch has come back. */
struct client {
    struct weir_list link;
    struct weir_plane_server *server;
    struct tag {
        struct client *client;
        enum op op;
    } tags[OPS];
    bool pending[OPS];
    bool open;    /* the stream is up */
    bool ending;  /* to be ended with `status` */
    bool ended;   /* the status has been given to gRPC, or the client is gone */
    grpc_status_code status;
    char why[WEIR_ERROR_TEXT_MAX];
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_byte_buffer *in, *out;
    int cancelled;
    struct weir_plane_stream stream;
};

struct weir_plane_server {
    grpc_server *grpc;
    grpc_completion_queue *queue;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards all below */
    bool stop;
    FILE *report;
    struct weir_plane_resources *resources;
    struct weir_list clients;
};

static void start(struct client *c, enum op op, const grpc_op *ops, size_t count)
{
    c->pending[op] = true;
    if (grpc_call_start_batch(c->call, ops, count, &c->tags[op], NULL) == GRPC_CALL_OK) return;
    c->pending[op] = false;
    grpc_call_cancel(c->call, NULL);
}

static void await_client(struct weir_plane_server *s)
{
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL) abort();
    c->server = s;
    for (int i = 0; i < OPS; i++)
        c->tags[i] = (struct tag){c, (enum op)i};
    grpc_call_details_init(&c->details);
    grpc_metadata_array_init(&c->metadata);
    weir_plane_stream_init(&c->stream, false, s->report);
    weir_list_push_back(&s->clients, &c->link);
    c->pending[OP_CALL] = grpc_server_request_call(s->grpc, &c->call, &c->details, &c->metadata, s->queue, s->queue,
                                                   &c->tags[OP_CALL]) == GRPC_CALL_OK;
}

static void client_end(struct client *c, grpc_status_code status, const char *why)
{
    if (c->ending) return;
    c->ending = true;
    c->status = status;
    snprintf(c->why, sizeof c->why, "%s", why);
}

/* Starts what is due: the next response, or the end. One message is under way at a time. */
static void client_send(struct client *c)
{
    if (c->server->stop || c->call == NULL || c->ended || c->pending[OP_SEND]) return;
    if (c->ending) {
        grpc_slice details = grpc_slice_from_copied_string(c->why);
        grpc_op ops[] = {
            {.op = GRPC_OP_SEND_INITIAL_METADATA},
            {.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
             .data.send_status_from_server = {.status = c->status, .status_details = &details}},
        };
        c->ended = true;
        start(c, OP_STATUS, ops + c->open, c->open ? 1 : 2);
        grpc_slice_unref(details);
        return;
    }
    struct weir_wire_out out = {0};
    if (c->open && weir_plane_stream_next(&c->stream, c->server->resources, &out)) {
        grpc_slice slice = grpc_slice_from_copied_buffer((const char *)out.p, out.n);
        c->out = grpc_raw_byte_buffer_create(&slice, 1);
        grpc_slice_unref(slice);
        start(c, OP_SEND, &(grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message = {c->out}}, 1);
    }
    weir_wire_out_deinit(&out);
}

static void client_receive(struct client *c)
{
    if (c->server->stop || c->ended || c->ending) return;
    start(c, OP_RECEIVE, &(grpc_op){.op = GRPC_OP_RECV_MESSAGE, .data.recv_message = {&c->in}}, 1);
}

static bool slice_is(grpc_slice s, const char *text)
{
    return grpc_slice_str_cmp(s, text) == 0;
}

/* A call has come. The next one is awaited at once. */
static void client_begin(struct client *c)
{
    await_client(c->server);
    start(c, OP_CLOSE, &(grpc_op){.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server = {&c->cancelled}}, 1);
    bool delta = slice_is(c->details.method, SERVICE "DeltaAggregatedResources");
    if (!delta && !slice_is(c->details.method, SERVICE "StreamAggregatedResources")) {
        client_end(c, GRPC_STATUS_UNIMPLEMENTED, "only the AggregatedDiscoveryService is served");
        client_send(c);
        return;
    }
    c->stream.delta = delta;
    c->open = true;
    /* The headers go at once, so that a client sees its stream up before there is anything to send. */
    start(c, OP_SEND, &(grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA}, 1);
    client_receive(c);
}

static void client_request(struct client *c)
{
    grpc_byte_buffer_reader reader;
    struct weir_error e;
    grpc_byte_buffer *in = c->in;
    c->in = NULL;
    if (in == NULL) {
        client_end(c, GRPC_STATUS_OK, "");
    } else if (!grpc_byte_buffer_reader_init(&reader, in)) {
        client_end(c, GRPC_STATUS_INTERNAL, "the request cannot be read");
    } else {
        grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
        struct weir_str bytes = {(const char *)GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all)};
        if (weir_plane_stream_request(&c->stream, bytes, &e) != WEIR_OK) client_end(c, GRPC_STATUS_INVALID_ARGUMENT, e.text);
        grpc_slice_unref(all);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    if (in != NULL) grpc_byte_buffer_destroy(in);
    client_receive(c);
    client_send(c);
}

static void client_free(struct client *c)
{
    weir_list_remove(&c->link);
    if (c->call != NULL) grpc_call_unref(c->call);
    grpc_call_details_destroy(&c->details);
    grpc_metadata_array_destroy(&c->metadata);
    weir_plane_stream_deinit(&c->stream);
    free(c);
}

static void batch_done(struct client *c, enum op op, bool success)
{
    c->pending[op] = false;
    switch (op) {
    case OP_CALL:
        if (success && !c->server->stop) client_begin(c);
        break;
    case OP_SEND:
        if (c->out != NULL) grpc_byte_buffer_destroy(c->out);
        c->out = NULL;
        if (success || c->ending) client_send(c);
        break;
    case OP_RECEIVE: client_request(c); break;
    case OP_CLOSE: c->ended = true; break;
    case OP_STATUS:
    case OPS: break;
    }
    for (int i = 0; i < OPS; i++)
        if (c->pending[i]) return;
    client_free(c);
}

static void *run(void *arg)
{
    struct weir_plane_server *s = arg;
    for (;;) {
        grpc_event event = grpc_completion_queue_next(s->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN) return NULL;
        pthread_mutex_lock(&s->mutex);
        if (event.tag == s)
            grpc_completion_queue_shutdown(s->queue);
        else
            batch_done(((struct tag *)event.tag)->client, ((struct tag *)event.tag)->op, event.success);
        pthread_mutex_unlock(&s->mutex);
    }
}

static grpc_arg number(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

/* What gRPC complains of (a port in use, a client that went away) is said by whoever it concerns. */
static void grpc_says(gpr_log_func_args *args)
{
    (void)args;
}

enum weir_err weir_plane_server_create(const char *listen, struct weir_plane_resources *resources, FILE *report,
                                       struct weir_plane_server **out, int *port, struct weir_error *e)
{
    grpc_init();
    gpr_set_log_function(grpc_says);
    struct weir_plane_server *s = calloc(1, sizeof *s);
    if (s == NULL) abort();
    s->report = report;
    s->resources = resources;
    weir_list_init(&s->clients);
    pthread_mutex_init(&s->mutex, NULL);
    s->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_arg args[] = {
        number(GRPC_ARG_ALLOW_REUSEPORT, 0),
        number(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, REQUEST_BYTES_MAX),
        number(GRPC_ARG_KEEPALIVE_TIME_MS, 30000), /* finds clients that went without a word */
        number(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000),
        number(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        number(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000), /* clients may do the same */
        number(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
    };
    s->grpc = grpc_server_create(&(grpc_channel_args){sizeof args / sizeof args[0], args}, NULL);
    grpc_server_register_completion_queue(s->grpc, s->queue, NULL);
    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    *port = grpc_server_add_http2_port(s->grpc, listen, credentials);
    grpc_server_credentials_release(credentials);
    bool bound = *port > 0;
    grpc_server_start(s->grpc);
    if (pthread_create(&s->thread, NULL, run, s) != 0) abort();
    if (!bound) {
        weir_plane_server_destroy(s);
        return weir_error_set(e, WEIR_ERR_IO, "cannot listen on %s", listen);
    }
    pthread_mutex_lock(&s->mutex);
    await_client(s);
    pthread_mutex_unlock(&s->mutex);
    *out = s;
    return WEIR_OK;
}

void weir_plane_server_update(struct weir_plane_server *s, struct weir_plane_resources *resources)
{
    pthread_mutex_lock(&s->mutex);
    struct weir_plane_resources *before = s->resources;
    s->resources = resources;
    for (struct weir_list *at = s->clients.next; at != &s->clients; at = at->next)
        client_send(WEIR_CONTAINER_OF(at, struct client, link));
    pthread_mutex_unlock(&s->mutex);
    weir_plane_resources_destroy(before);
}

void weir_plane_server_destroy(struct weir_plane_server *s)
{
    pthread_mutex_lock(&s->mutex);
    s->stop = true;
    grpc_server_shutdown_and_notify(s->grpc, s->queue, s);
    grpc_server_cancel_all_calls(s->grpc);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    grpc_server_destroy(s->grpc);
    grpc_completion_queue_destroy(s->queue);
    weir_plane_resources_destroy(s->resources);
    pthread_mutex_destroy(&s->mutex);
    free(s);
    grpc_shutdown_blocking();
}
