/* Rate limit actions: compiled with the route that has them, asked by the rate limit filters. */
#include "dataplane/route/rate_limit.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"

static struct weir_str text_or(struct weir_compile *c, const char *z, const char *otherwise)
{
    return weir_compile_str(c, z != NULL && *z != '\0' ? z : otherwise);
}

static enum weir_err compile_action(struct weir_compile *c, const pb_rate_limit_action *pb, struct weir_rate_limit_action *out)
{
    switch (pb->action_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_SOURCE_CLUSTER:
        *out = (struct weir_rate_limit_action){.kind = WEIR_ACTION_CONSTANT, .key = WEIR_STR("source_cluster")};
        out->value = c->node != NULL ? weir_arena_str(c->arena, c->node->cluster) : WEIR_STR("");
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_DESTINATION_CLUSTER:
        *out = (struct weir_rate_limit_action){.kind = WEIR_ACTION_DESTINATION_CLUSTER, .key = WEIR_STR("destination_cluster")};
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_REQUEST_HEADERS: {
        struct weir_str header = weir_compile_str(c, pb->request_headers->header_name);
        char *p = (char *)(uintptr_t)header.p;
        for (size_t i = 0; i < header.n; i++)
            p[i] = weir_lower(p[i]);
        *out = (struct weir_rate_limit_action){.kind = WEIR_ACTION_REQUEST_HEADER, .header = header};
        out->key = weir_compile_str(c, pb->request_headers->descriptor_key);
        out->skip_if_absent = pb->request_headers->skip_if_absent;
        return WEIR_OK;
    }
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_REMOTE_ADDRESS:
        *out = (struct weir_rate_limit_action){.kind = WEIR_ACTION_REMOTE_ADDRESS, .key = WEIR_STR("remote_address")};
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_GENERIC_KEY:
        *out = (struct weir_rate_limit_action){.kind = WEIR_ACTION_CONSTANT};
        out->key = text_or(c, pb->generic_key->descriptor_key, "generic_key");
        out->value = weir_compile_str(c, pb->generic_key->descriptor_value);
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_HEADER_VALUE_MATCH: {
        const Envoy__Config__Route__V3__RateLimit__Action__HeaderValueMatch *m = pb->header_value_match;
        *out = (struct weir_rate_limit_action){.kind = WEIR_ACTION_HEADER_VALUE_MATCH, .expect_match = true};
        out->key = text_or(c, m->descriptor_key, "header_match");
        out->value = weir_compile_str(c, m->descriptor_value);
        if (m->expect_match != NULL)
            out->expect_match = m->expect_match->value;
        size_t mark = weir_path_push(c, "header_value_match", -1);
        enum weir_err err = weir_header_matchers_compile(c, "headers", m->n_headers, (void *const *)m->headers, &out->headers);
        weir_path_pop(c, mark);
        return err;
    }
    default: return weir_reject(c, NULL, "this kind of action is not supported");
    }
}

static enum weir_err compile_limit(struct weir_compile *c, const pb_route_rate_limit *pb, struct weir_rate_limit *out)
{
    struct weir_rate_limit_action *actions = weir_new(c, struct weir_rate_limit_action, pb->n_actions);
    *out = (struct weir_rate_limit){pb->stage != NULL ? pb->stage->value : 0, (uint32_t)pb->n_actions, actions};
    enum weir_err err = WEIR_OK;
    for (size_t i = 0; i < pb->n_actions && err == WEIR_OK; i++) {
        size_t mark = weir_path_push(c, "actions", (int)i);
        err = compile_action(c, pb->actions[i], &actions[i]);
        weir_path_pop(c, mark);
    }
    return err;
}

enum weir_err weir_rate_limits_compile(struct weir_compile *c, const char *field, size_t count, void *const *pb,
                                       const struct weir_rate_limit **out)
{
    *out = NULL;
    if (count == 0)
        return WEIR_OK;
    struct weir_rate_limit *at = weir_new(c, struct weir_rate_limit, count);
    *out = at;
    enum weir_err err = WEIR_OK;
    for (size_t i = 0; i < count && err == WEIR_OK; i++) {
        size_t mark = weir_path_push(c, field, (int)i);
        err = compile_limit(c, pb[i], &at[i]);
        weir_path_pop(c, mark);
    }
    return err;
}

enum said { SAID, SAID_NOTHING, NO_DESCRIPTOR };

static enum said describe(const struct weir_rate_limit_action *a, const struct weir_request *r, struct weir_arena *arena,
                          struct weir_descriptor_entry *out)
{
    *out = (struct weir_descriptor_entry){a->key, a->value};
    switch (a->kind) {
    case WEIR_ACTION_CONSTANT: return SAID;
    case WEIR_ACTION_DESTINATION_CLUSTER:
        out->value = r->cluster_name;
        return r->cluster_name.n > 0 ? SAID : NO_DESCRIPTOR;
    case WEIR_ACTION_REQUEST_HEADER:
        out->value = weir_headers_get_joined(r->headers, a->header, arena);
        return out->value.p != NULL ? SAID : a->skip_if_absent ? SAID_NOTHING : NO_DESCRIPTOR;
    case WEIR_ACTION_REMOTE_ADDRESS: {
        char text[WEIR_ADDRESS_TEXT_MAX];
        if (!weir_address_is_ip(&r->downstream_remote))
            return NO_DESCRIPTOR;
        size_t n = weir_address_print_ip(&r->downstream_remote, text);
        out->value = weir_arena_str(arena, (struct weir_str){text, n});
        return SAID;
    }
    case WEIR_ACTION_HEADER_VALUE_MATCH:
        return weir_header_matchers_all(&a->headers, r->headers) == a->expect_match ? SAID : NO_DESCRIPTOR;
    }
    return NO_DESCRIPTOR;
}

int weir_rate_limit_descriptor(const struct weir_rate_limit *l, const struct weir_request *r, struct weir_arena *arena,
                               struct weir_descriptor_entry *out)
{
    int count = 0;
    for (uint32_t i = 0; i < l->action_count; i++) {
        enum said said = describe(&l->actions[i], r, arena, &out[count]);
        if (said == NO_DESCRIPTOR)
            return -1;
        count += said == SAID;
    }
    return count;
}
