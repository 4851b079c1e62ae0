#include "verify.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "capture_apply.h"
#include "clock.h"
#include "probe.h"
#include "rng.h"

enum {
    TOKEN_LEN = 16, /* bytes sent each way */
    BACKLOG = 16,
    /* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST; their headers do not go together with netinet/in.h. */
    ORIGINAL_DST = 80,
};

/* One attempt, from choosing the destination to the verdict. */
struct attempt {
    const struct capture_options *options;
    struct verify_report *report;
    enum ip_family family;
    struct addr to;
    uint64_t timeout_ms, deadline_ms;
    int listener; /* -1: another process has the port */
    int client;
    int accepted; /* -1 until it arrived */
};

static void report_set(struct verify_report *report, enum verify_result result, const char *format,
                       ...) __attribute__((format(printf, 3, 4)));

static void report_set(struct verify_report *report, enum verify_result result, const char *format,
                       ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(report->sentence, sizeof(report->sentence), format, args);
    va_end(args);
    report->result = result;
}

/* What the operator should look at, from the state of the rules as far as we may see it. */
static const char *likely_cause(void)
{
    struct buf rules = {0};
    struct err err = {0};
    int listed = capture_apply_list(&rules, &err);
    buf_done(&rules);
    if (listed == 0)
        return "the rules are there; were they made with these options, and is another firewall in "
               "front of them?";
    if (err.kind == ERR_NOT_FOUND)
        return "there are no capture rules in this network namespace; run \"remora-init apply\" "
               "first";
    return "did \"remora-init apply\" run in this pod?";
}

static void not_redirected(struct attempt *attempt, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void not_redirected(struct attempt *attempt, const char *format, ...)
{
    char what[256], to[ADDR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    report_set(attempt->report, VERIFY_NOT_REDIRECTED,
               "not redirected to port %u: a connection to %s %s; %s",
               (unsigned)attempt->options->outbound_port, addr_format(&attempt->to, to), what,
               likely_cause());
}

/* ------------------------------------------------------------------------------------- sockets */

static int domain(enum ip_family family)
{
    return family == IP_V4 ? AF_INET : AF_INET6;
}

/* Asks the routing table; sends nothing. */
static bool has_route(const struct addr *to)
{
    int fd = socket(domain(to->ip.family), SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(to, &sa);
    bool found = connect(fd, (struct sockaddr *)&sa, len) == 0;
    close(fd);
    return found;
}

/* Loopback, where a redirected connection of the pod itself arrives. -1 with errno. */
static int open_listener(enum ip_family family, uint16_t port)
{
    int fd = socket(domain(family), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    struct addr at = {.ip = {.family = (uint8_t)family}, .port = port};
    if (family == IP_V4)
        memcpy(at.ip.bytes, (const uint8_t[]){127, 0, 0, 1}, 4);
    else
        at.ip.bytes[15] = 1;
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&at, &sa);
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        bind(fd, (struct sockaddr *)&sa, len) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int failure = errno;
    close(fd);
    errno = failure;
    return -1;
}

static int set_hop_limit(int fd, enum ip_family family, int hops)
{
    return family == IP_V4 ? setsockopt(fd, IPPROTO_IP, IP_TTL, &hops, sizeof(hops))
                           : setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof(hops));
}

static bool original_destination(int fd, enum ip_family family, struct addr *out)
{
    struct sockaddr_storage sa;
    memset(&sa, 0, sizeof(sa));
    socklen_t len = sizeof(sa);
    int level = family == IP_V4 ? IPPROTO_IP : IPPROTO_IPV6;
    return getsockopt(fd, level, ORIGINAL_DST, &sa, &len) == 0 &&
           addr_from_sockaddr(out, (struct sockaddr *)&sa, NULL) == 0;
}

static bool is_peer(int fd, const struct addr *peer)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    struct addr addr;
    return getpeername(fd, (struct sockaddr *)&sa, &len) == 0 &&
           addr_from_sockaddr(&addr, (struct sockaddr *)&sa, NULL) == 0 && addr_equal(&addr, peer);
}

static bool local_addr(int fd, struct addr *out)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    return getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
           addr_from_sockaddr(out, (struct sockaddr *)&sa, NULL) == 0;
}

