/* Access log filters: compiled with the log, asked once a stream. */
#include "dataplane/observe/access_log_filter.h"

#include <envoy/data/accesslog/v3/accesslog.pb-c.h>

#include "dataplane/base/format.h"
#include "dataplane/base/matcher.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"

enum kind { STATUS, DURATION, NOT_HEALTH_CHECK, RUNTIME, AND, OR, HEADER, FLAGS, GRPC_STATUS, METADATA, LOG_TYPE };

struct weir_access_log_filter {
    enum kind kind;
    bool exclude; /* GRPC_STATUS, LOG_TYPE */
    bool otherwise; /* METADATA: what a missing key means */
    bool independent; /* RUNTIME */
    Envoy__Config__Accesslog__V3__ComparisonFilter__Op op;
    struct weir_str runtime_key;
    uint64_t value; /* to compare with; flags; statuses or log types as bits */
    struct weir_fraction fraction;
    struct weir_header_matcher header;
    struct weir_metadata_matcher metadata;
    bool has_matcher;
    uint32_t child_count;
    const struct weir_access_log_filter **children;
};

static enum weir_err comparison(struct weir_compile *c, const Envoy__Config__Accesslog__V3__ComparisonFilter *pb,
                                struct weir_access_log_filter *f)
{
    if (pb == NULL || pb->value == NULL) return weir_reject(c, "comparison", "is required");
    f->op = pb->op;
    f->value = pb->value->default_value;
    f->runtime_key = weir_compile_str(c, pb->value->runtime_key);
    return WEIR_OK;
}

static void runtime(struct weir_compile *c, const Envoy__Config__Accesslog__V3__RuntimeFilter *pb, struct weir_access_log_filter *f)
{
    static const uint32_t denominators[] = {100, 10000, 1000000};
    f->independent = pb->use_independent_randomness;
    f->fraction.runtime_key = weir_compile_str(c, pb->runtime_key);
    f->fraction.denominator = 100;
    if (pb->percent_sampled == NULL) return;
    f->fraction.numerator = pb->percent_sampled->numerator;
    unsigned which = (unsigned)pb->percent_sampled->denominator;
    f->fraction.denominator = denominators[which < 3 ? which : 0];
}

static enum weir_err flags(struct weir_compile *c, const Envoy__Config__Accesslog__V3__ResponseFlagFilter *pb,
                           struct weir_access_log_filter *f)
{
    static const struct weir_str names[] = {
#define X(id, short_name, long_name) WEIR_STR_INIT(short_name),
        WEIR_RESPONSE_FLAGS(X)
#undef X
    };
    for (size_t i = 0; i < pb->n_flags; i++) {
        unsigned k = 0;
        while (k < WEIR_FLAG_COUNT && !weir_str_eq(names[k], weir_str_of(pb->flags[i])))
            k++;
        if (k == WEIR_FLAG_COUNT) return weir_reject(c, "response_flag_filter.flags", "unknown flag '%s'", pb->flags[i]);
        f->value |= (uint64_t)1 << k;
    }
    if (pb->n_flags == 0) f->value = UINT64_MAX; /* any flag */
    return WEIR_OK;
}

static enum weir_err children(struct weir_compile *c, const char *field, size_t count, pb_access_log_filter *const *pb,
                              struct weir_access_log_filter *f)
{
    f->child_count = (uint32_t)count;
    f->children = weir_new(c, const struct weir_access_log_filter *, count);
    for (size_t i = 0; i < count; i++) {
        size_t mark = weir_path_push(c, field, (int)i);
        enum weir_err err = weir_access_log_filter_compile(c, pb[i], &f->children[i]);
        weir_path_pop(c, mark);
        if (err != WEIR_OK) return err;
    }
    return WEIR_OK;
}

static enum weir_err metadata(struct weir_compile *c, const Envoy__Config__Accesslog__V3__MetadataFilter *pb,
                              struct weir_access_log_filter *f)
{
    f->otherwise = pb->match_if_key_not_found == NULL || pb->match_if_key_not_found->value;
    f->has_matcher = pb->matcher != NULL;
    return f->has_matcher ? weir_metadata_matcher_compile(c, "metadata_filter.matcher", pb->matcher, &f->metadata) : WEIR_OK;
}

