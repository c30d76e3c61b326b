/* The control plane of the simulated world: what it wants weir to have, and the way there, as ADS goes it: in order, with a delay,
 * endpoints in a lane of their own, endpoints and route tables only to who has asked for them by name. */
#ifndef TEST_SIM_SUPPORT_PLANE_H
#define TEST_SIM_SUPPORT_PLANE_H

#include "test/sim/support/proxy.h"

struct plane;
/* full: clusters and listeners are sent as the state of the world, else as differences. */
struct plane *plane_create(struct proxy *p, bool full);
/* Nothing may be under way. */
void plane_destroy(struct plane *p);
/* Strings are copied. */
void plane_set(struct plane *p, enum weir_resource_type type, const char *name, const char *json);
void plane_remove(struct plane *p, enum weir_resource_type type, const char *name);
/* For proxy.c: the publisher's events. */
void plane_on_wanted(struct plane *p, enum weir_resource_type type);
void plane_on_forget(struct plane *p, enum weir_resource_type type, uint32_t source, struct weir_str name);

#endif
