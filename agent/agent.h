/* The running agent: from a configuration to a process that carries traffic, until it is told to
 * end. */
#ifndef REMORA_AGENT_H
#define REMORA_AGENT_H

#include "agent_config.h"
#include "err.h"

/*
 * Runs until SIGTERM or SIGINT and the drain that follows; a second signal ends the drain at once.
 * SIGHUP reads the certificate and the local file again. `config` is borrowed. Call it with no other
 * thread but the log's. 0, or -1 with *err: it could not start.
 */
int agent_run(const struct agent_config *config, struct err *err);

#endif
