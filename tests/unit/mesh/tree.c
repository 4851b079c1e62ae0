/* mesh_tree against an array with a place for each key: content, order, sums, what is owned, what copies keep. */
#include "mesh_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NUM_KEYS = 3000 };

struct item {
    unsigned key;
    uint64_t weight;
    int references;
};

/* ------------------------------------------------------- counted and failing allocations -- */

static bool no_memory;
static int num_allocated;

void *__real_malloc(size_t len);
void *__wrap_malloc(size_t len);
void __real_free(void *memory);
void __wrap_free(void *memory);

void *__wrap_malloc(size_t len)
{
    if (no_memory)
        return NULL;
    num_allocated++;
    return __real_malloc(len);
}

void __wrap_free(void *memory)
{
    num_allocated -= memory != NULL;
    __real_free(memory);
}

/* ---------------------------------------------------------------------------- the kinds -- */

static int compare_key(const void *key, const void *item)
{
    const unsigned *wanted = key;
    const struct item *other = item;
    return (*wanted > other->key) - (*wanted < other->key);
}

static int compare_items(const void *left, const void *right)
{
    const struct item *item = left;
    return compare_key(&item->key, right);
}

/* Keys by the ten: many items equal one key. */
static int compare_ten(const void *key, const void *item)
{
    const unsigned *wanted = key;
    const struct item *other = item;
    return (*wanted > other->key / 10) - (*wanted < other->key / 10);
}

static void ref(void *item)
{
    ((struct item *)item)->references++;
}

static void unref(void *item)
{
    ((struct item *)item)->references--;
}

static struct mesh_tree_weights weigh(const void *item)
{
    const struct item *self = item;
    return (struct mesh_tree_weights){{self->weight, self->key % 2 == 0 ? self->weight : 0}};
}

static const struct mesh_tree_kind kind = {compare_items, ref, unref, weigh};

/* The same random numbers each time (xorshift64). */
static uint64_t random_state = 88172645463325252U;

static unsigned draw(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % below;
}

/* ---------------------------------------------------------------------------- the model -- */

/* Two items for each key, so that one can replace the other. */
static struct item items[2][NUM_KEYS];

struct model {
    struct mesh_tree tree;
    struct item *at[NUM_KEYS];
};

static void make_items(void)
{
    for (unsigned i = 0; i < 2; i++)
        for (unsigned key = 0; key < NUM_KEYS; key++)
            items[i][key] = (struct item){key, draw(4), 0};
}

static void put(struct model *model, unsigned key)
{
    struct item *item = &items[draw(2)][key];
    assert_int_equal(mesh_tree_put(&model->tree, &kind, item), 0);
    model->at[key] = item;
}

static void take_out(struct model *model, unsigned key)
{
    assert_int_equal(mesh_tree_remove(&model->tree, &kind, &items[0][key]), 0);
    model->at[key] = NULL;
}

static void check_sums(const struct model *model, const struct mesh_tree_weights *before,
                       unsigned key)
{
    struct mesh_tree_weights sum = mesh_tree_sum_before(&model->tree, &kind, &key, compare_key);
    assert_int_equal(sum.of[0], before->of[0]);
    assert_int_equal(sum.of[1], before->of[1]);
}

static void check_shares(const struct model *model, const struct mesh_tree_weights *before,
                         struct item *item)
{
    struct mesh_tree_weights own = weigh(item);
    for (unsigned which = 0; which < MESH_TREE_SUMS; which++)
        for (uint64_t point = 0; point < own.of[which]; point++)
            assert_ptr_equal(mesh_tree_at(&model->tree, &kind, which, before->of[which] + point),
                             item);
}

