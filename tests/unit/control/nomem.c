/* Each allocation fails once in turn: whatever is lost is had again, and nothing is half there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "istiod.h"
#include "xds_mesh.h"

/* Allocations of the client until the one that fails; below 0: none fails any more. */
static long countdown = -1;
static bool armed;

void *__real_malloc(size_t size);
void *__real_calloc(size_t num, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t num, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

static bool fails(void)
{
    return armed && countdown >= 0 && countdown-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t num, size_t size)
{
    return fails() ? NULL : __real_calloc(num, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

static const char *const wanted[] = {"/10.0.0.1", "/10.1.0.1", "/10.0.0.9", "e/1"};
enum { NUM_WANTED = 4 };

struct world {
    struct istiod *istiod;
    struct istiod_stream *stream;
    struct xds_delta *delta;
    struct xds_mesh mesh;
    bool subscribed[NUM_WANTED];
};

static int on_resource(void *owner, const struct xds_resource *resource, struct err *err)
{
    struct world *world = owner;
    return xds_mesh_put(&world->mesh, resource, err);
}

static void on_removed(void *owner, enum xds_type type, const char *name)
{
    struct world *world = owner;
    xds_mesh_remove(&world->mesh, type, name);
}

static void on_answered(void *owner, const char *name, const char *by)
{
}

static void on_unanswered(void *owner, const char *name)
{
}

static void on_rejected(void *owner, enum xds_type type, const char *name, const char *reason)
{
    if (strstr(reason, "out of memory") == NULL)
        fail_msg("%s: %s", name, reason);
}

static const struct xds_delta_handler handler = {
    .on_resource = on_resource,
    .on_removed = on_removed,
    .on_answered = on_answered,
    .on_unanswered = on_unanswered,
    .on_rejected = on_rejected,
};

static void open_stream(struct world *world)
{
    if (world->stream != NULL)
        istiod_stream_free(world->stream);
    world->stream = istiod_stream_new(world->istiod);
    xds_delta_start(world->delta);
}

/* As the source does when memory was out. */
static void start_over(struct world *world)
{
    static const struct xds_node node = {.pod_name = "cart", .namespace_ = "shop"};
    struct err err;
    xds_delta_free(world->delta);
    xds_mesh_start_over(&world->mesh);
    memset(world->subscribed, 0, sizeof(world->subscribed));
    do {
        armed = true;
        world->delta =
            xds_delta_new(&(struct xds_delta_options){.node = &node}, &handler, world, &err);
        armed = false;
    } while (world->delta == NULL);
    open_stream(world);
}

static bool send_one(struct world *world)
{
    struct buf request = {0};
    struct err err;
    armed = true;
    int due = xds_delta_next_request(world->delta, &request, &err);
    armed = false;
    if (due > 0)
        istiod_receive(world->stream, buf_head(&request), buf_len(&request));
    else if (due < 0)
        open_stream(world);
    buf_done(&request);
    return due != 0;
}

static bool receive_one(struct world *world)
{
    struct buf message;
    struct xds_delta_answer answer;
    struct err err;
    if (!istiod_next(world->stream, &message))
        return false;
    armed = true;
    int result =
        xds_delta_receive(world->delta, buf_head(&message), buf_len(&message), &answer, &err);
    armed = false;
    buf_done(&message);
    if (world->mesh.failed)
        start_over(world);
    else if (result < 0)
        open_stream(world);
    return true;
}

static void build(struct world *world)
{
    struct err err;
    armed = true;
    bool failed = xds_mesh_is_changed(&world->mesh) && xds_mesh_build(&world->mesh, NULL, &err) < 0;
    armed = false;
    if (failed)
        start_over(world);
}

static void subscribe(struct world *world)
{
    struct err err;
    for (size_t i = 0; i < NUM_WANTED; i++) {
        armed = true;
        if (!world->subscribed[i])
            world->subscribed[i] = xds_delta_subscribe(world->delta, wanted[i], &err) >= 0;
        armed = false;
    }
}

static void talk(struct world *world)
{
    bool more = true;
    while (more) {
        subscribe(world);
        more = send_one(world);
        more = receive_one(world) || more;
        if (!more) {
            build(world);
            more = !world->subscribed[NUM_WANTED - 1] || xds_mesh_is_changed(&world->mesh) ||
                   world->mesh.snapshot == NULL || world->mesh.starting_over;
        }
    }
}

static void check(struct world *world)
{
    struct mesh_counts counts = mesh_snapshot_counts(world->mesh.snapshot);
    assert_int_equal(counts.workloads, 3);
    assert_int_equal(counts.services, 1);
    assert_int_equal(counts.policies, 1);
    assert_int_equal(xds_delta_num_held(world->delta, XDS_ADDRESS), 4);
    assert_int_equal(xds_delta_num_held(world->delta, XDS_AUTHORIZATION), 1);
    assert_non_null(mesh_snapshot_workload_by_uid(world->mesh.snapshot, "e/3"));
    assert_null(mesh_snapshot_workload_by_uid(world->mesh.snapshot, "e/2"));
}

/* False: there was nothing left that could fail. */
static bool run(long at)
{
    struct world world = {.istiod = istiod_new()};
    countdown = at;
    xds_mesh_init(&world.mesh, true);
    istiod_put_workload(world.istiod, "own", "10.0.0.1", NULL);
    istiod_put_service(world.istiod, "shop/web", "10.1.0.1");
    istiod_put_workload(world.istiod, "e/1", "10.0.0.2", "shop/web");
    istiod_put_workload(world.istiod, "e/2", "10.0.0.3", "shop/web");
    istiod_put_policy(world.istiod, "shop/p", true);
    start_over(&world);
    talk(&world);
    istiod_remove(world.istiod, XDS_ADDRESS, "e/2");
    istiod_put_workload(world.istiod, "e/3", "10.0.0.4", "shop/web");
    istiod_put_policy(world.istiod, "shop/p", false);
    istiod_push(world.stream);
    armed = true;
    xds_delta_ask_again_by(world.delta, "shop/web");
    armed = false;
    talk(&world);
    check(&world);
    bool failed = countdown < 0;
    countdown = -1;
    xds_delta_free(world.delta);
    xds_mesh_done(&world.mesh);
    istiod_stream_free(world.stream);
    istiod_free(world.istiod);
    return failed;
}

static void every_failed_allocation_is_got_over(void **state)
{
    long at = 0;
    while (run(at))
        at++;
    assert_true(at > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_failed_allocation_is_got_over)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
