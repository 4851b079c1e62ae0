#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net_loop_impl.h"
#include "net_path.h"

enum {
    COALESCE_MS = 100,
    FOLLOWS_MAX = 8, /* in one go, when the way changes while it is being followed */
};

/* One directory's inotify watch, for one entry of it. */
struct notice {
    uv_fs_event_t uv;
    struct net_watch *watch;
    char name[];
};

struct net_watch {
    struct net_loop *loop;
    char *path;
    uint64_t poll_ms;
    void (*on_change)(void *owner);
    void *owner;

    struct net_path
        way; /* to which the notices belong, one each; NULL where the directory cannot be watched */
    struct notice *notices[NET_PATH_STEPS_MAX];

    struct net_timer *poll;
    struct net_timer *coalesce;
    bool notified; /* a notice came; coalesce runs */

    bool exists;
    struct stat stat; /* of what the path leads to, when it exists */
};

/* ----------------------------------------------------------------------------------- notices -- */

static void on_notice_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void notice_free(struct notice *notice)
{
    if (notice != NULL)
        uv_close((uv_handle_t *)&notice->uv, on_notice_closed);
}

/* Only the entry on our way counts: a directory such as /tmp has much other traffic. */
static void on_notice(uv_fs_event_t *handle, const char *filename, int events, int status)
{
    struct notice *notice = handle->data;
    struct net_watch *watch = notice->watch;
    bool ours = filename == NULL || notice->name[0] == '\0' || strcmp(filename, notice->name) == 0;
    if (status < 0 || !ours || watch->notified)
        return;
    watch->notified = true;
    net_timer_start(watch->coalesce, COALESCE_MS);
}

/* NULL where it does not work (no permission, no watches left, a filesystem without): the polling
 * sees the change, later. */
static struct notice *notice_new(struct net_watch *watch, const struct net_path_step *step)
{
    size_t name_size = strlen(step->name) + 1;
    struct notice *notice = calloc(1, sizeof(*notice) + name_size);
    if (notice == NULL)
        return NULL;
    notice->watch = watch;
    memcpy(notice->name, step->name, name_size);
    uv_fs_event_init(&watch->loop->uv, &notice->uv);
    notice->uv.data = notice;
    if (uv_fs_event_start(&notice->uv, on_notice, step->dir, 0) < 0) {
        notice_free(notice);
        return NULL;
    }
    return notice;
}

static void drop_notices(struct net_watch *watch)
{
    for (size_t i = 0; i < watch->way.num_steps; i++)
        notice_free(watch->notices[i]);
    net_path_done(&watch->way);
}

/* Takes over `way`. The new notices begin before the old ones end, so that a directory in both is
 * watched without a gap. */
static void replace_notices(struct net_watch *watch, const struct net_path *way)
{
    struct notice *notices[NET_PATH_STEPS_MAX];
    for (size_t i = 0; i < way->num_steps; i++)
        notices[i] = notice_new(watch, &way->steps[i]);
    drop_notices(watch);
    watch->way = *way;
    for (size_t i = 0; i < way->num_steps; i++)
        watch->notices[i] = notices[i];
}

/* Watches the way as it is now; followed again until it stays the same, since it may change before
 * it is watched. */
static void follow(struct net_watch *watch)
{
    for (unsigned i = 0; i < FOLLOWS_MAX; i++) {
        struct net_path way;
        if (net_path_follow(&way, watch->path) < 0)
            return;
        if (net_path_equal(&way, &watch->way)) {
            net_path_done(&way);
            return;
        }
        replace_notices(watch, &way);
    }
}

/* --------------------------------------------------------------------------------- comparing -- */

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

/* Looks at the file and remembers what it saw. Whether it is another, or (when `notified`) may
 * be. */
static bool look(struct net_watch *watch, bool notified)
{
    struct stat now;
    bool exists = stat(watch->path, &now) == 0;
    bool existed = watch->exists;
    /* Two writes within one tick of the file system's clock look the same; a notice tells them
     * apart. */
    bool changed = exists != existed || (exists && (notified || !same_file(&now, &watch->stat)));
    watch->exists = exists;
    if (exists)
        watch->stat = now;
    return changed;
}

static void check(struct net_watch *watch)
{
    bool notified = watch->notified;
    watch->notified = false;
    net_timer_stop(watch->coalesce);
    net_timer_start(watch->poll, watch->poll_ms);
    follow(watch);
    if (look(watch, notified))
        watch->on_change(watch->owner);
}

static void on_timer(void *owner)
{
    check(owner);
}

/* ------------------------------------------------------------------------- beginning and end -- */

/* Relative to where the process is now, not to where it may go. */
static char *absolute(const char *path)
{
    if (path[0] == '/')
        return strdup(path);
    char dir[PATH_MAX];
    char *out;
    if (getcwd(dir, sizeof(dir)) == NULL || asprintf(&out, "%s/%s", dir, path) < 0)
        return NULL;
    return out;
}

struct net_watch *net_watch_new(struct net_loop *loop, const char *path, uint64_t poll_ms,
                                void (*on_change)(void *owner), void *owner, struct err *err)
{
    struct net_watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        goto fail;
    watch->loop = loop;
    watch->poll_ms = poll_ms;
    watch->on_change = on_change;
    watch->owner = owner;
    watch->path = absolute(path);
    watch->poll = net_timer_new(loop, on_timer, watch);
    watch->coalesce = net_timer_new(loop, on_timer, watch);
    if (watch->path == NULL || watch->poll == NULL || watch->coalesce == NULL)
        goto fail;
    follow(watch);
    look(watch, false);
    net_timer_start(watch->poll, poll_ms);
    return watch;

fail:
    err_set_sys(err, errno, "cannot watch %s", path);
    net_watch_free(watch);
    return NULL;
}

void net_watch_free(struct net_watch *watch)
{
    if (watch == NULL)
        return;
    drop_notices(watch);
    net_timer_free(watch->poll);
    net_timer_free(watch->coalesce);
    free(watch->path);
    free(watch);
}
