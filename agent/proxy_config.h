/* The data path's options from the agent's configuration. Pure. */
#ifndef REMORA_PROXY_CONFIG_H
#define REMORA_PROXY_CONFIG_H

#include "agent_config.h"
#include "proxy.h"

/* The texts in *options are borrowed from *config. */
void proxy_config_fill(struct proxy_options *options, const struct agent_config *config);

/* The wildcard address at `port`: dual stack, or IPv4 alone when the configuration says so. */
struct addr proxy_config_wildcard(const struct agent_config *config, uint16_t port);

#endif
