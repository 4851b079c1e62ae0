/*
 * What discovery was told last, in a private file in a memory-backed directory, so that an agent that
 * starts while the control plane is down has its mesh, policies included. What is read is judged as
 * if it had just been told; a file that is not whole, or another pod's, is not read at all.
 *
 * The file is one message in Protocol Buffers' encoding: 1 what it is and whose, 2 addresses and
 * 3 policies (each as in xDS: 1 version, 3 name; and 2 the content), 4 the names that were asked for
 * with what answered them (1 name, 2 by), 5 the end.
 */
#ifndef REMORA_XDS_CACHE_H
#define REMORA_XDS_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "xds_delta.h"

enum { XDS_CACHE_MAX = 512 * 1024 * 1024 /* bytes: MESH_OBJECTS_MAX small ones */ };

struct xds_cache;

/*
 * `path`: a file in a directory as private_file_open_dir wants it, on memory. `whose` (copied) tells
 * pods apart, and ways of discovery. NULL: *err.
 */
struct xds_cache *xds_cache_new(const char *path, const char *whose, struct err *err);

/* NULL is ignored. */
void xds_cache_free(struct xds_cache *cache);

/* All lent. */
struct xds_cache_reader {
    void (*on_resource)(void *owner, const struct xds_resource *resource);
    void (*on_answer)(void *owner, const char *name, const char *by);
};

/* Reads all there is. 0: read, or there is no file. -1: *err, and nothing was told. */
int xds_cache_read(struct xds_cache *cache, const struct xds_cache_reader *reader, void *owner,
                   struct err *err);

/* A file in the making; zeroed by xds_cache_begin. */
struct xds_cache_draft {
    struct buf bytes;
    bool failed;
};

void xds_cache_begin(const struct xds_cache *cache, struct xds_cache_draft *draft);
void xds_cache_add_resource(struct xds_cache_draft *draft, const struct xds_resource *resource);
void xds_cache_add_answer(struct xds_cache_draft *draft, const char *name, const char *by);

/* Replaces the file and frees the draft. 0, or -1 with *err. */
int xds_cache_end(struct xds_cache *cache, struct xds_cache_draft *draft, struct err *err);

#endif
