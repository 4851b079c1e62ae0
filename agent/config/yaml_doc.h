/*
 * A YAML document as a tree of nodes that know where they stand. Only what configuration needs: one document, no anchors and no
 * aliases (a few bytes of them can stand for gigabytes), bounded depth and size, no key twice. Reading values out of the tree is
 * yaml_reader.h.
 *
 * A local tag makes a map of one key: `!Exact x` and `{Exact: x}` give the same tree, for peers write both.
 */
#ifndef REMORA_YAML_DOC_H
#define REMORA_YAML_DOC_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

enum {
    YAML_BYTES_MAX =
        64 * 1024 *
        1024, /* a mesh of 200,000 pods, as ztunnel's own largest tests, is about 60 MB */
    YAML_NODES_MAX = 8 * 1000 * 1000, /* as many as such a file has */
    YAML_KEYS_MAX = 8192, /* of one map; the port lists of the largest services have hundreds */
    YAML_DEPTH_MAX = 32,  /* the deepest schema we have needs 10 */
};

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

/* What a scalar without quotes means by YAML's core schema (YAML 1.2.2, 10.3.2). One with quotes is text. */
enum yaml_meaning { YAML_TEXT, YAML_NOTHING, YAML_BOOL, YAML_NUMBER };

struct yaml_node {
    enum yaml_kind kind;
    enum yaml_meaning meaning;      /* of a scalar */
    const char *text;               /* of a scalar, as written; holds no NUL but the last */
    const char *tag;                /* of a map that stands for a tag: "!Exact"; else NULL */
    const char *key;                /* of a map's entry; else NULL */
    size_t index;                   /* of a list's entry, from 0 */
    size_t line, column;            /* from 1; of an entry of a map: its key's */
    size_t num;                     /* entries */
    const struct yaml_node *parent; /* NULL: the root */
    struct yaml_node *first, *last; /* entries, in their order in the document */
    struct yaml_node *next;         /* the parent's next entry */
};

struct yaml_doc;

/* `name` stands for the file in messages and is copied. NULL: ERR_INVALID with line and column, ERR_LIMIT, ERR_NOMEM. */
struct yaml_doc *yaml_doc_parse(const char *name, const char *bytes, size_t len, struct err *err);

/* As above from a file; also ERR_SYSTEM. */
struct yaml_doc *yaml_doc_load(const char *path, struct err *err);

/* Frees the nodes and what yaml_doc_alloc gave. NULL is ignored. */
void yaml_doc_free(struct yaml_doc *doc);

/* NULL: the document is empty. */
const struct yaml_node *yaml_doc_root(const struct yaml_doc *doc);
const char *yaml_doc_name(const struct yaml_doc *doc);

/* Zeroed memory that lives as long as the document, for what is read from it. NULL when out of memory, or when num is 0. */
void *yaml_doc_alloc(struct yaml_doc *doc, size_t num, size_t size);

#endif
