/*
 * Names that workers want the control plane to be asked for, on their way to the control thread. A
 * bounded queue for many threads that put and one that takes; the lock is held for as long as a
 * pointer takes to be moved. What does not fit is not taken: who waits for it asks again.
 */
#ifndef REMORA_ASK_BOX_H
#define REMORA_ASK_BOX_H

#include <stdbool.h>

#include "err.h"
#include "net_loop.h"

enum {
    /* Names that may be under way at once: a burst of new destinations that the control thread has
     * not seen yet. What is beyond comes a moment later. */
    ASK_BOX_MAX = 1024,
};

struct ask_box;

/*
 * `on_name` is called on the loop's thread for each name in turn, which is lent; it may not free the
 * box. NULL: *err.
 */
struct ask_box *ask_box_new(struct net_loop *loop, void (*on_name)(void *owner, const char *name),
                            void *owner, struct err *err);

/* Thread-safe. Copies the name. false: the box is full, or memory is out. */
bool ask_box_put(struct ask_box *box, const char *name);

/* On the loop's thread, when no other can put any more; what is left is dropped. NULL is ignored. */
void ask_box_free(struct ask_box *box);

#endif
