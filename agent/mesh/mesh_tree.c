#include "mesh_tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "refcount.h"

enum {
    FANOUT = 16, /* few levels, and little to copy for a change */

    /* Neighbours that have not more together become one. Less than a node holds, so that adding and removing at a border does
       not split and merge in turns. */
    MERGE_UP_TO = FANOUT * 3 / 4,
};

struct mesh_tree_node {
    struct refcount refcount; /* trees and nodes above that refer to it */
    uint16_t num;             /* at least 1 */
    uint16_t level;           /* 0: a leaf */
    struct mesh_tree_weights weights;
    void *items[FANOUT];               /* of a leaf; else the first item below each child */
    struct mesh_tree_node *children[]; /* FANOUT, but of leaves none */
};

/* -------------------------------------------------------------------------------- nodes -- */

static struct mesh_tree_node *node_new(unsigned level)
{
    struct mesh_tree_node *node =
        malloc(sizeof(*node) + (level > 0 ? FANOUT * sizeof(struct mesh_tree_node *) : 0));
    if (node == NULL)
        return NULL;
    refcount_init(&node->refcount);
    node->num = 0;
    node->level = (uint16_t)level;
    node->weights = (struct mesh_tree_weights){0};
    return node;
}

/* Recursive, and never deeper than the tree. */
static void node_unref(struct mesh_tree_node *node, const struct mesh_tree_kind *kind)
{
    if (!refcount_put(&node->refcount))
        return;
    for (unsigned i = 0; i < node->num; i++)
        if (node->level > 0)
            node_unref(node->children[i], kind);
        else if (kind->unref != NULL)
            kind->unref(node->items[i]);
    free(node);
}

static struct mesh_tree_node *node_copy(const struct mesh_tree_node *node,
                                        const struct mesh_tree_kind *kind)
{
    struct mesh_tree_node *copy = node_new(node->level);
    if (copy == NULL)
        return NULL;
    copy->num = node->num;
    copy->weights = node->weights;
    memcpy(copy->items, node->items, node->num * sizeof(node->items[0]));
    if (node->level > 0)
        memcpy(copy->children, node->children, node->num * sizeof(node->children[0]));
    for (unsigned i = 0; i < node->num; i++)
        if (node->level > 0)
            refcount_get(&node->children[i]->refcount);
        else if (kind->ref != NULL)
            kind->ref(node->items[i]);
    return copy;
}

/*
 * The node at *slot, where nobody else refers to it. The slot's own node must have been made so before: then whoever could come
 * to refer to this node would have to go through us. NULL when out of memory.
 */
static struct mesh_tree_node *node_own(struct mesh_tree_node **slot,
                                       const struct mesh_tree_kind *kind)
{
    struct mesh_tree_node *node = *slot;
    if (refcount_is_sole(&node->refcount))
        return node;
    struct mesh_tree_node *copy = node_copy(node, kind);
    if (copy == NULL)
        return NULL;
    node_unref(node, kind);
    *slot = copy;
    return copy;
}

/* ------------------------------------------------------------------------------ weights -- */

static struct mesh_tree_weights weigh(const struct mesh_tree_kind *kind, const void *item)
{
    return kind->weigh == NULL ? (struct mesh_tree_weights){0} : kind->weigh(item);
}

static void add_weights(struct mesh_tree_weights *to, const struct mesh_tree_weights *more)
{
    for (unsigned i = 0; i < MESH_TREE_SUMS; i++)
        to->of[i] += more->of[i];
}

static void subtract_weights(struct mesh_tree_weights *from, const struct mesh_tree_weights *less)
{
    for (unsigned i = 0; i < MESH_TREE_SUMS; i++)
        from->of[i] -= less->of[i];
}

/* What is at place `i` of the node, an item or a child with all below it. */
static struct mesh_tree_weights weights_at(const struct mesh_tree_node *node,
                                           const struct mesh_tree_kind *kind, unsigned i)
{
    return node->level > 0 ? node->children[i]->weights : weigh(kind, node->items[i]);
}

/* ------------------------------------------------------------------------------- places -- */

