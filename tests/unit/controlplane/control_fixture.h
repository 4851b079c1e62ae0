/*
 * A loop, a folder with the control plane's files, and one client's fetches, run to their end.
 */
#ifndef REMORA_TEST_CONTROL_FIXTURE_H
#define REMORA_TEST_CONTROL_FIXTURE_H

#include <stdbool.h>

#include "ca_client.h"
#include "controlplane.h"
#include "net_loop.h"
#include "tls_io.h"

#define CONTROL_FIXTURE_IDENTITY "spiffe://cluster.local/ns/shop/sa/frontend"
#define CONTROL_FIXTURE_TOKEN    "the-token-of-frontend"

struct control_fixture {
    char dir[64];
    struct net_loop *loop;
    struct tls_io *io;
    struct controlplane_config config;
    char state_dir[128];
    char tokens_file[128];
    char token_file[128];
    char root_file[128];
    struct controlplane *controlplane; /* NULL: not started */
    char address[64];                  /* of the control plane, or of whatever stands for it */
    bool timed_out;
};

/* cmocka's setup and teardown; *state is the fixture. The folder holds a tokens file with
 * CONTROL_FIXTURE_TOKEN, and that token in token_file. */
int control_fixture_setup(void **state);
int control_fixture_teardown(void **state);

void control_fixture_start(struct control_fixture *fixture);
void control_fixture_write(const char *path, const char *text);

/* Points the client at a listener on 127.0.0.1. */
void control_fixture_set_port(struct control_fixture *fixture, uint16_t port);

/* Options that succeed, for a test to spoil. */
struct ca_client_options control_fixture_options(const struct control_fixture *fixture);

/* Runs until *done, and fails the test after ten seconds. */
void control_fixture_run(struct control_fixture *fixture, const bool *done);

/* What a fetch brought, copied. */
struct control_fetch {
    bool done;
    char *chain_pem; /* NULL: it failed */
    char *roots_pem;
    struct err err;
};
void control_fetch_done(struct control_fetch *fetch);

/* One fetch on a source. `csr_pem` NULL: one is made for CONTROL_FIXTURE_IDENTITY. */
void control_fixture_fetch_on(struct control_fixture *fixture, struct cert_source *source,
                              const char *csr_pem, struct control_fetch *fetch);

/* A new source, one fetch on it, and the source is freed. */
void control_fixture_fetch(struct control_fixture *fixture, const struct ca_client_options *options,
                           struct control_fetch *fetch);

/* Fails the test unless the fetch failed in this way; `words` are in the message, in this order,
 * separated by "|". */
void control_fetch_expect_error(const struct control_fetch *fetch, enum err_kind kind,
                                const char *words);

#endif
