/* options: precedence, values and their messages, with a small table of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "options.h"

struct values {
    const char *config;
    const char *text;
    uint32_t number;
    uint16_t port;
    uint64_t wait_ms;
    uint64_t bytes;
    bool flag;
    int choice;
    struct addr listen;
    bool once;
};

static const char *const choices[] = {"one", "two", "three", NULL};

#define FIELD(name_) .offset = offsetof(struct values, name_)

static const struct option_spec specs[] = {
    {.name = "config",
     .type = OPTION_PATH,
     FIELD(config),
     .default_value = "",
     .section = "A",
     .help = "File."},
    {.name = "text",
     .type = OPTION_TEXT,
     FIELD(text),
     .default_value = "none",
     .aliases = {"OTHER_TEXT", "THIRD_TEXT"},
     .section = "A",
     .help = "Text with a | bar."},
    {.name = "number",
     .type = OPTION_U32,
     FIELD(number),
     .default_value = "7",
     .min = 1,
     .max = 100,
     .section = "A",
     .help = "Number."},
    {.name = "port",
     .type = OPTION_PORT,
     FIELD(port),
     .default_value = "15001",
     .section = "A",
     .help = "Port."},
    {.name = "wait-time",
     .type = OPTION_DURATION,
     FIELD(wait_ms),
     .default_value = "10s",
     .min = 0,
     .max = 3600000,
     .section = "B",
     .help = "Wait."},
    {.name = "bytes",
     .type = OPTION_SIZE,
     FIELD(bytes),
     .default_value = "64KiB",
     .min = 1024,
     .max = 1073741824,
     .section = "B",
     .help = "Bytes."},
    {.name = "flag",
     .type = OPTION_BOOL,
     FIELD(flag),
     .default_value = "false",
     .section = "B",
     .help = "Flag."},
    {.name = "choice",
     .type = OPTION_ENUM,
     FIELD(choice),
     .default_value = "one",
     .choices = choices,
     .section = "B",
     .help = "Choice."},
    {.name = "listen",
     .type = OPTION_ADDR,
     FIELD(listen),
     .default_value = "127.0.0.1:80",
     .section = "B",
     .help = "Listen."},
    {.name = "once",
     .type = OPTION_BOOL,
     FIELD(once),
     .default_value = "false",
     .command_only = true,
     .section = "B",
     .help = "Once."},
};

static const struct option_table table = {.program = "prog",
                                          .description = "tests options",
                                          .env_prefix = "PRE_",
                                          .config_name = "config",
                                          .specs = specs,
                                          .num_specs = sizeof(specs) / sizeof(specs[0])};

enum { ARGS_MAX = 8 };

/* Parses the words (each list ends with NULL). */
static struct options *parse_with(const struct option_table *with, const char *const *args,
                                  const char *const *env, struct values *values, struct err *err)
{
    char *argv[ARGS_MAX + 2] = {(char *)(uintptr_t) "prog"};
    char *envp[ARGS_MAX + 1] = {0};
    static char
        *kept_env[ARGS_MAX + 1]; /* options keep the environment's pointers, as main's would stay */
    int argc = 1;
    for (; args != NULL && args[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)args[argc - 1];
    for (size_t i = 0; env != NULL && env[i] != NULL; i++)
        envp[i] = (char *)(uintptr_t)env[i];
    memcpy(kept_env, envp, sizeof(envp));
    *values = (struct values){0};
    *err = (struct err){0};
    return options_parse(with, argc, argv, kept_env, values, err);
}

static struct options *parse(const char *const *args, const char *const *env, struct values *values,
                             struct err *err)
{
    return parse_with(&table, args, env, values, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void defaults_hold_where_nothing_is_given(void **state)
{
    (void)state;
    struct values values;
    struct err err;
    struct options *options = parse(NULL, NULL, &values, &err);
    assert_non_null(options);
    assert_string_equal(values.text, "none");
    assert_int_equal(values.number, 7);
    assert_int_equal(values.port, 15001);
    assert_int_equal(values.wait_ms, 10000);
    assert_int_equal(values.bytes, 65536);
    assert_false(values.flag);
    assert_int_equal(values.choice, 0);
    assert_int_equal(values.listen.port, 80);
    assert_int_equal(options_source(options, "text"), OPTION_FROM_DEFAULT);
    options_free(options);
    options_free(NULL);
}

/* A file in /tmp with the content; unlinked and freed by the caller. */
static char *write_file(const char *content)
{
    char *path = strdup("/tmp/remora-options-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
    return path;
}

static void a_flag_beats_the_environment_beats_the_file_beats_the_default(void **state)
{
    (void)state;
    struct values values;
    struct err err;
    char *path = write_file("text: from-file\nnumber: 3\nflag: true\n");
    char flag[64];
    snprintf(flag, sizeof(flag), "--config=%s", path);

    struct options *options = parse(WORDS(flag), NULL, &values, &err);
    assert_non_null(options);
    assert_string_equal(values.text, "from-file");
    assert_int_equal(values.number, 3);
    assert_true(values.flag);
    assert_int_equal(options_source(options, "text"), OPTION_FROM_FILE);
    options_free(options);

    options = parse(WORDS(flag), WORDS("OTHER_TEXT=from-alias"), &values, &err);
    assert_string_equal(values.text, "from-alias");
    assert_int_equal(options_source(options, "text"), OPTION_FROM_ENVIRONMENT);
    assert_int_equal(values.number, 3);
    options_free(options);

    options = parse(WORDS(flag), WORDS("THIRD_TEXT=third", "OTHER_TEXT=alias", "PRE_TEXT=own"),
                    &values, &err);
    assert_string_equal(values.text, "own");
    options_free(options);

    options = parse(WORDS(flag, "--text", "from-flag"), WORDS("PRE_TEXT=own"), &values, &err);
    assert_string_equal(values.text, "from-flag");
    assert_int_equal(options_source(options, "text"), OPTION_FROM_FLAG);
    options_free(options);

    /* Set to nothing is not set. */
    options = parse(WORDS(flag), WORDS("PRE_TEXT=", "OTHER_TEXT="), &values, &err);
    assert_string_equal(values.text, "from-file");
    options_free(options);

    /* The file can be named by the environment. */
    char variable[64];
    snprintf(variable, sizeof(variable), "PRE_CONFIG=%s", path);
    options = parse(NULL, WORDS(variable), &values, &err);
    assert_string_equal(values.text, "from-file");
    options_free(options);
    unlink(path);
    free(path);
}

static void values_are_read_in_all_their_forms(void **state)
{
    (void)state;
    static const struct {
        const char *args[3];
        size_t offset;
        uint64_t value;
    } rows[] = {
        {{"--wait-time", "0"}, offsetof(struct values, wait_ms), 0},
        {{"--wait-time=500ms"}, offsetof(struct values, wait_ms), 500},
        {{"--wait-time", "5m"}, offsetof(struct values, wait_ms), 300000},
        {{"--wait-time", "1h"}, offsetof(struct values, wait_ms), 3600000},
        {{"--wait-time", "1m30s5ms"}, offsetof(struct values, wait_ms), 90005},
        {{"--bytes", "4096"}, offsetof(struct values, bytes), 4096},
        {{"--bytes", "1KiB"}, offsetof(struct values, bytes), 1024},
        {{"--bytes=4MiB"}, offsetof(struct values, bytes), 4194304},
        {{"--bytes", "1GiB"}, offsetof(struct values, bytes), 1073741824},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct values values;
        struct err err;
        uint64_t value;
        struct options *options = parse(rows[i].args, NULL, &values, &err);
        if (options == NULL)
            fail_msg("%s: %s", rows[i].args[0], err.message);
        memcpy(&value, (const unsigned char *)&values + rows[i].offset, sizeof(value));
        assert_int_equal(value, rows[i].value);
        options_free(options);
    }
    struct values values;
    struct err err;
    struct options *options =
        parse(WORDS("--flag", "--choice=three", "--listen", "[::1]:99", "--port", "65535"), NULL,
              &values, &err);
    assert_non_null(options);
    assert_true(values.flag);
    assert_int_equal(values.choice, 2);
    assert_int_equal(values.listen.ip.family, IP_V6);
    assert_int_equal(values.port, 65535);
    options_free(options);
}

static void what_is_wrong_is_named_with_its_source(void **state)
{
    (void)state;
    static const struct {
        const char *args[4];
        const char *env[2];
        const char *message;
    } rows[] = {
        {{"--nope"}, {0}, "--nope: no such option; --help lists them"},
        {{"--nope=1"}, {0}, "--nope: no such option; --help lists them"},
        {{"text"}, {0}, "\"text\" is no option; options begin with --"},
        {{"-t"}, {0}, "\"-t\" is no option; options begin with --"},
        {{"--"}, {0}, "\"--\" is no option; options begin with --"},
        {{"--text"}, {0}, "--text: a value is missing"},
        {{"--text=a", "--text=b"}, {0}, "--text: given twice"},
        {{"--flag", "false"}, {0}, "\"false\" is no option; options begin with --"},
        {{"--flag=yes"}, {0}, "--flag: expected true or false, found \"yes\""},
        {{"--text=a\nb"}, {0}, "--text: expected text without control characters, found \"a\nb\""},
        {{"--number", "x"}, {0}, "--number: expected a number, found \"x\""},
        {{"--number", "0"}, {0}, "--number: expected 1 to 100, found \"0\""},
        {{"--number", "99999999999999999999"},
         {0},
         "--number: expected a number, found \"99999999999999999999\""},
        {{"--number", "-1"}, {0}, "--number: expected a number, found \"-1\""},
        {{"--port", "0"}, {0}, "--port: expected a port from 1 to 65535, found \"0\""},
        {{"--port", "65536"}, {0}, "--port: expected a port from 1 to 65535, found \"65536\""},
        {{"--wait-time", "10"},
         {0},
         "--wait-time: expected a duration with its unit (ms, s, m or h), as in \"10s\", found "
         "\"10\""},
        {{"--wait-time", "s"},
         {0},
         "--wait-time: expected a duration with its unit (ms, s, m or h), as in \"10s\", found "
         "\"s\""},
        {{"--wait-time", "1.5s"},
         {0},
         "--wait-time: expected a duration with its unit (ms, s, m or h), as in \"10s\", found "
         "\"1.5s\""},
        {{"--wait-time", "2h"}, {0}, "--wait-time: expected 0 (off) to 1h, found \"2h\""},
        {{"--wait-time", "18446744073709551615h"},
         {0},
         "--wait-time: expected a duration with its unit (ms, s, m or h), as in \"10s\", found "
         "\"18446744073709551615h\""},
        {{"--bytes", "1KB"},
         {0},
         "--bytes: expected a size in bytes, KiB, MiB or GiB, as in \"64KiB\", found \"1KB\""},
        {{"--bytes", "1"}, {0}, "--bytes: expected 1KiB to 1GiB, found \"1\""},
        {{"--choice", "four"}, {0}, "--choice: expected one, two or three, found \"four\""},
        {{"--listen", "localhost:80"},
         {0},
         "--listen: expected an address with a port, as in \"127.0.0.1:15012\", found "
         "\"localhost:80\""},
        {{NULL},
         {"PRE_WAIT_TIME=x"},
         "PRE_WAIT_TIME: expected a duration with its unit (ms, s, m or h), as in \"10s\", found "
         "\"x\""},
        {{NULL},
         {"OTHER_TEXT=\x7f"},
         "OTHER_TEXT: expected text without control characters, found \"\x7f\""},
        {{"--config", "/nonexistent/x"},
         {0},
         "--config: cannot open \"/nonexistent/x\": No such file or directory"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct values values;
        struct err err;
        assert_null(parse(rows[i].args, rows[i].env, &values, &err));
        assert_string_equal(err.message, rows[i].message);
    }
}

static void what_is_wrong_in_a_file_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        const char *message; /* behind the file's name */
    } rows[] = {
        {"text: a\nnope: 1\n", ":2:1: nope: no such option in a file"},
        {"config: a\n", ":1:1: config: no such option in a file"},
        {"once: true\n", ":1:1: once: no such option in a file"},
        {"number: 3\n\nwait-time: 10\n", ":3:1: wait-time: expected a duration with its unit (ms, "
                                         "s, m or h), as in \"10s\", found \"10\""},
        {"text: [a]\n", ":1:1: text: expected a value, found a list"},
        {"text:\n", ":1:1: text: expected a value, found nothing"},
        {"text: a\ntext: b\n", ":2:1: the key \"text\" is there twice"},
        {"- text\n", ":1:1: expected a map, found a list"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct values values;
        struct err err;
        char *path = write_file(rows[i].content);
        assert_null(parse(WORDS("--config", path), NULL, &values, &err));
        assert_memory_equal(err.message, path, strlen(path));
        assert_string_equal(err.message + strlen(path), rows[i].message);
        unlink(path);
        free(path);
    }
}

static void a_value_can_follow_from_others(void **state)
{
    (void)state;
    struct values values;
    struct err err;
    struct options *options = parse(NULL, NULL, &values, &err);
    assert_int_equal(options_derive(options, "wait-time", "3s", &err), 0);
    assert_int_equal(values.wait_ms, 3000);
    assert_int_equal(options_source(options, "wait-time"), OPTION_DERIVED);
    assert_int_equal(options_derive(options, "wait-time", "soon", &err), -1);
    options_free(options);

    options = parse(NULL, WORDS("PRE_NUMBER=5"), &values, &err);
    assert_int_equal(options_error(options, "number", &err, "is %d", 5), -1);
    assert_string_equal(err.message, "PRE_NUMBER: is 5");
    options_error(options, "text", &err, "required");
    assert_string_equal(err.message, "text: required");
    options_free(options);
}

static void a_first_word_is_the_value_of_the_option_that_the_table_names(void **state)
{
    struct err err;
    struct values values;
    struct option_table with_word = table;
    with_word.first_word = "text";
    struct options *options =
        parse_with(&with_word, WORDS("word", "--number", "9"), NULL, &values, &err);
    assert_non_null(options);
    assert_string_equal(values.text, "word");
    assert_int_equal(values.number, 9);
    options_free(options);
    options = parse_with(&with_word, WORDS("-"), NULL, &values, &err);
    assert_non_null(options);
    assert_string_equal(values.text, "-");
    options_free(options);
    assert_null(parse_with(&with_word, WORDS("word", "--text", "other"), NULL, &values, &err));
    assert_string_equal(err.message, "--text: given twice");
    assert_null(parse_with(&with_word, WORDS("--number", "9", "word"), NULL, &values, &err));
    assert_non_null(strstr(err.message, "is no option"));
    assert_null(parse(WORDS("word"), NULL, &values, &err));
}

static void variables_of_the_prefix_that_mean_nothing_are_told(void **state)
{
    (void)state;
    struct values values;
    struct err err;
    size_t index = 0;
    struct options *options = parse(
        NULL, WORDS("PRE_TEXT=a", "PRE_SERVICE_HOST=1", "PREFIX=2", "PRE_ONCE=true", "HOME=/"),
        &values, &err);
    assert_string_equal(options_unknown_variable(options, &index), "PRE_SERVICE_HOST=1");
    assert_string_equal(options_unknown_variable(options, &index), "PRE_ONCE=true");
    assert_null(options_unknown_variable(options, &index));
    assert_false(values.once);
    options_free(options);
}

static void the_report_is_a_file_that_gives_the_same(void **state)
{
    (void)state;
    struct values values;
    struct err err;
    struct buf report = {0};
    struct options *options = parse(WORDS("--text", "a \"quoted\" \\ text: # x", "--bytes=1MiB"),
                                    WORDS("PRE_NUMBER=5"), &values, &err);
    assert_non_null(options);
    assert_int_equal(options_report(options, &report), 0);
    assert_int_equal(buf_append(&report, "", 1), 0);
    const char *text = (const char *)buf_head(&report);
    assert_non_null(strstr(text, "\nnumber: 5 # PRE_NUMBER\n"));
    assert_non_null(strstr(text, "\nbytes: 1MiB # --bytes\n"));
    assert_non_null(strstr(text, "\nwait-time: 10s # default\n"));
    assert_null(strstr(text, "once"));
    options_free(options);

    char *path = write_file(text);
    options = parse(WORDS("--config", path), NULL, &values, &err);
    if (options == NULL)
        fail_msg("%s", err.message);
    assert_string_equal(values.text, "a \"quoted\" \\ text: # x");
    assert_int_equal(values.number, 5);
    assert_int_equal(values.bytes, 1048576);
    options_free(options);
    unlink(path);
    free(path);
    buf_done(&report);
}

static void help_and_documentation_name_every_option(void **state)
{
    (void)state;
    struct buf help = {0};
    struct buf page = {0};
    assert_int_equal(options_help(&table, &help), 0);
    assert_int_equal(options_markdown(&table, &page), 0);
    assert_int_equal(buf_append(&help, "", 1), 0);
    assert_int_equal(buf_append(&page, "", 1), 0);
    for (size_t i = 0; i < table.num_specs; i++) {
        char flag[64];
        char row[64];
        snprintf(flag, sizeof(flag), "\n  --%s", specs[i].name);
        snprintf(row, sizeof(row), "\n| `%s` | ", specs[i].name);
        assert_non_null(strstr((const char *)buf_head(&help), flag));
        assert_non_null(strstr((const char *)buf_head(&page), row));
    }
    assert_non_null(strstr((const char *)buf_head(&help),
                           "default 10s; 0 (off) to 1h; environment PRE_WAIT_TIME]"));
    assert_non_null(strstr((const char *)buf_head(&page),
                           "| `text` | TEXT | `none` | `PRE_TEXT`, `OTHER_TEXT`, `THIRD_TEXT` | "
                           "Text with a \\| bar. |"));
    assert_non_null(
        strstr((const char *)buf_head(&page), "| `choice` | one\\|two\\|three | `one` |"));
    buf_done(&help);
    buf_done(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold_where_nothing_is_given),
        cmocka_unit_test(a_flag_beats_the_environment_beats_the_file_beats_the_default),
        cmocka_unit_test(values_are_read_in_all_their_forms),
        cmocka_unit_test(what_is_wrong_is_named_with_its_source),
        cmocka_unit_test(what_is_wrong_in_a_file_is_named_with_its_line),
        cmocka_unit_test(a_value_can_follow_from_others),
        cmocka_unit_test(a_first_word_is_the_value_of_the_option_that_the_table_names),
        cmocka_unit_test(variables_of_the_prefix_that_mean_nothing_are_told),
        cmocka_unit_test(the_report_is_a_file_that_gives_the_same),
        cmocka_unit_test(help_and_documentation_name_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
