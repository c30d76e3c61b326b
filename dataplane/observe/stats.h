/* Counters, gauges and histograms under Envoy's names. A set is the counters of one thing (a cluster, an HTTP connection
 * manager, a listener): a prefix and a static table of leaf names. Each worker writes its own shard of a set with plain
 * relaxed stores; readers (admin) sum the shards. Sets are registered on the compile or control thread and counted. */
#ifndef WEIR_OBSERVE_STATS_H
#define WEIR_OBSERVE_STATS_H

#include <stdatomic.h>

#include "dataplane/weir.h"

enum weir_stat_kind {
    WEIR_COUNTER,
    WEIR_GAUGE,
    WEIR_HISTOGRAM,
    /* Or-ed to a kind. */
    WEIR_LATE = 8,  /* not listed before its first use, as Envoy's upstream_rq_time */
    WEIR_WIDE = 16, /* a gauge whose 64 bits are a number without sign, such as a version's hash */
};
static inline enum weir_stat_kind weir_stat_kind_of(unsigned kind)
{
    return (enum weir_stat_kind)(kind & 3u);
}
struct weir_stat_desc {
    const char *name; /* leaf, such as "upstream_rq_total" */
    enum weir_stat_kind kind;
};
/* Tables are made from an X-macro: X(enum suffix, "leaf", kind). */
struct weir_stats_registry; /* one a process */
struct weir_stats;          /* one set: prefix, table, shards */
struct weir_stats_shard {   /* one worker's numbers */
    _Atomic int64_t *at;    /* by index of the table; a histogram's cell counts its samples */
    _Atomic uint8_t *moved; /* by index: touched, set or lowered before, so that what is at 0 is known to have been used */
    struct weir_stats *set;
    uint32_t worker;
};

struct weir_stats_registry *weir_stats_registry_create(uint32_t worker_count);
void weir_stats_registry_destroy(struct weir_stats_registry *r);
/* A set by prefix ("cluster.users.", "http.ingress.", "listener.127.0.0.1_80."); the same prefix and table give the same
 * set again, so numbers survive a configuration update. Thread-safe. Reference counted; `descs` is static. */
struct weir_stats *weir_stats_acquire(struct weir_stats_registry *r, struct weir_str prefix, const struct weir_stat_desc *descs,
                                      uint32_t count);
struct weir_stats *weir_stats_ref(struct weir_stats *s);
void weir_stats_release(struct weir_stats *s); /* a set without references leaves the output */
/* The worker's shard, made at first use. Threads outside workers use index worker_count (one shared shard for the control
 * thread). Valid while the set is held. */
struct weir_stats_shard *weir_stats_shard(struct weir_stats *s, uint32_t worker);

static inline void weir_stat_add(struct weir_stats_shard *s, uint32_t index, int64_t n)
{
    if (n < 0) atomic_store_explicit(&s->moved[index], 1, memory_order_relaxed);
    atomic_store_explicit(&s->at[index], atomic_load_explicit(&s->at[index], memory_order_relaxed) + n, memory_order_relaxed);
}
/* In use from now on, whatever it shows. */
static inline void weir_stat_touch(struct weir_stats_shard *s, uint32_t index)
{
    atomic_store_explicit(&s->moved[index], 1, memory_order_relaxed);
}
static inline void weir_stat_inc(struct weir_stats_shard *s, uint32_t index)
{
    weir_stat_add(s, index, 1);
}
static inline void weir_stat_set(struct weir_stats_shard *s, uint32_t index, int64_t v)
{
    atomic_store_explicit(&s->moved[index], 1, memory_order_relaxed);
    atomic_store_explicit(&s->at[index], v, memory_order_relaxed);
}
/* A histogram sample (milliseconds or bytes, as the name says). */
void weir_stat_record(struct weir_stats_shard *s, uint32_t index, uint64_t value);
/* Counters whose leaf is made while running, such as "upstream_rq_503": `leaf` is copied at first use. Bounded per set. */
void weir_stat_add_named(struct weir_stats_shard *s, struct weir_str leaf, int64_t n);
static inline void weir_stat_inc_named(struct weir_stats_shard *s, struct weir_str leaf)
{
    weir_stat_add_named(s, leaf, 1);
}
int64_t weir_stat_sum(struct weir_stats *s, uint32_t index); /* over all shards, since the last reset of counters */

