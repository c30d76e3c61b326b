#include "test/unit/support/xds_server.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "xds/wire_check.h"

#define DEADLINE_S 30

static bool wait_step(struct xds_server *s, void *tag)
{
    gpr_timespec until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(DEADLINE_S, GPR_TIMESPAN));
    grpc_event event = grpc_completion_queue_next(s->queue, until, NULL);
    if (event.type != GRPC_OP_COMPLETE) fail_msg("the control plane's step was not done in %d s", DEADLINE_S);
    assert_ptr_equal(event.tag, tag);
    return event.success;
}

static bool step(struct xds_stream *s, const grpc_op *op)
{
    assert_int_equal(grpc_call_start_batch(s->call, op, 1, s, NULL), GRPC_CALL_OK);
    return wait_step(s->server, s);
}

void xds_server_start(struct xds_server *s, int port, const char *certificate, const char *key)
{
    grpc_init();
    s->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ALLOW_REUSEPORT, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, .value.integer = -1},
    };
    s->server = grpc_server_create(&(grpc_channel_args){2, args}, NULL);
    grpc_server_register_completion_queue(s->server, s->queue, NULL);
    grpc_ssl_pem_key_cert_pair pair = {key, certificate};
    grpc_server_credentials *credentials =
        certificate != NULL
            ? grpc_ssl_server_credentials_create_ex(NULL, &pair, 1, GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, NULL)
            : grpc_insecure_server_credentials_create();
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    s->port = grpc_server_add_http2_port(s->server, address, credentials);
    assert_true(s->port > 0);
    grpc_server_credentials_release(credentials);
    snprintf(s->target, sizeof s->target, "ipv4:127.0.0.1:%d", s->port);
    grpc_server_start(s->server);
}

void xds_server_stop(struct xds_server *s)
{
    grpc_server_shutdown_and_notify(s->server, s->queue, s);
    grpc_server_cancel_all_calls(s->server);
    wait_step(s, s);
    grpc_server_destroy(s->server);
    grpc_completion_queue_shutdown(s->queue);
    while (grpc_completion_queue_next(s->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type != GRPC_QUEUE_SHUTDOWN) {}
    grpc_completion_queue_destroy(s->queue);
    grpc_shutdown_blocking();
}

void xds_server_accept(struct xds_server *s, struct xds_stream *out)
{
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_call_details_init(&details);
    grpc_metadata_array_init(&metadata);
    *out = (struct xds_stream){.server = s};
    assert_int_equal(grpc_server_request_call(s->server, &out->call, &details, &metadata, s->queue, s->queue, out),
                     GRPC_CALL_OK);
    assert_true(wait_step(s, out));
    snprintf(out->method, sizeof out->method, "%.*s", (int)GRPC_SLICE_LENGTH(details.method),
             (const char *)GRPC_SLICE_START_PTR(details.method));
    grpc_call_details_destroy(&details);
    grpc_metadata_array_destroy(&metadata);
    assert_true(step(out, &(grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA}));
}

struct weir_str xds_stream_read(struct xds_stream *s, struct weir_arena *arena)
{
    grpc_byte_buffer *buffer = NULL;
    (void)step(s, &(grpc_op){.op = GRPC_OP_RECV_MESSAGE, .data.recv_message = {&buffer}});
    if (buffer == NULL) return (struct weir_str){0};
    grpc_byte_buffer_reader reader;
    assert_true(grpc_byte_buffer_reader_init(&reader, buffer));
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    struct weir_str bytes =
        weir_arena_str(arena, (struct weir_str){(const char *)GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all)});
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(buffer);
    return bytes;
}

static ProtobufCMessage *read_message(struct xds_stream *s, struct weir_arena *arena, const ProtobufCMessageDescriptor *type)
{
    struct weir_str bytes = xds_stream_read(s, arena);
    if (bytes.p == NULL) return NULL;
    ProtobufCMessage *m;
    struct weir_error e;
    if (weir_pb_decode(arena, type, bytes, &m, &e) != WEIR_OK) fail_msg("%s", e.text);
    return m;
}

Envoy__Service__Discovery__V3__DiscoveryRequest *xds_stream_read_whole(struct xds_stream *s, struct weir_arena *arena)
{
    return (Envoy__Service__Discovery__V3__DiscoveryRequest *)(void *)read_message(
        s, arena, &envoy__service__discovery__v3__discovery_request__descriptor);
}

Envoy__Service__Discovery__V3__DeltaDiscoveryRequest *xds_stream_read_delta(struct xds_stream *s, struct weir_arena *arena)
{
    return (Envoy__Service__Discovery__V3__DeltaDiscoveryRequest *)(void *)read_message(
        s, arena, &envoy__service__discovery__v3__delta_discovery_request__descriptor);
}

void xds_stream_write(struct xds_stream *s, struct weir_str bytes)
{
    grpc_slice slice = grpc_slice_from_copied_buffer(bytes.p, bytes.n);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    assert_true(step(s, &(grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message = {buffer}}));
    grpc_byte_buffer_destroy(buffer);
}

void xds_stream_end(struct xds_stream *s, grpc_status_code status)
{
    (void)step(s, &(grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER, .data.send_status_from_server = {.status = status}});
    xds_stream_forget(s);
}

void xds_stream_forget(struct xds_stream *s)
{
    grpc_call_unref(s->call);
    s->call = NULL;
}

static void put_any(struct weir_wire_out *out, const char *type_url, const char *name)
{
    struct weir_wire_out body = {0}, any = {0};
    weir_wire_put_text(&body, 1, weir_str_of(name));
    weir_wire_put_text(&any, 1, weir_str_of(type_url));
    weir_wire_put_bytes(&any, 2, weir_wire_out_str(&body));
    weir_wire_put_bytes(out, 2, weir_wire_out_str(&any));
    weir_wire_out_deinit(&body);
    weir_wire_out_deinit(&any);
}

void xds_whole_response(struct weir_wire_out *out, const char *type_url, const char *version, const char *nonce,
                        const char *const *names, size_t count)
{
    weir_wire_put_text(out, 1, weir_str_of(version));
    for (size_t i = 0; i < count; i++)
        put_any(out, type_url, names[i]);
    weir_wire_put_text(out, 4, weir_str_of(type_url));
    weir_wire_put_text(out, 5, weir_str_of(nonce));
}

void xds_delta_response(struct weir_wire_out *out, const char *type_url, const char *version, const char *nonce,
                        const char *const *names, size_t count, const char *removed)
{
    for (size_t i = 0; i < count; i++) {
        struct weir_wire_out resource = {0};
        weir_wire_put_text(&resource, 1, weir_str_of(version));
        put_any(&resource, type_url, names[i]);
        weir_wire_put_text(&resource, 3, weir_str_of(names[i]));
        weir_wire_put_bytes(out, 2, weir_wire_out_str(&resource));
        weir_wire_out_deinit(&resource);
    }
    weir_wire_put_text(out, 4, weir_str_of(type_url));
    weir_wire_put_text(out, 5, weir_str_of(nonce));
    if (removed != NULL) weir_wire_put_text(out, 6, weir_str_of(removed));
}
