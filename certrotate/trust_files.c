#include "trust_files.h"

#include <stdlib.h>
#include <string.h>

#include "file_read.h"
#include "spiffe_id.h"

struct file {
    struct trust_files *files;
    char *path;
    char *trust_domain; /* of a bundle; NULL: revocation lists */
    struct net_watch *watch;
    bool is_changed;             /* since it was last read */
    bool is_usable;              /* when it was last read */
    bool is_left_out;            /* there are too many lists for those of this file */
    struct trust_bundle *bundle; /* the last good content; one of both, or none yet */
    struct crl_set *crls;
};

struct trust_files {
    struct net_loop *loop;
    struct trust_files_handler handler;
    void *owner;
    struct net_task task;
    bool is_started;
    bool is_told;
    size_t num_files;
    struct file items[TRUST_FILES_MAX];
};

/* ----------------------------------------------------------------------------------- reading -- */

/* DER begins with a SEQUENCE of a long form; what comes in front of PEM's first block is text. */
static enum cert_encoding encoding_of(const uint8_t *bytes, size_t len)
{
    enum { SEQUENCE = 0x30, LONG_FORM = 0x80 };
    return len >= 2 && bytes[0] == SEQUENCE && (bytes[1] & LONG_FORM) != 0 ? CERT_DER : CERT_PEM;
}

static int take_bundle(struct file *file, const struct cert_bytes *content, struct err *err)
{
    struct trust_bundle *bundle = trust_bundle_new(file->trust_domain, content, err);
    if (bundle == NULL)
        return -1;
    trust_bundle_unref(file->bundle);
    file->bundle = bundle;
    return 0;
}

static int take_crls(struct file *file, const struct cert_bytes *content, struct err *err)
{
    struct crl_set *crls = crl_set_new(content, 1, err);
    if (crls == NULL)
        return -1;
    crl_set_unref(file->crls);
    file->crls = crls;
    return 0;
}

static int read_file(struct file *file, struct err *err)
{
    size_t max = file->trust_domain != NULL ? TRUST_FILES_BUNDLE_MAX : TRUST_FILES_CRL_MAX;
    size_t len;
    uint8_t *bytes = file_read(file->path, max, &len, err);
    if (bytes == NULL)
        return -1;
    const struct cert_bytes content = {bytes, len, encoding_of(bytes, len)};
    int result = file->trust_domain != NULL ? take_bundle(file, &content, err)
                                            : take_crls(file, &content, err);
    file_read_free(bytes, len);
    return result < 0 ? err_prefix(err, "%s", file->path) : 0;
}

static const char *what_counts(const struct file *file)
{
    return file->bundle != NULL || file->crls != NULL ? "the content before counts"
                                                      : "there is none before it";
}

static void read_changed(struct trust_files *files)
{
    for (size_t i = 0; i < files->num_files; i++) {
        struct file *file = &files->items[i];
        struct err err;
        if (!file->is_changed)
            continue;
        file->is_changed = false;
        file->is_usable = read_file(file, &err) == 0;
        if (file->is_usable)
            continue;
        err_prefix(&err, "%s (%s)",
                   file->trust_domain != NULL ? "federated bundle" : "revocation lists",
                   what_counts(file));
        files->handler.on_trouble(files->owner, &err);
    }
}

/* ---------------------------------------------------------------------------------- telling -- */

static int add_crls(struct trust_extras *extras, struct file *file, struct err *err)
{
    struct crl_set *merged = crl_set_merge(extras->crls, file->crls, err);
    if (merged == NULL)
        return err_prefix(err, "revocation lists: %s, whose %zu come after %zu of other files",
                          file->path, crl_set_num(file->crls), crl_set_num(extras->crls));
    crl_set_unref(extras->crls);
    extras->crls = merged;
    return 0;
}

/*
 * Where there are too many lists, all stays as it was; at the start, when it was nothing yet, the files whose lists do not fit are
 * missing like those that cannot be read.
 */
