#include "pod_addresses.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291). */
static bool is_link_local(const struct ip *ip)
{
    if (ip->family == IP_V4)
        return ip->bytes[0] == 169 && ip->bytes[1] == 254;
    return ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

static void add(struct pod_addresses *addresses, const struct ip *ip)
{
    if (addresses->num == POD_ADDRESSES_MAX)
        return;
    for (size_t i = 0; i < addresses->num; i++)
        if (ip_equal(&addresses->ips[i], ip))
            return;
    addresses->ips[addresses->num++] = *ip;
}

static int parse(struct pod_addresses *addresses, const char *given, struct err *err)
{
    char text[ADDR_TEXT_MAX];
    struct ip ip;
    for (const char *at = given;; at++) {
        size_t len = strcspn(at, ",");
        snprintf(text, sizeof(text), "%.*s", (int)len, at);
        if (ip_parse(&ip, text, err) < 0)
            return err_prefix(err, "\"%.100s\"", given);
        add(addresses, &ip);
        at += len;
        if (*at == '\0')
            return 0;
    }
}

static int look(struct pod_addresses *addresses, struct err *err)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) < 0)
        return err_set_sys(err, errno, "cannot learn the machine's addresses");
    for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        struct addr addr;
        bool is_ip = at->ifa_addr != NULL &&
                     (at->ifa_addr->sa_family == AF_INET || at->ifa_addr->sa_family == AF_INET6);
        if (is_ip && (at->ifa_flags & IFF_LOOPBACK) == 0 &&
            addr_from_sockaddr(&addr, at->ifa_addr, NULL) == 0 && !is_link_local(&addr.ip))
            add(addresses, &addr.ip);
    }
    freeifaddrs(all);
    return addresses->num > 0 ? 0 : err_set(err, ERR_NOT_FOUND, "this pod has no address");
}

static void format(struct pod_addresses *addresses)
{
    char *out = addresses->text;
    char text[ADDR_TEXT_MAX];
    for (size_t i = 0; i < addresses->num; i++)
        out += sprintf(out, "%s%s", i == 0 ? "" : ",", ip_format(&addresses->ips[i], text));
}

int pod_addresses_get(struct pod_addresses *addresses, const char *given, struct err *err)
{
    *addresses = (struct pod_addresses){0};
    int rc = given[0] != '\0' ? parse(addresses, given, err) : look(addresses, err);
    if (rc == 0)
        format(addresses);
    return rc;
}
