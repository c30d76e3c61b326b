/* What every response gets and loses on its way to the client: date, server, via, x-request-id; headers of one hop. In the
 * order that Envoy writes them. Called by http/stream when a response has passed the filters. */
#include "dataplane/http/stream.h"

static bool of_one_hop(uint16_t id)
{
    return id == WEIR_H_CONNECTION || id == WEIR_H_KEEP_ALIVE || id == WEIR_H_PROXY_CONNECTION || id == WEIR_H_TRANSFER_ENCODING;
}
static void append_via(struct weir_stream *s, struct weir_headers *h)
{
    struct weir_str before = weir_headers_get_joined(h, weir_header_name(WEIR_H_VIA), s->arena);
    struct weir_str via = s->hcm->via;
    if (before.n > 0) via = weir_arena_printf(s->arena, "%.*s, %.*s", WEIR_STR_ARG(before), WEIR_STR_ARG(s->hcm->via));
    weir_headers_set(h, WEIR_H_VIA, via);
}

void weir_stream_mutate_response(struct weir_stream *s, struct weir_headers *h)
{
    const struct weir_hcm *hcm = s->hcm;
    uint32_t status = s->request.status;
    bool has_date = false, has_server = false, tunnel = status == 101;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        uint16_t id = h->at[i].id;
        bool drop = of_one_hop(id) || (id == WEIR_H_UPGRADE && !tunnel) ||
                    (id == WEIR_H_CONTENT_LENGTH && (status == 204 || (s->connect && status / 100 == 2)));
        if (drop) {
            h->bytes -= (uint32_t)(h->at[i].name.n + h->at[i].value.n);
            continue;
        }
        has_date |= id == WEIR_H_DATE;
        has_server |= id == WEIR_H_SERVER;
        if (kept != i) h->at[kept] = h->at[i];
        kept++;
    }
    h->count = kept;

    if (!has_date) weir_headers_add(h, WEIR_H_DATE, weir_arena_str(s->arena, weir_worker_date(s->worker)));
    if (hcm->server_transformation == WEIR_SERVER_OVERWRITE && has_server) {
        weir_headers_set(h, WEIR_H_SERVER, hcm->server_name);
    } else if (hcm->server_transformation != WEIR_SERVER_PASS_THROUGH && !has_server) {
        weir_headers_add(h, WEIR_H_SERVER, hcm->server_name);
    }
    if (hcm->via.n > 0) append_via(s, h);
    if (hcm->always_set_request_id_in_response && s->request.request_id.n > 0)
        weir_headers_set(h, WEIR_H_X_REQUEST_ID, s->request.request_id);
}
