#include "probe.h"

#include <string.h>

enum {
    PREFERRED_PORT = 20001, /* nothing is known to live there */
};

/*
 * Nobody is behind the addresses of the documentation networks (RFC 5737, RFC 3849, RFC 9637). The
 * private ones are for options that leave none of these.
 */
static const char *const well_known[] = {"192.0.2.1",   "198.51.100.1", "203.0.113.1", "10.0.0.1",
                                         "2001:db8::1", "3fff::1",      "fd00::1"};

/*
 * The captured ports and addresses are intervals that begin at an inclusion's start or behind an
 * exclusion's end; so only those few need to be tried to find one if there is one.
 */
static bool try_ports(const struct capture_options *options, struct addr *to)
{
    const struct capture_ports *include = &options->include_outbound_ports;
    const struct capture_ports *exclude = &options->exclude_outbound_ports;
    to->port = PREFERRED_PORT;
    if (capture_options_capture_outbound(options, to))
        return true;
    to->port = 1;
    if (capture_options_capture_outbound(options, to))
        return true;
    for (size_t i = 0; i < include->num; i++) {
        to->port = include->ranges[i].first;
        if (capture_options_capture_outbound(options, to))
            return true;
    }
    for (size_t i = 0; i < exclude->num; i++) {
        to->port = (uint16_t)(exclude->ranges[i].last + 1);
        if (to->port != 0 && capture_options_capture_outbound(options, to))
            return true;
    }
    return false;
}

static size_t ip_len(const struct ip *ip)
{
    return ip->family == IP_V4 ? 4 : 16;
}

/* False when there is none: *ip is the last address of its family. */
static bool ip_advance(struct ip *ip)
{
    for (size_t i = ip_len(ip); i-- > 0;) {
        if (++ip->bytes[i] != 0)
            return true;
    }
    return false;
}

static struct ip last_of(const struct cidr *cidr)
{
    struct ip ip = cidr->ip;
    for (size_t bit = cidr->prefix_len; bit < ip_len(&ip) * 8; bit++)
        ip.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    return ip;
}

static bool try_ip(const struct capture_options *options, struct ip ip, struct addr *to)
{
    to->ip = ip;
    return try_ports(options, to);
}

static bool try_well_known(const struct capture_options *options, enum ip_family family,
                           struct addr *to)
{
    for (size_t i = 0; i < sizeof(well_known) / sizeof(well_known[0]); i++) {
        struct ip ip;
        if (ip_parse(&ip, well_known[i], NULL) == 0 && ip.family == family &&
            try_ip(options, ip, to))
            return true;
    }
    return false;
}

/* The second address of a network first: its first one may be a broadcast address. */
static bool try_from(const struct capture_options *options, struct ip ip, struct addr *to)
{
    struct ip second = ip;
    return (ip_advance(&second) && try_ip(options, second, to)) || try_ip(options, ip, to);
}

static bool try_included(const struct capture_options *options, enum ip_family family,
                         struct addr *to)
{
    const struct capture_cidrs *include = &options->include_outbound_cidrs;
    for (size_t i = 0; i < include->num; i++) {
        if (include->items[i].ip.family == family && try_from(options, include->items[i].ip, to))
            return true;
    }
    return false;
}

static bool try_behind_excluded(const struct capture_options *options, enum ip_family family,
                                struct addr *to)
{
    const struct capture_cidrs *exclude = &options->exclude_outbound_cidrs;
    for (size_t i = 0; i < exclude->num; i++) {
        struct ip ip = last_of(&exclude->items[i]);
        if (ip.family == family && ip_advance(&ip) && try_from(options, ip, to))
            return true;
    }
    return false;
}

bool probe_pick(const struct capture_options *options, enum ip_family family, struct addr *to)
{
    memset(to, 0, sizeof(*to));
    return try_well_known(options, family, to) || try_included(options, family, to) ||
           try_behind_excluded(options, family, to);
}
