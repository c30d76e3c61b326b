/* Life of a host object. */
#include "dataplane/cluster/host.h"

#include <assert.h>
#include <stdlib.h>

static struct weir_str text_put(char **at, struct weir_str s)
{
    struct weir_str copy = {*at, s.n};
    if (s.n > 0) memcpy(*at, s.p, s.n);
    (*at)[s.n] = '\0';
    *at += s.n + 1;
    return copy;
}

size_t weir_host_key(const struct weir_address *address, struct weir_str hostname, char out[WEIR_HOST_KEY_MAX])
{
    size_t n = weir_address_print(address, out);
    out[n++] = '|';
    size_t room = WEIR_HOST_KEY_MAX - n, take = hostname.n < room ? hostname.n : room;
    if (take > 0) memcpy(out + n, hostname.p, take);
    return n + take;
}

struct weir_host *weir_host_create(const struct weir_address *address, struct weir_str hostname, struct weir_str zone)
{
    char text[WEIR_ADDRESS_TEXT_MAX];
    struct weir_str address_text = {text, weir_address_print(address, text)};
    char key_text[WEIR_HOST_KEY_MAX];
    struct weir_str key = {key_text, weir_host_key(address, hostname, key_text)};
    size_t bytes = sizeof(struct weir_host) + address_text.n + hostname.n + zone.n + key.n + 4;
    size_t align = _Alignof(struct weir_host);
    struct weir_host *h = aligned_alloc(align, (bytes + align - 1) / align * align);
    if (h == NULL) abort();
    memset(h, 0, bytes);
    char *at = (char *)(h + 1);
    h->address_text = text_put(&at, address_text);
    h->hostname = text_put(&at, hostname);
    h->zone = text_put(&at, zone);
    h->key = text_put(&at, key);
    h->address = *address;
    h->outlier.success_rate = h->outlier.local_success_rate = -1;
    atomic_init(&h->refs, 1);
    return h;
}

void weir_host_release(struct weir_host *h)
{
    uint32_t before = atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) free(h);
}
