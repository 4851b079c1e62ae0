/*
 * Capture options from text: one line an option, "name=value". Whatever the values are, an accepted set of options gives a
 * ruleset of nothing but our own words, numbers, addresses and interface names.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture_ruleset.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const char *const names[] = {
    "agent-uids",
    "agent-gids",
    "include-inbound-ports",
    "exclude-inbound-ports",
    "include-outbound-ports",
    "exclude-outbound-ports",
    "include-outbound-cidrs",
    "exclude-outbound-cidrs",
    "exclude-interfaces",
};

enum { NUM_NAMES = sizeof(names) / sizeof(names[0]) };

static bool is_known(const char *name)
{
    for (size_t i = 0; i < NUM_NAMES; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* False when a value was refused. */
static bool set_all(struct capture_options *options, char *text)
{
    for (char *line; (line = strsep(&text, "\n"));) {
        char *value = strchr(line, '=');
        if (!value)
            continue;
        *value++ = '\0';
        struct err err = {0};
        if (is_known(line) && capture_options_set(options, line, value, &err) < 0) {
            if (err.kind != ERR_INVALID || err.message[0] == '\0')
                abort();
            return false;
        }
    }
    return true;
}

static size_t count(const char *text, const char *word)
{
    size_t found = 0;
    for (; (text = strstr(text, word)); text += strlen(word))
        found++;
    return found;
}

/* A value that got out of its place would bring a statement, a brace or a quote of its own. */
static void check_ruleset(const struct capture_options *options, const char *rules)
{
    size_t sets = count(rules, "\tset "), chains = count(rules, "\tchain ");
    size_t rules_in_one_set = count(rules, "{ " CAPTURE_AGENT_PORTS " }");
    if (count(rules, "table ") != 1 || chains != (options->drop_invalid ? 3U : 2U) ||
        count(rules, "{") != 1 + 2 * sets + chains + rules_in_one_set ||
        count(rules, "}") != count(rules, "{") || strpbrk(rules, "#$\\`"))
        abort();
    size_t quoted = 2 * (count(rules, "comment \"") + count(rules, "name \"lo\"") +
                         options->exclude_interfaces.num);
    if (count(rules, "\"") != quoted)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *text = malloc(len + 1);
    if (!text)
        return 0;
    memcpy(text, bytes, len);
    text[len] = '\0';

    struct capture_options options;
    struct buf rules = {0};
    capture_options_init(&options);
    if (set_all(&options, text) && capture_options_check(&options, NULL) == 0) {
        if (capture_ruleset_write(&options, &rules, NULL) == 0 && buf_append(&rules, "", 1) == 0)
            check_ruleset(&options, (const char *)buf_head(&rules));
    }
    buf_done(&rules);
    free(text);
    return 0;
}
