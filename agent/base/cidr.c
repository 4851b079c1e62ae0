#include "addr.h"

#include <stdio.h>
#include <string.h>

enum { V4_BITS = 32, V6_BITS = 128, MAPPED_BITS = 96 };

/* The host bits of byte `index` under a prefix of `prefix_len` bits. */
static uint8_t host_mask(unsigned prefix_len, size_t index)
{
    size_t before = index * 8;
    if (prefix_len <= before)
        return 0xff;
    if (prefix_len >= before + 8)
        return 0;
    return (uint8_t)(0xff >> (prefix_len - before));
}

/* Clears the host bits; true when one of them was set. */
static bool clear_host_bits(struct ip *ip, unsigned prefix_len)
{
    bool was_set = false;
    size_t len = ip->family == IP_V4 ? 4 : 16;
    for (size_t i = 0; i < len; i++) {
        uint8_t mask = host_mask(prefix_len, i);
        was_set |= (ip->bytes[i] & mask) != 0;
        ip->bytes[i] &= (uint8_t)~mask;
    }
    return was_set;
}

/* "0" to "128", without sign, space or leading zero. */
static int parse_prefix_len(unsigned *prefix_len, const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > 3 || strspn(text, "0123456789") != len || (len > 1 && text[0] == '0'))
        return -1;
    *prefix_len = 0;
    for (size_t i = 0; i < len; i++)
        *prefix_len = *prefix_len * 10 + (unsigned)(text[i] - '0');
    return *prefix_len > V6_BITS ? -1 : 0;
}

/* "address" or "address/bits", as written; *prefix_len counts the bits of the canonical address. */
static int parse_parts(struct ip *ip, unsigned *prefix_len, const char *text)
{
    const char *slash = strchrnul(text, '/');
    size_t ip_len = (size_t)(slash - text);
    char ip_text[ADDR_TEXT_MAX];
    if (ip_len >= sizeof(ip_text))
        return -1;
    memcpy(ip_text, text, ip_len);
    ip_text[ip_len] = '\0';
    if (ip_parse(ip, ip_text, NULL) < 0)
        return -1;

    bool written_as_v6 = strchr(ip_text, ':') != NULL;
    unsigned bits = written_as_v6 ? V6_BITS : V4_BITS;
    *prefix_len = bits;
    if (*slash != '\0' && (parse_prefix_len(prefix_len, slash + 1) < 0 || *prefix_len > bits))
        return -1;
    if (written_as_v6 && ip->family == IP_V4) {
        /* A shorter prefix would hold more than IPv4. */
        if (*prefix_len < MAPPED_BITS)
            return -1;
        *prefix_len -= MAPPED_BITS;
    }
    return 0;
}

int cidr_parse(struct cidr *cidr, const char *text, struct err *err)
{
    struct ip ip;
    unsigned prefix_len;
    if (parse_parts(&ip, &prefix_len, text) < 0)
        return err_set(err, ERR_INVALID, "\"%.*s\" is not an IP network", ADDR_TEXT_MAX, text);

    struct cidr parsed = {.ip = ip, .prefix_len = (uint8_t)prefix_len};
    if (clear_host_bits(&parsed.ip, prefix_len)) {
        char network[ADDR_TEXT_MAX];
        return err_set(err, ERR_INVALID, "\"%s\" has host bits set; the network is %s", text,
                       cidr_format(&parsed, network));
    }
    *cidr = parsed;
    return 0;
}

int cidr_from_bytes(struct cidr *cidr, const uint8_t *bytes, size_t len, uint32_t prefix_len,
                    struct err *err)
{
    struct ip ip;
    char text[ADDR_TEXT_MAX];
    if (ip_from_bytes(&ip, bytes, len, err) < 0)
        return -1;
    bool mapped = len == 16 && ip.family == IP_V4;
    if (prefix_len > len * 8 || (mapped && prefix_len < MAPPED_BITS))
        return err_set(err, ERR_INVALID, "%s with a prefix of %u bits", ip_format(&ip, text),
                       (unsigned)prefix_len);
    prefix_len -= mapped ? MAPPED_BITS : 0;
    clear_host_bits(&ip, prefix_len);
    *cidr = (struct cidr){.ip = ip, .prefix_len = (uint8_t)prefix_len};
    return 0;
}

struct cidr cidr_around(const struct ip *ip, unsigned prefix_len)
{
    unsigned bits = ip->family == IP_V4 ? V4_BITS : V6_BITS;
    struct cidr cidr = {.ip = *ip, .prefix_len = (uint8_t)(prefix_len < bits ? prefix_len : bits)};
    clear_host_bits(&cidr.ip, prefix_len);
    return cidr;
}

bool cidr_contains(const struct cidr *cidr, const struct ip *ip)
{
    if (cidr->ip.family != ip->family)
        return false;
    struct ip network = *ip;
    clear_host_bits(&network, cidr->prefix_len);
    return ip_equal(&network, &cidr->ip);
}

const char *cidr_format(const struct cidr *cidr, char *out)
{
    char ip[ADDR_TEXT_MAX];
    snprintf(out, ADDR_TEXT_MAX, "%.45s/%u", ip_format(&cidr->ip, ip), (unsigned)cidr->prefix_len);
    return out;
}
