/* Waiting times between attempts: uniform in [0, bound), where the bound doubles from base to max (full jitter). */
#ifndef WEIR_XDS_BACK_OFF_H
#define WEIR_XDS_BACK_OFF_H

#include "dataplane/base/random.h"

struct weir_back_off {
    uint32_t base_ms, max_ms, bound_ms;
    struct weir_random random;
};
void weir_back_off_init(struct weir_back_off *b, uint32_t base_ms, uint32_t max_ms); /* base_ms > 0 */
uint32_t weir_back_off_next_ms(struct weir_back_off *b, uint32_t most_ms); /* below most_ms this time; most_ms > 0 */
void weir_back_off_reset(struct weir_back_off *b);

#endif
