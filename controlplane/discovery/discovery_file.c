#include "discovery_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "local_source.h"

enum {
    YOUNG_S = 2, /* far above the tick of any filesystem's clock */
};

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool discovery_file_is_current(const struct discovery_file *file, const char *path)
{
    struct stat now;
    const struct stat *then = &file->stat;
    return !file->was_young && stat(path, &now) == 0 && now.st_dev == then->st_dev &&
           now.st_ino == then->st_ino && now.st_size == then->st_size &&
           same_time(now.st_mtim, then->st_mtim) && same_time(now.st_ctim, then->st_ctim);
}

/* -------------------------------------------------------------------------------- encoding -- */

struct encoding {
    struct discovery_file *file;
    struct err *err;
    bool failed;
};

/* Takes `resource`, which may be NULL. */
static bool take(struct encoding *encoding, struct discovery_resource *resource)
{
    if (resource != NULL && discovery_list_add(&encoding->file->resources, resource) == 0)
        return true;
    discovery_resource_unref(resource);
    err_set(encoding->err, ERR_NOMEM, "%s: out of memory", encoding->file->name);
    encoding->failed = true;
    return false;
}

static bool take_workload(void *owner, const struct mesh_workload *workload)
{
    struct encoding *encoding = owner;
    return take(encoding, discovery_resource_of_workload(workload, encoding->err));
}

static bool take_service(void *owner, const struct mesh_service *service)
{
    struct encoding *encoding = owner;
    return take(encoding, discovery_resource_of_service(service, encoding->err));
}

static bool take_policy(void *owner, const struct mesh_policy *policy)
{
    struct encoding *encoding = owner;
    return take(encoding, discovery_resource_of_policy(policy, encoding->err));
}

static int encode(struct discovery_file *file, const struct mesh_snapshot *snapshot,
                  struct err *err)
{
    struct encoding encoding = {.file = file, .err = err};
    mesh_snapshot_each_workload(snapshot, take_workload, &encoding);
    mesh_snapshot_each_service(snapshot, take_service, &encoding);
    mesh_snapshot_each_policy(snapshot, take_policy, &encoding);
    return encoding.failed ? -1 : 0;
}

/* --------------------------------------------------------------------------------- loading -- */

static int look(struct discovery_file *file, const char *path, struct err *err)
{
    if (stat(path, &file->stat) < 0)
        return err_set_sys(err, errno, "%s", path);
    file->was_young = time(NULL) - file->stat.st_mtim.tv_sec < YOUNG_S;
    return 0;
}

static int load(struct discovery_file *file, const char *path, struct err *err)
{
    if (look(file, path, err) < 0)
        return -1;
    struct mesh_snapshot *snapshot = local_source_load(path, &file->warnings, err);
    if (snapshot == NULL)
        return -1;
    int result = encode(file, snapshot, err);
    mesh_snapshot_unref(snapshot);
    return result;
}

struct discovery_file *discovery_file_load(const char *path, const char *name, struct err *err)
{
    struct discovery_file *file = calloc(1, sizeof(*file));
    if (file == NULL || (file->name = strdup(name)) == NULL) {
        free(file);
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    if (load(file, path, err) == 0)
        return file;
    discovery_file_free(file);
    return NULL;
}

void discovery_file_free(struct discovery_file *file)
{
    if (file == NULL)
        return;
    for (size_t i = 0; i < file->resources.num; i++)
        discovery_resource_unref(file->resources.values[i]);
    discovery_list_done(&file->resources);
    free(file->name);
    free(file);
}
