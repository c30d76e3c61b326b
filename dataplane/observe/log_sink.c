/* Log sinks. A worker's queue is a list of blocks with one writer and one reader: the worker publishes how far a block is
 * filled, the writing thread how much of the queue it has written. */
#include "dataplane/observe/log_sink.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/limits.h"
#include "dataplane/observe/stats.h"

#define BLOCK_BYTES (64u * 1024u)
#define URGENT_BYTES (64u * 1024u)
#define EXIT_MS 1000

enum { WRITE_BUFFERED, WRITE_COMPLETED, WRITE_FAILED, FLUSHED_BY_TIMER, REOPEN_FAILED, TOTAL_BUFFERED, DROPPED, STAT_COUNT };
static const struct weir_stat_desc descs[STAT_COUNT] = {
    [WRITE_BUFFERED] = {"write_buffered", WEIR_COUNTER},
    [WRITE_COMPLETED] = {"write_completed", WEIR_COUNTER},
    [WRITE_FAILED] = {"write_failed", WEIR_COUNTER},
    [FLUSHED_BY_TIMER] = {"flushed_by_timer", WEIR_COUNTER},
    [REOPEN_FAILED] = {"reopen_failed", WEIR_COUNTER},
    [TOTAL_BUFFERED] = {"write_total_buffered", WEIR_GAUGE},
    [DROPPED] = {"write_dropped", WEIR_COUNTER | WEIR_LATE},
};

struct block {
    struct block *_Atomic next;
    _Atomic size_t filled;
    size_t capacity;
    size_t written; /* the thread's */
    char data[];
};

struct queue {
    _Atomic uint64_t produced, consumed; /* bytes */
    _Atomic uint64_t dropped;            /* lines */
    _Atomic bool pending;                /* the thread has been told of lines */
    struct block *_Atomic spare;
    struct block *tail; /* the worker's */
    struct block *head; /* the thread's */
};

struct weir_log_sink {
    struct weir_log_sinks *owner;
    struct weir_log_sink *next;
    uint32_t refs;   /* under the lock; at 0 the thread closes it */
    bool own_fd, regular;
    int fd;          /* the thread's after opening */
    bool reopen;     /* under the lock */
    char *path;
    struct queue *_Atomic queues[]; /* worker_count + 1 */
};

struct weir_log_sinks {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t flushed;
    uint32_t worker_count, flush_interval_ms;
    int wake_fd;
    _Atomic bool urgent, stop;
    uint64_t flush_wanted, flush_done; /* under the lock */
    uint64_t exit_deadline_ms;         /* the thread's; 0: not yet */
    struct weir_log_sink *sinks;       /* under the lock; only the thread takes away */
    struct weir_stats *stats;
};

static void *zeroed(size_t size)
{
    void *p = calloc(1, size);
    if (p != NULL) return p;
    (void)fprintf(stderr, "weir: out of memory\n");
    abort();
}

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static void wake(struct weir_log_sinks *s)
{
    uint64_t one = 1;
    ssize_t n = write(s->wake_fd, &one, sizeof(one));
    (void)n; /* a full counter is a wake-up too */
}

static void count(struct weir_log_sinks *s, uint32_t worker, uint32_t stat)
{
    if (s->stats != NULL) weir_stat_inc(weir_stats_shard(s->stats, worker), stat);
}

/* --- the worker's side --- */

static struct block *block_next(struct weir_log_sink *sink, uint32_t worker, struct queue *q, size_t n)
{
    uint64_t waiting = atomic_load_explicit(&q->produced, memory_order_relaxed) -
                       atomic_load_explicit(&q->consumed, memory_order_relaxed);
    struct block *b = NULL;
    if (waiting + n <= WEIR_ACCESS_LOG_QUEUE_BYTES_MAX) {
        if (n <= BLOCK_BYTES) b = atomic_exchange_explicit(&q->spare, NULL, memory_order_acquire);
        size_t capacity = n <= BLOCK_BYTES ? BLOCK_BYTES : n;
        if (b == NULL && (b = malloc(sizeof(*b) + capacity)) != NULL) b->capacity = capacity;
    }
    if (b == NULL) {
        atomic_store_explicit(&q->dropped, atomic_load_explicit(&q->dropped, memory_order_relaxed) + 1, memory_order_relaxed);
        count(sink->owner, worker, DROPPED);
        return NULL;
    }
    atomic_init(&b->next, NULL);
    atomic_init(&b->filled, 0);
    b->written = 0;
    return b;
}