static int remaining_ms(const struct attempt *attempt)
{
    uint64_t now_ms = clock_mono_ms();
    return now_ms < attempt->deadline_ms ? (int)(attempt->deadline_ms - now_ms) : 0;
}

/* ------------------------------------------------------------------------------------- attempt */

static bool open_sockets(struct attempt *attempt)
{
    attempt->listener = open_listener(attempt->family, attempt->options->outbound_port);
    if (attempt->listener < 0 && errno != EADDRINUSE) {
        report_set(attempt->report, VERIFY_IMPOSSIBLE, "cannot listen on port %u: %s",
                   (unsigned)attempt->options->outbound_port, strerror(errno));
        return false;
    }
    attempt->client =
        socket(domain(attempt->family), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (attempt->client < 0 || set_hop_limit(attempt->client, attempt->family, 1) < 0) {
        report_set(attempt->report, VERIFY_IMPOSSIBLE, "cannot make a socket: %s", strerror(errno));
        return false;
    }
    return true;
}

static bool dial(struct attempt *attempt)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&attempt->to, &sa);
    if (connect(attempt->client, (struct sockaddr *)&sa, len) == 0 || errno == EINPROGRESS)
        return true;
    not_redirected(attempt, "failed (%s)", strerror(errno));
    return false;
}

/* Takes what waits at the listener: ours is kept, the application's (it dialled too soon) is
 * closed. */
static void accept_ours(struct attempt *attempt)
{
    struct addr ours;
    if (!local_addr(attempt->client, &ours))
        return;
    for (;;) {
        int fd = accept4(attempt->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        if (attempt->accepted < 0 && is_peer(fd, &ours))
            attempt->accepted = fd;
        else
            close(fd);
    }
}

/* Whether the client is connected; reports a failure. */
static bool is_connected(struct attempt *attempt)
{
    int failure = 0;
    socklen_t len = sizeof(failure);
    if (getsockopt(attempt->client, SOL_SOCKET, SO_ERROR, &failure, &len) < 0)
        failure = errno;
    if (failure == 0)
        return true;
    if (failure == ECONNREFUSED)
        not_redirected(attempt, "was refused");
    else
        not_redirected(attempt, "did not arrive (%s)", strerror(failure));
    return false;
}

/* Waits until the client is connected, and, when we have the port, until the connection is
 * accepted. */
static bool await_arrival(struct attempt *attempt)
{
    bool connected = false;
    while (!connected || (attempt->listener >= 0 && attempt->accepted < 0)) {
        /* A negative descriptor is ignored. */
        struct pollfd fds[] = {
            {.fd = connected ? -1 : attempt->client, .events = POLLOUT},
            {.fd = attempt->listener, .events = POLLIN},
        };
        int ready = poll(fds, 2, remaining_ms(attempt));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            not_redirected(attempt,
                           connected ? "was accepted elsewhere" : "got no answer in %llu ms",
                           (unsigned long long)attempt->timeout_ms);
            return false;
        }
        if (fds[0].revents && !(connected = is_connected(attempt)))
            return false;
        if (fds[1].revents)
            accept_ours(attempt);
    }
    return true;
}

/* Sends a random token and reads it at the other end; the few bytes fit into any socket's buffer.
 */
static bool send_token(const struct attempt *attempt, int from, int to)
{
    uint8_t token[TOKEN_LEN], got[TOKEN_LEN];
    rng_bytes(token, sizeof(token));
    if (send(from, token, sizeof(token), MSG_NOSIGNAL) != (ssize_t)sizeof(token))
        return false;
    size_t got_len = 0;
    while (got_len < sizeof(got)) {
        struct pollfd readable = {.fd = to, .events = POLLIN};
        if (poll(&readable, 1, remaining_ms(attempt)) <= 0)
            return false;
        ssize_t len = recv(to, got + got_len, sizeof(got) - got_len, 0);
        if (len <= 0)
            return false;
        got_len += (size_t)len;
    }
    return memcmp(token, got, sizeof(token)) == 0;
}

