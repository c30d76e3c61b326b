#include "xds/ads_messages.h"

#include "dataplane/base/str.h"
#include "xds/wire_read.h"

#define STATUS_INTERNAL 13

static const struct weir_str wrapper_url = WEIR_STR_INIT("type.googleapis.com/envoy.service.discovery.v3.Resource");

/* google.rpc.Status; its message must be UTF-8, whatever names it quotes. */
static void put_refusal(struct weir_wire_out *out, uint32_t number, struct weir_str reason)
{
    struct weir_wire_out status = {0};
    weir_wire_put_varint(&status, 1, STATUS_INTERNAL);
    weir_wire_put_text(&status, 2, reason);
    if (!weir_utf8_valid(reason))
        for (size_t i = status.n - reason.n; i < status.n; i++)
            if (status.p[i] >= 0x80) status.p[i] = '?';
    weir_wire_put_bytes(out, number, weir_wire_out_str(&status));
    weir_wire_out_deinit(&status);
}

static void write_delta(struct weir_wire_out *out, enum weir_resource_type type, struct weir_str node,
                        const struct weir_subscription_request *r)
{
    weir_wire_put_text(out, 1, node);
    weir_wire_put_text(out, 2, weir_resource_type_url(type));
    for (size_t i = 0; i < r->name_count; i++)
        weir_wire_put_bytes(out, 3, r->names[i]);
    for (size_t i = 0; i < r->removed_count; i++)
        weir_wire_put_bytes(out, 4, r->removed[i]);
    struct weir_wire_out entry = {0};
    for (size_t i = 0; i < r->held_count; i++) {
        entry.n = 0;
        weir_wire_put_text(&entry, 1, r->held[i].name);
        weir_wire_put_text(&entry, 2, r->held[i].version);
        weir_wire_put_bytes(out, 5, weir_wire_out_str(&entry));
    }
    weir_wire_out_deinit(&entry);
    weir_wire_put_text(out, 6, r->nonce);
    if (r->refused) put_refusal(out, 7, r->reason);
}

void weir_ads_request_write(struct weir_wire_out *out, bool delta, enum weir_resource_type type, struct weir_str node,
                            const struct weir_subscription_request *r)
{
    if (delta) {
        write_delta(out, type, node, r);
        return;
    }
    weir_wire_put_text(out, 1, r->version);
    weir_wire_put_text(out, 2, node);
    for (size_t i = 0; i < r->name_count; i++)
        weir_wire_put_bytes(out, 3, r->names[i]);
    weir_wire_put_text(out, 4, weir_resource_type_url(type));
    weir_wire_put_text(out, 5, r->nonce);
    if (r->refused) put_refusal(out, 6, r->reason);
}

/* Reading. A walk over one message's fields: at_field returns what is wrong, or NULL. */
typedef const char *field_fn(void *ctx, const struct weir_wire_field *f);

static const char *walk(struct weir_str bytes, field_fn *at_field, void *ctx)
{
    if (bytes.n == 0) return NULL;
    const uint8_t *at = (const uint8_t *)bytes.p, *end = at + bytes.n;
    while (at < end) {
        struct weir_wire_field f = {0};
        const char *why = weir_wire_next(&at, end, &f);
        if (why == NULL) why = at_field(ctx, &f);
        if (why != NULL) return why;
    }
    return NULL;
}

static struct weir_str bytes_of(const struct weir_wire_field *f)
{
    return (struct weir_str){(const char *)f->data, f->n};
}

static bool is_bytes(const struct weir_wire_field *f, uint32_t number)
{
    return f->number == number && f->type == WEIR_WIRE_BYTES;
}

static const char *text(const struct weir_wire_field *f, struct weir_str *out)
{
    *out = bytes_of(f);
    return weir_utf8_valid(*out) ? NULL : "a string is not UTF-8";
}

static const char *any_field(void *ctx, const struct weir_wire_field *f)
{
    struct weir_ads_resource *r = ctx;
    if (is_bytes(f, 1)) return text(f, &r->type_url);
    if (is_bytes(f, 2)) r->body = (ProtobufCBinaryData){f->n, (uint8_t *)f->data};
    return NULL;
}

struct duration {
    uint64_t seconds, nanos;
};

static const char *duration_field(void *ctx, const struct weir_wire_field *f)
{
    struct duration *d = ctx;
    if (f->number == 1 && f->type == WEIR_WIRE_VARINT) d->seconds = f->value;
    if (f->number == 2 && f->type == WEIR_WIRE_VARINT) d->nanos = f->value;
    return NULL;
}

