/* Counts gRPC calls, their outcome and their messages in the cluster's counters (envoy.filters.http.grpc_stats):
 * cluster.NAME.grpc.[SERVICE.METHOD.]{total, success, failure, STATUS, request_message_count, response_message_count}. */
#include <stdio.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"
#include "dataplane/cluster/cluster.h"
#include "dataplane/filters/filters.h"
#include "dataplane/filters/grpc_frames.h"

struct method {
    struct weir_str service, name;
};
struct config {
    bool all_methods, replace_dots;
    uint32_t method_count;
    const struct method *methods; /* the only ones counted by name */
};
struct state {
    bool on, charged;
    struct weir_str prefix; /* "grpc.SERVICE.METHOD." */
    struct weir_grpc_frames request, response;
};

static enum weir_err compile(struct weir_compile *c, const ProtobufCMessage *msg, struct weir_str stat_prefix, const void **out)
{
    (void)stat_prefix;
    const pb_grpc_stats *pb = (const pb_grpc_stats *)(const void *)msg;
    struct config *config = weir_new(c, struct config, 1);
    *out = config;
    config->replace_dots = pb->replace_dots_in_grpc_service_name;
    if (pb->per_method_stat_specifier_case ==
        ENVOY__EXTENSIONS__FILTERS__HTTP__GRPC_STATS__V3__FILTER_CONFIG__PER_METHOD_STAT_SPECIFIER_STATS_FOR_ALL_METHODS) {
        config->all_methods = pb->stats_for_all_methods->value;
        return WEIR_OK;
    }
    if (pb->per_method_stat_specifier_case !=
        ENVOY__EXTENSIONS__FILTERS__HTTP__GRPC_STATS__V3__FILTER_CONFIG__PER_METHOD_STAT_SPECIFIER_INDIVIDUAL_METHOD_STATS_ALLOWLIST)
        return WEIR_OK;
    const Envoy__Config__Core__V3__GrpcMethodList *list = pb->individual_method_stats_allowlist;
    size_t count = 0, n = 0;
    for (size_t i = 0; i < list->n_services; i++) count += list->services[i]->n_method_names;
    struct method *methods = weir_new(c, struct method, count);
    for (size_t i = 0; i < list->n_services; i++) {
        struct weir_str service = weir_compile_str(c, list->services[i]->name);
        for (size_t k = 0; k < list->services[i]->n_method_names; k++)
            methods[n++] = (struct method){service, weir_compile_str(c, list->services[i]->method_names[k])};
    }
    config->method_count = (uint32_t)n;
    config->methods = methods;
    return WEIR_OK;
}

/* "/service/method" without a query; false: it is not of that form. */
static bool split_path(struct weir_str path, struct method *out)
{
    path.n = weir_str_find(path, '?');
    if (path.n < 2 || path.p[0] != '/') return false;
    struct weir_str rest = {path.p + 1, path.n - 1};
    size_t slash = weir_str_find(rest, '/');
    if (slash == 0 || slash + 1 >= rest.n) return false;
    out->service = (struct weir_str){rest.p, slash};
    out->name = (struct weir_str){rest.p + slash + 1, rest.n - slash - 1};
    return weir_str_find(out->name, '/') == out->name.n;
}
static bool by_name(const struct config *config, const struct method *m)
{
    if (config->all_methods) return true;
    for (uint32_t i = 0; i < config->method_count; i++) {
        if (weir_str_eq(config->methods[i].service, m->service) && weir_str_eq(config->methods[i].name, m->name)) return true;
    }
    return false;
}
static void count(struct weir_stream *s, const struct state *state, struct weir_str leaf, uint32_t times)
{
    struct weir_cluster *cluster = weir_stream_cluster(s);
    if (cluster == NULL || times == 0) return;
    char name[256];
    int n = snprintf(name, sizeof(name), "%.*s%.*s", WEIR_STR_ARG(state->prefix), WEIR_STR_ARG(leaf));
    if (n <= 0 || (size_t)n >= sizeof(name)) return;
    weir_stat_add_named(cluster->stats, (struct weir_str){name, (size_t)n}, times);
}
static void charge(struct weir_stream *s, struct weir_filter *f)
{
    struct state *state = f->state;
    if (!state->on || state->charged) return;
    state->charged = true;
    int64_t status = weir_request_grpc_status(weir_stream_request(s));
    count(s, state, WEIR_STR("total"), 1);
    count(s, state, status == 0 ? WEIR_STR("success") : WEIR_STR("failure"), 1);
    char number[20];
    if (status >= 0) count(s, state, (struct weir_str){number, weir_u64_print(number, (uint64_t)status)}, 1);
}

static enum weir_verdict on_request_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    (void)end;
    const struct config *config = f->config;
    struct state *state = f->state;
    struct method m;
    if (!weir_stream_request(s)->is_grpc || !split_path(weir_headers_get(weir_stream_request_headers(s), WEIR_H_PATH), &m))
        return WEIR_CONTINUE;
    state->on = true;
    state->prefix = WEIR_STR("grpc.");
    if (!by_name(config, &m)) return WEIR_CONTINUE;
    state->prefix = weir_arena_printf(weir_stream_arena(s), "grpc.%.*s.%.*s.", WEIR_STR_ARG(m.service), WEIR_STR_ARG(m.name));
    char *service = (char *)(uintptr_t)state->prefix.p + 5;
    for (size_t i = 0; config->replace_dots && i < m.service.n; i++) {
        if (service[i] == '.') service[i] = '_';
    }
    return WEIR_CONTINUE;
}
static enum weir_verdict on_request_data(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *data, bool end)
{
    (void)end;
    struct state *state = f->state;
    if (state->on) count(s, state, WEIR_STR("request_message_count"), weir_grpc_frames_count(&state->request, data));
    return WEIR_CONTINUE;
}
static enum weir_verdict on_response_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    if (end) charge(s, f);
    return WEIR_CONTINUE;
}
static enum weir_verdict on_response_data(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *data, bool end)
{
    struct state *state = f->state;
    if (state->on) count(s, state, WEIR_STR("response_message_count"), weir_grpc_frames_count(&state->response, data));
    if (end) charge(s, f);
    return WEIR_CONTINUE;
}
static enum weir_verdict on_response_trailers(struct weir_stream *s, struct weir_filter *f, struct weir_headers *trailers)
{
    (void)trailers;
    charge(s, f);
    return WEIR_CONTINUE;
}
const struct weir_http_filter weir_filter_grpc_stats = {
    .name = "envoy.filters.http.grpc_stats",
    .config_type = &pb_grpc_stats_type,
    .state_size = sizeof(struct state),
    .compile = compile,
    .on_request_headers = on_request_headers,
    .on_request_data = on_request_data,
    .on_response_headers = on_response_headers,
    .on_response_data = on_response_data,
    .on_response_trailers = on_response_trailers,
};
