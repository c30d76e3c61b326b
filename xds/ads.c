#include "xds/ads.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/log.h"
#include "dataplane/limits.h"
#include "xds/ads_channel.h"
#include "xds/ads_messages.h"
#include "xds/back_off.h"

/* To ask a name server and knock at a port costs a control plane nothing, so what is not there yet is looked for more often than a
 * stream is asked of what ends them. */
#define UNREACHABLE_WAIT_MS 3000

/* Batches of one stream; each is under way at most once. */
enum op { OP_START, OP_METADATA, OP_STATUS, OP_SEND, OP_RECEIVE, OPS };

struct stream {
    uint64_t id;
    grpc_call *call; /* NULL: between streams */
    bool pending[OPS];
    bool up, ended, node_sent;
    grpc_byte_buffer *out, *in;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    char why[WEIR_ERROR_TEXT_MAX]; /* our own reason for ending it */
};

/* `mutex` guards all below `stop`. The thread polls the completion queue; whoever has something to send starts the batch.
 * Callbacks run on the thread, without the mutex. gRPC's own locks order its memory; the mutex orders ours. */
struct weir_ads {
    struct weir_ads_events events;
    void *ctx;
    bool delta, node_once;
    struct weir_str node; /* packed, on the heap */
    grpc_metadata *metadata;
    size_t metadata_count;
    struct weir_ads_channel *channel;
    grpc_completion_queue *queue;
    pthread_t thread;
    pthread_mutex_t mutex;
    char tags[OPS]; /* their addresses are the tags */
    bool stop;
    bool failing; /* the last attempt failed: further ones are logged at debug */
    struct weir_subscription types[WEIR_RESOURCE_TYPES];
    struct weir_back_off back_off;
    gpr_timespec retry_at;
    size_t unanswered_bytes; /* of responses that the owner still has */
    struct stream stream;
};

static struct weir_str none = {0};

static void start(struct weir_ads *a, enum op op, const grpc_op *ops, size_t count)
{
    a->stream.pending[op] = true;
    grpc_call_error error = grpc_call_start_batch(a->stream.call, ops, count, &a->tags[op], NULL);
    if (error == GRPC_CALL_OK) return;
    a->stream.pending[op] = false;
    WEIR_LOG(CONFIG, ERROR, "xds: a batch was refused by gRPC: %s", grpc_call_error_to_string(error));
    grpc_call_cancel(a->stream.call, NULL);
}

static void stream_start(struct weir_ads *a)
{
    static const char *const methods[] = {
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
    };
    struct stream *s = &a->stream;
    uint64_t id = s->id + 1;
    *s = (struct stream){.id = id};
    grpc_metadata_array_init(&s->initial);
    grpc_metadata_array_init(&s->trailing);
    s->details = grpc_empty_slice();
    s->call = grpc_channel_create_call(weir_ads_channel_grpc(a->channel), NULL, GRPC_PROPAGATE_DEFAULTS, a->queue,
                                       grpc_slice_from_static_string(methods[a->delta]), NULL,
                                       gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    start(a, OP_START,
          &(grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA,
                     .data.send_initial_metadata = {.count = a->metadata_count, .metadata = a->metadata}},
          1);
    start(a, OP_METADATA,
          &(grpc_op){.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata = {&s->initial}}, 1);
    start(a, OP_STATUS,
          &(grpc_op){.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                     .data.recv_status_on_client = {&s->trailing, &s->status, &s->details, NULL}},
          1);
}

static bool stream_open(const struct weir_ads *a)
{
    return !a->stop && a->stream.call != NULL && a->stream.up && !a->stream.ended;
}

/* Sends what comes next, when nothing is being sent. Types in their order: clusters before what refers to them. */
static void send_next(struct weir_ads *a)
{
    struct stream *s = &a->stream;
    if (!stream_open(a) || s->pending[OP_SEND]) return;
    struct weir_arena arena = {0};
    struct weir_subscription_request request;
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++) {
        if (!weir_subscription_next(&a->types[t], &arena, &request)) continue;
        struct weir_wire_out out = {0};
        bool with_node = !a->node_once || !s->node_sent;
        weir_ads_request_write(&out, a->delta, (enum weir_resource_type)t, with_node ? a->node : none, &request);
        s->node_sent = true;
        grpc_slice slice = grpc_slice_from_copied_buffer((const char *)out.p, out.n);
        s->out = grpc_raw_byte_buffer_create(&slice, 1);
        grpc_slice_unref(slice);
        weir_wire_out_deinit(&out);
        start(a, OP_SEND, &(grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message = {s->out}}, 1);
        break;
    }
    weir_arena_deinit(&arena);
}

