/* Intrusive doubly linked list: a head is a node that points at itself. */
#ifndef WEIR_BASE_LIST_H
#define WEIR_BASE_LIST_H

#include "dataplane/weir.h"

struct weir_list {
    struct weir_list *prev, *next;
};
static inline void weir_list_init(struct weir_list *l)
{
    l->prev = l->next = l;
}
static inline bool weir_list_empty(const struct weir_list *head)
{
    return head->next == head;
}
/* A zeroed or removed node is not linked. */
static inline bool weir_list_linked(const struct weir_list *n)
{
    return n->next != NULL && n->next != n;
}
static inline void weir_list_push_back(struct weir_list *head, struct weir_list *n)
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}
static inline void weir_list_push_front(struct weir_list *head, struct weir_list *n)
{
    weir_list_push_back(head->next, n);
}
/* Safe on a node that is not linked. */
static inline void weir_list_remove(struct weir_list *n)
{
    if (n->next == NULL) return;
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->prev = n->next = NULL;
}

#endif
