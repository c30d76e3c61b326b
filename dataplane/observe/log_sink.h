/* Where lines of access logs go: files, stdout, stderr, by path, one descriptor each however many logs name it. Workers put
 * whole lines into queues of their own, without locks or system calls; one thread writes them out. A queue that the disk
 * cannot keep up with drops lines and counts them: a slow disk never holds up traffic. */
#ifndef WEIR_OBSERVE_LOG_SINK_H
#define WEIR_OBSERVE_LOG_SINK_H

#include "dataplane/base/error.h"

struct weir_stats_registry;
struct weir_log_sinks; /* one a process */
struct weir_log_sink;  /* counted */

/* Starts the writing thread. Lines wait at most flush_interval_ms, or until 64 KiB of a worker wait. Counts into
 * "filesystem." of `stats`, which must live longer (may be NULL). */
struct weir_log_sinks *weir_log_sinks_create(uint32_t worker_count, uint32_t flush_interval_ms, struct weir_stats_registry *stats);
/* Writes what waits, for at most a second where a pipe is stuck. No sink may be in use any more. */
void weir_log_sinks_destroy(struct weir_log_sinks *s);
/* Opens (appends, creates) or finds the sink of a path; "/dev/stdout" and "/dev/stderr" are the process's own. One reference
 * for the caller. Any thread but workers. */
enum weir_err weir_log_sinks_open(struct weir_log_sinks *s, struct weir_str path, struct weir_error *error,
                                  struct weir_log_sink **out) WEIR_MUST_USE;
void weir_log_sink_release(struct weir_log_sink *sink); /* any thread */
/* The line as it stands, with its newline. worker: its index, the control thread's is worker_count. */
void weir_log_sink_write(struct weir_log_sink *sink, uint32_t worker, struct weir_str line);
/* Opens all paths anew before the next write: after rotation (SIGUSR1, SIGHUP, /reopen_logs). Returns at once. */
void weir_log_sinks_reopen(struct weir_log_sinks *s);
/* Waits until what was written before the call is out. Not for workers. */
void weir_log_sinks_flush(struct weir_log_sinks *s);
uint64_t weir_log_sink_dropped(const struct weir_log_sink *sink); /* lines, over all workers */

#endif
