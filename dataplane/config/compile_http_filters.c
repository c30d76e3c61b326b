/* http_filters and upgrade_configs[].filters. Each filter is found by the type of its configuration and compiles it itself. */
#include "dataplane/base/log.h"
#include "dataplane/base/pb_facts.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/config/compile_http.h"
#include "dataplane/limits.h"

/* Whether an optional filter is to be left out: a type that weir does not know, or that is no filter of weir's. */
static bool unknown(struct weir_compile *c, const Google__Protobuf__Any *any)
{
    const ProtobufCMessageDescriptor *type = weir_compile_any_type(c, any);
    return type == NULL || weir_http_filter_of_type(type) == NULL;
}
static enum weir_err compile_one(struct weir_compile *c, const pb_http_filter *pb, struct weir_str stat_prefix, struct weir_hcm_filter *out)
{
    const ProtobufCMessage *msg;
    enum weir_err err = weir_compile_any(c, "typed_config", pb->typed_config, &msg);
    if (err != WEIR_OK) return err;
    const struct weir_http_filter *table = weir_http_filter_of_type(msg->descriptor);
    if (table == NULL) return weir_reject(c, "typed_config", "%s is not the configuration of an HTTP filter", msg->descriptor->name);
    if (table->terminal && pb->disabled) return weir_reject(c, "disabled", "a terminal filter cannot be disabled");
    *out = (struct weir_hcm_filter){.name = weir_compile_str(c, pb->name), .table = table, .disabled = pb->disabled};
    if (table->compile == NULL) return WEIR_OK;
    size_t mark = weir_path_push(c, "typed_config", -1);
    err = table->compile(c, msg, stat_prefix, &out->config);
    if (err == WEIR_OK) weir_path_pop(c, mark);
    return err;
}
static enum weir_err check_terminal(struct weir_compile *c, const char *field, const struct weir_hcm_chain *chain)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct weir_hcm_filter *f = &chain->at[i];
        bool last = i + 1 == chain->count;
        if (f->table->terminal && !last)
            return weir_reject(c, field, "terminal filter named %.*s of type %s must be the last filter in a http filter chain.",
                               WEIR_STR_ARG(f->name), f->table->name);
        if (!f->table->terminal && last)
            return weir_reject(c, field, "non-terminal filter named %.*s of type %s is the last filter in a http filter chain.",
                               WEIR_STR_ARG(f->name), f->table->name);
    }
    return WEIR_OK;
}
enum weir_err weir_hcm_chain_compile(struct weir_compile *c, const char *field, size_t count, void *const *pb,
                                     struct weir_str stat_prefix, struct weir_hcm_chain *out)
{
    if (count > WEIR_FILTERS_MAX) return weir_reject(c, field, "more than %d filters", WEIR_FILTERS_MAX);
    struct weir_hcm_filter *at = weir_new(c, struct weir_hcm_filter, count);
    uint32_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const pb_http_filter *f = pb[i];
        size_t mark = weir_path_push(c, field, (int)i);
        if (f->typed_config == NULL) return weir_reject(c, "typed_config", "is required");
        if (f->is_optional && unknown(c, f->typed_config)) {
            WEIR_LOG(CONFIG, WARNING, "%s: optional filter '%s' of type '%s' is left out", c->path, f->name, f->typed_config->type_url);
            weir_path_pop(c, mark);
            continue;
        }
        enum weir_err err = compile_one(c, f, stat_prefix, &at[n]);
        if (err != WEIR_OK) return err;
        n++;
        weir_path_pop(c, mark);
    }
    *out = (struct weir_hcm_chain){.count = n, .at = at};
    return check_terminal(c, field, out);
}
