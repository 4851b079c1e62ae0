/* Lists of networks of both families, as plain values. */
#ifndef REMORA_CAPTURE_CIDRS_H
#define REMORA_CAPTURE_CIDRS_H

#include <stdbool.h>
#include <stddef.h>

#include "addr.h"
#include "err.h"

enum {
    CAPTURE_CIDRS_MAX = 256, /* entries in a list */
};

struct capture_cidrs {
    bool all;   /* written "*"; num is 0 then */
    size_t num; /* used entries; no two of them overlap */
    struct cidr items[CAPTURE_CIDRS_MAX];
};

/*
 * From text: "10.0.0.0/8,fd00::/8,192.0.2.7", "*" for every address, "" for none. -1 with
 * ERR_INVALID for what is malformed and for entries that overlap, naming them; *cidrs is then not
 * to be used.
 */
int capture_cidrs_parse(struct capture_cidrs *cidrs, const char *text, struct err *err);

bool capture_cidrs_contain(const struct capture_cidrs *cidrs, const struct ip *ip);

/* Whether the list has an entry of the family. */
bool capture_cidrs_has_family(const struct capture_cidrs *cidrs, enum ip_family family);

/*
 * Whether every inclusion keeps something: an exclusion may cut a hole into an included network,
 * but not cover it. When one does, the pair is lent and false is returned.
 */
bool capture_cidrs_exclusion_fits(const struct capture_cidrs *include,
                                  const struct capture_cidrs *exclude, const struct cidr **included,
                                  const struct cidr **excluded);

#endif
