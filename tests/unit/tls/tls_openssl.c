/*
 * OpenSSL's own client and server as the other end, and certificates made with openssl as the
 * tutorials make them: RSA 4096, a common name, nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "doors.h"

static const enum principal_kind BY_NAME[] = {PRINCIPAL_CN};

enum { PATH_TEXT = 128 };

/* A folder with what openssl has made. */
struct world {
    char folder[PATH_TEXT];
    char *ca, *server, *server_key, *client, *client_key; /* PEM */
};

static void run(const struct world *world, const char *command)
{
    char line[1024];
    snprintf(line, sizeof(line), "cd '%s' && { %s; } >>log 2>&1", world->folder, command);
    if (system(line) != 0)
        fail_msg("failed: %s", line);
}

static char *slurp(const struct world *world, const char *name)
{
    char path[PATH_TEXT + 32];
    snprintf(path, sizeof(path), "%s/%s", world->folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 64 * 1024);
    assert_non_null(text);
    assert_true(fread(text, 1, 64 * 1024 - 1, file) > 0);
    fclose(file);
    return text;
}

static int make_world(void **state)
{
    static struct world world;
    signal(SIGPIPE, SIG_IGN);
    snprintf(world.folder, sizeof(world.folder), "/tmp/remora-openssl-XXXXXX");
    assert_non_null(mkdtemp(world.folder));
    run(&world, "openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 2 -subj '/CN=tutorial CA' "
                "-keyout ca.key -out ca.crt");
    /* The client's as in the tutorials: without extensions, so of X.509's first version. */
    run(&world, "openssl req -newkey rsa:4096 -nodes -subj '/C=DE/O=Org/CN=client' "
                "-keyout client.key -out client.csr && "
                "openssl x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 "
                "-sha256 -out client.crt");
    run(&world, "openssl req -newkey rsa:2048 -nodes -subj '/CN=mtls.local' -keyout server.key "
                "-out server.csr && printf 'subjectAltName=DNS:mtls.local\\n' >san && "
                "openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -days 1 -extfile san "
                "-sha256 -out server.crt");
    world.ca = slurp(&world, "ca.crt");
    world.client = slurp(&world, "client.crt");
    world.client_key = slurp(&world, "client.key");
    world.server = slurp(&world, "server.crt");
    world.server_key = slurp(&world, "server.key");
    *state = &world;
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    char line[PATH_TEXT + 32];
    snprintf(line, sizeof(line), "rm -r '%s'", world->folder);
    assert_int_equal(system(line), 0);
    free(world->ca);
    free(world->client);
    free(world->client_key);
    free(world->server);
    free(world->server_key);
    return 0;
}

static struct cert_bytes text(const char *pem)
{
    return (struct cert_bytes){.bytes = pem, .len = strlen(pem)};
}

static struct tls_context *port_of(const struct world *world, bool allow_tls12, bool optional)
{
    const struct tls_context_cert cert = {.key = text(world->server_key),
                                          .chain = text(world->server)};
    return door_server(&(struct tls_app_server){.certs = &cert,
                                                .num_certs = 1,
                                                .client_roots = text(world->ca),
                                                .principals = BY_NAME,
                                                .num_principals = 1,
                                                .is_client_cert_optional = optional,
                                                .allow_tls12 = allow_tls12,
                                                .resumption = true});
}

/* ------------------------------------------------------------------------------------- sockets -- */

