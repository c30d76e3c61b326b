/* Access logs: from their messages, and one line for a stream that has ended. */
#include "dataplane/observe/access_log.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/base/substitution.h"
#include "dataplane/observe/access_log_filter.h"
#include "dataplane/observe/log_sink.h"

#define LINE_BYTES 512 /* room that most lines fit into */

struct weir_access_log {
    const struct weir_access_log_filter *filter; /* NULL: every stream */
    const struct weir_substitution *format;
    struct weir_log_sink *sink; /* NULL: nowhere */
};

static void sink_release(void *ctx)
{
    weir_log_sink_release(ctx);
}

static enum weir_err sink_open(struct weir_compile *c, const char *field, struct weir_str path, struct weir_access_log *out)
{
    if (c->log_sinks == NULL) return WEIR_OK;
    struct weir_error error = {0};
    if (weir_log_sinks_open(c->log_sinks, path, &error, &out->sink) != WEIR_OK) return weir_reject(c, field, "%s", error.text);
    weir_arena_on_destroy(c->arena, sink_release, out->sink);
    return WEIR_OK;
}

static enum weir_err file_format(struct weir_compile *c, const pb_file_access_log *pb, const struct weir_substitution **out)
{
    switch (pb->access_log_format_case) {
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_LOG_FORMAT:
        return weir_substitution_compile(c, "log_format", pb->log_format, out);
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_FORMAT:
        return weir_substitution_text(c, "format", weir_str_of(pb->format), out);
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_JSON_FORMAT:
        return weir_substitution_json(c, "json_format", pb->json_format, out);
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_TYPED_JSON_FORMAT:
        return weir_substitution_json(c, "typed_json_format", pb->typed_json_format, out);
    default: return weir_substitution_text(c, NULL, weir_format_default_text, out);
    }
}

static enum weir_err stream_format(struct weir_compile *c, const void *log_format, const struct weir_substitution **out)
{
    if (log_format != NULL) return weir_substitution_compile(c, "log_format", log_format, out);
    return weir_substitution_text(c, NULL, weir_format_default_text, out);
}

static enum weir_err sink_compile(struct weir_compile *c, const ProtobufCMessage *pb, struct weir_access_log *out)
{
    enum weir_err err;
    if (pb->descriptor == &pb_file_access_log_type) {
        const pb_file_access_log *file = (const void *)pb;
        err = file_format(c, file, &out->format);
        return err == WEIR_OK ? sink_open(c, "path", weir_str_of(file->path), out) : err;
    }
    if (pb->descriptor == &pb_stdout_access_log_type) {
        err = stream_format(c, ((const pb_stdout_access_log *)(const void *)pb)->log_format, &out->format);
        return err == WEIR_OK ? sink_open(c, NULL, WEIR_STR("/dev/stdout"), out) : err;
    }
    if (pb->descriptor == &pb_stderr_access_log_type) {
        err = stream_format(c, ((const pb_stderr_access_log *)(const void *)pb)->log_format, &out->format);
        return err == WEIR_OK ? sink_open(c, NULL, WEIR_STR("/dev/stderr"), out) : err;
    }
    return weir_reject(c, NULL, "access logger '%s' is not supported", pb->descriptor->name);
}

static enum weir_err compile(struct weir_compile *c, const pb_access_log *pb, struct weir_access_log *out)
{
    enum weir_err err = WEIR_OK;
    if (pb->filter != NULL) {
        size_t mark = weir_path_push(c, "filter", -1);
        err = weir_access_log_filter_compile(c, pb->filter, &out->filter);
        weir_path_pop(c, mark);
    }
    if (err != WEIR_OK) return err;
    if (pb->config_type_case != ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG__CONFIG_TYPE_TYPED_CONFIG)
        return weir_reject(c, "typed_config", "is required");
    const ProtobufCMessage *config = NULL;
    err = weir_compile_any(c, "typed_config", pb->typed_config, &config);
    if (err != WEIR_OK) return err;
    size_t mark = weir_path_push(c, "typed_config", -1);
    err = sink_compile(c, config, out);
    weir_path_pop(c, mark);
    return err;
}

enum weir_err weir_access_logs_compile(struct weir_compile *c, const char *field, size_t count, void *const *pb,
                                       struct weir_access_logs *out)
{
    struct weir_access_log *at = weir_new(c, struct weir_access_log, count);
    *out = (struct weir_access_logs){(uint32_t)count, at};
    for (size_t i = 0; i < count; i++) {
        size_t mark = weir_path_push(c, field, (int)i);
        enum weir_err err = compile(c, pb[i], &at[i]);
        weir_path_pop(c, mark);
        if (err != WEIR_OK) return err;
    }
    return WEIR_OK;
}

void weir_access_logs_write(const struct weir_access_logs *logs, const struct weir_request *r, const struct weir_runtime *runtime,
                            uint32_t worker)
{
    for (uint32_t i = 0; i < logs->count; i++) {
        const struct weir_access_log *log = &logs->at[i];
        if (log->sink == NULL) continue;
        if (log->filter != NULL && !weir_access_log_filter_pass(log->filter, r, runtime)) continue;
        struct weir_text line = {.arena = r->arena, .p = weir_arena_alloc(r->arena, LINE_BYTES), .capacity = LINE_BYTES};
        weir_substitution_print(log->format, r, WEIR_STR(""), &line);
        weir_log_sink_write(log->sink, worker, (struct weir_str){line.p, line.n});
    }
}