static struct queue *queue_of(struct weir_log_sink *sink, uint32_t worker)
{
    struct queue *q = atomic_load_explicit(&sink->queues[worker], memory_order_relaxed);
    if (q != NULL) return q;
    q = aligned_alloc(64, (sizeof(*q) + 63) / 64 * 64);
    struct block *first = malloc(sizeof(*first) + BLOCK_BYTES);
    if (q == NULL || first == NULL) abort();
    memset(q, 0, sizeof(*q));
    atomic_init(&first->next, NULL);
    atomic_init(&first->filled, 0);
    first->capacity = BLOCK_BYTES;
    first->written = 0;
    q->head = q->tail = first;
    atomic_store_explicit(&sink->queues[worker], q, memory_order_release);
    return q;
}

void weir_log_sink_write(struct weir_log_sink *sink, uint32_t worker, struct weir_str line)
{
    struct weir_log_sinks *s = sink->owner;
    assert(worker <= s->worker_count);
    if (line.n == 0) return;
    struct queue *q = queue_of(sink, worker);
    struct block *b = q->tail;
    size_t filled = atomic_load_explicit(&b->filled, memory_order_relaxed);
    if (b->capacity - filled < line.n) {
        struct block *next = block_next(sink, worker, q, line.n);
        if (next == NULL) return;
        atomic_store_explicit(&b->next, next, memory_order_release);
        q->tail = b = next;
        filled = 0;
    }
    memcpy(b->data + filled, line.p, line.n);
    atomic_store_explicit(&b->filled, filled + line.n, memory_order_release);
    uint64_t produced = atomic_load_explicit(&q->produced, memory_order_relaxed) + line.n;
    atomic_store_explicit(&q->produced, produced, memory_order_relaxed);
    count(s, worker, WRITE_BUFFERED);
    /* An exchange, not a load: either the thread sees the line, or it is told again. */
    if (!atomic_exchange_explicit(&q->pending, true, memory_order_acq_rel)) wake(s);
    uint64_t waiting = produced - atomic_load_explicit(&q->consumed, memory_order_relaxed);
    if (waiting >= URGENT_BYTES && !atomic_load_explicit(&s->urgent, memory_order_relaxed) &&
        !atomic_exchange_explicit(&s->urgent, true, memory_order_acq_rel))
        wake(s);
}

uint64_t weir_log_sink_dropped(const struct weir_log_sink *sink)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= sink->owner->worker_count; i++) {
        const struct queue *q = atomic_load_explicit(&sink->queues[i], memory_order_acquire);
        if (q != NULL) sum += atomic_load_explicit(&q->dropped, memory_order_relaxed);
    }
    return sum;
}

/* --- the thread's side --- */

/* Waits until a pipe takes PIPE_BUF bytes. False once the exit's deadline has passed. */
static bool wait_writable(struct weir_log_sinks *s, int fd)
{
    for (;;) {
        bool late = s->exit_deadline_ms != 0 && now_ms() >= s->exit_deadline_ms;
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (poll(&p, 1, late ? 0 : 100) > 0) return true;
        if (late) return false;
        if (s->exit_deadline_ms == 0 && atomic_load_explicit(&s->stop, memory_order_acquire))
            s->exit_deadline_ms = now_ms() + EXIT_MS;
    }
}

