/* A whole world for one run: upstreams, weir configured and serving, clients. What the scenarios share; what differs between them
 * is the plans' options and what happens meanwhile. */
#ifndef TEST_SIM_SUPPORT_WORLD_H
#define TEST_SIM_SUPPORT_WORLD_H

#include "test/sim/support/traffic.h"

#define WORLD_HOSTS 3u /* of each protocol: 10.0.0.10.. speak HTTP/1, 10.0.0.20.. HTTP/2 */
#define S (1000 * (uint64_t)SIM_MS)

struct world {
    uint64_t seed;
    struct sim *sim;
    struct proxy *proxy;
    struct traffic traffic;
};

void world_init(struct world *w, uint64_t seed, const struct traffic_options *o, uint32_t exchanges);
/* Clients that start so many exchanges at random times within a random time. Returns that time. */
uint64_t world_add_clients(struct world *w, uint32_t exchanges);
/* All exchanges end and are as the plans say. */
void world_settle(struct world *w);
/* The same, then everything ends and nothing is left. The hash of all that happened. */
uint64_t world_end(struct world *w);

/* Configuration with its changeable parts. */
void world_apply_endpoints(struct world *w, bool h2, unsigned hosts); /* a bit for each host */
void world_apply_clusters(struct world *w, const char *more);          /* fields of both, in JSON, ending with a comma; or "" */
void world_apply_routes(struct world *w, const char *first);           /* routes that come before all others, ending with a comma; or "" */
void world_apply_listener(struct world *w, const char *more);          /* fields of the connection manager, as above */

#endif