static int listen_somewhere(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    const struct timeval patience = {.tv_sec = 20};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* A program that was started, and what it reads. */
struct program {
    pid_t pid;
    int input;
};

/* A shell command in the folder, with `text` as the beginning of its input. */
static struct program start(const struct world *world, const char *command, const char *input)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct program program = {.pid = fork(), .input = ends[1]};
    assert_true(program.pid >= 0);
    if (program.pid == 0) {
        if (dup2(ends[0], STDIN_FILENO) == STDIN_FILENO && chdir(world->folder) == 0)
            execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(ends[0]);
    assert_int_equal(write(program.input, input, strlen(input)), strlen(input));
    return program;
}

static void end(const struct program *program)
{
    close(program->input);
    assert_int_equal(waitpid(program->pid, NULL, 0), program->pid);
}

static void push(int fd, struct tls_conn *conn)
{
    struct buf *output = tls_conn_output(conn);
    while (buf_len(output) > 0) {
        ssize_t len = write(fd, buf_head(output), buf_len(output));
        if (len <= 0)
            break; /* the other end is gone; what it said before is still to be read */
        buf_consume(output, (size_t)len);
    }
    buf_clear(output, 0);
}

/* Says `text`; a server, that this was all, too. */
static void say(int fd, struct tls_conn *conn, const char *text, bool is_server)
{
    tls_conn_send(conn, (const uint8_t *)text, strlen(text));
    if (is_server)
        tls_conn_close_notify(conn);
    push(fd, conn);
    if (is_server)
        shutdown(fd, SHUT_WR);
}

/*
 * Until the other end has ended or the connection has failed: what it is at last is in `conn`. When
 * `num_wanted` bytes have come, `answer` is given.
 */
static void serve(int fd, struct tls_conn *conn, size_t num_wanted, const char *answer,
                  struct buf *plain)
{
    bool is_answered = false;
    enum tls_status status = TLS_HANDSHAKING;
    push(fd, conn);
    while (status != TLS_FAILED && status != TLS_PEER_CLOSED) {
        uint8_t bytes[4096];
        ssize_t len = read(fd, bytes, sizeof(bytes));
        status = len <= 0 ? tls_conn_eof(conn) : tls_conn_recv(conn, bytes, (size_t)len, plain);
        push(fd, conn);
        if (status == TLS_OPEN && !is_answered && buf_len(plain) >= num_wanted) {
            say(fd, conn, answer, num_wanted > 0);
            is_answered = true;
        }
        if (len <= 0)
            break;
    }
    shutdown(fd, SHUT_RDWR);
}

/* What came of one visit of openssl's client. */
struct visit {
    struct tls_conn *conn; /* freed by visit_done */
    struct buf plain;
};

static struct visit visit_port(const struct world *world, struct tls_context *context,
                               const char *options)
{
    char command[512];
    int port;
    int listener = listen_somewhere(&port);
    snprintf(command, sizeof(command),
             "exec timeout 20 openssl s_client -connect 127.0.0.1:%d -servername mtls.local "
             "-CAfile ca.crt %s >client.out 2>&1",
             port, options);
    struct program program = start(world, command, "hello\n");
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        fail_msg("openssl did not come: %s", options);
    struct visit visit = {.conn = door_conn(context, TLS_SERVER, clock_wall_ms())};
    serve(fd, visit.conn, strlen("hello\n"), "world\n", &visit.plain);
    close(fd);
    close(listener);
    end(&program);
    return visit;
}

static void visit_done(struct visit *visit)
{
    tls_conn_free(visit->conn);
    buf_done(&visit->plain);
}

static void expect_served(const struct world *world, const struct visit *visit)
{
    char *said = slurp(world, "client.out");
    if (tls_conn_reason(visit->conn) != REASON_DONE && buf_len(&visit->plain) == 0)
        fail_msg("%s\n%s", tls_conn_err(visit->conn)->message, said);
    assert_int_equal(buf_len(&visit->plain), 6);
    assert_memory_equal(buf_head(&visit->plain), "hello\n", 6);
    assert_non_null(strstr(said, "world"));
    assert_non_null(strstr(said, "Verify return code: 0 (ok)"));
    free(said);
}

/* --------------------------------------------------------------------------------- their client -- */

#define WITH_CERT "-cert client.crt -key client.key "

static void a_client_as_in_the_tutorials_is_served_and_known_by_its_common_name(void **state)
{
    const struct world *world = *state;
    struct tls_context *context = port_of(world, false, false);
    struct visit visit = visit_port(world, context, WITH_CERT);
    expect_served(world, &visit);
    assert_string_equal(tls_conn_peer(visit.conn)->principal, "cn:client");
    assert_string_equal(tls_conn_peer(visit.conn)->common_name, "client");
    visit_done(&visit);
    tls_context_unref(context);
}

static void a_caller_without_a_certificate_is_served_only_where_it_may_be_nobody(void **state)
{
    const struct world *world = *state;
    struct tls_context *strict = port_of(world, false, false), *open = port_of(world, true, true);
    struct visit visit = visit_port(world, strict, "");
    assert_int_equal(tls_conn_reason(visit.conn), REASON_TLS_NO_CLIENT_CERT);
    assert_int_equal(buf_len(&visit.plain), 0);
    visit_done(&visit);
    visit = visit_port(world, open, "");
    expect_served(world, &visit);
    assert_null(tls_conn_peer(visit.conn));
    visit_done(&visit);
    /* Nobody stays nobody when it resumes. */
    visit = visit_port(world, open, "-sess_out nobody.pem");
    visit_done(&visit);
    visit = visit_port(world, open, "-sess_in nobody.pem");
    expect_served(world, &visit);
    assert_true(tls_conn_info(visit.conn).is_resumed);
    assert_null(tls_conn_peer(visit.conn));
    visit_done(&visit);
    tls_context_unref(strict);
    tls_context_unref(open);
}

struct version_case {
    bool allow_tls12;
    const char *options;
    enum reason reason; /* REASON_DONE: served */
    const char *version;
};

static void old_versions_and_weak_suites_are_refused(void **state)
{
    const struct world *world = *state;
    static const struct version_case CASES[] = {
        {false, WITH_CERT "-tls1_2", REASON_TLS_VERSION, NULL},
        {true, WITH_CERT "-tls1_2", REASON_DONE, "TLSv1.2"},
        {true, WITH_CERT, REASON_DONE, "TLSv1.3"},
        {true, WITH_CERT "-tls1_1 -cipher DEFAULT:@SECLEVEL=0", REASON_TLS_VERSION, NULL},
        {true, WITH_CERT "-tls1_2 -cipher AES128-GCM-SHA256", REASON_TLS_FAILED, NULL},
        {true, WITH_CERT "-tls1_2 -cipher ECDHE-RSA-AES128-SHA256", REASON_TLS_FAILED, NULL},
        {true, WITH_CERT "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256", REASON_TLS_FAILED, NULL},
        {true, WITH_CERT "-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305", REASON_DONE, "TLSv1.2"},
        {true, WITH_CERT "-groups secp521r1", REASON_TLS_FAILED, NULL},
        {true, WITH_CERT "-tls1_2 -sigalgs RSA+SHA1:RSA-PSS+SHA256", REASON_DONE, "TLSv1.2"},
    };
    struct tls_context *contexts[] = {port_of(world, false, false), port_of(world, true, false)};
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct visit visit = visit_port(world, contexts[CASES[i].allow_tls12], CASES[i].options);
        if (CASES[i].reason == REASON_DONE) {
            expect_served(world, &visit);
            assert_string_equal(tls_conn_info(visit.conn).version, CASES[i].version);
        } else if (tls_conn_reason(visit.conn) != CASES[i].reason || buf_len(&visit.plain) > 0) {
            fail_msg("%s: %s '%s'", CASES[i].options, reason_name(tls_conn_reason(visit.conn)),
                     tls_conn_err(visit.conn)->message);
        }
        visit_done(&visit);
    }
    tls_context_unref(contexts[0]);
    tls_context_unref(contexts[1]);
}

