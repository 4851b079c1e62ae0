#include "action.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const NO_ENV[] = {NULL};

/* An action on a loop, and what it said. The loop is run until so many results are there. */
struct stage {
    struct net_loop *loop;
    struct action *action;
    char folder[64];
    unsigned num_ok, num_failed, wanted;
    struct err err;
    uint64_t retry_ms;
};

static void on_done(void *owner, const struct err *err, uint64_t retry_ms)
{
    struct stage *stage = owner;
    stage->num_ok += err == NULL;
    stage->num_failed += err != NULL;
    stage->retry_ms = retry_ms;
    if (err != NULL)
        stage->err = *err;
    if (stage->num_ok + stage->num_failed == stage->wanted)
        net_loop_stop(stage->loop);
}

static int make_stage(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    struct err err;
    strcpy(stage->folder, "/tmp/remora-action-XXXXXX");
    stage->loop = net_loop_new(&err);
    *state = stage;
    return mkdtemp(stage->folder) == NULL || stage->loop == NULL ? -1 : 0;
}

static int free_stage(void **state)
{
    struct stage *stage = *state;
    action_free(stage->action);
    int num_left = net_loop_free(stage->loop);
    char command[96];
    snprintf(command, sizeof(command), "rm -rf %s", stage->folder);
    int result = system(command);
    free(stage);
    return num_left + result;
}

static const char *in(const struct stage *stage, const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", stage->folder, name);
    return path;
}

static void open_action(struct stage *stage, const struct action_options *options)
{
    struct err err;
    stage->action = action_new(stage->loop, options, on_done, stage, &err);
    if (stage->action == NULL)
        fail_msg("%s", err.message);
}

/* A hook that is a shell's line; %s in it is the folder. */
static void open_hook(struct stage *stage, const char *line, uint64_t timeout_ms)
{
    char hook[512];
    snprintf(hook, sizeof(hook), "sh -c '%s' sh %s", line, stage->folder);
    open_action(stage, &(struct action_options){
                           .hook = hook, .hook_timeout_ms = timeout_ms, .pid_file = ""});
}

static void run_until(struct stage *stage, unsigned num_results)
{
    stage->wanted = num_results;
    net_loop_run(stage->loop);
    assert_int_equal(stage->num_ok + stage->num_failed, num_results);
}

static void on_stop(void *owner)
{
    net_loop_stop(owner);
}

/* What was started is under way then. */
static void run_one_turn(struct stage *stage)
{
    struct net_task stop = {.run = on_stop, .owner = stage->loop};
    net_task_schedule(stage->loop, &stop);
    net_loop_run(stage->loop);
}

