/*
 * Out of memory at every point of a tunnel's life, one after the other: something fails, nothing
 * crashes, nothing hangs, nothing is left behind. The linker puts our allocators before the C
 * library's (--wrap); what libraries allocate themselves is not touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hbone_world.h"

static unsigned countdown; /* the allocation that fails; 0: none */
static bool has_failed;

static bool is_to_fail(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    has_failed = true;
    return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t num, size_t size);
void *__wrap_calloc(size_t num, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    return is_to_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t num, size_t size)
{
    return is_to_fail() ? NULL : __real_calloc(num, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return is_to_fail() ? NULL : __real_realloc(old, size);
}

static struct world world;

static bool call_is_over(struct world *w)
{
    return w->calls[0].done || w->calls[0].wait == NULL;
}

static bool is_at_the_end(const struct end *end)
{
    return end->failed || (end->eof && end->shutdown);
}

static bool tunnel_is_over(struct world *w)
{
    return is_at_the_end(&w->calls[0].end) || is_at_the_end(&w->gots[0].end);
}

/*
 * Bytes that do not fit the window, so that they are queued here and parked there, then both ends.
 */
static void use_tunnel(void)
{
    static const uint8_t bytes[600 * 1000];
    struct stream *near = world.calls[0].end.stream;
    struct stream *far = world.gots[0].end.stream;
    stream_read_stop(far);
    stream_write(near, bytes, sizeof(bytes));
    stream_shutdown(near);
    world_settle(&world);
    stream_write(far, bytes, sizeof(bytes));
    stream_shutdown(far);
    stream_read_start(far);
    world_until(&world, tunnel_is_over);
}

/* True when all went well, because nothing failed. */
static bool live_through(unsigned failing)
{
    has_failed = false;
    countdown = 0;
    world_init(&world);
    world.is_tolerant = true;
    world.pool_options.answer_timeout_ms = 300;
    world.pool_options.conn.tls_timeout_ms = 300;
    world_open(&world);
    countdown = failing;
    world_call(&world);
    world_until(&world, call_is_over);
    bool open = world.calls[0].end.stream != NULL && world.gots[0].end.stream != NULL;
    if (open)
        use_tunnel();
    countdown = 0;
    bool well = open && !has_failed;
    world_done(&world);
    return well;
}

static void every_allocation_may_fail(void **state)
{
    unsigned failing = 1;
    while (!live_through(failing))
        failing++;
    print_message("%u allocations\n", failing - 1);
    assert_true(failing > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
