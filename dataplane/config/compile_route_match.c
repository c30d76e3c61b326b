/* RouteMatch messages; called by compile_route.c for each route. */
#include "dataplane/config/compile_route.h"

#include "dataplane/base/regex.h"

static enum weir_err compile_path(struct weir_compile *c, const pb_route_match *pb, struct weir_route_match *out)
{
    switch (pb->path_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX:
        out->kind = WEIR_PATH_PREFIX;
        out->path = weir_compile_str(c, pb->prefix);
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH:
        out->kind = WEIR_PATH_EXACT;
        out->path = weir_compile_str(c, pb->path);
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH_SEPARATED_PREFIX:
        out->kind = WEIR_PATH_SEPARATED_PREFIX;
        out->path = weir_compile_str(c, pb->path_separated_prefix);
        return WEIR_OK;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX: {
        out->kind = WEIR_PATH_REGEX;
        size_t mark = weir_path_push(c, "safe_regex", -1);
        enum weir_err err = weir_regex_matcher_compile(c, "regex", pb->safe_regex, &out->regex);
        weir_path_pop(c, mark);
        return err;
    }
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_CONNECT_MATCHER:
        out->kind = WEIR_PATH_CONNECT;
        return WEIR_OK;
    default: return weir_reject(c, NULL, "this kind of path match is not supported");
    }
}

static enum weir_err compile_query(struct weir_compile *c, const pb_route_match *pb, struct weir_route_match *out)
{
    struct weir_query_matcher *at = weir_new(c, struct weir_query_matcher, pb->n_query_parameters + 1);
    out->query = at;
    out->query_count = (uint32_t)pb->n_query_parameters;
    enum weir_err err = WEIR_OK;
    for (size_t i = 0; i < pb->n_query_parameters && err == WEIR_OK; i++) {
        const pb_query_parameter_matcher *q = pb->query_parameters[i];
        at[i].name = weir_compile_str(c, q->name);
        size_t mark = weir_path_push(c, "query_parameters", (int)i);
        switch (q->query_parameter_match_specifier_case) {
        case ENVOY__CONFIG__ROUTE__V3__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_STRING_MATCH:
            err = weir_string_matcher_compile(c, "string_match", -1, q->string_match, &at[i].string);
            break;
        case ENVOY__CONFIG__ROUTE__V3__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_PRESENT_MATCH:
            at[i].by_presence = true;
            at[i].present = q->present_match;
            break;
        default: /* nothing said: it must be there */
            at[i].by_presence = at[i].present = true;
            break;
        }
        weir_path_pop(c, mark);
    }
    return err;
}

static enum weir_err compile_metadata(struct weir_compile *c, const pb_route_match *pb, struct weir_route_match *out)
{
    struct weir_metadata_matcher *at = weir_new(c, struct weir_metadata_matcher, pb->n_dynamic_metadata);
    out->metadata = at;
    out->metadata_count = (uint32_t)pb->n_dynamic_metadata;
    enum weir_err err = WEIR_OK;
    for (size_t i = 0; i < pb->n_dynamic_metadata && err == WEIR_OK; i++) {
        size_t mark = weir_path_push(c, "dynamic_metadata", (int)i);
        err = weir_metadata_matcher_compile(c, NULL, pb->dynamic_metadata[i], &at[i]);
        weir_path_pop(c, mark);
    }
    return err;
}

static void compile_tls(const pb_route_match *pb, struct weir_route_match *out)
{
    out->tls_presented = out->tls_validated = -1;
    if (pb->tls_context == NULL)
        return;
    if (pb->tls_context->presented != NULL)
        out->tls_presented = pb->tls_context->presented->value != 0;
    if (pb->tls_context->validated != NULL)
        out->tls_validated = pb->tls_context->validated->value != 0;
}

enum weir_err weir_route_compile_match(struct weir_compile *c, const pb_route_match *pb, struct weir_route_match *out)
{
    *out = (struct weir_route_match){.grpc = pb->grpc != NULL};
    out->ignore_case = pb->case_sensitive != NULL && !pb->case_sensitive->value;
    enum weir_err err = compile_path(c, pb, out);
    if (err == WEIR_OK)
        err = weir_header_matchers_compile(c, "headers", pb->n_headers, (void *const *)pb->headers, &out->headers);
    if (err == WEIR_OK && pb->n_query_parameters > 0)
        err = compile_query(c, pb, out);
    if (err == WEIR_OK && pb->n_dynamic_metadata > 0)
        err = compile_metadata(c, pb, out);
    if (err != WEIR_OK)
        return err;
    compile_tls(pb, out);
    weir_fraction_compile(c, pb->runtime_fraction, &out->fraction);
    out->plain = !out->grpc && out->headers.count == 0 && out->query_count == 0 && out->metadata_count == 0 &&
                 pb->runtime_fraction == NULL && out->tls_presented < 0 && out->tls_validated < 0;
    return WEIR_OK;
}
