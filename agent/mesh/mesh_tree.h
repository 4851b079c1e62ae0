/*
 * Sorted sets that share what is the same in them: the indexes of snapshots. Private to mesh.
 *
 * A B+ tree whose nodes are counted. A copy of a tree is another reference to its root; whoever changes a tree copies the nodes
 * on the way to the change that others refer to too, and changes in place those that nobody else does, so that making a large
 * tree costs no more than filling one. Any number of threads may read trees that share nodes, while one changes a tree of its
 * own.
 *
 * Ordered by comparison and not by a hash: names come from the control plane, and no choice of names makes a balanced tree
 * slow; ranges and sums over ranges come with the order.
 */
#ifndef REMORA_MESH_TREE_H
#define REMORA_MESH_TREE_H

#include <stddef.h>
#include <stdint.h>

enum {
    MESH_TREE_SUMS = 2,   /* as many as the endpoints of services need */
    MESH_TREE_LEVELS = 16 /* a node has six children on average at least: more than fit in memory */
};

struct mesh_tree_node;

/* A zeroed struct is valid and empty. */
struct mesh_tree {
    struct mesh_tree_node *root;
    size_t num;
};

/* What an item adds to each of the sums over a tree. Sums may not exceed 2^64. */
struct mesh_tree_weights {
    uint64_t of[MESH_TREE_SUMS];
};

/* Like strcmp, of what is searched and an item; of two items when the tree is changed. */
typedef int mesh_tree_compare(const void *key, const void *item);

/* What is to be known of a tree's items to change it. The same in all calls for one tree and its copies. */
struct mesh_tree_kind {
    mesh_tree_compare *compare; /* a total order: no two items of a tree are equal */
    void (*ref)(void *item);   /* a tree owns a reference to each of its items; NULL: it does not */
    void (*unref)(void *item); /* NULL likewise */
    struct mesh_tree_weights (*weigh)(const void *item); /* NULL: all weights are 0 */
};

/* Another tree with the same content, to be done with apart. */
struct mesh_tree mesh_tree_copy(const struct mesh_tree *tree);

/* Gives up this tree's part of the nodes. The struct is empty then. */
void mesh_tree_done(struct mesh_tree *tree, const struct mesh_tree_kind *kind);

/* Puts the item in, in the place of one that is equal to it. 0, or -1 when out of memory: the content is what it was. */
int mesh_tree_put(struct mesh_tree *tree, const struct mesh_tree_kind *kind, void *item);

/* Takes out what is equal to the item, if there is such. 0, or -1 when out of memory: the content is what it was. */
int mesh_tree_remove(struct mesh_tree *tree, const struct mesh_tree_kind *kind, const void *item);

/* The first item that equals the key, or NULL. */
void *mesh_tree_find(const struct mesh_tree *tree, const void *key, mesh_tree_compare *compare);

/* A way through a tree, from item to item; the tree must not change meanwhile. */
struct mesh_tree_walk {
    unsigned top; /* the root's level */
    struct {
        const struct mesh_tree_node *node;
        unsigned i;
    } path[MESH_TREE_LEVELS]; /* by level */
};

/* The first item that is not less than the key (NULL: the very first); NULL: there is none. */
void *mesh_tree_seek(struct mesh_tree_walk *walk, const struct mesh_tree *tree, const void *key,
                     mesh_tree_compare *compare);

/* The item after the one that was returned last, which was not NULL; NULL: there is none. */
void *mesh_tree_next(struct mesh_tree_walk *walk);

/* The weights of all items less than the key, together. */
struct mesh_tree_weights mesh_tree_sum_before(const struct mesh_tree *tree,
                                              const struct mesh_tree_kind *kind, const void *key,
                                              mesh_tree_compare *compare);

/* The item in whose share of the sum of all weights `which` the point falls. NULL: the point is not less than the sum. */
void *mesh_tree_at(const struct mesh_tree *tree, const struct mesh_tree_kind *kind, unsigned which,
                   uint64_t point);

#endif
