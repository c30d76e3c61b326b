/* Any bytes as what a control plane sends: discovery responses taken apart, compiled as one stream's configuration would be, and
 * answered. The first byte of the input chooses the protocol's variant; then each response comes with its length before it, in
 * two bytes, low one first; what is left is the last one.
 *
 * Held against: names and versions are UTF-8, every refusal says why, and the answer is a valid request. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/base/str.h"
#include "dataplane/config/names.h"
#include "dataplane/config/response_job.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "xds/ads_messages.h"
#include "xds/subscription.h"
#include "xds/wire_check.h"

struct client {
    bool delta;
    struct weir_compile_env env;
    struct weir_compile_memory *memory;
    struct weir_subscription types[WEIR_RESOURCE_TYPES];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void request_check(struct client *c, enum weir_resource_type type, struct weir_arena *arena)
{
    struct weir_subscription_request request;
    while (weir_subscription_next(&c->types[type], arena, &request)) {
        struct weir_wire_out out = {0};
        struct weir_error e = {0};
        weir_ads_request_write(&out, c->delta, type, (struct weir_str){0}, &request);
        const ProtobufCMessageDescriptor *d = c->delta ? &envoy__service__discovery__v3__delta_discovery_request__descriptor
                                                       : &envoy__service__discovery__v3__discovery_request__descriptor;
        assert(weir_wire_check(d, weir_wire_out_str(&out), NULL, &e) == WEIR_OK);
        weir_wire_out_deinit(&out);
    }
}

static void response_take(struct client *c, const struct weir_ads_response *r)
{
    struct weir_compile_job *job = weir_response_job_create(r);
    struct weir_str nack = {0};
    job->source = 1;
    weir_compile_job_run(&c->env, c->memory, job);
    for (size_t i = 0; i < job->count; i++) {
        const struct weir_compile_item *item = &job->items[i];
        assert(weir_utf8_valid(item->name) && weir_utf8_valid(item->version));
        assert((item->state == WEIR_COMPILED_NEW) == (item->resource != NULL));
        if (item->state != WEIR_COMPILED_REFUSED) continue;
        assert(item->error != NULL && item->error[0] != '\0');
        nack = weir_arena_printf(&job->arena, "%.*s\n%.*s: %s", WEIR_STR_ARG(nack), WEIR_STR_ARG(item->name), item->error);
    }
    weir_subscription_verdict(&c->types[r->type], r, nack.n > 0 ? nack.p : NULL, true);
    request_check(c, r->type, &job->arena);
    weir_compile_job_destroy(job);
}

static void message_take(struct client *c, struct weir_str bytes)
{
    struct weir_arena *arena = weir_arena_create();
    struct weir_ads_response *r = NULL;
    struct weir_error e = {0};
    if (weir_ads_response_read(arena, c->delta, weir_arena_str(arena, bytes), &r, &e) == WEIR_OK) {
        weir_subscription_response(&c->types[r->type], r);
        response_take(c, r);
    } else {
        assert(e.text[0] != '\0');
    }
    weir_arena_destroy(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 64 * 1024) return 0;
    struct weir_names *names = weir_names_create();
    struct client c = {.delta = (data[0] & 1) != 0, .env = {.names = weir_names_for_compile(names), .worker_count = 1}};
    struct weir_str wanted = WEIR_STR("a");
    c.memory = weir_compile_memory_create();
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++) {
        struct weir_arena arena = {0};
        weir_subscription_init(&c.types[t], c.delta);
        weir_subscription_want(&c.types[t], t == WEIR_CLUSTERS || t == WEIR_LISTENERS, &wanted, 1);
        request_check(&c, (enum weir_resource_type)t, &arena);
        weir_arena_deinit(&arena);
    }
    const uint8_t *at = data + 1, *end = data + size;
    while (end - at > 2) {
        size_t n = at[0] | (size_t)at[1] << 8;
        at += 2;
        if (n > (size_t)(end - at)) n = (size_t)(end - at);
        message_take(&c, (struct weir_str){(const char *)at, n});
        at += n;
    }
    for (int t = 0; t < WEIR_RESOURCE_TYPES; t++) weir_subscription_deinit(&c.types[t]);
    weir_compile_memory_destroy(c.memory);
    weir_names_destroy(names);
    return 0;
}
