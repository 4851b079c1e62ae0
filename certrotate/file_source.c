#include "file_source.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "file_read.h"

enum { CERT, KEY, ROOTS, NUM_FILES };

struct file {
    char *path;
    struct net_watch *watch;
    uint8_t *bytes; /* while a fetch delivers */
    size_t len;
};

struct file_source {
    struct cert_source base;
    struct net_loop *loop;
    struct file files[NUM_FILES];
    struct net_task deliver;
    cert_source_done *done; /* NULL: no fetch runs */
    void *done_owner;
};

/* ---------------------------------------------------------------------------------- fetching -- */

/* One of them is the key. */
static void forget_bytes(struct file_source *source)
{
    for (int i = 0; i < NUM_FILES; i++) {
        struct file *file = &source->files[i];
        file_read_free(file->bytes, file->len);
        file->bytes = NULL;
        file->len = 0;
    }
}

/* Takes the files' bytes out of the source, so that `done` may free it or start again. */
static void deliver(struct file_source *source)
{
    cert_source_done *done = source->done;
    source->done = NULL;
    struct file_source lent = {.done = NULL};
    for (int i = 0; i < NUM_FILES; i++) {
        lent.files[i].bytes = source->files[i].bytes;
        lent.files[i].len = source->files[i].len;
        source->files[i].bytes = NULL;
        source->files[i].len = 0;
    }
    const struct cert_fetched fetched = {
        .chain = {.bytes = lent.files[CERT].bytes, .len = lent.files[CERT].len},
        .roots = {.bytes = lent.files[ROOTS].bytes, .len = lent.files[ROOTS].len},
        .key = {.bytes = lent.files[KEY].bytes, .len = lent.files[KEY].len},
    };
    done(source->done_owner, &fetched, NULL);
    forget_bytes(&lent);
}

static void on_deliver(void *owner)
{
    struct file_source *source = owner;
    struct err err;
    for (int i = 0; i < NUM_FILES; i++) {
        struct file *file = &source->files[i];
        file->bytes = file_read(file->path, FILE_SOURCE_MAX, &file->len, &err);
        if (file->bytes == NULL) {
            forget_bytes(source);
            cert_source_done *done = source->done;
            source->done = NULL;
            done(source->done_owner, NULL, &err);
            return;
        }
    }
    deliver(source);
}

static int start_fetch(struct cert_source *base, const char *csr_pem, cert_source_done *done,
                       void *owner, struct err *err)
{
    struct file_source *source = (struct file_source *)base;
    assert(source->done == NULL);
    source->done = done;
    source->done_owner = owner;
    net_task_schedule(source->loop, &source->deliver);
    return 0;
}

static void cancel(struct cert_source *base)
{
    struct file_source *source = (struct file_source *)base;
    source->done = NULL;
    net_task_cancel(&source->deliver);
}

/* ------------------------------------------------------------------------------ new and free -- */

static void on_file_changed(void *owner)
{
    struct file_source *source = owner;
    if (source->base.on_changed != NULL)
        source->base.on_changed(source->base.owner);
}

static void source_free(struct cert_source *base)
{
    struct file_source *source = (struct file_source *)base;
    cancel(base);
    for (int i = 0; i < NUM_FILES; i++) {
        net_watch_free(source->files[i].watch);
        free(source->files[i].path);
    }
    free(source);
}

static int watch(struct file_source *source, struct file *file, const char *path, struct err *err)
{
    file->path = strdup(path);
    if (file->path == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", path);
    file->watch =
        net_watch_new(source->loop, path, FILE_SOURCE_POLL_MS, on_file_changed, source, err);
    return file->watch == NULL ? -1 : 0;
}

struct cert_source *file_source_new(struct net_loop *loop, const struct file_source_paths *paths,
                                    struct err *err)
{
    static const struct cert_source_ops OPS = {start_fetch, cancel, source_free};
    struct file_source *source = calloc(1, sizeof(*source));
    if (source == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    source->base.ops = &OPS;
    source->base.name = "files";
    source->base.speaks_for_trust_domain = true;
    source->loop = loop;
    source->deliver.run = on_deliver;
    source->deliver.owner = source;
    if (watch(source, &source->files[CERT], paths->cert_file, err) < 0 ||
        watch(source, &source->files[KEY], paths->key_file, err) < 0 ||
        watch(source, &source->files[ROOTS], paths->roots_file, err) < 0) {
        source_free(&source->base);
        return NULL;
    }
    return &source->base;
}
