/*
 * remora-agent: the sidecar. Reads its configuration, gives up what privileges it has, and runs.
 *
 * Exit status: 0 ended as asked; 1 could not start or went wrong; 64 (EX_USAGE) the configuration is
 * wrong; 77 (EX_NOPERM) the privileges are: root without --allow-root, or capabilities that cannot
 * be dropped.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "agent.h"
#include "agent_config.h"
#include "certificates.h"
#include "local_source.h"
#include "log.h"
#include "memory.h"
#include "privileges.h"

enum { VARIABLE_NAME_MAX = 128 }; /* of one that means nothing; a longer one is cut */

static int print(const struct buf *text)
{
    size_t len = buf_len(text);
    bool written = fwrite(buf_head(text), 1, len, stdout) == len && fflush(stdout) == 0;
    return written ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int print_and_free(struct buf *text, int rc)
{
    int status = rc == 0 ? print(text) : EXIT_FAILURE;
    buf_done(text);
    return status;
}

static int fail(int status, const struct err *err)
{
    fprintf(stderr, "remora-agent: %s\n", err->message);
    return status;
}

static bool is_there(const char *path)
{
    if (access(path, F_OK) == 0)
        return true;
    fprintf(stderr, "remora-agent: warning: %s is not there yet\n", path);
    return false;
}

static int check_local_file(const char *path)
{
    struct err err;
    struct mesh_warnings warnings = {0};
    struct mesh_snapshot *snapshot = local_source_load(path, &warnings, &err);
    if (snapshot == NULL)
        return fail(EX_USAGE, &err);
    for (size_t i = 0; i < warnings.num && i < MESH_WARNINGS_KEPT; i++)
        fprintf(stderr, "remora-agent: warning: %s\n", warnings.kept[i]);
    mesh_snapshot_unref(snapshot);
    return EXIT_SUCCESS;
}

/* What is in force, whether the local file, when it is there, can be read, and what else is missing. */
static int check_config(const struct options *options, const struct agent_config *config)
{
    struct buf text = {0};
    int status = print_and_free(&text, options_report(options, &text));
    if (status != EXIT_SUCCESS)
        return status;
    if (config->local_file[0] != '\0')
        return is_there(config->local_file) ? check_local_file(config->local_file) : EXIT_SUCCESS;
    is_there(config->xds_root_file);
    is_there(config->token_file);
    if (config->cache_dir[0] != '\0')
        is_there(config->cache_dir);
    return EXIT_SUCCESS;
}

/* Names only: the value may be somebody's secret. */
static void log_unknown_variables(const struct options *options)
{
    size_t index = 0;
    for (const char *entry; (entry = options_unknown_variable(options, &index)) != NULL;) {
        char name[VARIABLE_NAME_MAX];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(entry, "="), entry);
        LOG_WARN("agent", "environment variable means nothing", LOG_S("variable", name));
    }
}

static int run(const struct options *options, const struct agent_config *config)
{
    struct err err;
    if (privileges_check_user(config->allow_root, &err) < 0 || privileges_drop(&err) < 0)
        return fail(EX_NOPERM, &err);
    privileges_raise_descriptors();
    memory_limit(config->workers);
    prctl(PR_SET_NAME, "remora-agent", 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    if (log_init(config->log_level, config->log_format, &err) < 0)
        return fail(EXIT_FAILURE, &err);
    log_unknown_variables(options);
    int status = EXIT_SUCCESS;
    if (agent_run(config, &err) < 0) {
        LOG_ERROR("agent", "cannot start", LOG_S("error", err.message));
        status = EXIT_FAILURE;
    }
    log_done();
    return status;
}

static int dispatch(const struct options *options, const struct agent_config *config)
{
    struct buf text = {0};
    if (config->help)
        return print_and_free(&text, options_help(&agent_config_table, &text));
    if (config->help_markdown)
        return print_and_free(&text, options_markdown(&agent_config_table, &text));
    if (config->version)
        return print_and_free(&text, buf_append_str(&text, "remora-agent " REMORA_VERSION "\n"));
    struct err err;
    if (certificates_check_names(config, &err) < 0)
        return fail(EX_USAGE, &err);
    if (config->check_config)
        return check_config(options, config);
    return run(options, config);
}

int main(int argc, char **argv)
{
    struct agent_config config;
    struct err err;
    struct options *options = agent_config_load(&config, argc, argv, environ, &err);
    if (options == NULL)
        return fail(EX_USAGE, &err);
    int status = dispatch(options, &config);
    options_free(options);
    return status;
}
