#include "capture_cidrs.h"

#include <string.h>

#include "capture_list.h"

static bool covers(const struct cidr *outer, const struct cidr *inner)
{
    return outer->prefix_len <= inner->prefix_len && cidr_contains(outer, &inner->ip);
}

static int add(struct capture_cidrs *cidrs, const char *text, struct err *err)
{
    struct cidr cidr;
    if (cidr_parse(&cidr, text, err) < 0)
        return -1;
    char other[ADDR_TEXT_MAX];
    for (size_t i = 0; i < cidrs->num; i++) {
        if (covers(&cidrs->items[i], &cidr) || covers(&cidr, &cidrs->items[i]))
            return err_set(err, ERR_INVALID, "\"%s\" overlaps \"%s\" in the same list", text,
                           cidr_format(&cidrs->items[i], other));
    }
    if (cidrs->num == CAPTURE_CIDRS_MAX)
        return err_set(err, ERR_INVALID, "more than %d entries; use larger networks",
                       CAPTURE_CIDRS_MAX);
    cidrs->items[cidrs->num++] = cidr;
    return 0;
}

int capture_cidrs_parse(struct capture_cidrs *cidrs, const char *text, struct err *err)
{
    memset(cidrs, 0, sizeof(*cidrs));
    cidrs->all = capture_list_is_all(text);
    if (cidrs->all)
        return 0;
    char entry[CAPTURE_ENTRY_MAX];
    int more;
    while ((more = capture_list_next(&text, entry, err)) > 0) {
        if (add(cidrs, entry, err) < 0)
            return -1;
    }
    return more;
}

bool capture_cidrs_contain(const struct capture_cidrs *cidrs, const struct ip *ip)
{
    for (size_t i = 0; i < cidrs->num; i++) {
        if (cidr_contains(&cidrs->items[i], ip))
            return true;
    }
    return cidrs->all;
}

bool capture_cidrs_has_family(const struct capture_cidrs *cidrs, enum ip_family family)
{
    for (size_t i = 0; i < cidrs->num; i++) {
        if (cidrs->items[i].ip.family == family)
            return true;
    }
    return false;
}

bool capture_cidrs_exclusion_fits(const struct capture_cidrs *include,
                                  const struct capture_cidrs *exclude, const struct cidr **included,
                                  const struct cidr **excluded)
{
    for (size_t i = 0; i < include->num; i++) {
        for (size_t j = 0; j < exclude->num; j++) {
            *included = &include->items[i];
            *excluded = &exclude->items[j];
            if (covers(*excluded, *included))
                return false;
        }
    }
    return true;
}