/* Reading pauses while the owner has more than it should hold: gRPC's flow control then slows the peer. */
static void receive_next(struct weir_ads *a)
{
    struct stream *s = &a->stream;
    if (!stream_open(a) || s->pending[OP_RECEIVE] || a->unanswered_bytes > WEIR_XDS_MESSAGE_BYTES_MAX) return;
    start(a, OP_RECEIVE, &(grpc_op){.op = GRPC_OP_RECV_MESSAGE, .data.recv_message = {&s->in}}, 1);
}

static void reset_stream(struct weir_ads *a, const char *why)
{
    if (a->stream.why[0] == '\0') snprintf(a->stream.why, sizeof a->stream.why, "%s", why);
    grpc_call_cancel_with_status(a->stream.call, GRPC_STATUS_INTERNAL, "the response can not be used", NULL);
}

static bool flatten(grpc_byte_buffer *buffer, struct weir_arena *arena, struct weir_str *out)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, buffer)) return false;
    size_t n = grpc_byte_buffer_length(reader.buffer_out), at = 0;
    char *p = n <= WEIR_XDS_MESSAGE_BYTES_MAX ? weir_arena_try_alloc(arena, n + 1) : NULL;
    grpc_slice *piece;
    while (p != NULL && grpc_byte_buffer_reader_peek(&reader, &piece)) {
        size_t length = GRPC_SLICE_LENGTH(*piece);
        if (length > n - at) length = n - at;
        memcpy(p + at, GRPC_SLICE_START_PTR(*piece), length);
        at += length;
    }
    grpc_byte_buffer_reader_destroy(&reader);
    *out = (struct weir_str){p, at};
    return p != NULL;
}

/* Takes the message that has come; called with the mutex held, which it lets go for the owner. */
static void received(struct weir_ads *a)
{
    struct stream *s = &a->stream;
    grpc_byte_buffer *in = s->in;
    s->in = NULL;
    if (in == NULL) return; /* the end of the stream: its status follows */
    struct weir_arena *arena = weir_arena_create();
    struct weir_str bytes;
    struct weir_ads_response *r = NULL;
    struct weir_error e = {0};
    enum weir_err err = WEIR_ERR_LIMIT;
    pthread_mutex_unlock(&a->mutex);
    if (flatten(in, arena, &bytes))
        err = weir_ads_response_read(arena, a->delta, bytes, &r, &e);
    else
        (void)weir_error_set(&e, err, "a response is larger than %u bytes", WEIR_XDS_MESSAGE_BYTES_MAX);
    grpc_byte_buffer_destroy(in);
    pthread_mutex_lock(&a->mutex);
    if (err != WEIR_OK || a->stop) {
        weir_arena_destroy(arena);
        if (a->stop) return;
        if (err != WEIR_ERR_UNSUPPORTED) {
            reset_stream(a, e.text);
            return;
        }
        WEIR_LOG(CONFIG, WARNING, "xds: %s", e.text);
        receive_next(a);
        return;
    }
    weir_back_off_reset(&a->back_off);
    a->failing = false;
    r->stream = s->id;
    a->unanswered_bytes += arena->bytes;
    weir_subscription_response(&a->types[r->type], r);
    pthread_mutex_unlock(&a->mutex);
    a->events.on_response(a->ctx, r);
    pthread_mutex_lock(&a->mutex);
    receive_next(a);
}

