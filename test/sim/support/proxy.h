/* weir itself in the simulated world: control thread and workers, configuration as the API's messages in JSON, listeners that
 * the world connects to. All but main, the ADS client and the kernel is the real thing. */
#ifndef TEST_SIM_SUPPORT_PROXY_H
#define TEST_SIM_SUPPORT_PROXY_H

#include "dataplane/config/publish.h"
#include "test/sim/support/sim.h"

#define PROXY_WORKERS_MAX 4
#define PROXY_LISTENERS_MAX 4

struct proxy;
struct proxy_port {
    struct proxy *proxy;
    struct sim_listener listener;
    const char *name;
    struct weir_worker *next; /* whose turn it is */
};
struct plane;
struct proxy {
    struct sim *sim;
    struct plane *plane; /* the control plane that hears what is wanted; NULL: none */
    struct weir_worker *control, *workers[PROXY_WORKERS_MAX];
    uint32_t worker_count;
    struct weir_names *names;
    struct weir_stats_registry *stats;
    struct weir_compile_env env;
    struct weir_compile_memory *memory;
    struct weir_cluster_env clusters;
    struct weir_publisher *publisher;
    struct proxy_port ports[PROXY_LISTENERS_MAX];
    uint32_t port_count;
    struct proxy_mail {
        struct weir_mail mail;
        struct proxy *proxy;
    } idle[PROXY_WORKERS_MAX];
    uint32_t idle_workers;
    uint32_t refusals; /* of connections to a listener that was not there */
};

struct proxy *proxy_create(struct sim *s, uint32_t worker_count);
/* A response of the control plane: resources by name with their message in JSON; single quotes stand for double ones. `removed`
 * may be NULL. full: what is not in it is removed. Every resource must be accepted. */
struct proxy_resource {
    const char *name, *json;
};
void proxy_apply(struct proxy *p, enum weir_resource_type type, const struct proxy_resource *resources, size_t count,
                 const char *removed, bool full);
/* The same for one resource. */
void proxy_apply_one(struct proxy *p, enum weir_resource_type type, const char *name, const char *json);
/* What was accepted of this name is no longer known: the same bytes are new when they come again. */
void proxy_forget(struct proxy *p, enum weir_resource_type type, uint32_t source, const char *name);
/* Call once, after the first configuration. */
void proxy_start(struct proxy *p);
/* The world may connect to the listener of this name by this address. */
void proxy_open_port(struct proxy *p, const char *listener, struct weir_address address);
/* SIGTERM: drains; new connections are taken for so long; proxy_idle() tells when nothing is left. */
void proxy_shutdown(struct proxy *p, uint64_t linger_ms, uint64_t drain_ms);
bool proxy_idle(void *proxy);
/* The sum of a counter or gauge of this name over all sets that have it; 0 where there is none. */
int64_t proxy_stat(struct proxy *p, const char *name);
/* Every gauge that counts living things is zero, except those of idle upstream connections where `pooled`. */
void proxy_assert_at_rest(struct proxy *p, bool pooled);
/* Ends everything, the world with it, and checks that nothing is left. */
void proxy_destroy(struct proxy *p);

#endif
