/*
 * The way to a file: each directory entry whose change can change what the path leads to. For
 * /etc/certs/tls.crt in Kubernetes these are "etc" in /, "certs" in /etc, "tls.crt" in /etc/certs,
 * "..data" there (the symlink tls.crt leads through it), and so on to the file itself. Plain file
 * system calls; nothing of the loop.
 */
#ifndef REMORA_NET_PATH_H
#define REMORA_NET_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
    NET_PATH_STEPS_MAX =
        64, /* entries beyond are not told; a path of so many parts is no sane configuration */
};

struct net_path_step {
    char *dir;  /* absolute, free of symlinks */
    char *name; /* the entry in it; it need not exist. "": all entries, of the directory that the
                   path leads to */
    dev_t dir_dev;
    ino_t dir_ino; /* a directory made anew under the same name is another one */
};

struct net_path {
    struct net_path_step steps[NET_PATH_STEPS_MAX];
    size_t num_steps;
};

/* Follows `path` (absolute) as far as it exists and fills *out, which net_path_done releases. -1
 * when out of memory. */
int net_path_follow(struct net_path *out, const char *path);
bool net_path_equal(const struct net_path *a, const struct net_path *b);
void net_path_done(struct net_path *path);

#endif
