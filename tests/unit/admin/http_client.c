#include "http_client.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct run {
    struct net_loop *loop;
    struct net_wake *done;
    void (*script)(void *arg);
    void *arg;
};

static void *run_script(void *arg)
{
    struct run *run = arg;
    run->script(run->arg);
    net_wake_send(run->done);
    return NULL;
}

static void on_done(void *owner)
{
    struct run *run = owner;
    net_loop_stop(run->loop);
}

void http_client_run(struct net_loop *loop, void (*script)(void *arg), void *arg)
{
    struct run run = {.loop = loop, .script = script, .arg = arg};
    struct err err;
    run.done = net_wake_new(loop, on_done, &run, &err);
    pthread_t thread;
    int rc = run.done == NULL ? -1 : pthread_create(&thread, NULL, run_script, &run);
    assert(rc == 0);
    net_loop_run(loop);
    pthread_join(thread, NULL);
    net_wake_free(run.done);
}

int http_client_connect(const struct addr *at)
{
    struct addr to = {.ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}}, .port = at->port};
    if (at->ip.family == IP_V6)
        to.ip = (struct ip){.family = IP_V6, .bytes = {[15] = 1}};
    struct sockaddr_storage sockaddr;
    socklen_t len = addr_to_sockaddr(&to, &sockaddr);
    int fd = socket(sockaddr.ss_family, SOCK_STREAM, 0);
    int rc = connect(fd, (const struct sockaddr *)&sockaddr, len);
    assert(rc == 0);
    return fd;
}

void http_client_send(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0)
            return; /* the server has closed: the answer says why */
        bytes += sent;
        len -= (size_t)sent;
    }
}

char *http_client_read_all(int fd)
{
    size_t len = 0;
    size_t capacity = 65536;
    char *text = malloc(capacity);
    for (ssize_t got; (got = recv(fd, text + len, capacity - len - 1, 0)) > 0;) {
        len += (size_t)got;
        if (len == capacity - 1) {
            capacity *= 2;
            text = realloc(text, capacity);
            assert(text != NULL);
        }
    }
    text[len] = '\0';
    close(fd);
    return text;
}

char *http_client_ask(const struct addr *at, const char *request)
{
    int fd = http_client_connect(at);
    http_client_send(fd, request, strlen(request));
    return http_client_read_all(fd);
}
