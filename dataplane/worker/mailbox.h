/* Posts from any thread to the thread of a loop: a lock-free multi-producer queue and one wake-up for many posts. Mail is
 * delivered in the order in which one sender sent it, before due timers of the turn. */
#ifndef WEIR_WORKER_MAILBOX_H
#define WEIR_WORKER_MAILBOX_H

#include <stdatomic.h>

#include "dataplane/weir.h"

struct weir_worker;
/* Embedded in what is sent; the receiver owns it when deliver() is called. */
struct weir_mail {
    struct weir_mail *_Atomic next;
    void (*deliver)(struct weir_worker *w, struct weir_mail *m);
};
struct weir_mailbox {
    struct weir_mail *_Atomic head; /* newest first; taken whole and reversed by the receiver */
    int wake_fd;                    /* eventfd; -1: none, as in a simulation */
    struct weir_watch *watch;       /* over wake_fd, owns it */
};
/* Any thread. After the worker was destroyed mail may not be sent. */
void weir_mailbox_post(struct weir_worker *w, struct weir_mail *m);

/* For worker.c. */
bool weir_mailbox_open(struct weir_worker *w);
void weir_mailbox_close(struct weir_worker *w);
void weir_mailbox_deliver(struct weir_worker *w); /* what has come so far */
static inline bool weir_mailbox_empty(const struct weir_mailbox *b)
{
    return atomic_load_explicit(&b->head, memory_order_acquire) == NULL;
}

#endif
