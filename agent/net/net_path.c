#include "net_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 40 }; /* as many as the kernel follows */

/* Where a walk is: a real directory, and what is left to follow from there. */
struct walk {
    char dir[PATH_MAX];
    char rest[PATH_MAX];
    unsigned num_links;
};

/* Takes the next part of the rest. False at the end, or when the part is longer than a name may
 * be. */
static bool take_part(struct walk *walk, char name[NAME_MAX + 1])
{
    const char *part = walk->rest + strspn(walk->rest, "/");
    size_t len = strcspn(part, "/");
    if (len == 0 || len > NAME_MAX)
        return false;
    memcpy(name, part, len);
    name[len] = '\0';
    memmove(walk->rest, part + len, strlen(part + len) + 1);
    return true;
}

static bool join(char out[PATH_MAX], const char *dir, const char *name)
{
    const char *slash = strcmp(dir, "/") == 0 ? "" : "/";
    int len = snprintf(out, PATH_MAX, "%s%s%s", dir, slash, name);
    return len >= 0 && len < PATH_MAX;
}

static void leave_dir(struct walk *walk)
{
    char *slash = strrchr(walk->dir, '/');
    slash[slash == walk->dir ? 1 : 0] = '\0';
}

/* Puts the target of the symlink in front of the rest. False when it cannot be followed. */
static bool follow_link(struct walk *walk, const char *link)
{
    char target[PATH_MAX];
    ssize_t len = readlink(link, target, sizeof(target) - 1);
    if (len <= 0 || ++walk->num_links > LINKS_MAX)
        return false;
    target[len] = '\0';
    char rest[PATH_MAX];
    if (!join(rest, target, walk->rest))
        return false;
    memcpy(walk->rest, rest, sizeof(rest));
    if (target[0] == '/')
        memcpy(walk->dir, "/", sizeof("/"));
    return true;
}

static int add_step(struct net_path *path, const char *dir, const char *name)
{
    struct net_path_step *step = &path->steps[path->num_steps];
    *step = (struct net_path_step){.dir = strdup(dir), .name = strdup(name)};
    path->num_steps++;
    if (step->dir == NULL || step->name == NULL)
        return -1;
    struct stat st;
    if (stat(dir, &st) == 0) {
        step->dir_dev = st.st_dev;
        step->dir_ino = st.st_ino;
    }
    return 0;
}

/* Goes through the entry `name`. False where the way ends: at the file, or where nothing is. */
static bool enter(struct walk *walk, const char *name)
{
    char entry[PATH_MAX];
    struct stat st;
    if (!join(entry, walk->dir, name) || lstat(entry, &st) < 0)
        return false;
    if (S_ISLNK(st.st_mode))
        return follow_link(walk, entry);
    if (!S_ISDIR(st.st_mode))
        return false;
    memcpy(walk->dir, entry, sizeof(entry));
    return true;
}

int net_path_follow(struct net_path *out, const char *path)
{
    *out = (struct net_path){0};
    struct walk walk = {.dir = "/"};
    if (strlen(path) >= sizeof(walk.rest))
        return 0;
    memcpy(walk.rest, path, strlen(path) + 1);
    char name[NAME_MAX + 1];
    while (out->num_steps < NET_PATH_STEPS_MAX && take_part(&walk, name)) {
        if (strcmp(name, ".") == 0)
            continue;
        if (strcmp(name, "..") == 0) {
            leave_dir(&walk);
            continue;
        }
        if (add_step(out, walk.dir, name) < 0) {
            net_path_done(out);
            return -1;
        }
        if (!enter(&walk, name))
            return 0;
    }
    /* The path leads to a directory: all of its entries count. */
    if (out->num_steps < NET_PATH_STEPS_MAX && add_step(out, walk.dir, "") < 0) {
        net_path_done(out);
        return -1;
    }
    return 0;
}

static bool step_equal(const struct net_path_step *a, const struct net_path_step *b)
{
    return a->dir_dev == b->dir_dev && a->dir_ino == b->dir_ino && strcmp(a->dir, b->dir) == 0 &&
           strcmp(a->name, b->name) == 0;
}

bool net_path_equal(const struct net_path *a, const struct net_path *b)
{
    if (a->num_steps != b->num_steps)
        return false;
    for (size_t i = 0; i < a->num_steps; i++)
        if (!step_equal(&a->steps[i], &b->steps[i]))
            return false;
    return true;
}

void net_path_done(struct net_path *path)
{
    for (size_t i = 0; i < path->num_steps; i++) {
        free(path->steps[i].dir);
        free(path->steps[i].name);
    }
    path->num_steps = 0;
}
