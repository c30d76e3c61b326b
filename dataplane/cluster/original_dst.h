/* Clusters of type ORIGINAL_DST: a host is made for the address that a connection or request asks for, used at once, and goes
 * when nothing has asked for it for a whole cleanup_interval and no connection to it is left. Where the address comes from, the
 * first that is there: a string of dynamic metadata (metadata_key), a request header (use_http_header), the original destination
 * of the downstream connection.
 *
 * Each worker makes hosts of its own: no worker waits for another. The control thread hears of them by mail, for admin and
 * gauges only. */
#ifndef WEIR_CLUSTER_ORIGINAL_DST_H
#define WEIR_CLUSTER_ORIGINAL_DST_H

#include "dataplane/cluster/shared.h"

/* Worker: hosts of one view of a cluster. Owned by it, made with its first host. */
struct weir_original_dst;
/* The host to use, without a reference of the caller's own. NULL: nothing says where to, or there are
 * WEIR_ORIGINAL_DST_HOSTS_MAX hosts that are all in use (counted as upstream_cx_pool_overflow). */
struct weir_cluster_host *weir_original_dst_pick(struct weir_cluster *c, const struct weir_lb_context *x);
/* The view ends: all hosts leave it. */
void weir_original_dst_end(struct weir_cluster *c, bool close_now);

/* Control thread: what workers told is forgotten, as the cluster is closed or of another type now. */
void weir_original_dst_forget(struct weir_cluster_shared *s);

#endif
