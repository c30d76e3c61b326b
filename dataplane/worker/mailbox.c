/* The queue between threads: a stack that senders push to with compare-and-swap and that the receiver takes whole. Only
 * the sender that finds it empty wakes the receiver, and the receiver's own thread never does: the loop looks at the
 * queue before it sleeps. */
#include "dataplane/worker/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dataplane/worker/watch.h"
#include "dataplane/worker/worker.h"

void weir_mailbox_post(struct weir_worker *w, struct weir_mail *m)
{
    struct weir_mailbox *b = &w->mailbox;
    struct weir_mail *head = atomic_load_explicit(&b->head, memory_order_relaxed);
    do {
        atomic_store_explicit(&m->next, head, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&b->head, &head, m, memory_order_release, memory_order_relaxed));
    if (head != NULL || b->wake_fd < 0) return;
    if (atomic_load_explicit(&w->thread, memory_order_relaxed) == (uintptr_t)pthread_self()) return;
    uint64_t one = 1;
    while (write(b->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR) continue;
}

static void on_wake(void *ctx, bool readable, bool writable)
{
    struct weir_worker *w = ctx;
    uint64_t count;
    (void)readable, (void)writable;
    while (read(w->mailbox.wake_fd, &count, sizeof(count)) < 0 && errno == EINTR) continue;
    /* The mail itself is delivered by the turn, after the kernel's events. */
}

bool weir_mailbox_open(struct weir_worker *w)
{
    struct weir_mailbox *b = &w->mailbox;
    b->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->wake_fd < 0) return false;
    b->watch = weir_watch_create(w, b->wake_fd, true, on_wake, w);
    if (b->watch == NULL) {
        (void)close(b->wake_fd);
        b->wake_fd = -1;
        return false;
    }
    weir_watch_want(b->watch, true, false);
    return true;
}

void weir_mailbox_close(struct weir_worker *w)
{
    weir_mailbox_deliver(w);
    if (w->mailbox.watch != NULL) weir_watch_destroy(w->mailbox.watch);
    w->mailbox.watch = NULL;
    w->mailbox.wake_fd = -1;
}

void weir_mailbox_deliver(struct weir_worker *w)
{
    struct weir_mailbox *b = &w->mailbox;
    if (weir_mailbox_empty(b)) return;
    struct weir_mail *m = atomic_exchange_explicit(&b->head, NULL, memory_order_acquire);
    struct weir_mail *oldest = NULL;
    while (m != NULL) {
        struct weir_mail *next = atomic_load_explicit(&m->next, memory_order_relaxed);
        atomic_store_explicit(&m->next, oldest, memory_order_relaxed);
        oldest = m;
        m = next;
    }
    while (oldest != NULL) {
        m = oldest;
        oldest = atomic_load_explicit(&m->next, memory_order_relaxed);
        m->deliver(w, m);
    }
}