/* How many of the node's entries are less than the key; with `or_equal`, less or equal. */
static unsigned count_less(const struct mesh_tree_node *node, const void *key,
                           mesh_tree_compare *compare, bool or_equal)
{
    unsigned low = 0;
    unsigned high = node->num;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = compare(key, node->items[middle]);
        if (order > 0 || (order == 0 && or_equal))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The child under which the item is, or would be. */
static unsigned child_for(const struct mesh_tree_node *node, const struct mesh_tree_kind *kind,
                          const void *item)
{
    unsigned after = count_less(node, item, kind->compare, true);
    return after == 0 ? 0 : after - 1;
}

/* The child under which the first entry is that is not less than the key; or it is the next one's first. */
static unsigned child_before(const struct mesh_tree_node *node, const void *key,
                             mesh_tree_compare *compare)
{
    unsigned less = count_less(node, key, compare, false);
    return less == 0 ? 0 : less - 1;
}

/* Moves `num` entries of `from`, beginning at `start`, to the end of `to`. The rest of `from` is left as it is. */
static void append(struct mesh_tree_node *to, const struct mesh_tree_node *from,
                   const struct mesh_tree_kind *kind, unsigned start, unsigned num)
{
    memcpy(to->items + to->num, from->items + start, num * sizeof(to->items[0]));
    if (to->level > 0)
        memcpy(to->children + to->num, from->children + start, num * sizeof(to->children[0]));
    for (unsigned i = to->num; i < to->num + num; i++) {
        struct mesh_tree_weights weights = weights_at(to, kind, i);
        add_weights(&to->weights, &weights);
    }
    to->num = (uint16_t)(to->num + num);
}

/* Makes a place at `i`; `child` is NULL in a leaf. The weights are not touched. */
static void insert_at(struct mesh_tree_node *node, unsigned i, void *item,
                      struct mesh_tree_node *child)
{
    assert(node->num < FANOUT);
    unsigned behind = node->num - i;
    memmove(node->items + i + 1, node->items + i, behind * sizeof(node->items[0]));
    node->items[i] = item;
    if (child != NULL) {
        memmove(node->children + i + 1, node->children + i, behind * sizeof(node->children[0]));
        node->children[i] = child;
    }
    node->num++;
}

/* Closes the place at `i`. Neither references nor weights are touched. */
static void delete_at(struct mesh_tree_node *node, unsigned i)
{
    unsigned behind = node->num - i - 1;
    memmove(node->items + i, node->items + i + 1, behind * sizeof(node->items[0]));
    if (node->level > 0)
        memmove(node->children + i, node->children + i + 1, behind * sizeof(node->children[0]));
    node->num--;
}

/* ------------------------------------------------------------------------------ putting -- */

struct change {
    const struct mesh_tree_kind *kind;
    void *item;
    bool replaced;
    struct mesh_tree_weights less; /* of what was replaced */
    struct mesh_tree_weights more;
};

/*
 * Splits the full child at `i` of a node that is our own and not full. What comes in order is put behind all the rest: then the
 * left half stays full.
 */
static int split(struct mesh_tree_node *node, unsigned i, const struct change *change)
{
    struct mesh_tree_node *left = node_own(&node->children[i], change->kind);
    if (left == NULL)
        return -1;
    struct mesh_tree_node *right = node_new(left->level);
    if (right == NULL)
        return -1;
    bool at_the_end = change->kind->compare(change->item, left->items[FANOUT - 1]) > 0;
    unsigned keep = at_the_end ? FANOUT - 1 : FANOUT / 2;
    append(right, left, change->kind, keep, FANOUT - keep);
    left->num = (uint16_t)keep;
    subtract_weights(&left->weights, &right->weights);
    insert_at(node, i + 1, right->items[0], right);
    return 0;
}

static void put_in_leaf(struct mesh_tree_node *leaf, struct change *change)
{
    const struct mesh_tree_kind *kind = change->kind;
    unsigned i = count_less(leaf, change->item, kind->compare, false);
    change->more = weigh(kind, change->item);
    if (kind->ref != NULL)
        kind->ref(change->item);
    if (i == leaf->num || kind->compare(change->item, leaf->items[i]) != 0) {
        insert_at(leaf, i, change->item, NULL);
        return;
    }
    change->replaced = true;
    change->less = weigh(kind, leaf->items[i]);
    if (kind->unref != NULL)
        kind->unref(leaf->items[i]);
    leaf->items[i] = change->item;
}

/* `node` is our own and not full. */
static int put_below(struct mesh_tree_node *node, struct change *change)
{
    if (node->level == 0) {
        put_in_leaf(node, change);
    } else {
        unsigned i = child_for(node, change->kind, change->item);
        if (node->children[i]->num == FANOUT) {
            if (split(node, i, change) < 0)
                return -1;
            i = child_for(node, change->kind, change->item);
        }
        struct mesh_tree_node *child = node_own(&node->children[i], change->kind);
        if (child == NULL || put_below(child, change) < 0)
            return -1;
        node->items[i] = child->items[0];
    }
    subtract_weights(&node->weights, &change->less);
    add_weights(&node->weights, &change->more);
    return 0;
}

/* A root above the root, which then has a neighbour to split into. */
static int grow(struct mesh_tree *tree)
{
    assert(tree->root->level + 1 < MESH_TREE_LEVELS);
    struct mesh_tree_node *root = node_new(tree->root->level + 1U);
    if (root == NULL)
        return -1;
    root->weights = tree->root->weights;
    insert_at(root, 0, tree->root->items[0], tree->root);
    tree->root = root;
    return 0;
}

int mesh_tree_put(struct mesh_tree *tree, const struct mesh_tree_kind *kind, void *item)
{
    if (tree->root == NULL && (tree->root = node_new(0)) == NULL)
        return -1;
    if (tree->root->num == FANOUT && grow(tree) < 0)
        return -1;
    struct change change = {.kind = kind, .item = item};
    struct mesh_tree_node *root = node_own(&tree->root, kind);
    if (root == NULL || put_below(root, &change) < 0)
        return -1;
    tree->num += change.replaced ? 0 : 1;
    return 0;
}

/* ----------------------------------------------------------------------------- removing -- */

/* Joins the children at `i` and after it, when both are small. Being unable to is no error: a node may be small. */
static void merge(struct mesh_tree_node *node, unsigned i, const struct mesh_tree_kind *kind)
{
    if (i + 1 >= node->num || node->children[i]->num + node->children[i + 1]->num > MERGE_UP_TO)
        return;
    struct mesh_tree_node *left = node_own(&node->children[i], kind);
    struct mesh_tree_node *right = left == NULL ? NULL : node_own(&node->children[i + 1], kind);
    if (right == NULL)
        return;
    append(left, right, kind, 0, right->num);
    free(right);
    delete_at(node, i + 1);
}

/* The child at `i` has lost something. */
static void tidy(struct mesh_tree_node *node, unsigned i, const struct mesh_tree_kind *kind)
{
    struct mesh_tree_node *child = node->children[i];
    if (child->num == 0) {
        free(child);
        delete_at(node, i);
        return;
    }
    node->items[i] = child->items[0];
    merge(node, i, kind);
    if (i > 0)
        merge(node, i - 1, kind);
}

/* `node` is our own, and the item is below it. */
static int remove_below(struct mesh_tree_node *node, const struct mesh_tree_kind *kind,
                        const void *item, struct mesh_tree_weights *less)
{
    if (node->level == 0) {
        unsigned i = count_less(node, item, kind->compare, false);
        *less = weigh(kind, node->items[i]);
        if (kind->unref != NULL)
            kind->unref(node->items[i]);
        delete_at(node, i);
    } else {
        unsigned i = child_for(node, kind, item);
        struct mesh_tree_node *child = node_own(&node->children[i], kind);
        if (child == NULL || remove_below(child, kind, item, less) < 0)
            return -1;
        tidy(node, i, kind);
    }
    subtract_weights(&node->weights, less);
    return 0;
}

/*
 * A root that has one child, or nothing, is none. Only our own goes: below it may be one that copies of the tree refer to, too small
 * for want of memory to join it with its neighbour.
 */
static void shrink(struct mesh_tree *tree)
{
    while (tree->root != NULL && refcount_is_sole(&tree->root->refcount) &&
           (tree->root->num == 0 || (tree->root->num == 1 && tree->root->level > 0))) {
        struct mesh_tree_node *root = tree->root;
        tree->root = root->num == 0 ? NULL : root->children[0];
        free(root);
    }
}

int mesh_tree_remove(struct mesh_tree *tree, const struct mesh_tree_kind *kind, const void *item)
{
    if (mesh_tree_find(tree, item, kind->compare) == NULL)
        return 0;
    struct mesh_tree_weights less;
    struct mesh_tree_node *root = node_own(&tree->root, kind);
    if (root == NULL || remove_below(root, kind, item, &less) < 0)
        return -1;
    tree->num--;
    shrink(tree);
    return 0;
}

/* ------------------------------------------------------------------------------ looking -- */

struct mesh_tree mesh_tree_copy(const struct mesh_tree *tree)
{
    if (tree->root != NULL)
        refcount_get(&tree->root->refcount);
    return *tree;
}

void mesh_tree_done(struct mesh_tree *tree, const struct mesh_tree_kind *kind)
{
    if (tree->root != NULL)
        node_unref(tree->root, kind);
    *tree = (struct mesh_tree){0};
}

void *mesh_tree_find(const struct mesh_tree *tree, const void *key, mesh_tree_compare *compare)
{
    struct mesh_tree_walk walk;
    void *item = mesh_tree_seek(&walk, tree, key, compare);
    return item != NULL && compare(key, item) == 0 ? item : NULL;
}

/* The item at the walk's place, or where that is behind a leaf's end, the next leaf's first. */
static void *settle(struct mesh_tree_walk *walk)
{
    unsigned level = 0;
    while (walk->path[level].i == walk->path[level].node->num) {
        if (level == walk->top)
            return NULL;
        level++;
        walk->path[level].i++;
    }
    for (; level > 0; level--) {
        walk->path[level - 1].node = walk->path[level].node->children[walk->path[level].i];
        walk->path[level - 1].i = 0;
    }
    return walk->path[0].node->items[walk->path[0].i];
}

void *mesh_tree_seek(struct mesh_tree_walk *walk, const struct mesh_tree *tree, const void *key,
                     mesh_tree_compare *compare)
{
    const struct mesh_tree_node *node = tree->root;
    if (node == NULL)
        return NULL;
    walk->top = node->level;
    while (node->level > 0) {
        unsigned i = key == NULL ? 0 : child_before(node, key, compare);
        walk->path[node->level].node = node;
        walk->path[node->level].i = i;
        node = node->children[i];
    }
    walk->path[0].node = node;
    walk->path[0].i = key == NULL ? 0 : count_less(node, key, compare, false);
    return settle(walk);
}

void *mesh_tree_next(struct mesh_tree_walk *walk)
{
    walk->path[0].i++;
    return settle(walk);
}

struct mesh_tree_weights mesh_tree_sum_before(const struct mesh_tree *tree,
                                              const struct mesh_tree_kind *kind, const void *key,
                                              mesh_tree_compare *compare)
{
    struct mesh_tree_weights sum = {0};
    const struct mesh_tree_node *node = tree->root;
    while (node != NULL) {
        unsigned num = node->level > 0 ? child_before(node, key, compare)
                                       : count_less(node, key, compare, false);
        for (unsigned i = 0; i < num; i++) {
            struct mesh_tree_weights weights = weights_at(node, kind, i);
            add_weights(&sum, &weights);
        }
        node = node->level > 0 ? node->children[num] : NULL;
    }
    return sum;
}

void *mesh_tree_at(const struct mesh_tree *tree, const struct mesh_tree_kind *kind, unsigned which,
                   uint64_t point)
{
    const struct mesh_tree_node *node = tree->root;
    while (node != NULL) {
        unsigned i = 0;
        for (; i < node->num; i++) {
            uint64_t share = weights_at(node, kind, i).of[which];
            if (point < share)
                break;
            point -= share;
        }
        if (i == node->num)
            return NULL;
        if (node->level == 0)
            return node->items[i];
        node = node->children[i];
    }
    return NULL;
}