static enum weir_err compile(struct weir_compile *c, const pb_access_log_filter *pb, struct weir_access_log_filter *f)
{
#define CASE(name) case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_##name
    switch (pb->filter_specifier_case) {
    CASE(STATUS_CODE_FILTER): f->kind = STATUS; return comparison(c, pb->status_code_filter->comparison, f);
    CASE(DURATION_FILTER): f->kind = DURATION; return comparison(c, pb->duration_filter->comparison, f);
    CASE(NOT_HEALTH_CHECK_FILTER): f->kind = NOT_HEALTH_CHECK; return WEIR_OK;
    CASE(RUNTIME_FILTER):
        f->kind = RUNTIME;
        runtime(c, pb->runtime_filter, f);
        return WEIR_OK;
    CASE(AND_FILTER):
        f->kind = AND;
        return children(c, "and_filter.filters", pb->and_filter->n_filters, pb->and_filter->filters, f);
    CASE(OR_FILTER):
        f->kind = OR;
        return children(c, "or_filter.filters", pb->or_filter->n_filters, pb->or_filter->filters, f);
    CASE(HEADER_FILTER):
        f->kind = HEADER;
        if (pb->header_filter->header == NULL) return weir_reject(c, "header_filter.header", "is required");
        return weir_header_matcher_compile(c, "header_filter.header", -1, pb->header_filter->header, &f->header);
    CASE(RESPONSE_FLAG_FILTER): f->kind = FLAGS; return flags(c, pb->response_flag_filter, f);
    CASE(GRPC_STATUS_FILTER):
        f->kind = GRPC_STATUS;
        f->exclude = pb->grpc_status_filter->exclude;
        for (size_t i = 0; i < pb->grpc_status_filter->n_statuses; i++)
            f->value |= (uint64_t)1 << ((unsigned)pb->grpc_status_filter->statuses[i] & 63);
        return WEIR_OK;
    CASE(METADATA_FILTER): f->kind = METADATA; return metadata(c, pb->metadata_filter, f);
    CASE(LOG_TYPE_FILTER):
        f->kind = LOG_TYPE;
        f->exclude = pb->log_type_filter->exclude;
        for (size_t i = 0; i < pb->log_type_filter->n_types; i++)
            f->value |= (uint64_t)1 << ((unsigned)pb->log_type_filter->types[i] & 63);
        return WEIR_OK;
    CASE(TRACEABLE_FILTER): return weir_reject(c, "traceable_filter", "is not supported");
    CASE(EXTENSION_FILTER): return weir_reject(c, "extension_filter", "is not supported");
    default: return weir_reject(c, NULL, "names no filter");
    }
#undef CASE
}

enum weir_err weir_access_log_filter_compile(struct weir_compile *c, const void *pb, const struct weir_access_log_filter **out)
{
    struct weir_access_log_filter *f = weir_new(c, struct weir_access_log_filter, 1);
    *out = f;
    return compile(c, pb, f);
}

static bool compare(const struct weir_access_log_filter *f, const struct weir_runtime *r, uint64_t v)
{
    uint64_t value = f->runtime_key.n != 0 ? weir_runtime_u64(r, f->runtime_key, f->value) : f->value;
    switch (f->op) {
    case ENVOY__CONFIG__ACCESSLOG__V3__COMPARISON_FILTER__OP__EQ: return v == value;
    case ENVOY__CONFIG__ACCESSLOG__V3__COMPARISON_FILTER__OP__GE: return v >= value;
    case ENVOY__CONFIG__ACCESSLOG__V3__COMPARISON_FILTER__OP__LE: return v <= value;
    case ENVOY__CONFIG__ACCESSLOG__V3__COMPARISON_FILTER__OP__NE: return v != value;
    default: return false;
    }
}

/* The first eight digits of x-request-id, so that every proxy on a request's way logs it or none does. */
static uint64_t draw(const struct weir_access_log_filter *f, const struct weir_request *r)
{
    uint64_t v;
    if (!f->independent && r->request_id.n >= 8 && weir_str_hex((struct weir_str){r->request_id.p, 8}, &v)) return v;
    return r->random;
}

static bool combined(const struct weir_access_log_filter *f, const struct weir_request *r, const struct weir_runtime *rt)
{
    for (uint32_t i = 0; i < f->child_count; i++)
        if (weir_access_log_filter_pass(f->children[i], r, rt) != (f->kind == AND)) return f->kind == OR;
    return f->kind == AND;
}

static bool metadata_pass(const struct weir_access_log_filter *f, const struct weir_request *r)
{
    const struct weir_metadata_matcher *m = &f->metadata;
    if (!f->has_matcher) return f->otherwise;
    if (weir_metadata_find(r->metadata, m->filter, m->path, m->path_count) == NULL) return f->otherwise;
    return weir_metadata_matcher_match(m, r->metadata);
}

bool weir_access_log_filter_pass(const struct weir_access_log_filter *f, const struct weir_request *r, const struct weir_runtime *rt)
{
    static const struct weir_headers none = {0};
    switch (f->kind) {
    case STATUS: return compare(f, rt, r->status);
    case DURATION: return r->end_ns != 0 && compare(f, rt, (r->end_ns - r->start_ns) / 1000000);
    case NOT_HEALTH_CHECK: return !r->health_check;
    case RUNTIME: return weir_fraction_hit(&f->fraction, rt, draw(f, r), false);
    case AND:
    case OR: return combined(f, r, rt);
    case HEADER: return weir_header_matcher_match(&f->header, r->headers != NULL ? r->headers : &none);
    case FLAGS: return (r->flags & f->value) != 0;
    case GRPC_STATUS: {
        int64_t status = weir_request_grpc_status(r);
        return (status >= 0 && status < 64 && (f->value >> status & 1) != 0) != f->exclude;
    }
    case METADATA: return metadata_pass(f, r);
    case LOG_TYPE: return (f->value >> ENVOY__DATA__ACCESSLOG__V3__ACCESS_LOG_TYPE__DownstreamEnd & 1) != f->exclude;
    }
    return true;
}
