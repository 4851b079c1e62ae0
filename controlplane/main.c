/*
 * remora-controlplane: the embedded control plane. argv and configuration, then the loop; or, as
 * `remora-controlplane sign`, one certificate (sign.h has its exit codes).
 *
 * Exit status: 0 ended by a signal; 1 could not start; 64 (EX_USAGE) the configuration is wrong.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "controlplane.h"
#include "sign.h"
#include "utf8.h"

struct program {
    struct net_loop *loop;
    struct controlplane *controlplane;
    bool draining;
};

static int print_and_free(struct buf *text, int rc)
{
    size_t len = buf_len(text);
    bool written = rc == 0 && fwrite(buf_head(text), 1, len, stdout) == len && fflush(stdout) == 0;
    buf_done(text);
    return written ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Messages quote what others wrote. */
static int fail(int status, const struct err *err)
{
    struct buf text = {0};
    if (utf8_append_visible(&text, err->message) == 0)
        fprintf(stderr, "remora-controlplane: %.*s\n", (int)buf_len(&text),
                (const char *)buf_head(&text));
    buf_done(&text);
    return status;
}

static void on_drained(void *owner)
{
    struct program *program = owner;
    net_loop_stop(program->loop);
}

/* The second signal does not wait. */
static void on_signal(void *owner, int signum)
{
    struct program *program = owner;
    LOG_INFO("controlplane", program->draining ? "ending now" : "ending",
             LOG_S("signal", strsignal(signum)));
    if (program->draining)
        net_loop_stop(program->loop);
    else
        controlplane_start_drain(program->controlplane, on_drained, program);
    program->draining = true;
}

static int serve(struct program *program, const struct controlplane_config *config, struct err *err)
{
    struct net_signal *term = net_signal_new(program->loop, SIGTERM, on_signal, program, err);
    struct net_signal *interrupt = net_signal_new(program->loop, SIGINT, on_signal, program, err);
    int result = -1;
    if (term != NULL && interrupt != NULL) {
        program->controlplane = controlplane_new(program->loop, config, err);
        if (program->controlplane != NULL) {
            net_loop_run(program->loop);
            result = 0;
        }
    }
    controlplane_free(program->controlplane);
    net_signal_free(term);
    net_signal_free(interrupt);
    return result;
}

static int run(const struct controlplane_config *config)
{
    struct err err;
    /* Keys are in this process's memory; they belong in no core file. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (log_init(config->log_level, config->log_format, &err) < 0)
        return fail(EXIT_FAILURE, &err);
    struct program program = {.loop = net_loop_new(&err)};
    int result = program.loop == NULL ? -1 : serve(&program, config, &err);
    if (result < 0)
        LOG_ERROR("controlplane", "cannot start", LOG_S("error", err.message));
    net_loop_free(program.loop);
    log_done();
    return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int help(struct buf *out)
{
    return options_help(&controlplane_config_table, out) < 0
               ? -1
               : buf_append_str(out, "\nremora-controlplane sign --help: signs one request of "
                                     "openssl's\n");
}

static int dispatch(const struct controlplane_config *config)
{
    struct buf text = {0};
    if (config->help)
        return print_and_free(&text, help(&text));
    if (config->help_markdown)
        return print_and_free(&text, options_markdown(&controlplane_config_table, &text));
    if (config->version)
        return print_and_free(&text,
                              buf_append_str(&text, "remora-controlplane " REMORA_VERSION "\n"));
    return run(config);
}

static int sign(int argc, char *const *argv)
{
    struct sign_config config;
    struct buf words = {0};
    struct err err;
    struct options *options = sign_config_load(&config, argc, argv, &err);
    if (options == NULL)
        return fail(SIGN_USAGE, &err);
    if (config.help) {
        options_free(options);
        return print_and_free(&words, sign_help(&words));
    }
    /* The CA's key is in this process's memory; it belongs in no core file. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    enum sign_exit status = sign_run(&config, &words, &err);
    options_free(options);
    fprintf(stderr, "%.*s", (int)buf_len(&words), (const char *)buf_head(&words));
    buf_done(&words);
    return status == SIGN_DONE ? SIGN_DONE : fail(status, &err);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sign") == 0)
        return sign(argc - 1, argv + 1);
    struct controlplane_config config;
    struct err err;
    struct options *options = controlplane_config_load(&config, argc, argv, environ, &err);
    if (options == NULL)
        return fail(EX_USAGE, &err);
    int status = dispatch(&config);
    options_free(options);
    return status;
}
