/* Random numbers of one thread: xoshiro256++ for choices (load balancing, jitter, fractions), the system's generator for
 * its seed and for what must not be guessed. */
#ifndef WEIR_BASE_RANDOM_H
#define WEIR_BASE_RANDOM_H

#include "dataplane/weir.h"

struct weir_random {
    uint64_t s[4];
};
void weir_random_seed(struct weir_random *r, uint64_t seed); /* the same seed, the same numbers: for tests and simulation */
void weir_random_seed_system(struct weir_random *r);
uint64_t weir_random_u64(struct weir_random *r);
uint64_t weir_random_below(struct weir_random *r, uint64_t bound); /* uniform in [0, bound), bound > 0 */
double weir_random_unit(struct weir_random *r);                    /* [0, 1) */
/* A version 4 UUID, 36 bytes, no NUL, from r (x-request-id). */
void weir_random_uuid(struct weir_random *r, char out[36]);

#endif
