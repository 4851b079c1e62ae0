#include "certrotate_texts.h"

#include "certrotate.h"
#include "export.h"
#include "inspect.h"

struct exit_text {
    int code;
    const char *text;
};

static const struct exit_text exits[] = {
    {CERTROTATE_DONE, "ended by a signal; or, with --once, the files are in place"},
    {CERTROTATE_FAILED, "could not start"},
    {CERTROTATE_USAGE, "the options are wrong"},
    {CERTROTATE_REJECTED, "--once: what the source brought is not usable"},
    {CERTROTATE_UNAVAILABLE, "--once: the source could not be reached, or did not answer"},
    {CERTROTATE_NOT_WRITTEN, "--once: the files could not be written"},
    {CERTROTATE_NOT_TOLD, "--once: the files are in place, but the hook or the signal failed"},
    {CERTROTATE_DENIED, "--once: the source refuses us"},
};

static const struct exit_text inspect_exits[] = {
    {INSPECT_GOOD, "it verifies; or it was shown, with nothing to judge it by"},
    {INSPECT_FAILED, "could not be done"},
    {INSPECT_USAGE, "the options are wrong"},
    {INSPECT_REFUSED, "peers would refuse it, or it is no certificate"},
    {INSPECT_NOT_READ, "a file could not be read"},
    {INSPECT_UNREACHABLE, "the address does not answer, or not with TLS"},
};

static const struct exit_text export_exits[] = {
    {EXPORT_DONE, "written"},
    {EXPORT_FAILED, "could not be done"},
    {EXPORT_USAGE, "the options are wrong"},
    {EXPORT_BAD_INPUT, "the key does not belong to the certificate, or the password will not do"},
    {EXPORT_NOT_READ, "a file could not be read, or there is no password"},
    {EXPORT_NOT_WRITTEN, "the file could not be written"},
};

#define NUM(array) (sizeof(array) / sizeof((array)[0]))

static int add_help_exits(struct buf *out, const struct exit_text *texts, size_t num)
{
    if (buf_append_str(out, "\nExit codes:\n") < 0)
        return -1;
    for (size_t i = 0; i < num; i++)
        if (buf_printf(out, "  %-3d %s\n", texts[i].code, texts[i].text) < 0)
            return -1;
    return 0;
}

int certrotate_texts_help(struct buf *out)
{
    return options_help(&certrotate_config_table, out) < 0 ||
                   add_help_exits(out, exits, NUM(exits)) < 0
               ? -1
               : buf_append_str(out, "\nremora-certrotate inspect --help: a look at certificates\n"
                                     "remora-certrotate export --help: a file for browsers\n");
}

int certrotate_texts_inspect_help(struct buf *out)
{
    return options_help(&inspect_config_table, out) < 0
               ? -1
               : add_help_exits(out, inspect_exits, NUM(inspect_exits));
}

int certrotate_texts_export_help(struct buf *out)
{
    return options_help(&export_config_table, out) < 0
               ? -1
               : add_help_exits(out, export_exits, NUM(export_exits));
}

int certrotate_texts_markdown(struct buf *out)
{
    if (options_markdown(&certrotate_config_table, out) < 0 ||
        buf_append_str(out, "\n## Exit codes\n\n| code | meaning |\n|---|---|\n") < 0)
        return -1;
    for (size_t i = 0; i < NUM(exits); i++)
        if (buf_printf(out, "| %d | %s |\n", exits[i].code, exits[i].text) < 0)
            return -1;
    if (buf_append_str(out, "\n## A look at certificates\n\n```\n") < 0 ||
        certrotate_texts_inspect_help(out) < 0 ||
        buf_append_str(out, "```\n\n## A file for browsers\n\n```\n") < 0 ||
        certrotate_texts_export_help(out) < 0)
        return -1;
    return buf_append_str(out, "```\n");
}
