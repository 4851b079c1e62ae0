/*
 * remora-certrotate: certificates for programs that do their own TLS, a look at certificates with
 * the mesh's eyes, and browsers' files. argv and configuration, then one of the three.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "certrotate.h"
#include "certrotate_texts.h"
#include "export.h"
#include "inspect.h"
#include "utf8.h"

static int print_and_free(struct buf *text, int rc)
{
    size_t len = buf_len(text); /* 0: there may be no bytes to point to */
    bool written = rc == 0 && (len == 0 || fwrite(buf_head(text), 1, len, stdout) == len) &&
                   fflush(stdout) == 0;
    buf_done(text);
    return written ? CERTROTATE_DONE : CERTROTATE_FAILED;
}

/* Messages quote what others wrote. */
static int fail(int status, const struct err *err)
{
    struct buf text = {0};
    if (utf8_append_visible(&text, err->message) == 0)
        fprintf(stderr, "remora-certrotate: %.*s\n", (int)buf_len(&text),
                (const char *)buf_head(&text));
    buf_done(&text);
    return status;
}

static int run(const struct certrotate_config *config)
{
    struct err err;
    /* Keys are in this process's memory; they belong in no core file. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (log_init(config->log_level, config->log_format, &err) < 0)
        return fail(CERTROTATE_FAILED, &err);
    enum certrotate_exit status = certrotate_run(config, &err);
    if (status == CERTROTATE_FAILED)
        LOG_ERROR("certrotate", "cannot start", LOG_S("error", err.message));
    log_done();
    return status;
}

static int dispatch(const struct options *options, const struct certrotate_config *config)
{
    struct buf text = {0};
    if (config->help)
        return print_and_free(&text, certrotate_texts_help(&text));
    if (config->help_markdown)
        return print_and_free(&text, certrotate_texts_markdown(&text));
    if (config->version)
        return print_and_free(&text,
                              buf_append_str(&text, "remora-certrotate " REMORA_VERSION "\n"));
    if (config->check_config)
        return print_and_free(&text, options_report(options, &text));
    return run(config);
}

static int rotate(int argc, char *const *argv)
{
    struct certrotate_config config;
    struct err err;
    struct options *options = certrotate_config_load(&config, argc, argv, environ, &err);
    if (options == NULL)
        return fail(CERTROTATE_USAGE, &err);
    int status = dispatch(options, &config);
    options_free(options);
    return status;
}

static int inspect(int argc, char *const *argv)
{
    struct inspect_config config;
    struct buf text = {0};
    struct err err;
    struct options *options = inspect_config_load(&config, argc, argv, &err);
    if (options == NULL)
        return fail(INSPECT_USAGE, &err);
    int status = INSPECT_GOOD;
    if (config.help)
        status = certrotate_texts_inspect_help(&text) < 0 ? INSPECT_FAILED : INSPECT_GOOD;
    else
        status = inspect_run(&config, &text, &err);
    options_free(options);
    /* What was found before it failed is worth reading. */
    int written = print_and_free(&text, 0);
    if (status != INSPECT_GOOD && status != INSPECT_REFUSED)
        return fail(status, &err);
    return written == CERTROTATE_DONE ? status : INSPECT_FAILED;
}

static int export(int argc, char *const *argv)
{
    struct export_config config;
    struct buf text = {0};
    struct err err;
    struct options *options = export_config_load(&config, argc, argv, &err);
    if (options == NULL)
        return fail(EXPORT_USAGE, &err);
    /* Key and password are in this process's memory; they belong in no core file. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    int status = EXPORT_DONE;
    if (config.help)
        status = certrotate_texts_export_help(&text) < 0 ? EXPORT_FAILED : EXPORT_DONE;
    else
        status = export_run(&config, &text, &err);
    options_free(options);
    int written = print_and_free(&text, 0);
    if (status != EXPORT_DONE)
        return fail(status, &err);
    return written == CERTROTATE_DONE ? EXPORT_DONE : EXPORT_FAILED;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "inspect") == 0)
        return inspect(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "export") == 0)
        return export(argc - 1, argv + 1);
    return rotate(argc, argv);
}
