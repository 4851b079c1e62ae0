/*
 * gRPC calls whose server is the test, in place of rpc's: linked instead of it, as fake_timer.h is
 * instead of net's timers. Deferred tasks run when the test says so.
 */
#ifndef REMORA_FAKE_GRPC_H
#define REMORA_FAKE_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc_call.h"

/* Calls that were started, ever, and whether one is open. */
extern unsigned fake_grpc_num_calls;
bool fake_grpc_is_open(void);

/* Of the newest call. */
extern char fake_grpc_path[128];
extern char fake_grpc_metadata[256]; /* "name: value\n" */

/* Makes the next call fail to start. */
extern bool fake_grpc_refuses_to_start;

/* What the server of the open call does. */
void fake_grpc_answer(const void *message, size_t len);
void fake_grpc_end(enum grpc_status status, enum err_kind kind, const char *words);

/* Channels that were made and not freed. */
extern unsigned fake_grpc_num_channels;

/* Runs deferred tasks until there are none. */
void fake_grpc_run_tasks(void);

#endif
