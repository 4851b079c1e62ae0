/* Lists of TCP ports and ranges of ports, as plain values. */
#ifndef REMORA_CAPTURE_PORTS_H
#define REMORA_CAPTURE_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

enum {
    CAPTURE_PORTS_MAX = 256,     /* entries in a list; pods with more ports than that use ranges */
    CAPTURE_PORTS_TEXT_MAX = 12, /* "65535-65535" and its NUL */
};

struct capture_port_range {
    uint16_t first, last; /* both included, first <= last */
};

struct capture_ports {
    bool all;   /* written "*"; num is 0 then */
    size_t num; /* used entries; no two of them overlap */
    struct capture_port_range ranges[CAPTURE_PORTS_MAX];
};

/*
 * From text: "80,443,8000-8999", "*" for every port, "" for none. -1 with ERR_INVALID for what is
 * malformed and for entries that overlap, naming them; *ports is then not to be used.
 */
int capture_ports_parse(struct capture_ports *ports, const char *text, struct err *err);

bool capture_ports_contain(const struct capture_ports *ports, uint16_t port);

/*
 * How an inclusion and an exclusion may meet: not at all, or the exclusion is a hole in the middle
 * or at an end of an included range. Anything else contradicts itself: then the entries that do are
 * stored and false is returned.
 */
bool capture_ports_exclusion_fits(const struct capture_ports *include,
                                  const struct capture_ports *exclude,
                                  struct capture_port_range *included,
                                  struct capture_port_range *excluded);

/* "80" or "8000-8999", into `out` (CAPTURE_PORTS_TEXT_MAX bytes). Returns `out`. */
const char *capture_ports_format(struct capture_port_range range, char *out);

#endif
