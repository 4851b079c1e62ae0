#include "capture_ports.h"

#include <stdio.h>
#include <string.h>

#include "capture_list.h"

/* One port without sign, blank or leading zero. Returns what follows it, or NULL. */
static const char *parse_port(uint16_t *port, const char *text)
{
    unsigned value = 0;
    size_t len = strspn(text, "0123456789");
    if (len == 0 || len > 5 || text[0] == '0')
        return NULL;
    for (size_t i = 0; i < len; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    if (value > UINT16_MAX)
        return NULL;
    *port = (uint16_t)value;
    return text + len;
}

static int parse_range(struct capture_port_range *range, const char *text, struct err *err)
{
    *range = (struct capture_port_range){0};
    const char *rest = parse_port(&range->first, text);
    range->last = range->first;
    if (rest && *rest == '-')
        rest = parse_port(&range->last, rest + 1);
    if (!rest || *rest != '\0')
        return err_set(err, ERR_INVALID,
                       "\"%s\" is not a port (1 to 65535) or a range of ports (8000-8999)", text);
    if (range->last < range->first)
        return err_set(err, ERR_INVALID, "the range \"%s\" ends before it begins", text);
    return 0;
}

static bool overlap(struct capture_port_range a, struct capture_port_range b)
{
    return a.first <= b.last && b.first <= a.last;
}

static int add(struct capture_ports *ports, const char *text, struct err *err)
{
    struct capture_port_range range;
    if (parse_range(&range, text, err) < 0)
        return -1;
    char other[CAPTURE_PORTS_TEXT_MAX];
    for (size_t i = 0; i < ports->num; i++) {
        if (overlap(ports->ranges[i], range))
            return err_set(err, ERR_INVALID, "\"%s\" overlaps \"%s\" in the same list", text,
                           capture_ports_format(ports->ranges[i], other));
    }
    if (ports->num == CAPTURE_PORTS_MAX)
        return err_set(err, ERR_INVALID, "more than %d entries; use ranges", CAPTURE_PORTS_MAX);
    ports->ranges[ports->num++] = range;
    return 0;
}

int capture_ports_parse(struct capture_ports *ports, const char *text, struct err *err)
{
    memset(ports, 0, sizeof(*ports));
    ports->all = capture_list_is_all(text);
    if (ports->all)
        return 0;
    char entry[CAPTURE_ENTRY_MAX];
    int more;
    while ((more = capture_list_next(&text, entry, err)) > 0) {
        if (add(ports, entry, err) < 0)
            return -1;
    }
    return more;
}

bool capture_ports_contain(const struct capture_ports *ports, uint16_t port)
{
    for (size_t i = 0; i < ports->num; i++) {
        if (ports->ranges[i].first <= port && port <= ports->ranges[i].last)
            return true;
    }
    return ports->all;
}

static bool is_hole(struct capture_port_range outer, struct capture_port_range inner)
{
    return outer.first <= inner.first && inner.last <= outer.last &&
           (outer.first != inner.first || outer.last != inner.last);
}

bool capture_ports_exclusion_fits(const struct capture_ports *include,
                                  const struct capture_ports *exclude,
                                  struct capture_port_range *included,
                                  struct capture_port_range *excluded)
{
    for (size_t i = 0; i < include->num; i++) {
        for (size_t j = 0; j < exclude->num; j++) {
            *included = include->ranges[i];
            *excluded = exclude->ranges[j];
            if (overlap(*included, *excluded) && !is_hole(*included, *excluded))
                return false;
        }
    }
    return true;
}

const char *capture_ports_format(struct capture_port_range range, char *out)
{
    if (range.first == range.last)
        snprintf(out, CAPTURE_PORTS_TEXT_MAX, "%u", (unsigned)range.first);
    else
        snprintf(out, CAPTURE_PORTS_TEXT_MAX, "%u-%u", (unsigned)range.first, (unsigned)range.last);
    return out;
}
