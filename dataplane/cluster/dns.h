/* Names to addresses by c-ares on the control thread's loop: one resolver for the process. Asking again and
 * again for the names of a cluster is cluster/resolution.h. */
#ifndef WEIR_CLUSTER_DNS_H
#define WEIR_CLUSTER_DNS_H

#include "dataplane/cluster/config.h"
#include "dataplane/worker/worker.h"

struct weir_dns; /* the process's resolver; control thread */
/* NULL when c-ares cannot start. */
struct weir_dns *weir_dns_create(struct weir_worker *control);
void weir_dns_destroy(struct weir_dns *d); /* outstanding queries are dropped without an answer */

/* dns.cares.*; what c-ares was asked and said. */
struct weir_dns_counts {
    uint64_t asked, pending, not_found, failed, timeouts;
};
const struct weir_dns_counts *weir_dns_counts(const struct weir_dns *d);

enum weir_dns_status {
    WEIR_DNS_OK,        /* at least one address */
    WEIR_DNS_NO_RECORD, /* the name exists without addresses, or does not exist */
    WEIR_DNS_FAILED,    /* no server answered */
};
struct weir_dns_answer {
    enum weir_dns_status status;
    uint32_t count;
    const struct weir_address *at; /* port 0 */
    uint32_t ttl_s;                /* the smallest */
};
struct weir_dns_query;
/* One lookup; the answer comes in a later turn, once. */
struct weir_dns_query *weir_dns_lookup(struct weir_dns *d, struct weir_str name, const struct weir_dns_config *config,
                                       void (*on_answer)(void *ctx, const struct weir_dns_answer *a), void *ctx);
void weir_dns_cancel(struct weir_dns_query *q); /* no answer comes */

#endif