/* The stream's last batch has come back. Called with the mutex held, which it lets go for the owner. */
static void stream_end(struct weir_ads *a)
{
    struct stream *s = &a->stream;
    char why[WEIR_ERROR_TEXT_MAX + 64];
    struct weir_str details = {(const char *)GRPC_SLICE_START_PTR(s->details), GRPC_SLICE_LENGTH(s->details)};
    if (details.n > WEIR_ERROR_TEXT_MAX - 64) details.n = WEIR_ERROR_TEXT_MAX - 64;
    int n = s->why[0] != '\0' ? snprintf(why, sizeof why, "%s", s->why)
                              : snprintf(why, sizeof why, "stream closed: %d, %.*s", (int)s->status, WEIR_STR_ARG(details));
    grpc_metadata_array_destroy(&s->initial);
    grpc_metadata_array_destroy(&s->trailing);
    grpc_slice_unref(s->details);
    grpc_call_unref(s->call);
    s->call = NULL;
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++)
        weir_subscription_stream_end(&a->types[t]);
    if (a->stop) return;
    uint32_t most_ms = weir_ads_channel_renew_if_unreachable(a->channel) ? UNREACHABLE_WAIT_MS : UINT32_MAX;
    uint32_t wait_ms = weir_back_off_next_ms(&a->back_off, most_ms);
    if (!a->failing || s->why[0] != '\0')
        WEIR_LOG(CONFIG, WARNING, "xds: %s; trying again in %u ms", why, wait_ms);
    else
        WEIR_LOG(CONFIG, DEBUG, "xds: %s; trying again in %u ms", why, wait_ms);
    a->failing = true;
    pthread_mutex_unlock(&a->mutex);
    a->events.on_state(a->ctx, false, (struct weir_str){why, (size_t)n});
    pthread_mutex_lock(&a->mutex);
    a->retry_at = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(wait_ms, GPR_TIMESPAN));
}

static void batch_done(struct weir_ads *a, enum op op, bool success)
{
    struct stream *s = &a->stream;
    s->pending[op] = false;
    switch (op) {
    case OP_START:
        if (!success || s->ended || a->stop) break;
        s->up = true;
        pthread_mutex_unlock(&a->mutex);
        a->events.on_state(a->ctx, true, none);
        pthread_mutex_lock(&a->mutex);
        send_next(a);
        receive_next(a);
        break;
    case OP_SEND:
        grpc_byte_buffer_destroy(s->out);
        s->out = NULL;
        if (success && !a->stop) send_next(a);
        break;
    case OP_RECEIVE: received(a); break;
    case OP_STATUS: s->ended = true; break;
    case OP_METADATA:
    case OPS: break;
    }
    bool pending = false;
    for (int i = 0; i < OPS; i++)
        pending = pending || s->pending[i];
    if (s->ended && !pending) stream_end(a);
}