static int collect(struct trust_files *files, struct trust_extras *extras)
{
    struct err err;
    *extras = (struct trust_extras){0};
    for (size_t i = 0; i < files->num_files; i++) {
        struct file *file = &files->items[i];
        if (file->bundle != NULL)
            extras->bundles[extras->num_bundles++] = trust_bundle_ref(file->bundle);
        file->is_left_out = file->crls != NULL && add_crls(extras, file, &err) < 0;
        if (!file->is_left_out)
            continue;
        files->handler.on_trouble(files->owner, &err);
        if (files->is_told || err.kind != ERR_LIMIT) {
            trust_extras_done(extras);
            return -1;
        }
    }
    return 0;
}

static void on_task(void *owner)
{
    struct trust_files *files = owner;
    struct trust_extras extras;
    read_changed(files);
    if (collect(files, &extras) < 0)
        return;
    files->is_told = true;
    files->handler.on_extras(files->owner, &extras);
    trust_extras_done(&extras);
}

static void on_file_changed(void *owner)
{
    struct file *file = owner;
    file->is_changed = true;
    if (file->files->is_started)
        net_task_schedule(file->files->loop, &file->files->task);
}

/* --------------------------------------------------------------------- making, asking, freeing -- */

struct trust_files *trust_files_new(struct net_loop *loop,
                                    const struct trust_files_handler *handler, void *owner,
                                    struct err *err)
{
    struct trust_files *files = calloc(1, sizeof(*files));
    if (files == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    files->loop = loop;
    files->handler = *handler;
    files->owner = owner;
    files->task = (struct net_task){.run = on_task, .owner = files};
    return files;
}

/* Its index stays: a watch holds a pointer to it. */
static struct file *add(struct trust_files *files, const char *path, struct err *err)
{
    if (files->num_files == TRUST_FILES_MAX) {
        err_set(err, ERR_LIMIT,
                "%s: more than the %d files of bundles and revocation lists that are allowed", path,
                TRUST_FILES_MAX);
        return NULL;
    }
    struct file *file = &files->items[files->num_files++];
    file->files = files;
    file->is_changed = true;
    file->path = strdup(path);
    if (file->path == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    file->watch = net_watch_new(files->loop, path, TRUST_FILES_POLL_MS, on_file_changed, file, err);
    return file->watch == NULL ? NULL : file;
}

int trust_files_add_bundle(struct trust_files *files, const char *trust_domain, const char *path,
                           struct err *err)
{
    if (spiffe_id_check_trust_domain(trust_domain, strlen(trust_domain), err) < 0)
        return -1;
    size_t num_bundles = 0;
    for (size_t i = 0; i < files->num_files; i++) {
        const char *other = files->items[i].trust_domain;
        num_bundles += other != NULL;
        if (other != NULL && strcmp(other, trust_domain) == 0)
            return err_set(err, ERR_INVALID, "two files for trust domain '%.200s'", trust_domain);
    }
    if (num_bundles == TRUST_EXTRAS_MAX)
        return err_set(err, ERR_LIMIT,
                       "%s: more than the %d federated trust domains that are allowed", path,
                       TRUST_EXTRAS_MAX);
    struct file *file = add(files, path, err);
    if (file == NULL)
        return -1;
    file->trust_domain = strdup(trust_domain);
    return file->trust_domain == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

int trust_files_add_crl(struct trust_files *files, const char *path, struct err *err)
{
    return add(files, path, err) == NULL ? -1 : 0;
}

void trust_files_start(struct trust_files *files)
{
    files->is_started = true;
    net_task_schedule(files->loop, &files->task);
}

bool trust_files_has_all_crls(const struct trust_files *files)
{
    for (size_t i = 0; i < files->num_files; i++) {
        const struct file *file = &files->items[i];
        if (file->trust_domain == NULL && (file->crls == NULL || file->is_left_out))
            return false;
    }
    return true;
}

size_t trust_files_num_unusable(const struct trust_files *files)
{
    size_t num = 0;
    for (size_t i = 0; i < files->num_files; i++)
        num += !files->items[i].is_usable || files->items[i].is_left_out;
    return num;
}

void trust_files_free(struct trust_files *files)
{
    if (files == NULL)
        return;
    net_task_cancel(&files->task);
    for (size_t i = 0; i < files->num_files; i++) {
        struct file *file = &files->items[i];
        net_watch_free(file->watch);
        trust_bundle_unref(file->bundle);
        crl_set_unref(file->crls);
        free(file->trust_domain);
        free(file->path);
    }
    free(files);
}
