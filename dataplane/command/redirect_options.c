/* The flags of weir redirect. */
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/str.h"
#include "dataplane/command/redirect.h"

#define INBOUND_PORT_DEFAULT 15006
#define OUTBOUND_PORT_DEFAULT 15001

/* ---- lists ---- */

/* The next item of a list; false at its end. Blanks around items are dropped, empty items too. */
static bool next_item(struct weir_str *rest, struct weir_str *item)
{
    while (rest->n != 0) {
        size_t n = weir_str_find(*rest, ',');
        *item = weir_str_trim((struct weir_str){rest->p, n});
        n += n < rest->n;
        *rest = (struct weir_str){rest->p + n, rest->n - n};
        if (item->n != 0) return true;
    }
    return false;
}

static enum weir_err refuse(struct weir_error *e, const char *flag, struct weir_str item, const char *expected)
{
    return weir_error_set(e, WEIR_ERR_INVALID, "--%s: '%.*s' is no %s", flag, (int)(item.n < 100 ? item.n : 100), item.p, expected);
}

static enum weir_err too_many(struct weir_error *e, const char *flag)
{
    return weir_error_set(e, WEIR_ERR_INVALID, "--%s: more than %u items", flag, WEIR_REDIRECT_LIST_MAX);
}

static bool read_port(struct weir_str s, uint16_t *out)
{
    uint64_t n;
    if (!weir_str_u64(s, &n) || n == 0 || n > UINT16_MAX) return false;
    *out = (uint16_t)n;
    return true;
}

static int by_first(const void *a, const void *b)
{
    return (int)((const struct weir_port_range *)a)->first - (int)((const struct weir_port_range *)b)->first;
}

static enum weir_err read_ports(const char *flag, const char *value, void *list, struct weir_error *e)
{
    struct weir_port_list *out = list;
    struct weir_str rest = weir_str_of(value), item;
    while (next_item(&rest, &item)) {
        struct weir_port_range r;
        size_t dash = weir_str_find(item, '-');
        if (out->count == WEIR_REDIRECT_LIST_MAX) return too_many(e, flag);
        bool good = read_port((struct weir_str){item.p, dash}, &r.first);
        if (dash == item.n) r.last = r.first;
        else good = good && read_port((struct weir_str){item.p + dash + 1, item.n - dash - 1}, &r.last) && r.first <= r.last;
        if (!good) return refuse(e, flag, item, "port or range of ports (80, 8000-8010)");
        out->at[out->count++] = r;
    }
    qsort(out->at, out->count, sizeof(out->at[0]), by_first);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < out->count; i++) {
        if (kept == 0 || out->at[i].first > (uint32_t)out->at[kept - 1].last + 1) out->at[kept++] = out->at[i];
        else if (out->at[i].last > out->at[kept - 1].last) out->at[kept - 1].last = out->at[i].last;
    }
    out->count = kept;
    return WEIR_OK;
}

/* A range stands before those that lie within it. */
static int by_range(const void *a, const void *b)
{
    const struct weir_cidr *x = a, *y = b;
    if (x->v6 != y->v6) return x->v6 - y->v6;
    int order = memcmp(x->bytes, y->bytes, sizeof(x->bytes));
    return order != 0 ? order : (int)x->bits - (int)y->bits;
}

static bool within(const struct weir_cidr *inner, const struct weir_cidr *outer)
{
    if (inner->v6 != outer->v6 || inner->bits < outer->bits) return false;
    struct weir_cidr cut = *inner;
    for (unsigned i = outer->bits; i < sizeof(cut.bytes) * 8; i++) cut.bytes[i / 8] = (uint8_t)(cut.bytes[i / 8] & ~(0x80u >> (i % 8)));
    return memcmp(cut.bytes, outer->bytes, sizeof(cut.bytes)) == 0;
}

