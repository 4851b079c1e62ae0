#include "addr.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

int ip_from_bytes(struct ip *ip, const uint8_t *bytes, size_t len, struct err *err)
{
    if (len != 4 && len != 16)
        return err_set(err, ERR_INVALID, "an IP address has 4 or 16 bytes, not %zu", len);

    *ip = (struct ip){.family = len == 4 ? IP_V4 : IP_V6};
    if (len == 16 && memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        ip->family = IP_V4;
        bytes += sizeof(mapped_prefix);
        len = 4;
    }
    memcpy(ip->bytes, bytes, len);
    return 0;
}

int ip_parse(struct ip *ip, const char *text, struct err *err)
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1)
        return ip_from_bytes(ip, bytes, 4, err);
    if (inet_pton(AF_INET6, text, bytes) == 1)
        return ip_from_bytes(ip, bytes, 16, err);
    return err_set(err, ERR_INVALID, "\"%.*s\" is not an IP address", ADDR_TEXT_MAX, text);
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
    return ip_compare(a, b) == 0;
}

int ip_compare(const struct ip *a, const struct ip *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool ip_is_loopback(const struct ip *ip)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};
    if (ip->family == IP_V4)
        return ip->bytes[0] == 127;
    return ip->family == IP_V6 && memcmp(ip->bytes, v6_loopback, sizeof(v6_loopback)) == 0;
}

bool ip_is_unspecified(const struct ip *ip)
{
    static const uint8_t zeros[16];
    return ip->family != IP_NONE && memcmp(ip->bytes, zeros, sizeof(zeros)) == 0;
}

const char *ip_format(const struct ip *ip, char *out)
{
    int family = ip->family == IP_V4 ? AF_INET : AF_INET6;
    if (ip->family == IP_NONE || inet_ntop(family, ip->bytes, out, ADDR_TEXT_MAX) == NULL)
        memcpy(out, "-", sizeof("-"));
    return out;
}
