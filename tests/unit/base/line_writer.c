#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "line_writer.h"

enum { CAPACITY = 4096 };

static size_t read_all(int fd, char *out, size_t max)
{
    size_t len = 0;
    ssize_t got;
    while (len < max && (got = read(fd, out + len, max - len)) > 0)
        len += (size_t)got;
    return len;
}

/* Leaves no room in the pipe. */
static void fill(int fd)
{
    char bytes[4096] = {0};
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    fcntl(fd, F_SETFL, 0);
}

static void lines_arrive_whole_and_in_order(void **state)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct line_writer *writer = line_writer_new(fds[1], 1 << 20, NULL);
    assert_non_null(writer);
    enum { NUM_LINES = 4000 };
    for (int i = 0; i < NUM_LINES; i++) {
        char line[32];
        int len = snprintf(line, sizeof(line), "line %d\n", i);
        line_writer_put(writer, line, (size_t)len);
    }
    for (int i = 0; i < NUM_LINES; i++) {
        char line[32], expected[32];
        snprintf(expected, sizeof(expected), "line %d\n", i);
        assert_int_equal(read_all(fds[0], line, strlen(expected)), strlen(expected));
        assert_memory_equal(line, expected, strlen(expected));
    }
    assert_int_equal(line_writer_dropped(writer), 0);
    line_writer_free(writer, 1000);
    close(fds[0]);
    close(fds[1]);
}

static void freeing_flushes_what_is_queued(void **state)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct line_writer *writer = line_writer_new(fds[1], CAPACITY, NULL);
    for (int i = 0; i < 100; i++)
        line_writer_put(writer, "0123456789\n", 11);
    line_writer_free(writer, 30000);
    close(fds[1]);
    char out[4096];
    assert_int_equal(read_all(fds[0], out, sizeof(out)), 1100);
    close(fds[0]);
}

static void a_blocked_reader_costs_lines_and_no_waiting(void **state)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    fill(fds[1]);
    struct line_writer *writer = line_writer_new(fds[1], CAPACITY, NULL);
    /* That this ends at all is the point: nobody reads. */
    for (int i = 0; i < 100000; i++)
        line_writer_put(writer, "0123456789\n", 11);
    uint64_t kept = CAPACITY / 11;
    assert_int_equal(line_writer_dropped(writer), 100000 - kept);
    line_writer_free(writer, 10);
    close(fds[0]);
    close(fds[1]);
}

static void after_a_block_whole_lines_go_on(void **state)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    fill(fds[1]);
    struct line_writer *writer = line_writer_new(fds[1], CAPACITY, NULL);
    for (int i = 0; i < 1000; i++)
        line_writer_put(writer, "0123456789\n", 11);
    uint64_t num_lines = 1000 - line_writer_dropped(writer);
    char byte;
    do
        assert_int_equal(read(fds[0], &byte, 1), 1);
    while (byte == 0);
    size_t len = 1;
    char out[CAPACITY] = {byte};
    len += read_all(fds[0], out + 1, num_lines * 11 - 1);
    assert_int_equal(len, num_lines * 11);
    for (uint64_t i = 0; i < num_lines; i++)
        assert_memory_equal(out + i * 11, "0123456789\n", 11);
    line_writer_free(writer, 1000);
    close(fds[0]);
    close(fds[1]);
}

static void a_line_larger_than_the_ring_is_dropped(void **state)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct line_writer *writer = line_writer_new(fds[1], 64, NULL);
    char line[65];
    memset(line, 'x', sizeof(line));
    line_writer_put(writer, line, sizeof(line));
    assert_int_equal(line_writer_dropped(writer), 1);
    line_writer_put(writer, line, 64);
    assert_int_equal(line_writer_dropped(writer), 1);
    line_writer_free(writer, 30000);
    close(fds[1]);
    char out[128];
    assert_int_equal(read_all(fds[0], out, sizeof(out)), 64);
    close(fds[0]);
}

static void a_reader_that_went_away_kills_nobody(void **state)
{
    int pair[2], fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(pair[0]);
    const int broken[] = {fds[1], pair[1]};
    for (size_t i = 0; i < 2; i++) {
        struct line_writer *writer = line_writer_new(broken[i], CAPACITY, NULL);
        line_writer_put(writer, "a\nb\n", 4);
        line_writer_put(writer, "c\n", 2);
        while (line_writer_dropped(writer) < 3)
            poll(NULL, 0, 1);
        line_writer_free(writer, 1000);
        close(broken[i]);
    }
}

struct producer {
    struct line_writer *writer;
    char letter;
};

static void *produce(void *arg)
{
    const struct producer *producer = arg;
    char line[50];
    memset(line, producer->letter, sizeof(line));
    line[sizeof(line) - 1] = '\n';
    for (int i = 0; i < 500; i++)
        line_writer_put(producer->writer, line, sizeof(line));
    return NULL;
}

static void threads_do_not_mix_their_lines(void **state)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct line_writer *writer = line_writer_new(pair[1], 1 << 18, NULL);
    pthread_t threads[3];
    struct producer producers[3];
    for (int i = 0; i < 3; i++) {
        producers[i] = (struct producer){.writer = writer, .letter = (char)('a' + i)};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    for (int i = 0; i < 1500; i++) {
        char line[50];
        assert_int_equal(read_all(pair[0], line, sizeof(line)), sizeof(line));
        for (size_t j = 1; j < sizeof(line) - 1; j++)
            assert_int_equal(line[j], line[0]);
        assert_int_equal(line[sizeof(line) - 1], '\n');
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    line_writer_free(writer, 1000);
    close(pair[0]);
    close(pair[1]);
}

static void the_capacity_is_a_power_of_two(void **state)
{
    struct err err;
    assert_null(line_writer_new(1, 0, &err));
    assert_null(line_writer_new(1, 1000, &err));
    assert_int_equal(err.kind, ERR_INVALID);
    line_writer_free(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_arrive_whole_and_in_order),
        cmocka_unit_test(freeing_flushes_what_is_queued),
        cmocka_unit_test(a_blocked_reader_costs_lines_and_no_waiting),
        cmocka_unit_test(after_a_block_whole_lines_go_on),
        cmocka_unit_test(a_line_larger_than_the_ring_is_dropped),
        cmocka_unit_test(a_reader_that_went_away_kills_nobody),
        cmocka_unit_test(threads_do_not_mix_their_lines),
        cmocka_unit_test(the_capacity_is_a_power_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
