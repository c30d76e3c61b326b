/* The virtual host of a request; called for every one before its routes are looked at. */
#include "dataplane/route/vhost.h"

#include <stdlib.h>

#include "dataplane/base/map.h"
#include "dataplane/base/str.h"

/* Names of one kind; texts in lower case, wildcards without their star. */
struct names {
    struct weir_vhost_domain *slots; /* open addressing, vhost NULL: free */
    uint32_t mask, count;
    uint32_t *lengths; /* descending, each once */
    uint32_t length_count;
};
struct weir_vhost_index {
    struct names exact, suffix, prefix;
    const struct weir_virtual_host *any;
};

#define HOST_MAX 255 /* longer ones are no names: they match `*` at most */

static bool insert(struct names *n, struct weir_vhost_domain d)
{
    uint32_t i = (uint32_t)weir_hash(d.domain) & n->mask;
    for (; n->slots[i].vhost != NULL; i = (i + 1) & n->mask)
        if (weir_str_eq(n->slots[i].domain, d.domain))
            return false;
    n->slots[i] = d;
    uint32_t length = (uint32_t)d.domain.n;
    for (uint32_t k = 0; k < n->length_count; k++)
        if (n->lengths[k] == length)
            return true;
    n->lengths[n->length_count++] = length;
    return true;
}

static const struct weir_virtual_host *find(const struct names *n, struct weir_str name)
{
    if (n->count == 0)
        return NULL;
    for (uint32_t i = (uint32_t)weir_hash(name) & n->mask; n->slots[i].vhost != NULL; i = (i + 1) & n->mask)
        if (weir_str_eq(n->slots[i].domain, name))
            return n->slots[i].vhost;
    return NULL;
}

static int descending(const void *pa, const void *pb)
{
    const uint32_t *a = pa, *b = pb;
    return *a > *b ? -1 : *a < *b;
}

static void names_init(struct names *n, struct weir_arena *arena, uint32_t count)
{
    n->count = count;
    if (count == 0)
        return;
    uint32_t capacity = 4;
    while (capacity < count * 2)
        capacity *= 2;
    n->slots = WEIR_NEW(arena, struct weir_vhost_domain, capacity);
    n->mask = capacity - 1;
    n->lengths = WEIR_NEW(arena, uint32_t, HOST_MAX + 1);
}

enum kind { ANY, SUFFIX, PREFIX, EXACT };

static enum kind kind_of(struct weir_str domain)
{
    if (domain.n == 1 && domain.p[0] == '*')
        return ANY;
    if (domain.n > 0 && domain.p[0] == '*')
        return SUFFIX;
    return domain.n > 0 && domain.p[domain.n - 1] == '*' ? PREFIX : EXACT;
}

static struct weir_str lower_text(struct weir_arena *arena, struct weir_str s)
{
    struct weir_str text = weir_arena_str(arena, s);
    char *p = (char *)(uintptr_t)text.p;
    for (size_t i = 0; i < text.n; i++)
        p[i] = weir_lower(p[i]);
    return text;
}

static bool add(struct weir_vhost_index *x, struct weir_arena *arena, const struct weir_vhost_domain *d)
{
    struct weir_vhost_domain own = {lower_text(arena, d->domain), d->vhost};
    switch (kind_of(d->domain)) {
    case ANY:
        if (x->any != NULL)
            return false;
        x->any = d->vhost;
        return true;
    case SUFFIX:
        own.domain = (struct weir_str){own.domain.p + 1, own.domain.n - 1};
        return own.domain.n > HOST_MAX || insert(&x->suffix, own);
    case PREFIX: own.domain.n--; return own.domain.n > HOST_MAX || insert(&x->prefix, own);
    case EXACT: return own.domain.n > HOST_MAX || insert(&x->exact, own);
    }
    return true;
}

enum weir_err weir_vhost_index_build(struct weir_arena *arena, const struct weir_vhost_domain *domains, uint32_t count,
                                     uint32_t *again, const struct weir_vhost_index **out)
{
    struct weir_vhost_index *x = WEIR_NEW(arena, struct weir_vhost_index, 1);
    uint32_t counts[4] = {0};
    for (uint32_t i = 0; i < count; i++)
        counts[kind_of(domains[i].domain)]++;
    names_init(&x->exact, arena, counts[EXACT]);
    names_init(&x->suffix, arena, counts[SUFFIX]);
    names_init(&x->prefix, arena, counts[PREFIX]);
    for (uint32_t i = 0; i < count; i++) {
        if (!add(x, arena, &domains[i])) {
            *again = i;
            return WEIR_ERR_EXISTS;
        }
    }
    if (x->suffix.length_count > 1)
        qsort(x->suffix.lengths, x->suffix.length_count, sizeof(uint32_t), descending);
    if (x->prefix.length_count > 1)
        qsort(x->prefix.lengths, x->prefix.length_count, sizeof(uint32_t), descending);
    *out = x;
    return WEIR_OK;
}

/* A colon that a bracket follows belongs to an IPv6 address. */
static struct weir_str without_port(struct weir_str host)
{
    for (size_t i = host.n; i > 0; i--) {
        if (host.p[i - 1] == ']')
            break;
        if (host.p[i - 1] == ':')
            return (struct weir_str){host.p, i - 1};
    }
    return host;
}

const struct weir_virtual_host *weir_vhost_index_find(const struct weir_vhost_index *x, struct weir_str host, bool ignore_port)
{
    if (x->exact.count + x->suffix.count + x->prefix.count == 0)
        return x->any;
    if (ignore_port)
        host = without_port(host);
    char text[HOST_MAX];
    if (host.n > sizeof text)
        return x->any;
    for (size_t i = 0; i < host.n; i++)
        text[i] = weir_lower(host.p[i]);
    const struct weir_virtual_host *v = find(&x->exact, (struct weir_str){text, host.n});
    /* A star stands for one character at least. */
    for (uint32_t i = 0; v == NULL && i < x->suffix.length_count; i++) {
        uint32_t n = x->suffix.lengths[i];
        if (n < host.n)
            v = find(&x->suffix, (struct weir_str){text + host.n - n, n});
    }
    for (uint32_t i = 0; v == NULL && i < x->prefix.length_count; i++) {
        uint32_t n = x->prefix.lengths[i];
        if (n < host.n)
            v = find(&x->prefix, (struct weir_str){text, n});
    }
    return v != NULL ? v : x->any;
}
