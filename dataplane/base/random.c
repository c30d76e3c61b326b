/* xoshiro256++ (Blackman, Vigna), seeded through splitmix64 as its authors advise. */
#include "dataplane/base/random.h"

#include <sys/random.h>
#include <time.h>

static uint64_t rotate(uint64_t v, unsigned bits)
{
    return v << bits | v >> (64 - bits);
}

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void weir_random_seed(struct weir_random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&seed);
}

void weir_random_seed_system(struct weir_random *r)
{
    if (getrandom(r->s, sizeof(r->s), 0) == (ssize_t)sizeof(r->s) && (r->s[0] | r->s[1] | r->s[2] | r->s[3]) != 0) return;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    weir_random_seed(r, (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec ^ (uint64_t)(uintptr_t)r);
}

uint64_t weir_random_u64(struct weir_random *r)
{
    uint64_t *s = r->s;
    uint64_t out = rotate(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return out;
}

uint64_t weir_random_below(struct weir_random *r, uint64_t bound)
{
    /* Multiply and shift; the draws that would favour low results are thrown away. */
    __extension__ typedef unsigned __int128 wide;
    wide m = (wide)weir_random_u64(r) * bound;
    if ((uint64_t)m < bound) {
        uint64_t unfair = (0 - bound) % bound;
        while ((uint64_t)m < unfair)
            m = (wide)weir_random_u64(r) * bound;
    }
    return (uint64_t)(m >> 64);
}

double weir_random_unit(struct weir_random *r)
{
    return (double)(weir_random_u64(r) >> 11) * 0x1p-53;
}

void weir_random_uuid(struct weir_random *r, char out[36])
{
    static const char hex[] = "0123456789abcdef";
    uint64_t high = (weir_random_u64(r) & ~(uint64_t)0xf000) | 0x4000;
    uint64_t low = (weir_random_u64(r) & ~((uint64_t)3 << 62)) | (uint64_t)2 << 62;
    size_t at = 0;
    for (unsigned i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20) out[at++] = '-';
        uint64_t word = i < 16 ? high : low;
        out[at++] = hex[word >> (60 - 4 * (i % 16)) & 15];
    }
}