static enum weir_err read_ranges(const char *flag, const char *value, void *list, struct weir_error *e)
{
    struct weir_range_list *out = list;
    struct weir_str rest = weir_str_of(value), item;
    while (next_item(&rest, &item)) {
        size_t slash = weir_str_find(item, '/');
        struct weir_str ip = {item.p, slash};
        uint64_t bits = weir_str_find(ip, ':') != ip.n ? 128 : 32;
        struct weir_cidr c = {.bits = 0};
        if (out->count == WEIR_REDIRECT_LIST_MAX) return too_many(e, flag);
        bool good = slash == item.n || (weir_str_u64((struct weir_str){item.p + slash + 1, item.n - slash - 1}, &bits) && bits <= 128);
        if (!good || !weir_cidr_make(ip, (uint32_t)bits, &c)) return refuse(e, flag, item, "IP range (10.0.0.0/8, fd00::/8)");
        out->at[out->count++] = c;
    }
    qsort(out->at, out->count, sizeof(out->at[0]), by_range);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < out->count; i++)
        if (kept == 0 || !within(&out->at[i], &out->at[kept - 1])) out->at[kept++] = out->at[i];
    out->count = kept;
    return WEIR_OK;
}

/* "*" is what an empty list means. */
static const char *unless_all(const char *value)
{
    return strcmp(value, "*") == 0 ? "" : value;
}
static enum weir_err read_include_ports(const char *flag, const char *value, void *list, struct weir_error *e)
{
    return read_ports(flag, unless_all(value), list, e);
}
static enum weir_err read_include_ranges(const char *flag, const char *value, void *list, struct weir_error *e)
{
    return read_ranges(flag, unless_all(value), list, e);
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static enum weir_err read_ids(const char *flag, const char *value, void *list, struct weir_error *e)
{
    struct weir_id_list *out = list;
    struct weir_str rest = weir_str_of(value), item;
    while (next_item(&rest, &item)) {
        uint64_t id;
        if (out->count == WEIR_REDIRECT_LIST_MAX) return too_many(e, flag);
        if (!weir_str_u64(item, &id) || id >= UINT32_MAX) return refuse(e, flag, item, "numeric id");
        out->at[out->count++] = (uint32_t)id;
    }
    qsort(out->at, out->count, sizeof(out->at[0]), by_id);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < out->count; i++)
        if (kept == 0 || out->at[i] != out->at[kept - 1]) out->at[kept++] = out->at[i];
    out->count = kept;
    return WEIR_OK;
}

static enum weir_err read_to(const char *flag, const char *value, void *port, struct weir_error *e)
{
    uint16_t *out = port;
    *out = 0;
    if (strcmp(value, "none") == 0 || read_port(weir_str_of(value), out)) return WEIR_OK;
    return refuse(e, flag, weir_str_of(value), "port; none leaves this side alone");
}

/* ---- flags ---- */

struct flag {
    const char *name, *value;
    enum weir_err (*read)(const char *flag, const char *value, void *out, struct weir_error *e);
    size_t at;
    const char *help;
};
#define AT(field) offsetof(struct weir_redirect, field)
static const struct flag flags[] = {
    {"proxy-uid", "UIDS", read_ids, AT(uids), "connections of these users are weir's own and are left alone"},
    {"proxy-gid", "GIDS", read_ids, AT(gids), "the same by group"},
    {"outbound-port", "PORT", read_to, AT(outbound.to), "where outbound connections go, default 15001; none: nowhere"},
    {"exclude-outbound-ports", "PORTS", read_ports, AT(outbound.exclude_ports), "left alone, by destination port"},
    {"exclude-outbound-ip-ranges", "RANGES", read_ranges, AT(outbound.exclude_ranges), "left alone, by destination"},
    {"include-outbound-ports", "PORTS", read_include_ports, AT(outbound.include_ports), "only these are taken; default *, all"},
    {"include-outbound-ip-ranges", "RANGES", read_include_ranges, AT(outbound.include_ranges), "only these are taken; default *, all"},
    {"inbound-port", "PORT", read_to, AT(inbound.to), "where inbound connections go, default 15006; none: nowhere"},
    {"exclude-inbound-ports", "PORTS", read_ports, AT(inbound.exclude_ports), "left alone, by destination port: probes, admin"},
    {"exclude-inbound-ip-ranges", "RANGES", read_ranges, AT(inbound.exclude_ranges), "left alone, by source"},
    {"include-inbound-ports", "PORTS", read_include_ports, AT(inbound.include_ports), "only these are taken; default *, all"},
    {"include-inbound-ip-ranges", "RANGES", read_include_ranges, AT(inbound.include_ranges), "only from these; default *, all"},
};
#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

