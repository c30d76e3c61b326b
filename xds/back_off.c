#include "xds/back_off.h"

void weir_back_off_init(struct weir_back_off *b, uint32_t base_ms, uint32_t max_ms)
{
    b->base_ms = base_ms;
    b->max_ms = max_ms < base_ms ? base_ms : max_ms;
    weir_random_seed_system(&b->random);
    weir_back_off_reset(b);
}

void weir_back_off_reset(struct weir_back_off *b)
{
    b->bound_ms = b->base_ms;
}

uint32_t weir_back_off_next_ms(struct weir_back_off *b, uint32_t most_ms)
{
    uint32_t ms = (uint32_t)weir_random_below(&b->random, b->bound_ms < most_ms ? b->bound_ms : most_ms);
    b->bound_ms = b->bound_ms > b->max_ms / 2 ? b->max_ms : b->bound_ms * 2;
    return ms;
}