/* Everything that can be asked, for every key. */
static void check(const struct model *model)
{
    struct mesh_tree_weights before = {0};
    struct mesh_tree_walk walk;
    struct mesh_tree_walk sought;
    struct item *next = mesh_tree_seek(&walk, &model->tree, NULL, NULL);
    size_t num = 0;
    for (unsigned key = 0; key < NUM_KEYS; key++) {
        struct item *item = model->at[key];
        assert_ptr_equal(mesh_tree_find(&model->tree, &key, compare_key), item);
        assert_ptr_equal(mesh_tree_seek(&sought, &model->tree, &key, compare_key), next);
        check_sums(model, &before, key);
        if (item == NULL)
            continue;
        assert_ptr_equal(next, item);
        assert_true(item->references > 0);
        check_shares(model, &before, item);
        before.of[0] += weigh(item).of[0];
        before.of[1] += weigh(item).of[1];
        next = mesh_tree_next(&walk);
        num++;
    }
    assert_null(next);
    assert_null(mesh_tree_at(&model->tree, &kind, 0, before.of[0]));
    assert_int_equal(model->tree.num, num);
}

static void check_nothing_is_owned(void)
{
    for (unsigned i = 0; i < 2; i++)
        for (unsigned key = 0; key < NUM_KEYS; key++)
            assert_int_equal(items[i][key].references, 0);
}

/* -------------------------------------------------------------------------------- tests -- */

static void random_changes_leave_what_an_array_would_have(void **state)
{
    (void)state;
    static struct model model;
    make_items();
    /* Growing, then shrinking to nothing. */
    for (unsigned round = 0; round < 24; round++) {
        for (unsigned i = 0; i < 1000; i++) {
            unsigned key = draw(NUM_KEYS);
            if (draw(24) >= round)
                put(&model, key);
            else
                take_out(&model, key);
        }
        check(&model);
    }
    for (unsigned key = 0; key < NUM_KEYS; key++)
        take_out(&model, key);
    check(&model);
    assert_null(model.tree.root);
    check_nothing_is_owned();
}

static void what_comes_and_goes_in_order_is_no_different(void **state)
{
    (void)state;
    static struct model model;
    make_items();
    for (unsigned key = 0; key < NUM_KEYS; key++)
        put(&model, key);
    check(&model);
    for (unsigned key = 0; key < NUM_KEYS / 2; key++)
        take_out(&model, key);
    check(&model);
    for (unsigned key = NUM_KEYS / 2; key-- > 0;)
        put(&model, key);
    check(&model);
    for (unsigned key = NUM_KEYS; key-- > 0;)
        take_out(&model, key);
    check(&model);
    check_nothing_is_owned();
}

static void copies_stay_as_they_were_in_whatever_order_they_end(void **state)
{
    (void)state;
    enum { NUM_COPIES = 8 };
    static struct model models[NUM_COPIES];
    make_items();
    for (unsigned round = 0; round < 200; round++) {
        struct model *from = &models[draw(NUM_COPIES)];
        struct model *to = &models[draw(NUM_COPIES)];
        if (from != to) {
            mesh_tree_done(&to->tree, &kind);
            *to = *from;
            to->tree = mesh_tree_copy(&from->tree);
        }
        for (unsigned i = draw(60); i-- > 0;)
            if (draw(3) > 0)
                put(to, draw(NUM_KEYS));
            else
                take_out(to, draw(NUM_KEYS));
        if (round % 20 == 0)
            for (unsigned i = 0; i < NUM_COPIES; i++)
                check(&models[i]);
    }
    for (unsigned i = 0; i < NUM_COPIES; i++) {
        for (unsigned j = i; j < NUM_COPIES; j++)
            check(&models[j]);
        mesh_tree_done(&models[i].tree, &kind);
    }
    check_nothing_is_owned();
}

static void the_first_of_many_that_equal_a_key_is_found(void **state)
{
    (void)state;
    static struct model model;
    make_items();
    for (unsigned i = 0; i < 2 * NUM_KEYS; i++)
        put(&model, draw(NUM_KEYS));
    for (unsigned ten = 0; ten < NUM_KEYS / 10; ten++) {
        unsigned key = ten * 10;
        while (key < ten * 10 + 10 && model.at[key] == NULL)
            key++;
        struct item *expected = key < ten * 10 + 10 ? model.at[key] : NULL;
        assert_ptr_equal(mesh_tree_find(&model.tree, &ten, compare_ten), expected);
    }
    mesh_tree_done(&model.tree, &kind);
    check_nothing_is_owned();
}

