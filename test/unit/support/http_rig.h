/* For tests of http/: a connection manager over real codecs and a transport in memory, on a worker whose clock the test moves. Its
 * terminal filter stands for the router: it writes down what it gets and answers when told to. Probes are filters that do as
 * scripted and write down what they see. */
#ifndef TEST_UNIT_SUPPORT_HTTP_RIG_H
#define TEST_UNIT_SUPPORT_HTTP_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "dataplane/http/conn_manager.h"
#include "dataplane/http/filter.h"
#include "dataplane/http/hcm.h"
#include "dataplane/transport/ops.h"
#include "test/unit/support/h2_harness.h"

#define RIG_FILTERS_MAX 8
struct rig;

/* A filter under the test's hand. Each callback takes its next verdict from a string such as "CPB" (continue, pause, buffer;
 * 'R': replies 418 and ends; 'r': resumes itself and pauses); when it is used up: continue. */
struct probe {
    struct rig *rig;
    const char *name;
    const char *request_headers, *request_data, *request_trailers, *response_headers, *response_data, *response_trailers;
    struct weir_stream *stream;
    struct weir_filter *filter;
    bool silent;
};
extern const struct weir_http_filter probe_filter;

struct rig {
    struct weir_worker *w;
    struct weir_stats_registry *registry;
    struct weir_hcm *hcm; /* to be changed before rig_connect() */
    struct weir_hcm_filter filters[RIG_FILTERS_MAX];
    struct probe probes[RIG_FILTERS_MAX];
    struct weir_pin *pin;
    struct weir_filter_chain chain;
    struct weir_network_filter_use use;

    /* The connection, as the client sees it. */
    struct weir_connection *base; /* NULL: ended */
    struct weir_transport transport;
    struct weir_tls_info tls;
    struct text sent;    /* what the client has got and not taken */
    uint64_t sent_bytes; /* in all */
    uint64_t queue;      /* written and not read by the client */
    bool slow_client;    /* it reads nothing until rig_client_reads() */
    bool reading, fin, finished, closed, reset;
    uint32_t linger_ms;

    /* The terminal filter. */
    struct weir_stream *stream; /* newest that reached it and lives */
    struct weir_filter *terminal;
    struct text log;        /* what filters saw */
    bool answer;            /* "ok" with 200 when the request has ended */
    const char *body;       /* of that answer; NULL: "ok" */
    bool quiet_terminal;    /* does not write to log */
    uint32_t destroyed;
    struct weir_error error;
    bool blocked;           /* on_downstream_blocked's last word */
    struct text access;     /* one line a stream: status flags details */
};

void rig_init(struct rig *r);
/* Before rig_connect(), in the order of the chain; the terminal filter is put last by itself, unless another terminal one is there. */
struct probe *rig_probe(struct rig *r, const char *name);
void rig_add_filter(struct rig *r, const struct weir_http_filter *table, const void *config);
/* Every request gets this route, which must outlive the rig; without one it gets none. Before rig_connect(). */
void rig_use_route(struct rig *r, struct weir_route *route);
/* A filter as its message says, in JSON (support/pb_text.h); the text of the error where it is refused, else NULL. */
const char *rig_compile_filter(struct rig *r, const struct weir_http_filter *table, const char *json);
/* Its configuration of a route. */
const void *rig_compile_route(struct rig *r, const struct weir_http_filter *table, const char *json);
void rig_connect(struct rig *r);
void rig_deinit(struct rig *r); /* ends the connection; asserts that nothing is left */

void rig_send(struct rig *r, const char *p, size_t n); /* the client sends; then a turn */
#define rig_send_text(r, literal) rig_send((r), (literal), sizeof(literal) - 1)
void rig_eof(struct rig *r);
void rig_vanish(struct rig *r); /* the connection breaks */
void rig_turn(struct rig *r);
void rig_advance(struct rig *r, uint64_t ms); /* moves the clock and takes a turn */
void rig_client_reads(struct rig *r);
void rig_write_down(struct rig *r, const char *event); /* to log */

/* The terminal filter's response. */
void rig_respond(struct rig *r, bool end, const char *const *fields); /* name, value, ..., NULL, with :status */
void rig_respond_data(struct rig *r, const char *body, bool end);
void rig_respond_trailers(struct rig *r, const char *const *fields);
struct weir_headers *rig_headers(struct weir_arena *arena, const char *const *fields);

/* What the client got since the last call; date's value is written as DATE. */
const char *rig_take(struct rig *r);
const char *rig_log(struct rig *r);
int64_t rig_stat(struct rig *r, enum weir_http_stat stat);
int64_t rig_counter(struct rig *r, const char *name); /* by its whole name; 0: there is none */

#define rig_assert_got(r, expected) assert_string_equal(rig_take(r), (expected))
#define rig_assert_log(r, expected) assert_string_equal(rig_log(r), (expected))
#define RIG_TAIL "date: DATE\r\nserver: weir\r\n"

#endif
