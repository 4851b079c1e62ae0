/* remora-init: prints, applies, removes or verifies the capture rules of the pod it runs in. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "capture_apply.h"
#include "capture_ruleset.h"
#include "init_options.h"
#include "verify.h"

/* What the program's end says to scripts and to whoever reads a pod's status. Described in the
 * help. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_USAGE = 64,          /* as sysexits.h has it */
    EXIT_FAILED = 71,         /* EX_OSERR */
    EXIT_DENIED = 77,         /* EX_NOPERM */
    EXIT_NOT_REDIRECTED = 95, /* the number that Linkerd's validator gives */
    EXIT_NOT_VERIFIED = 96,
};

static const char usage[] = "usage: remora-init print|apply|remove|verify [options]; see --help\n";

static const char commands_help[] =
    "\n"
    "Commands:\n"
    "  print   write the rules to standard output; change nothing\n"
    "  apply   put the rules in place; replaces those of an earlier apply, in one step\n"
    "  remove  remove them\n"
    "  verify  prove with a connection in each address family that they redirect\n"
    "\n"
    "Exit codes:\n"
    "  0   done\n"
    "  64  the command line or the environment is wrong\n"
    "  71  the rules could not be changed or printed\n"
    "  77  the capability NET_ADMIN is missing\n"
    "  95  verify: connections are not redirected\n"
    "  96  verify: cannot tell: run as the agent's own user, or there is no network\n";

static enum exit_code fail(const char *command, const struct err *err)
{
    fprintf(stderr, "remora-init: %s: %s\n", command, err->message);
    return err->kind == ERR_DENIED ? EXIT_DENIED : EXIT_FAILED;
}

static enum exit_code write_out(const char *command, const struct buf *text)
{
    if (fwrite(buf_head(text), 1, buf_len(text), stdout) == buf_len(text) && fflush(stdout) == 0)
        return EXIT_OK;
    fprintf(stderr, "remora-init: %s: cannot write to standard output\n", command);
    return EXIT_FAILED;
}

static enum exit_code help(void)
{
    struct buf text = {0};
    enum exit_code code = EXIT_FAILED;
    if (init_options_help(&text) == 0 && buf_append_str(&text, commands_help) == 0)
        code = write_out("help", &text);
    buf_done(&text);
    return code;
}

static enum exit_code print(const struct init_options *options)
{
    struct buf rules = {0};
    struct err err = {0};
    enum exit_code code = capture_ruleset_write(&options->capture, &rules, &err) == 0
                              ? write_out("print", &rules)
                              : fail("print", &err);
    buf_done(&rules);
    return code;
}

static enum exit_code apply(const struct init_options *options)
{
    struct buf rules = {0};
    struct err err = {0};
    int result = capture_ruleset_write(&options->capture, &rules, &err);
    if (result == 0)
        result = capture_apply_replace(&rules, &err);
    buf_done(&rules);
    if (result < 0)
        return fail("apply", &err);
    printf("remora-init: apply: TCP is redirected: outbound to port %u, inbound to port %u\n",
           (unsigned)options->capture.outbound_port, (unsigned)options->capture.inbound_port);
    return EXIT_OK;
}

static enum exit_code remove_rules(const struct init_options *options)
{
    struct err err = {0};
    if (capture_apply_remove(&err) < 0)
        return fail("remove", &err);
    puts("remora-init: remove: no rules are in place");
    return EXIT_OK;
}

/* -------------------------------------------------------------------------------------- verify */

/* What the reports so far come to. */
struct verdict {
    bool redirected, not_redirected, not_verified;
};

static void add_report(struct verdict *verdict, const char *what,
                       const struct verify_report *report, bool required)
{
    bool bad = report->result == VERIFY_NOT_REDIRECTED || report->result == VERIFY_IMPOSSIBLE ||
               (report->result == VERIFY_SKIPPED && required);
    const char *skipped = report->result == VERIFY_SKIPPED ? "skipped: " : "";
    fprintf(bad ? stderr : stdout, "remora-init: verify: %s: %s%s\n", what, skipped,
            report->sentence);
    verdict->redirected |= report->result == VERIFY_REDIRECTED;
    verdict->not_redirected |= report->result == VERIFY_NOT_REDIRECTED;
    verdict->not_verified |= bad;
}

static enum exit_code verify(const struct init_options *options)
{
    static const struct {
        enum ip_family family;
        const char *name;
        enum init_families alone;
    } families[] = {{IP_V4, "outbound IPv4", INIT_FAMILIES_IPV4},
                    {IP_V6, "outbound IPv6", INIT_FAMILIES_IPV6}};
    struct verdict verdict = {0};
    struct verify_report report;
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        bool required =
            options->families == INIT_FAMILIES_BOTH || options->families == families[i].alone;
        if (!required && options->families != INIT_FAMILIES_AUTO)
            continue;
        verify_outbound(&options->capture, families[i].family, options->timeout_ms, &report);
        add_report(&verdict, families[i].name, &report, required);
    }
    bool proven = verdict.redirected;
    verify_inbound(&options->capture, &report);
    add_report(&verdict, "inbound", &report, false);

    if (verdict.not_redirected)
        return EXIT_NOT_REDIRECTED;
    if (verdict.not_verified || !proven) {
        fputs("remora-init: verify: redirection is not proven\n", stderr);
        return EXIT_NOT_VERIFIED;
    }
    return EXIT_OK;
}

static bool wants_help(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum exit_code (*run)(const struct init_options *options);
    } commands[] = {
        {"print", print}, {"apply", apply}, {"remove", remove_rules}, {"verify", verify}};

    if (wants_help(argc, argv))
        return help();
    if (argc < 2) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0)
        return puts("remora-init " REMORA_VERSION) < 0 ? EXIT_FAILED : EXIT_OK;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        struct init_options options;
        struct err err = {0};
        if (init_options_load(&options, argc - 1, argv + 1, environ, &err) == 0)
            return commands[i].run(&options);
        fprintf(stderr, "remora-init: %s: %s\n", name, err.message);
        return EXIT_USAGE;
    }
    fprintf(stderr, "remora-init: \"%s\" is not a command; see --help\n", name);
    return EXIT_USAGE;
}