/* With a copy that shares everything, each change needs memory. */
static void without_memory_the_content_stays(void **state)
{
    (void)state;
    static struct model model;
    make_items();
    for (unsigned i = 0; i < NUM_KEYS; i++)
        put(&model, draw(NUM_KEYS));
    struct mesh_tree copy = mesh_tree_copy(&model.tree);
    no_memory = true;
    for (unsigned key = 0; key < NUM_KEYS; key += 7) {
        assert_int_equal(mesh_tree_put(&model.tree, &kind, &items[0][key]), -1);
        int expected = model.at[key] == NULL ? 0 : -1;
        assert_int_equal(mesh_tree_remove(&model.tree, &kind, &items[0][key]), expected);
    }
    no_memory = false;
    check(&model);
    mesh_tree_done(&copy, &kind);
    mesh_tree_done(&model.tree, &kind);
    check_nothing_is_owned();
}

/* What is left may be one node that a copy shares, and that no memory was there to join with its neighbour or to copy. */
static void without_memory_a_tree_that_shrinks_leaves_its_copies_alone(void **state)
{
    (void)state;
    /* Put in order: below the root a full node on the left, and one with a single leaf on the right. */
    enum { LEAF = 15, NUM_LEFT = LEAF * LEAF, NUM = NUM_LEFT + 3 };
    static struct model model;
    int before = num_allocated;
    make_items();
    for (unsigned key = 0; key < NUM; key++)
        put(&model, key);
    struct model copy = model;
    copy.tree = mesh_tree_copy(&model.tree);
    for (unsigned key = 0; key < NUM_LEFT; key += LEAF) /* now the left half is the model's own */
        take_out(&model, key);
    no_memory = true;
    for (unsigned key = 0; key < NUM_LEFT; key++)
        if (model.at[key] != NULL)
            take_out(&model, key);
    no_memory = false;
    check(&model);
    check(&copy);
    for (unsigned key = 0; key < NUM_LEFT; key++)
        put(&model, key);
    check(&model);
    check(&copy);
    mesh_tree_done(&copy.tree, &kind);
    check(&model);
    mesh_tree_done(&model.tree, &kind);
    check_nothing_is_owned();
    assert_int_equal(num_allocated, before);
}

/* Neighbours that are small together become one: what is left is at least a third full. */
static void a_tree_that_has_shrunk_keeps_little(void **state)
{
    (void)state;
    static struct model model;
    make_items();
    int before = num_allocated;
    for (unsigned key = 0; key < NUM_KEYS; key++)
        put(&model, key);
    assert_true(num_allocated - before < NUM_KEYS / 13);
    for (unsigned key = 0; key < NUM_KEYS; key++)
        if (key % 10 != 0)
            take_out(&model, key);
    check(&model);
    assert_true(num_allocated - before < NUM_KEYS / 10 / 5);
    mesh_tree_done(&model.tree, &kind);
    assert_int_equal(num_allocated, before);
}

static void an_empty_tree_has_nothing(void **state)
{
    (void)state;
    struct mesh_tree tree = {0};
    struct mesh_tree_walk walk;
    unsigned key = 1;
    assert_null(mesh_tree_find(&tree, &key, compare_key));
    assert_null(mesh_tree_seek(&walk, &tree, NULL, NULL));
    assert_null(mesh_tree_at(&tree, &kind, 0, 0));
    assert_int_equal(mesh_tree_sum_before(&tree, &kind, &key, compare_key).of[0], 0);
    assert_int_equal(mesh_tree_remove(&tree, &kind, &items[0][1]), 0);
    struct mesh_tree copy = mesh_tree_copy(&tree);
    mesh_tree_done(&copy, &kind);
    mesh_tree_done(&tree, &kind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_leave_what_an_array_would_have),
        cmocka_unit_test(what_comes_and_goes_in_order_is_no_different),
        cmocka_unit_test(copies_stay_as_they_were_in_whatever_order_they_end),
        cmocka_unit_test(the_first_of_many_that_equal_a_key_is_found),
        cmocka_unit_test(without_memory_the_content_stays),
        cmocka_unit_test(without_memory_a_tree_that_shrinks_leaves_its_copies_alone),
        cmocka_unit_test(a_tree_that_has_shrunk_keeps_little),
        cmocka_unit_test(an_empty_tree_has_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
