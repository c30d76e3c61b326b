/* The admin HTTP server: on its own socket, on the control thread, there before the first configuration. It knows nothing
 * of what the pages show: pages are a table that main fills. Speaks HTTP/1.1 by weir's own codec. */
#ifndef WEIR_OBSERVE_ADMIN_H
#define WEIR_OBSERVE_ADMIN_H

#include "dataplane/base/address.h"
#include "dataplane/base/error.h"
#include "dataplane/base/out.h"
#include "dataplane/observe/source.h"
#include "dataplane/worker/worker.h"

#define WEIR_ADMIN_TEXT "text/plain; charset=UTF-8"
#define WEIR_ADMIN_JSON "application/json"
#define WEIR_ADMIN_HTML "text/html; charset=UTF-8"

/* Borrowed for the call. */
struct weir_admin_request {
    struct weir_str method, path, query; /* query without '?'; or, where it has none, the values of a form */
    struct weir_arena *arena;
};
struct weir_admin_reply {
    uint32_t status;          /* 200 unless set */
    const char *content_type; /* WEIR_ADMIN_TEXT unless set */
    struct weir_out body;     /* taken by the server */
    struct weir_admin_source *source; /* what follows `body`; NULL: nothing. The request stays until it is destroyed */
};
struct weir_admin_page {
    const char *path; /* "/ready" */
    const char *help; /* one line for / and /help */
    bool post;        /* takes POST only: it changes something */
    void (*handle)(void *ctx, const struct weir_admin_request *r, struct weir_admin_reply *reply); /* NULL: the server's own */
    const char *params; /* "name: what it does", a line each; NULL: none */
};

/* What came and went so far, for listener.admin.* and http.admin.*. */
struct weir_admin_counts {
    uint64_t connections, ended, ended_by_peer, active, refused;
    uint64_t requests, requests_active, answers[5]; /* by class: 1xx to 5xx */
    uint64_t protocol_errors, rx_bytes, tx_bytes;
};
/* Told about each thing that has a duration; any may be NULL. */
struct weir_admin_times {
    void (*connection_ended)(void *ctx, uint64_t length_ms);
    void (*request_ended)(void *ctx, uint64_t length_ms);
    void *ctx;
};

struct weir_admin;
/* Binds and listens at once. `pages` outlives the server; / and /help are its own. */
enum weir_err weir_admin_create(struct weir_worker *control, const struct weir_address *address, const struct weir_admin_page *pages,
                                size_t count, void *ctx, struct weir_admin **out, struct weir_error *e) WEIR_MUST_USE;
const struct weir_address *weir_admin_address(const struct weir_admin *a); /* with the port that the system chose */
void weir_admin_destroy(struct weir_admin *a);
const struct weir_admin_counts *weir_admin_counts(const struct weir_admin *a);
void weir_admin_set_times(struct weir_admin *a, const struct weir_admin_times *t);

/* A query parameter, percent-decoded into r->arena; p NULL when absent, "" when it has no value. */
struct weir_str weir_admin_param(const struct weir_admin_request *r, struct weir_str name);
/* RE2's own words in the error of a pattern, as Envoy prints them. */
const char *weir_admin_regex_error(const struct weir_error *e);
/* Each parameter in order; *at starts at 0. */
bool weir_admin_param_next(const struct weir_admin_request *r, size_t *at, struct weir_str *name, struct weir_str *value);

#endif
