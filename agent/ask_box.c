#include "ask_box.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct ask_box {
    void (*on_name)(void *owner, const char *name);
    void *owner;
    struct net_wake *wake;
    pthread_mutex_t lock; /* of what follows */
    size_t num;
    char *names[ASK_BOX_MAX];
};

bool ask_box_put(struct ask_box *box, const char *name)
{
    char *copy = strdup(name);
    if (copy == NULL)
        return false;
    pthread_mutex_lock(&box->lock);
    bool room = box->num < ASK_BOX_MAX;
    if (room)
        box->names[box->num++] = copy;
    pthread_mutex_unlock(&box->lock);
    if (room)
        net_wake_send(box->wake);
    else
        free(copy);
    return room;
}

static void on_wake(void *owner)
{
    struct ask_box *box = owner;
    char *names[ASK_BOX_MAX];
    pthread_mutex_lock(&box->lock);
    size_t num = box->num;
    memcpy(names, box->names, num * sizeof(names[0]));
    box->num = 0;
    pthread_mutex_unlock(&box->lock);
    for (size_t i = 0; i < num; i++) {
        box->on_name(box->owner, names[i]);
        free(names[i]);
    }
}

struct ask_box *ask_box_new(struct net_loop *loop, void (*on_name)(void *owner, const char *name),
                            void *owner, struct err *err)
{
    struct ask_box *box = calloc(1, sizeof(*box));
    if (box == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    box->on_name = on_name;
    box->owner = owner;
    box->wake = net_wake_new(loop, on_wake, box, err);
    if (box->wake == NULL) {
        free(box);
        return NULL;
    }
    pthread_mutex_init(&box->lock, NULL);
    return box;
}

void ask_box_free(struct ask_box *box)
{
    if (box == NULL)
        return;
    net_wake_free(box->wake);
    for (size_t i = 0; i < box->num; i++)
        free(box->names[i]);
    pthread_mutex_destroy(&box->lock);
    free(box);
}