static void put(const struct stage *stage, const char *name, const char *text)
{
    int fd = open(in(stage, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void expect_content(const struct stage *stage, const char *name, const char *expected)
{
    char text[256] = "";
    int fd = open(in(stage, name), O_RDONLY);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) >= 0);
    close(fd);
    assert_string_equal(text, expected);
}

/* --------------------------------------------------------------------------------------- hooks -- */

static void a_hook_runs_with_its_words_and_variables(void **state)
{
    struct stage *stage = *state;
    setenv("REMORA_TEST_INHERITED", "yes", 1);
    setenv("REMORA_TEST_OURS", "of the environment", 1);
    open_hook(stage, "printf \"%s-%s\" \"$REMORA_TEST_OURS\" $REMORA_TEST_INHERITED > \"$1/out\"",
              10000);
    action_start(stage->action, (const char *const[]){"REMORA_TEST_OURS=of the caller", NULL});
    assert_int_equal(stage->num_ok + stage->num_failed, 0);
    run_until(stage, 1);
    assert_int_equal(stage->num_ok, 1);
    expect_content(stage, "out", "of the caller-yes");
}

static void a_hook_begins_with_default_signals_and_no_input(void **state)
{
    struct stage *stage = *state;
    /* Signals 1 to 28; the C library keeps two of the later ones for itself. */
    open_hook(stage,
              "cat > \"$1/in\"; sed -n -E \"s/^Sig(Blk|Ign):.*(.{7})$/\\1 \\2/p\" "
              "/proc/self/status > \"$1/out\"",
              10000);
    action_start(stage->action, NO_ENV);
    run_until(stage, 1);
    expect_content(stage, "in", "");
    expect_content(stage, "out", "Blk 0000000\nIgn 0000000\n");
}

static void a_hook_that_fails_is_named_and_run_again(void **state)
{
    struct stage *stage = *state;
    open_hook(stage, "test -e \"$1/ok\" && exit 0; : > \"$1/ok\"; exit 3", 10000);
    action_start(stage->action, NO_ENV);
    run_until(stage, 1);
    assert_int_equal(stage->num_failed, 1);
    assert_string_equal(stage->err.message, "sh: exit code 3");
    assert_int_equal(stage->retry_ms, ACTION_RETRY_FIRST_MS);
    run_until(stage, 2);
    assert_int_equal(stage->num_ok, 1);
}

static void a_hook_that_is_not_there_is_named(void **state)
{
    struct stage *stage = *state;
    open_action(stage, &(struct action_options){
                           .hook = "/nowhere/hook now", .hook_timeout_ms = 1000, .pid_file = ""});
    action_start(stage->action, NO_ENV);
    run_until(stage, 1);
    assert_int_equal(stage->num_failed, 1);
    assert_non_null(strstr(stage->err.message, "/nowhere/hook: cannot be run: No such file"));
}

static void a_hook_that_a_signal_ends_is_named(void **state)
{
    struct stage *stage = *state;
    open_hook(stage, "kill -USR1 $$", 10000);
    action_start(stage->action, NO_ENV);
    run_until(stage, 1);
    assert_non_null(strstr(stage->err.message, "sh: ended by signal"));
}

static void a_hook_that_does_not_end_is_ended_with_all_its_children(void **state)
{
    struct stage *stage = *state;
    open_hook(stage, "trap \"\" TERM; sleep 1000 & echo $! > \"$1/pid\"; wait; wait; sleep 1000",
              300);
    action_start(stage->action, NO_ENV);
    run_until(stage, 1);
    assert_int_equal(stage->num_failed, 1);
    assert_int_equal(stage->err.kind, ERR_TIMEOUT);
    assert_non_null(strstr(stage->err.message, "did not end within 300 ms"));
    char text[32] = "";
    int fd = open(in(stage, "pid"), O_RDONLY);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_true(atoi(text) > 1);
    /* It may be a zombie until its new parent has seen it. */
    char command[96];
    snprintf(command, sizeof(command), "! grep -q \"^State:.*sleeping\" /proc/%d/status 2>&-",
             atoi(text));
    assert_int_equal(system(command), 0);
}

static void a_change_while_a_hook_runs_runs_it_once_more(void **state)
{
    struct stage *stage = *state;
    /* The first run waits until the second start is asked for; it then fails, which says nothing. */
    open_hook(stage,
              "echo run >> \"$1/out\"; test $(wc -l < \"$1/out\") = 1 || exit 0; "
              "kill -HUP $PPID; while ! test -e \"$1/go\"; do sleep 0.01; done; exit 1",
              10000);
    sigset_t hup;
    sigemptyset(&hup);
    sigaddset(&hup, SIGHUP);
    sigprocmask(SIG_BLOCK, &hup, NULL);
    action_start(stage->action, NO_ENV);
    run_one_turn(stage);
    int signum;
    assert_int_equal(sigwait(&hup, &signum), 0);
    action_start(stage->action, NO_ENV);
    action_start(stage->action, NO_ENV);
    put(stage, "go", "");
    run_until(stage, 1);
    sigprocmask(SIG_UNBLOCK, &hup, NULL);
    assert_int_equal(stage->num_ok, 1);
    expect_content(stage, "out", "run\nrun\n");
}

/* What the hook has left in the background is adopted by this process, which sees how it ends. */
static void a_hook_in_time_out_takes_its_whole_group_with_it(void **state)
{
    struct stage *stage = *state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    open_hook(stage,
              "(trap \"\" TERM; exec sleep 20) & echo $! > \"$1/pid.new\"; "
              "mv \"$1/pid.new\" \"$1/pid\"; wait",
              2000);
    action_start(stage->action, NO_ENV);
    run_until(stage, 1);
    assert_int_equal(stage->err.kind, ERR_TIMEOUT);
    char path[96];
    int pid = 0, status;
    snprintf(path, sizeof(path), "%s/pid", stage->folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    fclose(file);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

static void freeing_ends_a_hook_that_runs(void **state)
{
    struct stage *stage = *state;
    open_hook(stage, "kill -HUP $PPID; exec sleep 1000", 100000);
    sigset_t hup;
    sigemptyset(&hup);
    sigaddset(&hup, SIGHUP);
    sigprocmask(SIG_BLOCK, &hup, NULL);
    action_start(stage->action, NO_ENV);
    run_one_turn(stage);
    int signum, status;
    assert_int_equal(sigwait(&hup, &signum), 0);
    action_free(stage->action);
    stage->action = NULL;
    assert_true(wait(&status) > 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    sigprocmask(SIG_UNBLOCK, &hup, NULL);
}

/* ------------------------------------------------------------------------------------- signals -- */

static volatile sig_atomic_t num_usr1;

static void on_usr1(int signum)
{
    num_usr1 += signum == SIGUSR1;
}

static void a_signal_goes_to_whom_the_pid_file_names(void **state)
{
    struct stage *stage = *state;
    char path[128], text[32];
    strcpy(path, in(stage, "pid"));
    snprintf(text, sizeof(text), "%d\n", (int)getpid());
    put(stage, "pid", text);
    signal(SIGUSR1, on_usr1);
    num_usr1 = 0;
    open_action(stage, &(struct action_options){.hook = "", .signum = SIGUSR1, .pid_file = path});
    action_start(stage->action, NO_ENV);
    run_until(stage, 1);
    assert_int_equal(stage->num_ok, 1);
    assert_int_equal(num_usr1, 1);
    signal(SIGUSR1, SIG_DFL);
}

static void a_pid_file_that_names_nobody_is_named(void **state)
{
    struct stage *stage = *state;
    static const char *const TEXTS[] = {"", "\n", "0\n", "-1\n", "12x\n", "99999999999\n", "abc"};
    char path[128];
    strcpy(path, in(stage, "pid"));
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        put(stage, "pid", TEXTS[i]);
        stage->num_failed = 0;
        open_action(stage,
                    &(struct action_options){.hook = "", .signum = SIGUSR1, .pid_file = path});
        action_start(stage->action, NO_ENV);
        run_until(stage, 1);
        assert_int_equal(stage->num_failed, 1);
        assert_non_null(strstr(stage->err.message, path));
        action_free(stage->action);
        stage->action = NULL;
    }
}

static void a_missing_pid_file_is_tried_again_when_the_program_has_started(void **state)
{
    struct stage *stage = *state;
    char path[128], text[32];
    strcpy(path, in(stage, "pid"));
    signal(SIGUSR1, on_usr1);
    num_usr1 = 0;
    open_action(stage, &(struct action_options){.hook = "", .signum = SIGUSR1, .pid_file = path});
    action_start(stage->action, NO_ENV);
    run_until(stage, 1);
    assert_int_equal(stage->num_failed, 1);
    assert_non_null(strstr(stage->err.message, "No such file"));
    snprintf(text, sizeof(text), "%d", (int)getpid());
    put(stage, "pid", text);
    run_until(stage, 2);
    assert_int_equal(stage->num_ok, 1);
    assert_int_equal(num_usr1, 1);
    signal(SIGUSR1, SIG_DFL);
}

static void nothing_to_do_is_success(void **state)
{
    struct stage *stage = *state;
    open_action(stage, &(struct action_options){.hook = " ", .pid_file = ""});
    action_start(stage->action, NO_ENV);
    run_until(stage, 1);
    assert_int_equal(stage->num_ok, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_stage, free_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hook_runs_with_its_words_and_variables),
        TEST(a_hook_begins_with_default_signals_and_no_input),
        TEST(a_hook_that_fails_is_named_and_run_again),
        TEST(a_hook_that_is_not_there_is_named),
        TEST(a_hook_that_a_signal_ends_is_named),
        TEST(a_hook_that_does_not_end_is_ended_with_all_its_children),
        TEST(a_change_while_a_hook_runs_runs_it_once_more),
        TEST(a_hook_in_time_out_takes_its_whole_group_with_it),
        TEST(freeing_ends_a_hook_that_runs),
        TEST(a_signal_goes_to_whom_the_pid_file_names),
        TEST(a_pid_file_that_names_nobody_is_named),
        TEST(a_missing_pid_file_is_tried_again_when_the_program_has_started),
        TEST(nothing_to_do_is_success),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