/* RFC 7627; there is no option of s_client for it. */
static void tls_1_2_without_extended_master_secret_is_refused(void **state)
{
    const struct world *world = *state;
    run(world, "printf 'openssl_conf = a\\n[a]\\nssl_conf = b\\n[b]\\nsystem_default = c\\n"
               "[c]\\nOptions = -ExtendedMasterSecret\\n' >no_ems.cnf");
    assert_int_equal(setenv("OPENSSL_CONF", "no_ems.cnf", 1), 0);
    struct tls_context *context = port_of(world, true, false);
    struct visit visit = visit_port(world, context, WITH_CERT "-tls1_2");
    unsetenv("OPENSSL_CONF");
    assert_int_equal(tls_conn_status(visit.conn), TLS_FAILED);
    assert_non_null(strstr(tls_conn_err(visit.conn)->message, "no extended master secret"));
    assert_int_equal(buf_len(&visit.plain), 0);
    visit_done(&visit);
    tls_context_unref(context);
}

static void openssl_resumes_and_sends_no_early_data(void **state)
{
    const struct world *world = *state;
    struct tls_context *context = port_of(world, true, false);
    struct visit visit = visit_port(world, context, WITH_CERT "-sess_out ticket.pem");
    expect_served(world, &visit);
    assert_false(tls_conn_info(visit.conn).is_resumed);
    visit_done(&visit);
    run(world, "printf early >early");
    visit = visit_port(world, context, WITH_CERT "-sess_in ticket.pem -early_data early");
    expect_served(world, &visit); /* "hello", without "early" */
    assert_true(tls_conn_info(visit.conn).is_resumed);
    assert_string_equal(tls_conn_peer(visit.conn)->principal, "cn:client");
    visit_done(&visit);
    /* With TLS 1.2 there is neither a ticket nor a session that the client could keep. */
    visit = visit_port(world, context, WITH_CERT "-tls1_2 -sess_out old.pem");
    expect_served(world, &visit);
    visit_done(&visit);
    run(world, "test ! -e old.pem");
    tls_context_unref(context);
}

