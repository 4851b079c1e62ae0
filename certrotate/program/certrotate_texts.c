#include "certrotate_texts.h"

#include "certrotate.h"

/* In the order in which a reader of a pod's status meets them. */
static const struct {
    enum certrotate_exit code;
    const char *text;
} exits[] = {
    {CERTROTATE_DONE, "ended by a signal; or, with --once, the files are in place"},
    {CERTROTATE_FAILED, "could not start"},
    {CERTROTATE_USAGE, "the options are wrong"},
    {CERTROTATE_REJECTED, "--once: what the source brought is not usable"},
    {CERTROTATE_UNAVAILABLE, "--once: the source could not be reached, or did not answer"},
    {CERTROTATE_NOT_WRITTEN, "--once: the files could not be written"},
    {CERTROTATE_NOT_TOLD, "--once: the files are in place, but the hook or the signal failed"},
    {CERTROTATE_DENIED, "--once: the source refuses us"},
};

enum { NUM_EXITS = sizeof(exits) / sizeof(exits[0]) };

int certrotate_texts_help(struct buf *out)
{
    if (options_help(&certrotate_config_table, out) < 0 ||
        buf_append_str(out, "\nExit codes:\n") < 0)
        return -1;
    for (size_t i = 0; i < NUM_EXITS; i++)
        if (buf_printf(out, "  %-3d %s\n", (int)exits[i].code, exits[i].text) < 0)
            return -1;
    return 0;
}

int certrotate_texts_markdown(struct buf *out)
{
    if (options_markdown(&certrotate_config_table, out) < 0 ||
        buf_append_str(out, "\n## Exit codes\n\n| code | meaning |\n|---|---|\n") < 0)
        return -1;
    for (size_t i = 0; i < NUM_EXITS; i++)
        if (buf_printf(out, "| %d | %s |\n", (int)exits[i].code, exits[i].text) < 0)
            return -1;
    return 0;
}
