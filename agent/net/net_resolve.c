#include "net_resolve.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <uv.h>

#include "net_err.h"
#include "net_loop_impl.h"

struct net_resolve {
    uv_getaddrinfo_t req;
    net_resolve_done *done; /* NULL: cancelled, and nobody waits */
    void *owner;
    uint16_t port;
};

static bool is_known(const struct addr *addrs, size_t num_addrs, const struct addr *addr)
{
    for (size_t i = 0; i < num_addrs; i++) {
        if (addr_equal(&addrs[i], addr))
            return true;
    }
    return false;
}

static size_t take_addrs(const struct addrinfo *found, uint16_t port, struct addr *addrs)
{
    size_t num_addrs = 0;
    for (; found != NULL && num_addrs < NET_RESOLVE_MAX; found = found->ai_next) {
        struct addr addr;
        if (addr_from_sockaddr(&addr, found->ai_addr, NULL) < 0)
            continue;
        addr.port = port;
        if (!is_known(addrs, num_addrs, &addr))
            addrs[num_addrs++] = addr;
    }
    return num_addrs;
}

static void describe(int status, struct err *err)
{
    switch (status) {
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
    case UV_EAI_ADDRFAMILY:
        err_set(err, ERR_NOT_FOUND, "the name has no address");
        return;
    case UV_EAI_AGAIN:
        err_set(err, ERR_TIMEOUT, "the name server does not answer");
        return;
    case UV_EAI_MEMORY:
        err_set(err, ERR_NOMEM, "out of memory");
        return;
    default:
        err_set(err, ERR_SYSTEM, "the name cannot be resolved: %s", uv_strerror(status));
    }
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct net_resolve *resolve = (struct net_resolve *)req;
    struct net_resolve ended = *resolve;
    struct addr addrs[NET_RESOLVE_MAX];
    size_t num_addrs = status < 0 ? 0 : take_addrs(found, ended.port, addrs);
    uv_freeaddrinfo(found);
    free(resolve);
    if (ended.done == NULL)
        return;
    if (num_addrs > 0) {
        ended.done(ended.owner, addrs, num_addrs, NULL);
        return;
    }
    struct err err;
    describe(status < 0 ? status : UV_EAI_NODATA, &err);
    ended.done(ended.owner, NULL, 0, &err);
}

struct net_resolve *net_resolve_start(struct net_loop *loop, const char *host, uint16_t port,
                                      net_resolve_done *done, void *owner, struct err *err)
{
    /* AI_ADDRCONFIG would hide addresses in a pod that has nothing but loopback configured. */
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct net_resolve *resolve = calloc(1, sizeof(*resolve));
    if (resolve == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    resolve->done = done;
    resolve->owner = owner;
    resolve->port = port;
    int rc = uv_getaddrinfo(&loop->uv, &resolve->req, on_resolved, host, NULL, &hints);
    if (rc < 0) {
        net_err_set(err, rc, "the name cannot be resolved");
        free(resolve);
        return NULL;
    }
    return resolve;
}

void net_resolve_cancel(struct net_resolve *resolve)
{
    if (resolve == NULL)
        return;
    resolve->done = NULL;
    /* Fails when a thread is at it already; either way on_resolved frees. */
    uv_cancel((uv_req_t *)&resolve->req);
}