void weir_redirect_help(FILE *to)
{
    fprintf(to, "USAGE: weir redirect --proxy-uid UIDS [FLAG]...\n"
                "       weir redirect --remove\n\n"
                "Makes the kernel hand TCP connections of this network namespace to weir's listeners, by rules in the nftables table\n"
                "`inet weir`: for an init container with NET_ADMIN. The rules are replaced as a whole, in one step. Loopback and what\n"
                "is not TCP are left alone. weir must run as another user than the application: its own connections would come back.\n\n");
    for (size_t i = 0; i < FLAG_COUNT; i++) fprintf(to, "  --%s %s\n        %s\n", flags[i].name, flags[i].value, flags[i].help);
    fprintf(to, "  --remove\n        takes the rules away; good as well where there are none\n"
                "  --dry-run\n        prints the rules, as `nft -f` takes them, and changes nothing\n\n"
                "Lists are separated by commas: 80,8000-8010 and 10.0.0.0/8,fd00::/8. What is excluded is left alone even if it is\n"
                "included. Ports and ranges that are both included must both fit.\n");
}

static const struct flag *find(struct weir_str name)
{
    for (size_t i = 0; i < FLAG_COUNT; i++)
        if (weir_str_eq(weir_str_of(flags[i].name), name)) return &flags[i];
    return NULL;
}

static enum weir_err read_flag(int argc, char **argv, int *at, struct weir_redirect *out, struct weir_error *e)
{
    const char *given = argv[*at];
    if (strcmp(given, "--help") == 0 || strcmp(given, "-h") == 0) {
        out->mode = WEIR_REDIRECT_HELP;
        return WEIR_OK;
    }
    if (strcmp(given, "--dry-run") == 0) {
        out->dry_run = true;
        return WEIR_OK;
    }
    if (strcmp(given, "--remove") == 0) {
        out->mode = WEIR_REDIRECT_REMOVE;
        return WEIR_OK;
    }
    if (strncmp(given, "--", 2) != 0) return weir_error_set(e, WEIR_ERR_INVALID, "'%.100s' is no flag", given);
    size_t n = strcspn(given, "=");
    const struct flag *f = find((struct weir_str){given + 2, n - 2});
    if (f == NULL) return weir_error_set(e, WEIR_ERR_INVALID, "unknown flag '%.100s'", given);
    if (given[n] == '=') return f->read(f->name, given + n + 1, (char *)out + f->at, e);
    if (*at + 1 >= argc) return weir_error_set(e, WEIR_ERR_INVALID, "--%s needs a value", f->name);
    return f->read(f->name, argv[++*at], (char *)out + f->at, e);
}

enum weir_err weir_redirect_parse(int argc, char **argv, struct weir_redirect *out, struct weir_error *e)
{
    memset(out, 0, sizeof(*out));
    out->inbound.to = INBOUND_PORT_DEFAULT;
    out->outbound.to = OUTBOUND_PORT_DEFAULT;
    for (int i = 0; i < argc; i++) {
        enum weir_err err = read_flag(argc, argv, &i, out, e);
        if (err != WEIR_OK) return err;
        if (out->mode == WEIR_REDIRECT_HELP) return WEIR_OK;
    }
    if (out->mode != WEIR_REDIRECT_INSTALL) return WEIR_OK;
    if (out->inbound.to == 0 && out->outbound.to == 0)
        return weir_error_set(e, WEIR_ERR_INVALID, "--inbound-port and --outbound-port are both none: nothing is left to do");
    if (out->outbound.to != 0 && out->uids.count == 0 && out->gids.count == 0)
        return weir_error_set(e, WEIR_ERR_INVALID, "--proxy-uid or --proxy-gid is necessary: without it weir's own connections come back to weir");
    return WEIR_OK;
}