/* False: the bytes are lost. */
static bool write_all(struct weir_log_sink *sink, const char *p, size_t n)
{
    while (n != 0) {
        size_t part = n;
        if (!sink->regular) {
            if (!wait_writable(sink->owner, sink->fd)) return false;
            if (part > PIPE_BUF) part = PIPE_BUF; /* more might block whatever poll says */
        }
        ssize_t done = write(sink->fd, p, part);
        if (done < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (done <= 0) return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

static void queue_drain(struct weir_log_sink *sink, struct queue *q)
{
    struct weir_log_sinks *s = sink->owner;
    (void)atomic_exchange_explicit(&q->pending, false, memory_order_acq_rel);
    for (;;) {
        struct block *b = q->head;
        /* In this order: a block that has a successor is not filled any further. */
        struct block *next = atomic_load_explicit(&b->next, memory_order_acquire);
        size_t filled = atomic_load_explicit(&b->filled, memory_order_acquire);
        if (filled > b->written) {
            bool good = write_all(sink, b->data + b->written, filled - b->written);
            count(s, s->worker_count, good ? WRITE_COMPLETED : WRITE_FAILED);
            uint64_t consumed = atomic_load_explicit(&q->consumed, memory_order_relaxed) + (filled - b->written);
            atomic_store_explicit(&q->consumed, consumed, memory_order_relaxed);
            b->written = filled;
        }
        if (next == NULL) return;
        q->head = next;
        if (b->capacity == BLOCK_BYTES) b = atomic_exchange_explicit(&q->spare, b, memory_order_acq_rel);
        free(b);
    }
}

static int path_open(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

static bool is_regular(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static void sink_reopen(struct weir_log_sink *sink)
{
    if (!sink->own_fd) return;
    int fd = path_open(sink->path);
    if (fd < 0) {
        count(sink->owner, sink->owner->worker_count, REOPEN_FAILED);
        return;
    }
    (void)close(sink->fd);
    sink->fd = fd;
    sink->regular = is_regular(fd);
}

static void sink_free(struct weir_log_sink *sink)
{
    for (uint32_t i = 0; i <= sink->owner->worker_count; i++) {
        struct queue *q = atomic_load_explicit(&sink->queues[i], memory_order_acquire);
        if (q == NULL) continue;
        free(q->head);
        free(atomic_load_explicit(&q->spare, memory_order_relaxed));
        free(q);
    }
    if (sink->own_fd) (void)close(sink->fd);
    free(sink->path);
    free(sink);
}

/* One round over all sinks. The lock is not held while bytes are written: sinks are only taken away here. */
static void drain_all(struct weir_log_sinks *s)
{
    (void)pthread_mutex_lock(&s->lock);
    uint64_t wanted = s->flush_wanted;
    struct weir_log_sink *first = s->sinks;
    (void)pthread_mutex_unlock(&s->lock);
    uint64_t waiting = 0;
    for (struct weir_log_sink *sink = first, *next; sink != NULL; sink = next) {
        (void)pthread_mutex_lock(&s->lock);
        bool reopen = sink->reopen, last = sink->refs == 0;
        sink->reopen = false;
        next = sink->next;
        (void)pthread_mutex_unlock(&s->lock);
        if (reopen) sink_reopen(sink);
        for (uint32_t i = 0; i <= s->worker_count; i++) {
            struct queue *q = atomic_load_explicit(&sink->queues[i], memory_order_acquire);
            if (q == NULL) continue;
            queue_drain(sink, q);
            waiting += atomic_load_explicit(&q->produced, memory_order_relaxed) -
                       atomic_load_explicit(&q->consumed, memory_order_relaxed);
        }
        if (!last) continue;
        (void)pthread_mutex_lock(&s->lock);
        last = sink->refs == 0; /* it may have been found by its path meanwhile */
        for (struct weir_log_sink **at = &s->sinks; last && *at != NULL; at = &(*at)->next) {
            if (*at != sink) continue;
            *at = next;
            break;
        }
        (void)pthread_mutex_unlock(&s->lock);
        if (last) sink_free(sink);
    }
    if (s->stats != NULL) weir_stat_set(weir_stats_shard(s->stats, s->worker_count), TOTAL_BUFFERED, (int64_t)waiting);
    (void)pthread_mutex_lock(&s->lock);
    s->flush_done = wanted;
    (void)pthread_cond_broadcast(&s->flushed);
    (void)pthread_mutex_unlock(&s->lock);
}

static void wait_woken(struct weir_log_sinks *s, int timeout_ms)
{
    struct pollfd p = {.fd = s->wake_fd, .events = POLLIN};
    uint64_t n;
    if (poll(&p, 1, timeout_ms) > 0 && read(s->wake_fd, &n, sizeof(n)) < 0) return;
}

static bool hurry(struct weir_log_sinks *s)
{
    if (atomic_load_explicit(&s->urgent, memory_order_acquire) || atomic_load_explicit(&s->stop, memory_order_acquire)) return true;
    (void)pthread_mutex_lock(&s->lock);
    bool wanted = s->flush_wanted != s->flush_done;
    (void)pthread_mutex_unlock(&s->lock);
    return wanted;
}

static void *run(void *arg)
{
    struct weir_log_sinks *s = arg;
    (void)pthread_setname_np(pthread_self(), "weir:logs");
    while (!atomic_load_explicit(&s->stop, memory_order_acquire)) {
        wait_woken(s, -1);
        uint64_t now = now_ms(), until = now + s->flush_interval_ms;
        for (; !hurry(s) && now < until; now = now_ms())
            wait_woken(s, (int)(until - now));
        if (now >= until) count(s, s->worker_count, FLUSHED_BY_TIMER);
        atomic_store_explicit(&s->urgent, false, memory_order_release);
        drain_all(s);
    }
    drain_all(s);
    return NULL;
}

/* --- any other thread --- */

struct weir_log_sinks *weir_log_sinks_create(uint32_t worker_count, uint32_t flush_interval_ms, struct weir_stats_registry *stats)
{
    struct weir_log_sinks *s = zeroed(sizeof(*s));
    s->worker_count = worker_count;
    s->flush_interval_ms = flush_interval_ms < INT_MAX ? flush_interval_ms : INT_MAX;
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stats != NULL) s->stats = weir_stats_acquire(stats, WEIR_STR("filesystem."), descs, STAT_COUNT);
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->flushed, NULL);
    sigset_t all, before; /* signals are for the control thread */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&s->thread, NULL, run, s);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0 || s->wake_fd < 0) {
        (void)fprintf(stderr, "weir: cannot start the log thread\n");
        abort();
    }
    return s;
}

void weir_log_sinks_destroy(struct weir_log_sinks *s)
{
    if (s == NULL) return;
    atomic_store_explicit(&s->stop, true, memory_order_release);
    wake(s);
    (void)pthread_join(s->thread, NULL);
    while (s->sinks != NULL) {
        struct weir_log_sink *sink = s->sinks;
        s->sinks = sink->next;
        sink_free(sink);
    }
    (void)close(s->wake_fd);
    weir_stats_release(s->stats);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_cond_destroy(&s->flushed);
    free(s);
}

static struct weir_log_sink *sink_find(struct weir_log_sinks *s, struct weir_str path)
{
    for (struct weir_log_sink *sink = s->sinks; sink != NULL; sink = sink->next)
        if (weir_str_eq(weir_str_of(sink->path), path)) return sink;
    return NULL;
}

static struct weir_log_sink *sink_create(struct weir_log_sinks *s, struct weir_str path)
{
    struct weir_log_sink *sink = zeroed(sizeof(*sink) + sizeof(sink->queues[0]) * (s->worker_count + 1));
    sink->owner = s;
    sink->path = strndup(path.p, path.n);
    if (weir_str_eq(path, WEIR_STR("/dev/stdout")))
        sink->fd = STDOUT_FILENO;
    else if (weir_str_eq(path, WEIR_STR("/dev/stderr")))
        sink->fd = STDERR_FILENO;
    else {
        sink->own_fd = true;
        sink->fd = path_open(sink->path);
    }
    if (sink->fd >= 0) sink->regular = is_regular(sink->fd);
    return sink;
}

enum weir_err weir_log_sinks_open(struct weir_log_sinks *s, struct weir_str path, struct weir_error *error,
                                  struct weir_log_sink **out)
{
    enum weir_err err = WEIR_OK;
    (void)pthread_mutex_lock(&s->lock);
    struct weir_log_sink *sink = sink_find(s, path);
    if (sink == NULL) {
        sink = sink_create(s, path);
        if (sink->fd < 0) {
            err = weir_error_set(error, WEIR_ERR_IO, "cannot open '%.*s': %s", WEIR_STR_ARG(path), strerror(errno));
            sink->own_fd = false;
            sink_free(sink);
            sink = NULL;
        } else {
            sink->next = s->sinks;
            s->sinks = sink;
        }
    }
    if (sink != NULL) sink->refs++;
    (void)pthread_mutex_unlock(&s->lock);
    *out = sink;
    return err;
}

void weir_log_sink_release(struct weir_log_sink *sink)
{
    if (sink == NULL) return;
    struct weir_log_sinks *s = sink->owner;
    (void)pthread_mutex_lock(&s->lock);
    assert(sink->refs != 0);
    bool last = --sink->refs == 0;
    (void)pthread_mutex_unlock(&s->lock);
    if (last) wake(s);
}

void weir_log_sinks_reopen(struct weir_log_sinks *s)
{
    (void)pthread_mutex_lock(&s->lock);
    for (struct weir_log_sink *sink = s->sinks; sink != NULL; sink = sink->next)
        sink->reopen = true;
    s->flush_wanted++; /* what was logged before goes out now, to the new file */
    (void)pthread_mutex_unlock(&s->lock);
    wake(s);
}

void weir_log_sinks_flush(struct weir_log_sinks *s)
{
    (void)pthread_mutex_lock(&s->lock);
    uint64_t wanted = ++s->flush_wanted;
    wake(s);
    while (s->flush_done < wanted)
        (void)pthread_cond_wait(&s->flushed, &s->lock);
    (void)pthread_mutex_unlock(&s->lock);
}
