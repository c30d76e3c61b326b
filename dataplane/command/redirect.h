/* weir redirect: rules that bring a pod's connections to weir's listeners. Three steps, for tests to take one by one: flags into
 * a struct, the struct into nftables text, the text into the kernel. */
#ifndef WEIR_COMMAND_REDIRECT_H
#define WEIR_COMMAND_REDIRECT_H

#include <stdio.h>

#include "dataplane/base/address.h"
#include "dataplane/base/error.h"

#define WEIR_REDIRECT_LIST_MAX 512 /* items of one list */

struct weir_port_range {
    uint16_t first, last;
};
/* Sorted, without overlaps. */
struct weir_port_list {
    uint32_t count;
    struct weir_port_range at[WEIR_REDIRECT_LIST_MAX];
};
/* Sorted, IPv4 first, none within another. */
struct weir_range_list {
    uint32_t count;
    struct weir_cidr at[WEIR_REDIRECT_LIST_MAX];
};
struct weir_id_list {
    uint32_t count;
    uint32_t at[WEIR_REDIRECT_LIST_MAX];
};
struct weir_redirect_side {
    uint16_t to; /* weir's port; 0: this side is left alone */
    struct weir_port_list exclude_ports, include_ports;     /* no port included: every one is */
    struct weir_range_list exclude_ranges, include_ranges;  /* of the peer; likewise */
};
enum weir_redirect_mode { WEIR_REDIRECT_INSTALL, WEIR_REDIRECT_REMOVE, WEIR_REDIRECT_HELP };
struct weir_redirect {
    enum weir_redirect_mode mode;
    bool dry_run;
    struct weir_id_list uids, gids; /* whose connections are weir's own */
    struct weir_redirect_side inbound, outbound;
};
/* argv behind the command's name. WEIR_ERR_INVALID: a flag that is unknown, incomplete, or missing. */
enum weir_err weir_redirect_parse(int argc, char **argv, struct weir_redirect *out, struct weir_error *e) WEIR_MUST_USE;
void weir_redirect_help(FILE *to);
/* What `nft -f` takes, one transaction: afterwards the kernel has these rules of weir's and no others, however often it is run. */
void weir_redirect_print(const struct weir_redirect *r, FILE *to);
/* Needs CAP_NET_ADMIN in this network namespace. */
enum weir_err weir_redirect_apply(const char *rules, struct weir_error *e) WEIR_MUST_USE;

#endif
