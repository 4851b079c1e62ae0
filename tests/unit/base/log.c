#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/* Runs `body` with stderr in a pipe and gives what was written. */
static char *captured(void (*body)(void))
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    int saved = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    body();
    dup2(saved, STDERR_FILENO);
    close(saved);
    char out[4096];
    ssize_t len = 0, got;
    while ((got = read(fds[0], out + len, sizeof(out) - 1 - (size_t)len)) > 0)
        len += got;
    out[len] = '\0';
    close(fds[0]);
    return strdup(out);
}

static void log_without_init(void)
{
    LOG_INFO("test", "shown", LOG_U("n", 1));
    LOG_DEBUG("test", "hidden", LOG_U("n", 2));
}

static void before_init_info_goes_to_stderr_as_text(void **state)
{
    char *out = captured(log_without_init);
    assert_non_null(strstr(out, " info test \"shown\" n=1\n"));
    assert_null(strstr(out, "hidden"));
    free(out);
}

static void log_with_init(void)
{
    assert_int_equal(log_init(LOG_LEVEL_WARN, LOG_JSON, NULL), 0);
    LOG_INFO("test", "hidden", LOG_U("n", 1));
    LOG_WARN("test", "shown", LOG_S("k", "v"), LOG_I("i", -1));
    LOG_ERROR("test", "also shown", LOG_S("k", NULL));
    log_done();
    LOG_ERROR("test", "after the end", LOG_U("n", 1));
}

static void level_and_format_are_obeyed_and_nothing_is_lost_at_the_end(void **state)
{
    char *out = captured(log_with_init);
    assert_non_null(strstr(
        out,
        "\"level\":\"warn\",\"module\":\"test\",\"message\":\"shown\",\"k\":\"v\",\"i\":-1}\n"));
    assert_non_null(strstr(out, "\"message\":\"also shown\"}\n"));
    assert_non_null(strstr(out, "\"message\":\"after the end\",\"n\":1}\n"));
    assert_null(strstr(out, "hidden"));
    assert_int_equal(log_dropped(), 0);
    free(out);
}

static void log_to_blocked(void)
{
    char bytes[4096] = {0};
    fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    while (write(STDERR_FILENO, bytes, sizeof(bytes)) > 0)
        ;
    fcntl(STDERR_FILENO, F_SETFL, 0);
    LOG_ERROR("test", "no room", LOG_U("n", 1));
    /* The pipe's reader reads until its end: let it come soon. */
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO);
    close(null);
}

static void a_blocked_stderr_does_not_stop_who_logs_without_init(void **state)
{
    uint64_t before = log_dropped();
    free(captured(log_to_blocked));
    assert_int_equal(log_dropped(), before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_init_info_goes_to_stderr_as_text),
        cmocka_unit_test(level_and_format_are_obeyed_and_nothing_is_lost_at_the_end),
        cmocka_unit_test(a_blocked_stderr_does_not_stop_who_logs_without_init),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