/* Text readouts, such as "cluster_manager.cds.version_text". Copied; text.p NULL removes; an empty one counts as unused.
 * Thread-safe. */
void weir_stats_set_text(struct weir_stats_registry *r, struct weir_str name, struct weir_str text);
/* Text readouts of which there are many: asked for when somebody reads. On the reader's thread. */
typedef void weir_stat_text_fn(void *ctx, struct weir_str name, struct weir_str text);
void weir_stats_set_text_teller(struct weir_stats_registry *r, void (*tell)(void *of, weir_stat_text_fn *fn, void *ctx), void *of);
/* Counters read 0 from now on; gauges and histograms stay (admin /reset_counters). */
void weir_stats_reset_counters(struct weir_stats_registry *r);
/* Closes the histograms' interval (StatsConfig's stats_flush_interval); before the first one they show nothing. */
void weir_stats_flush(struct weir_stats_registry *r);
/* The same over several turns: a bounded number of sets at each step. Sets may come and go meanwhile; those that come wait for the
 * next flush. */
struct weir_stats_flush;
struct weir_stats_flush *weir_stats_flush_create(struct weir_stats_registry *r);
bool weir_stats_flush_step(struct weir_stats_flush *f); /* false: that was the last */
void weir_stats_flush_destroy(struct weir_stats_flush *f); /* NULL is fine */
#define WEIR_STATS_FLUSH_SETS 512u

/* Reading: one value with its name in two parts. */
struct weir_histogram; /* observe/histogram.h */
struct weir_stat_value {
    struct weir_str prefix, leaf;
    enum weir_stat_kind kind; /* without what is or-ed to it */
    bool used;                /* not 0, was touched, set or lowered, or a histogram with samples */
    bool wide;                /* WEIR_WIDE: value is to be read as uint64_t */
    int64_t value;            /* a histogram's samples */
    const struct weir_histogram *cumulative, *interval; /* NULL: none yet. Valid until the next flush */
};
/* A held view of all sets in the order of their prefixes, so that rendering needs no lock and may be spread over turns. The
 * values are read when a set is visited. For the control thread. */
struct weir_stats_view {
    struct weir_stats_registry *registry;
    struct weir_stats **sets;
    size_t count;
};
void weir_stats_view_init(struct weir_stats_view *v, struct weir_stats_registry *r);
void weir_stats_view_deinit(struct weir_stats_view *v);
/* Calls fn for each value of sets[index], and of those after it whose prefix continues its prefix, so that sorting what one
 * call gives sorts the whole. Returns the next index, count at the end. */
size_t weir_stats_view_visit(const struct weir_stats_view *v, size_t index,
                             void (*fn)(void *ctx, const struct weir_stat_value *value), void *ctx);
/* All sets in no order, for who reads them over several turns: they stay readable until unhold, which frees the array. A set that
 * loses its last reference meanwhile leaves the output of others all the same. */
struct weir_stats **weir_stats_hold(struct weir_stats_registry *r, size_t *count);
void weir_stats_unhold(struct weir_stats_registry *r, struct weir_stats **sets, size_t count);
struct weir_str weir_stats_prefix(const struct weir_stats *s);
const struct weir_stat_desc *weir_stats_table(const struct weir_stats *s, uint32_t *count);
/* The values of one set; those whose leaf was made while running alone; one by its index (false: WEIR_LATE and not used yet), one
 * by its leaf (false: not there). */
void weir_stats_visit(struct weir_stats *s, void (*fn)(void *ctx, const struct weir_stat_value *value), void *ctx);
void weir_stats_visit_named(const struct weir_stats *s, void (*fn)(void *ctx, const struct weir_stat_value *value), void *ctx);
bool weir_stats_read(struct weir_stats *s, uint32_t index, struct weir_stat_value *out);
bool weir_stats_read_named(const struct weir_stats *s, struct weir_str leaf, struct weir_stat_value *out);
/* Calls fn for each text readout, in no order. Holds the registry's lock, but not for what the teller tells. */
void weir_stats_each_text(struct weir_stats_registry *r, weir_stat_text_fn *fn, void *ctx);

#endif
