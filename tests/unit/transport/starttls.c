/* Asking for TLS in clear: what counts as yes, and what everything else is called. */
#include "starttls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "pipe.h"

enum { LONG_MS = 20 * 1000, SHORT_MS = 20 };

static struct net_loop *loop;
static struct pipe_end pipes[2]; /* the server's, ours */
static struct net_timer *watchdog;
static struct buf asked; /* what the server has been asked */

static struct {
    bool over;
    struct stream *stream;
    enum reason reason;
    char error[ERR_MESSAGE_MAX];
} answer;

static const uint8_t postgresql[] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};

static void server_on_read(void *owner, const uint8_t *bytes, size_t len)
{
    buf_append(&asked, bytes, len);
    net_loop_stop(loop);
}

static void server_on_eof(void *owner)
{
}

static void server_on_failed(void *owner, enum stream_fault fault, const struct err *err)
{
}

static const struct stream_handler server_handler = {
    .on_read = server_on_read,
    .on_eof = server_on_eof,
    .on_failed = server_on_failed,
};

static void on_done(void *owner, struct stream *stream, enum reason reason, const struct err *err)
{
    assert_false(answer.over);
    answer.over = true;
    answer.stream = stream;
    answer.reason = reason;
    assert_int_equal(stream != NULL, reason == REASON_DONE);
    assert_int_equal(stream == NULL, err != NULL);
    if (err != NULL)
        snprintf(answer.error, sizeof(answer.error), "%s", err->message);
    net_loop_stop(loop);
}

static void on_watchdog(void *owner)
{
    fail_msg("what the test waits for did not come");
}

static int setup(void **state)
{
    struct err err;
    memset(&answer, 0, sizeof(answer));
    loop = net_loop_new(&err);
    assert_non_null(loop);
    watchdog = net_timer_new(loop, on_watchdog, NULL);
    assert_non_null(watchdog);
    net_timer_start(watchdog, LONG_MS);
    pipe_init(pipes, loop);
    stream_set_handler(&pipes[0].stream, &server_handler, NULL);
    stream_read_start(&pipes[0].stream);
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < 2; i++)
        if (!pipes[i].closed)
            stream_close(&pipes[i].stream);
    net_timer_free(watchdog);
    pipe_done(pipes);
    buf_done(&asked);
    assert_int_equal(net_loop_free(loop), 0);
    return 0;
}

static struct starttls_request *ask(uint64_t timeout_ms)
{
    struct starttls_request *request =
        starttls_start(loop, &pipes[1].stream, STARTTLS_POSTGRESQL, timeout_ms, on_done, NULL);
    assert_non_null(request);
    net_loop_run(loop);
    assert_int_equal(buf_len(&asked), sizeof(postgresql));
    assert_memory_equal(buf_head(&asked), postgresql, sizeof(postgresql));
    return request;
}

static void until_over(void)
{
    while (!answer.over)
        net_loop_run(loop);
}

static void a_yes_gives_the_stream_back_with_nothing_read(void **state)
{
    ask(LONG_MS);
    assert_false(answer.over);
    stream_write(&pipes[0].stream, (const uint8_t *)"S", 1);
    until_over();
    assert_int_equal(answer.reason, REASON_DONE);
    assert_ptr_equal(answer.stream, &pipes[1].stream);
    assert_false(pipes[1].reading);
    assert_false(pipes[1].closed);
}

struct answer_case {
    const char *bytes;
    const char *words;
};

static void every_other_answer_is_a_failure_that_says_what_it_was(void **state)
{
    static const struct answer_case CASES[] = {
        {"N", "does not do TLS"},
        {"NS", "does not do TLS"},
        {"E\0\0\0\x10", "with an error"},
        {"H", "is this a PostgreSQL?"},
        {"\x16\x03", "is this a PostgreSQL?"},
        /* CVE-2021-23222: read as if it had come inside of TLS. */
        {"SC", "1 bytes in clear after the answer"},
        {"SRRRRRRRRRRRRRRRR", "16 bytes in clear after the answer"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        ask(LONG_MS);
        stream_write(&pipes[0].stream, (const uint8_t *)CASES[i].bytes, strlen(CASES[i].bytes));
        until_over();
        assert_int_equal(answer.reason, REASON_TLS_FAILED);
        if (strstr(answer.error, CASES[i].words) == NULL)
            fail_msg("case %zu: %s", i, answer.error);
        assert_true(pipes[1].closed);
        teardown(state);
        setup(state);
    }
}

static void a_server_that_hangs_up_or_breaks_is_a_failure(void **state)
{
    ask(LONG_MS);
    stream_shutdown(&pipes[0].stream);
    until_over();
    assert_int_equal(answer.reason, REASON_TLS_FAILED);
    assert_non_null(strstr(answer.error, "closed the connection"));
    assert_true(pipes[1].closed);
    teardown(state);
    setup(state);
    ask(LONG_MS);
    pipe_fail(&pipes[1], STREAM_FAULT_RESET);
    until_over();
    assert_int_equal(answer.reason, REASON_TLS_FAILED);
    assert_non_null(strstr(answer.error, "asking for TLS"));
    assert_true(pipes[1].closed);
}

static void a_server_that_says_nothing_times_out(void **state)
{
    ask(SHORT_MS);
    until_over();
    assert_int_equal(answer.reason, REASON_TLS_TIMEOUT);
    assert_non_null(strstr(answer.error, "after 20 ms"));
    assert_true(pipes[1].closed);
}

static void who_gives_up_hears_nothing(void **state)
{
    starttls_cancel(ask(LONG_MS));
    assert_true(pipes[1].closed);
    assert_false(answer.over);
    starttls_cancel(NULL);
}

#define STARTTLS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STARTTLS_TEST(a_yes_gives_the_stream_back_with_nothing_read),
        STARTTLS_TEST(every_other_answer_is_a_failure_that_says_what_it_was),
        STARTTLS_TEST(a_server_that_hangs_up_or_breaks_is_a_failure),
        STARTTLS_TEST(a_server_that_says_nothing_times_out),
        STARTTLS_TEST(who_gives_up_hears_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
