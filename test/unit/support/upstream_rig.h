/* For tests of upstream/: a cluster on a worker whose clock the test moves, over transports in memory that the test connects,
 * feeds and ends by hand. The codecs are the real ones; the far end of an HTTP/2 connection is weir's own server codec. */
#ifndef TEST_UNIT_SUPPORT_UPSTREAM_RIG_H
#define TEST_UNIT_SUPPORT_UPSTREAM_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/cluster/shared.h"
#include "dataplane/transport/ops.h"
#include "dataplane/upstream/attempt.h"

#define UPSTREAM_PEERS_MAX 2000
#define UPSTREAM_STREAMS_MAX 64 /* of one peer */
#define UPSTREAM_TEXT_MAX 16384
struct upstream_rig;

/* One stream at the far end of an HTTP/2 connection. */
struct upstream_peer_stream {
    struct upstream_peer *peer;
    struct weir_codec_stream *codec; /* NULL: gone */
    struct weir_arena *arena;
    bool headers, ended, closed;
    enum weir_reset reason;
};
/* The far end of a connection. */
struct upstream_peer {
    struct upstream_rig *rig;
    struct weir_transport t;
    struct weir_address remote; /* that was connected to */
    struct weir_str sni, alpn;
    struct weir_tls_info tls;
    char sni_text[64], alpn_text[32];
    bool connected, reading, fin, closed, finished, reset;
    size_t queued; /* what the test says is not written yet */
    char text[UPSTREAM_TEXT_MAX]; /* what weir has written and the test not taken */
    size_t n;
    struct weir_codec *h2; /* the server; NULL: bytes only */
    struct upstream_peer_stream streams[UPSTREAM_STREAMS_MAX];
    uint32_t stream_count;
    bool output_wanted;
};

/* An attempt's user, which writes down what it hears. */
struct upstream_user {
    struct upstream_rig *rig;
    struct weir_arena *arena;
    struct weir_attempt attempt;
    enum weir_attempt_state state;
    char log[4096]; /* "ready", "headers 200", "headers 200 end", "data ok", "trailers", "reset TEXT", "closed" by blanks */
    bool send_on_ready, end_with_headers; /* both true unless the test says otherwise */
    const char *method;
    const char *protocol; /* upgrade */
};

struct upstream_rig {
    struct weir_worker *w, *control;
    struct weir_worker *workers[1];
    struct weir_worker_local local;
    struct weir_stats_registry *registry;
    struct weir_cluster_env env;
    struct weir_cluster_config *config; /* to be changed before upstream_rig_install() */
    struct weir_cluster_shared *shared;
    struct upstream_peer *peers[UPSTREAM_PEERS_MAX];
    uint32_t peer_count;
};

void upstream_rig_init(struct upstream_rig *r, uint32_t hosts); /* 127.0.0.1:1001, :1002, ... by round robin */
/* The cluster as configured is there. */
void upstream_rig_install(struct upstream_rig *r);
/* A copy of the configuration to be changed and then given to upstream_rig_update(). */
struct weir_cluster_config *upstream_rig_copy(struct upstream_rig *r, uint32_t hosts);
void upstream_rig_update(struct upstream_rig *r, struct weir_cluster_config *config); /* takes the reference */
/* Everything ends; asserts that nothing is left: breakers, gauges, buffers. */
void upstream_rig_deinit(struct upstream_rig *r);
void upstream_rig_turn(struct upstream_rig *r);
void upstream_rig_advance(struct upstream_rig *r, uint64_t ms);
struct weir_cluster *upstream_rig_cluster(struct upstream_rig *r);
int64_t upstream_rig_stat(struct upstream_rig *r, enum weir_cluster_stat s);

/* An attempt at the next host. upstream_user_end() gives it up and frees it. */
struct upstream_user *upstream_user_start(struct upstream_rig *r);
struct upstream_user *upstream_user_start_with(struct upstream_rig *r, const char *method, bool end_with_headers, bool raw);
void upstream_user_send(struct upstream_user *u, const char *data, bool end);
void upstream_user_end(struct upstream_user *u);
#define upstream_user_assert(u, expected) assert_string_equal((u)->log, (expected))

/* What the far end does; each takes a turn. */
void upstream_peer_accept(struct upstream_peer *p, const char *alpn); /* NULL: cleartext */
void upstream_peer_accept_h2(struct upstream_peer *p, uint32_t streams_max); /* and speaks HTTP/2 */
void upstream_peer_refuse(struct upstream_peer *p, enum weir_close_reason reason);
void upstream_peer_say(struct upstream_peer *p, const char *text);
void upstream_peer_eof(struct upstream_peer *p);
void upstream_peer_break(struct upstream_peer *p); /* RST */
const char *upstream_peer_take(struct upstream_peer *p);
void upstream_peer_answer_h2(struct upstream_peer *p, uint32_t stream, const char *status, bool end);
void upstream_peer_goaway(struct upstream_peer *p);

#endif
