/* A whole world for one run: upstreams, weir configured and serving, clients. What the scenarios share; what differs between them
 * is the plans' options and what happens meanwhile. */
#ifndef TEST_SIM_SUPPORT_WORLD_H
#define TEST_SIM_SUPPORT_WORLD_H

#include "test/sim/support/plane.h"
#include "test/sim/support/traffic.h"

#define WORLD_HOSTS 3u /* of each protocol: 10.0.0.10.. speak HTTP/1, 10.0.0.20.. HTTP/2 */
#define S (1000 * (uint64_t)SIM_MS)

struct world {
    uint64_t seed;
    struct sim *sim;
    struct proxy *proxy;
    struct plane *plane; /* NULL: configuration is there at once and stays */
    struct traffic traffic;
};

void world_init(struct world *w, uint64_t seed, const struct traffic_options *o, uint32_t exchanges);
/* Clients that start so many exchanges at random times within a random time. Returns that time. */
uint64_t world_add_clients(struct world *w, uint32_t exchanges);
/* All exchanges end and are as the plans say. */
void world_settle(struct world *w);
/* The same, then everything ends and nothing is left. The hash of all that happened. */
uint64_t world_end(struct world *w);

/* Configuration, by way of the control plane where there is one. `more` and `first` end with a comma, or are empty. */
void world_set(struct world *w, enum weir_resource_type type, const char *name, const char *json);
void world_set_endpoints(struct world *w, const char *name, bool h2, unsigned hosts); /* a bit for each host */
/* endpoints: the name of their set; more: fields of the cluster in JSON. */
void world_set_cluster(struct world *w, const char *name, bool h2, const char *endpoints, const char *more);
/* first: routes that come before all others. */
void world_set_routes(struct world *w, const char *name, const char *first);
/* At 10.0.0.HOST:80; more: fields of the connection manager. */
void world_set_listener(struct world *w, const char *name, uint8_t host, const char *table, const char *more);

#endif
