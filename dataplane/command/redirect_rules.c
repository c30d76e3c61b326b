/* The rules of weir redirect as nftables text. Their order is the decision: what is left alone returns first. */
#include "dataplane/command/redirect.h"

#define TABLE "inet weir"

static void print_ports(const struct weir_port_list *l, const char *match, FILE *to)
{
    if (l->count == 0) return;
    fprintf(to, "\t\ttcp dport %s{ ", match);
    for (uint32_t i = 0; i < l->count; i++) {
        fprintf(to, "%s%u", i > 0 ? ", " : "", l->at[i].first);
        if (l->at[i].last != l->at[i].first) fprintf(to, "-%u", l->at[i].last);
    }
    fprintf(to, " } return\n");
}

static void print_range(const struct weir_cidr *c, FILE *to)
{
    char text[WEIR_ADDRESS_TEXT_MAX];
    struct weir_address a = {.length = c->v6 ? sizeof(a.v6) : sizeof(a.v4), .any.sa_family = c->v6 ? AF_INET6 : AF_INET};
    if (c->v6) memcpy(&a.v6.sin6_addr, c->bytes, 16);
    else memcpy(&a.v4.sin_addr, c->bytes, 4);
    (void)weir_address_print_ip(&a, text);
    fprintf(to, "%s", text);
    if (c->bits != (c->v6 ? 128 : 32)) fprintf(to, "/%u", c->bits);
}

enum family_part { NONE, SOME, ALL };
/* A range of everything (0.0.0.0/0) is alone in its family: the others lie within it. */
static enum family_part part_of(const struct weir_range_list *l, bool v6)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (l->at[i].v6 == v6) return l->at[i].bits == 0 ? ALL : SOME;
    return NONE;
}

static void print_whole_family(bool v6, FILE *to)
{
    fprintf(to, "\t\tmeta nfproto ipv%d return\n", v6 ? 6 : 4);
}

/* `of`: "daddr", "saddr". */
static void print_some(const struct weir_range_list *l, bool v6, const char *of, const char *match, FILE *to)
{
    const char *separator = "";
    fprintf(to, "\t\t%s %s %s{ ", v6 ? "ip6" : "ip", of, match);
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->at[i].v6 != v6) continue;
        fprintf(to, "%s", separator);
        print_range(&l->at[i], to);
        separator = ", ";
    }
    fprintf(to, " } return\n");
}

static void print_excluded_ranges(const struct weir_range_list *l, const char *of, FILE *to)
{
    for (int v6 = 0; v6 < 2; v6++) {
        enum family_part part = part_of(l, v6);
        if (part == ALL) print_whole_family(v6, to);
        if (part == SOME) print_some(l, v6, of, "", to);
    }
}

static void print_included_ranges(const struct weir_range_list *l, const char *of, FILE *to)
{
    for (int v6 = 0; l->count != 0 && v6 < 2; v6++) {
        enum family_part part = part_of(l, v6);
        if (part == NONE) print_whole_family(v6, to);
        if (part == SOME) print_some(l, v6, of, "!= ", to);
    }
}

static void print_side(const struct weir_redirect_side *s, const char *of, FILE *to)
{
    print_ports(&s->exclude_ports, "", to);
    print_excluded_ranges(&s->exclude_ranges, of, to);
    print_ports(&s->include_ports, "!= ", to);
    print_included_ranges(&s->include_ranges, of, to);
    fprintf(to, "\t\tmeta l4proto tcp redirect to :%u\n\t}\n", s->to);
}

static void print_ids(const struct weir_id_list *l, const char *what, FILE *to)
{
    if (l->count == 0) return;
    fprintf(to, "\t\tmeta %s { ", what);
    for (uint32_t i = 0; i < l->count; i++) fprintf(to, "%s%u", i > 0 ? ", " : "", l->at[i]);
    fprintf(to, " } return\n");
}

void weir_redirect_print(const struct weir_redirect *r, FILE *to)
{
    /* Adding it first lets the deletion succeed where there is none. */
    fprintf(to, "add table " TABLE "\ndelete table " TABLE "\n");
    if (r->mode == WEIR_REDIRECT_REMOVE) return;
    fprintf(to, "table " TABLE " {\n");
    if (r->inbound.to != 0) {
        fprintf(to, "\tchain inbound {\n\t\ttype nat hook prerouting priority -100; policy accept;\n"
                    "\t\tiifname \"lo\" return\n\t\tmeta l4proto != tcp return\n");
        print_side(&r->inbound, "saddr", to);
    }
    if (r->outbound.to != 0) {
        fprintf(to, "\tchain outbound {\n\t\ttype nat hook output priority -100; policy accept;\n"
                    "\t\toifname \"lo\" return\n\t\tmeta l4proto != tcp return\n");
        print_ids(&r->uids, "skuid", to);
        print_ids(&r->gids, "skgid", to);
        print_side(&r->outbound, "daddr", to);
    }
    fprintf(to, "}\n");
}