/* In s_client, a line that begins with 'R' asks for it. */
static void renegotiation_ends_the_connection(void **state)
{
    const struct world *world = *state;
    struct tls_context *context = port_of(world, true, false);
    char command[512];
    int port;
    int listener = listen_somewhere(&port);
    snprintf(command, sizeof(command),
             "exec timeout 20 openssl s_client "
             "-connect 127.0.0.1:%d "
             "-CAfile ca.crt -tls1_2 " WITH_CERT ">client.out 2>&1",
             port);
    struct program program = start(world, command, "R\n");
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    struct visit visit = {.conn = door_conn(context, TLS_SERVER, clock_wall_ms())};
    serve(fd, visit.conn, SIZE_MAX, "", &visit.plain);
    close(fd);
    close(listener);
    end(&program);
    assert_int_equal(tls_conn_status(visit.conn), TLS_FAILED);
    assert_non_null(strstr(tls_conn_err(visit.conn)->message, "renegotiate"));
    visit_done(&visit);
    tls_context_unref(context);
}

/* --------------------------------------------------------------------------------- their server -- */

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int tries = 0; tries < 500; tries++) { /* until it listens */
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
            return fd;
        close(fd);
        usleep(10000);
    }
    fail_msg("nobody listens");
    return -1;
}

static void assert_served_by(const struct world *world, const char *options, bool is_cert_shown)
{
    char command[512];
    int port;
    close(listen_somewhere(&port)); /* free until just now */
    snprintf(
        command, sizeof(command),
        "exec timeout 20 openssl s_server -accept 127.0.0.1:%d -cert server.crt -key server.key "
        "-CAfile ca.crt %s -www -naccept 2 >server.out 2>&1",
        port, options);
    struct tls_context *context = door_origin(
        &(struct tls_origin){.cert = {.key = text(world->client_key), .chain = text(world->client)},
                             .server_name = "mtls.local",
                             .roots = text(world->ca),
                             .resumption = true});
    struct program program = start(world, command, "");
    for (int visits = 0; visits < 2; visits++) {
        int fd = connect_to(port);
        struct buf plain = {0};
        struct tls_conn *conn = door_conn(context, TLS_CLIENT, clock_wall_ms());
        serve(fd, conn, 0, "GET / HTTP/1.0\r\n\r\n", &plain);
        buf_append(&plain, "", 1);
        if (strstr((const char *)buf_head(&plain), "Protocol  : TLSv1.3") == NULL)
            fail_msg("%s '%s'", tls_conn_err(conn)->message, (const char *)buf_head(&plain));
        assert_string_equal(tls_conn_peer(conn)->principal, "dns:mtls.local");
        assert_int_equal(tls_conn_info(conn).is_resumed, visits > 0);
        assert_int_equal(tls_conn_info(conn).is_own_cert_shown, is_cert_shown);
        tls_conn_free(conn);
        buf_done(&plain);
        close(fd);
    }
    end(&program);
    tls_context_unref(context);
}

static void a_server_that_demands_a_certificate_gets_ours(void **state)
{
    assert_served_by(*state, "-Verify 1 -verify_return_error", true);
}

static void a_server_that_asks_for_no_certificate_gets_none_and_that_is_known(void **state)
{
    assert_served_by(*state, "", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_as_in_the_tutorials_is_served_and_known_by_its_common_name),
        cmocka_unit_test(a_caller_without_a_certificate_is_served_only_where_it_may_be_nobody),
        cmocka_unit_test(old_versions_and_weak_suites_are_refused),
        cmocka_unit_test(tls_1_2_without_extended_master_secret_is_refused),
        cmocka_unit_test(openssl_resumes_and_sends_no_early_data),
        cmocka_unit_test(renegotiation_ends_the_connection),
        cmocka_unit_test(a_server_that_demands_a_certificate_gets_ours),
        cmocka_unit_test(a_server_that_asks_for_no_certificate_gets_none_and_that_is_known),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
