/* LocalReplyConfig: which of weir's own answers look how. */
#include "dataplane/base/data_source.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/config/compile_http.h"
#include "dataplane/limits.h"
#include "dataplane/observe/access_log_filter.h"

static bool hit(const void *config, struct weir_worker *w, const struct weir_request *r)
{
    return weir_access_log_filter_pass(config, r, w->snapshot.runtime);
}
static enum weir_err compile_mapper(struct weir_compile *c, const pb_response_mapper *pb, struct weir_reply_mapper *out)
{
    const struct weir_access_log_filter *filter;
    size_t mark = weir_path_push(c, "filter", -1);
    enum weir_err err = weir_access_log_filter_compile(c, pb->filter, &filter);
    if (err != WEIR_OK) return err;
    weir_path_pop(c, mark);
    out->match = (struct weir_request_match){.hit = hit, .config = filter};
    if (pb->status_code != NULL) out->status = pb->status_code->value;
    if (pb->body != NULL) {
        out->has_body = true;
        err = weir_data_source_compile(c, "body", pb->body, &out->body);
        if (err != WEIR_OK) return err;
    }
    if (pb->body_format_override != NULL) {
        err = weir_substitution_compile(c, "body_format_override", pb->body_format_override, &out->format);
        if (err != WEIR_OK) return err;
    }
    return weir_header_rules_compile(c, "headers_to_add", pb->n_headers_to_add, (void *const *)pb->headers_to_add, NULL, 0, NULL,
                                     &out->rules);
}
enum weir_err weir_local_reply_compile(struct weir_compile *c, const void *message, struct weir_reply_config *out)
{
    const pb_local_reply_config *pb = message;
    if (pb == NULL) return WEIR_OK;
    size_t whole = weir_path_push(c, "local_reply_config", -1);
    struct weir_reply_mapper *mappers = weir_new(c, struct weir_reply_mapper, pb->n_mappers);
    for (size_t i = 0; i < pb->n_mappers; i++) {
        size_t mark = weir_path_push(c, "mappers", (int)i);
        enum weir_err err = compile_mapper(c, pb->mappers[i], &mappers[i]);
        if (err != WEIR_OK) return err;
        weir_path_pop(c, mark);
    }
    out->mapper_count = (uint32_t)pb->n_mappers;
    out->mappers = mappers;
    if (pb->body_format != NULL) {
        enum weir_err err = weir_substitution_compile(c, "body_format", pb->body_format, &out->format);
        if (err != WEIR_OK) return err;
    }
    weir_path_pop(c, whole);
    return WEIR_OK;
}
