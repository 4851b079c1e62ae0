/*
 * Threads that look things up and free snapshots, while another builds the next ones out of those. What they find is what was
 * found when the snapshot was new. Says most under a sanitizer.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "mesh_digest.h"
#include "mesh_fixture.h"
#include "mesh_model.h"

enum { NUM_READERS = 3, ROUNDS = 250, MAILBOX = 4 };

/* As in a worker: what was published last, taken by whoever comes. */
struct published {
    struct mesh_snapshot *snapshot;
    uint64_t digest;
};

static struct {
    pthread_mutex_t lock;
    struct published box[MAILBOX]; /* old ones too: readers free them in any order */
    bool done;
    atomic_uint num_wrong;
    atomic_uint num_read;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void publish(unsigned place, struct mesh_snapshot *snapshot)
{
    struct published next = {mesh_snapshot_ref(snapshot), mesh_digest_quick(snapshot)};
    pthread_mutex_lock(&shared.lock);
    struct published before = shared.box[place];
    shared.box[place] = next;
    pthread_mutex_unlock(&shared.lock);
    mesh_snapshot_unref(before.snapshot);
}

/* False: no more will come. */
static bool take(unsigned place, struct published *taken)
{
    pthread_mutex_lock(&shared.lock);
    *taken = shared.box[place];
    if (taken->snapshot != NULL)
        mesh_snapshot_ref(taken->snapshot);
    bool more = !shared.done;
    pthread_mutex_unlock(&shared.lock);
    return more;
}

static bool touch(void *owner, struct mesh_interest *interest)
{
    mesh_interest_touch(interest, *(const uint32_t *)owner);
    return true;
}

static void *read_on(void *argument)
{
    const unsigned *first_place = argument;
    uint32_t now_s = 0;
    bool more = true;
    for (unsigned place = *first_place; more; place++) {
        struct published taken;
        more = take(place % MAILBOX, &taken);
        if (taken.snapshot == NULL)
            continue;
        now_s++;
        mesh_snapshot_each_answered(taken.snapshot, touch, &now_s);
        if (mesh_digest_quick(taken.snapshot) != taken.digest)
            shared.num_wrong++;
        shared.num_read++;
        mesh_snapshot_unref(taken.snapshot);
    }
    return NULL;
}

static void write_on(void)
{
    struct mesh_model model = {0};
    struct mesh_snapshot *snapshot = NULL;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct mesh_builder *builder = mesh_builder_new(snapshot);
        assert_non_null(builder);
        for (unsigned i = round == 0 ? 400 : 5; i-- > 0;)
            mesh_model_change(&model, builder);
        mesh_snapshot_unref(snapshot);
        snapshot = fixture_build(builder);
        publish(mesh_model_random(MAILBOX), snapshot);
    }
    mesh_snapshot_unref(snapshot);
}

static void readers_are_not_disturbed_by_who_builds_and_frees(void **state)
{
    (void)state;
    pthread_t readers[NUM_READERS];
    unsigned first_places[NUM_READERS];
    for (unsigned i = 0; i < NUM_READERS; i++) {
        first_places[i] = i;
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &first_places[i]), 0);
    }
    write_on();
    pthread_mutex_lock(&shared.lock);
    shared.done = true;
    pthread_mutex_unlock(&shared.lock);
    for (unsigned i = 0; i < NUM_READERS; i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    for (unsigned i = 0; i < MAILBOX; i++)
        mesh_snapshot_unref(shared.box[i].snapshot);
    assert_int_equal(shared.num_wrong, 0);
    assert_true(shared.num_read > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_are_not_disturbed_by_who_builds_and_frees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