static void *run(void *arg)
{
    struct weir_ads *a = arg;
    pthread_mutex_lock(&a->mutex);
    if (!a->stop) stream_start(a);
    for (;;) {
        gpr_timespec until = a->stream.call != NULL ? gpr_inf_future(GPR_CLOCK_MONOTONIC) : a->retry_at;
        pthread_mutex_unlock(&a->mutex);
        grpc_event event = grpc_completion_queue_next(a->queue, until, NULL);
        pthread_mutex_lock(&a->mutex);
        if (event.type == GRPC_QUEUE_SHUTDOWN) break;
        if (event.type == GRPC_OP_COMPLETE)
            batch_done(a, (enum op)((char *)event.tag - a->tags), event.success);
        else if (!a->stop && a->stream.call == NULL)
            stream_start(a);
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

static void release(struct weir_ads *a)
{
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++)
        weir_subscription_deinit(&a->types[t]);
    if (a->queue != NULL) grpc_completion_queue_destroy(a->queue);
    if (a->channel != NULL) weir_ads_channel_destroy(a->channel);
    for (size_t i = 0; i < a->metadata_count; i++) {
        grpc_slice_unref(a->metadata[i].key);
        grpc_slice_unref(a->metadata[i].value);
    }
    free(a->metadata);
    free((char *)a->node.p);
    pthread_mutex_destroy(&a->mutex);
    free(a);
    grpc_shutdown_blocking();
}

static enum weir_err copy_metadata(struct weir_ads *a, const struct weir_ads_config *config, struct weir_error *e)
{
    a->metadata = calloc(config->metadata_count + 1, sizeof *a->metadata);
    if (a->metadata == NULL) abort();
    for (size_t i = 0; i < config->metadata_count; i++) {
        struct weir_str name = config->metadata[2 * i], value = config->metadata[2 * i + 1];
        grpc_metadata *m = &a->metadata[a->metadata_count++];
        m->key = grpc_slice_from_copied_buffer(name.p, name.n);
        m->value = grpc_slice_from_copied_buffer(value.p, value.n);
        if (!grpc_header_key_is_legal(m->key) || !grpc_header_nonbin_value_is_legal(m->value))
            return weir_error_set(e, WEIR_ERR_INVALID, "initial_metadata[%zu]: '%.*s' is no header that gRPC sends", i,
                                  WEIR_STR_ARG(name));
    }
    return WEIR_OK;
}

static void pack_node(struct weir_ads *a, const ProtobufCMessage *node)
{
    if (node == NULL) return;
    size_t n = protobuf_c_message_get_packed_size(node);
    uint8_t *p = malloc(n + 1);
    if (p == NULL) abort();
    a->node = (struct weir_str){(const char *)p, protobuf_c_message_pack(node, p)};
}

/* What gRPC has to say itself is told again by the stream's end. */
static void grpc_says(gpr_log_func_args *args)
{
    WEIR_LOG(CONFIG, DEBUG, "grpc: %s:%d: %s", args->file, args->line, args->message);
}

enum weir_err weir_ads_create(const struct weir_ads_config *config, const struct weir_ads_events *events, void *ctx,
                              struct weir_ads **out, struct weir_error *e)
{
    grpc_init();
    gpr_set_log_function(grpc_says);
    struct weir_ads *a = calloc(1, sizeof *a);
    if (a == NULL) abort();
    a->events = *events;
    a->ctx = ctx;
    a->delta = config->delta;
    a->node_once = config->node_on_first_message_only;
    pthread_mutex_init(&a->mutex, NULL);
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++)
        weir_subscription_init(&a->types[t], config->delta);
    weir_back_off_init(&a->back_off, config->back_off_base_ms > 0 ? config->back_off_base_ms : 500,
                       config->back_off_max_ms > 0 ? config->back_off_max_ms : 30000);
    pack_node(a, config->node);
    enum weir_err err = copy_metadata(a, config, e);
    if (err == WEIR_OK) {
        a->channel = weir_ads_channel_create(config, e);
        if (a->channel == NULL) err = WEIR_ERR_INVALID;
    }
    if (err == WEIR_OK) {
        a->queue = grpc_completion_queue_create_for_next(NULL);
        if (pthread_create(&a->thread, NULL, run, a) == 0) {
            *out = a;
            return WEIR_OK;
        }
        err = weir_error_set(e, WEIR_ERR_IO, "the xDS thread can not be started");
        grpc_completion_queue_shutdown(a->queue);
    }
    release(a);
    return err;
}

void weir_ads_destroy(struct weir_ads *a)
{
    pthread_mutex_lock(&a->mutex);
    a->stop = true;
    if (a->stream.call != NULL) grpc_call_cancel(a->stream.call, NULL);
    grpc_completion_queue_shutdown(a->queue);
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->thread, NULL);
    release(a);
}

void weir_ads_subscribe(struct weir_ads *a, enum weir_resource_type type, bool wildcard, const struct weir_str *names, size_t count)
{
    pthread_mutex_lock(&a->mutex);
    weir_subscription_want(&a->types[type], wildcard, names, count);
    send_next(a);
    pthread_mutex_unlock(&a->mutex);
}

void weir_ads_refresh(struct weir_ads *a, enum weir_resource_type type)
{
    pthread_mutex_lock(&a->mutex);
    weir_subscription_refresh(&a->types[type]);
    send_next(a);
    pthread_mutex_unlock(&a->mutex);
}

void weir_ads_forget(struct weir_ads *a, enum weir_resource_type type, struct weir_str name)
{
    pthread_mutex_lock(&a->mutex);
    weir_subscription_forget(&a->types[type], name);
    pthread_mutex_unlock(&a->mutex);
}

void weir_ads_verdict(struct weir_ads *a, struct weir_ads_response *r, const char *refused)
{
    pthread_mutex_lock(&a->mutex);
    bool this_stream = a->stream.call != NULL && r->stream == a->stream.id;
    weir_subscription_verdict(&a->types[r->type], r, refused, this_stream);
    size_t bytes = r->arena->bytes;
    a->unanswered_bytes -= bytes < a->unanswered_bytes ? bytes : a->unanswered_bytes;
    send_next(a);
    receive_next(a);
    pthread_mutex_unlock(&a->mutex);
    weir_arena_destroy(r->arena);
}