static const char *ttl(struct weir_str bytes, uint64_t *ms)
{
    struct duration d = {0};
    const char *why = walk(bytes, duration_field, &d);
    if (why != NULL) return why;
    /* 10,000 years, as the Duration's own bound; a negative one is far beyond it. */
    if (d.seconds > 315576000000 || d.nanos > 999999999) return "the ttl of a resource is out of range";
    *ms = d.seconds * 1000 + (d.nanos + 999999) / 1000000;
    return NULL;
}

static const char *resource_field(void *ctx, const struct weir_wire_field *f)
{
    struct weir_ads_resource *r = ctx;
    if (is_bytes(f, 1)) return text(f, &r->version);
    if (is_bytes(f, 2)) {
        r->heartbeat = false;
        return walk(bytes_of(f), any_field, r);
    }
    if (is_bytes(f, 3)) return text(f, &r->name);
    if (is_bytes(f, 6)) return ttl(bytes_of(f), &r->ttl_ms);
    return NULL;
}

/* envoy.service.discovery.v3.Resource: a heartbeat unless it holds something. */
static const char *resource_read(struct weir_str bytes, struct weir_ads_resource *r)
{
    *r = (struct weir_ads_resource){.heartbeat = true};
    return walk(bytes, resource_field, r);
}

static const char *first_text_field(void *ctx, const struct weir_wire_field *f)
{
    return is_bytes(f, 1) ? text(f, ctx) : NULL;
}

struct reading {
    struct weir_ads_response *r;
    struct weir_str type_url;
};

static const char *count_field(void *ctx, const struct weir_wire_field *f)
{
    struct reading *g = ctx;
    if (is_bytes(f, 1)) return text(f, &g->r->version);
    if (is_bytes(f, 2)) g->r->count++;
    if (is_bytes(f, 4)) return text(f, &g->type_url);
    if (is_bytes(f, 5)) return text(f, &g->r->nonce);
    if (is_bytes(f, g->r->delta ? 7 : 6)) return walk(bytes_of(f), first_text_field, &g->r->control_plane);
    if (g->r->delta && (is_bytes(f, 6) || is_bytes(f, 8))) g->r->removed_count++;
    return NULL;
}

static const char *list_field(void *ctx, const struct weir_wire_field *f)
{
    struct weir_ads_response *r = ((struct reading *)ctx)->r;
    if (is_bytes(f, 2)) {
        struct weir_ads_resource *one = &r->resources[r->count++];
        if (r->delta) return resource_read(bytes_of(f), one);
        const char *why = walk(bytes_of(f), any_field, one);
        if (why != NULL || !weir_str_eq(one->type_url, wrapper_url)) return why;
        struct weir_str wrapped = {(const char *)one->body.data, one->body.len};
        return resource_read(wrapped, one);
    }
    if (r->delta && is_bytes(f, 6)) return text(f, &r->removed[r->removed_count++]);
    if (r->delta && is_bytes(f, 8)) return walk(bytes_of(f), first_text_field, &r->removed[r->removed_count++]);
    return NULL;
}

enum weir_err weir_ads_response_read(struct weir_arena *arena, bool delta, struct weir_str bytes,
                                     struct weir_ads_response **out, struct weir_error *e)
{
    struct weir_ads_response *r = WEIR_NEW(arena, struct weir_ads_response, 1);
    struct reading g = {.r = r};
    r->arena = arena;
    r->delta = delta;
    const char *why = walk(bytes, count_field, &g);
    if (why != NULL) return weir_error_set(e, WEIR_ERR_INVALID, "malformed discovery response: %s", why);
    if (!weir_resource_type_of_url(g.type_url, &r->type))
        return weir_error_set(e, WEIR_ERR_UNSUPPORTED, "a response of type '%.*s', which was not asked for",
                              WEIR_STR_ARG(g.type_url));
    r->resources = WEIR_NEW(arena, struct weir_ads_resource, r->count + 1);
    r->removed = WEIR_NEW(arena, struct weir_str, r->removed_count + 1);
    r->count = r->removed_count = 0;
    why = walk(bytes, list_field, &g);
    if (why != NULL) return weir_error_set(e, WEIR_ERR_INVALID, "malformed discovery response: %s", why);
    for (size_t i = 0; i < r->count; i++) {
        struct weir_ads_resource *one = &r->resources[i];
        if (one->version.n == 0 || !delta) one->version = r->version; /* state-of-the-world has one version for all */
        if (one->name.n > 0 || !weir_str_eq(one->type_url, g.type_url)) continue;
        one->name = weir_resource_name_peek(r->type, (struct weir_str){(const char *)one->body.data, one->body.len});
        if (!weir_utf8_valid(one->name)) one->name = (struct weir_str){0};
    }
    *out = r;
    return WEIR_OK;
}