static void check_arrived(struct attempt *attempt)
{
    char to[ADDR_TEXT_MAX], meant[ADDR_TEXT_MAX];
    struct addr original;
    addr_format(&attempt->to, to);
    unsigned port = attempt->options->outbound_port;
    if (!original_destination(attempt->accepted, attempt->family, &original))
        not_redirected(attempt, "arrived without its original destination (%s)", strerror(errno));
    else if (!addr_equal(&original, &attempt->to))
        not_redirected(attempt, "arrived with the original destination %s",
                       addr_format(&original, meant));
    else if (!send_token(attempt, attempt->client, attempt->accepted) ||
             !send_token(attempt, attempt->accepted, attempt->client))
        not_redirected(attempt, "arrived, but bytes do not");
    else
        report_set(
            attempt->report, VERIFY_REDIRECTED,
            "redirected: a connection to %s arrived at port %u with its original destination", to,
            port);
}

static void run(struct attempt *attempt)
{
    if (!open_sockets(attempt) || !dial(attempt) || !await_arrival(attempt))
        return;
    if (attempt->accepted >= 0) {
        check_arrived(attempt);
        return;
    }
    char to[ADDR_TEXT_MAX];
    report_set(attempt->report, VERIFY_REDIRECTED,
               "redirected: a connection to %s, which may not leave the pod, was accepted; another "
               "process listens on port %u",
               addr_format(&attempt->to, to), (unsigned)attempt->options->outbound_port);
}

static void close_all(const struct attempt *attempt)
{
    const int fds[] = {attempt->listener, attempt->client, attempt->accepted};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

static bool is_agent(const struct capture_ids *ids, uint32_t id)
{
    for (size_t i = 0; i < ids->num; i++) {
        if (ids->ids[i] == id)
            return true;
    }
    return false;
}

void verify_outbound(const struct capture_options *options, enum ip_family family,
                     uint64_t timeout_ms, struct verify_report *report)
{
    struct attempt attempt = {
        .options = options,
        .report = report,
        .family = family,
        .timeout_ms = timeout_ms,
        .deadline_ms = clock_mono_ms() + timeout_ms,
        .listener = -1,
        .client = -1,
        .accepted = -1,
    };
    if (is_agent(&options->agent_uids, geteuid()) || is_agent(&options->agent_gids, getegid())) {
        report_set(report, VERIFY_IMPOSSIBLE,
                   "cannot be verified as user %u and group %u: these are the agent's, whose "
                   "connections are never redirected; run it as another user",
                   (unsigned)geteuid(), (unsigned)getegid());
    } else if (!probe_pick(options, family, &attempt.to)) {
        report_set(report, VERIFY_SKIPPED, "the options capture no destination");
    } else if (!has_route(&attempt.to)) {
        char to[ADDR_TEXT_MAX];
        report_set(report, VERIFY_SKIPPED, "this pod has no route to %s, or to anywhere",
                   addr_format(&attempt.to, to));
    } else {
        run(&attempt);
        close_all(&attempt);
    }
}

/* ------------------------------------------------------------------------------------- inbound */

void verify_inbound(const struct capture_options *options, struct verify_report *report)
{
    struct buf rules = {0};
    struct err err = {0};
    char redirect[32];
    snprintf(redirect, sizeof(redirect), "redirect to :%u ", (unsigned)options->inbound_port);

    int listed = capture_apply_list(&rules, &err);
    if (listed == 0 && memmem(buf_head(&rules), buf_len(&rules), redirect, strlen(redirect)))
        report_set(report, VERIFY_REDIRECTED, "the rule that redirects to port %u is there",
                   (unsigned)options->inbound_port);
    else if (listed == 0)
        report_set(report, VERIFY_NOT_REDIRECTED,
                   "the rules redirect nothing to port %u; were they made with these options?",
                   (unsigned)options->inbound_port);
    else if (err.kind == ERR_NOT_FOUND)
        report_set(report, VERIFY_NOT_REDIRECTED, "%s", err.message);
    else if (err.kind == ERR_DENIED)
        report_set(report, VERIFY_SKIPPED,
                   "the rules cannot be read without the capability NET_ADMIN; they are applied "
                   "together with the outbound ones");
    else
        report_set(report, VERIFY_IMPOSSIBLE, "%s", err.message);
    buf_done(&rules);
}
