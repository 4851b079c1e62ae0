#include "agent_cert_source.h"

#include <stddef.h>

#include "ca_client.h"
#include "file_source.h"
#include "workload_api.h"

static struct cert_source *new_ca_source(struct tls_io *io, const struct agent_config *config,
                                         struct err *err)
{
    const struct ca_client_options options = {
        .address = config->ca_address,
        .server_name = config->ca_server_name,
        .roots_file = config->ca_root_file,
        .token_file = config->token_file,
        .cluster_id = config->cluster_id,
        .validity_s = (int64_t)(config->cert_ttl_ms / 1000),
    };
    return ca_client_new(io, &options, err);
}

static struct cert_source *new_file_source(struct net_loop *loop, const struct agent_config *config,
                                           struct err *err)
{
    const struct file_source_paths paths = {
        .cert_file = config->cert_file,
        .key_file = config->key_file,
        .roots_file = config->trust_bundle_file,
    };
    return file_source_new(loop, &paths, err);
}

static struct cert_source *new_spiffe_source(struct tls_io *io, const struct agent_config *config,
                                             const char *identity, struct err *err)
{
    const struct workload_api_options options = {
        .endpoint = config->spiffe_endpoint,
        .hint = config->spiffe_hint,
        .spiffe_id = identity,
    };
    return workload_api_new(io, &options, err);
}

struct cert_source *agent_cert_source_new(struct tls_io *io, const struct agent_config *config,
                                          const char *identity, struct err *err)
{
    struct cert_source *source = NULL;
    switch (config->cert_source) {
    case AGENT_CERT_ISTIO_CA:
        source = new_ca_source(io, config, err);
        break;
    case AGENT_CERT_FILES:
        source = new_file_source(tls_io_loop(io), config, err);
        break;
    case AGENT_CERT_SPIFFE:
        source = new_spiffe_source(io, config, identity, err);
        break;
    }
    if (source == NULL)
        err_prefix(err, "certificate source");
    return source;
}

void agent_cert_source_retry(struct cert_source *source, const struct agent_config *config)
{
    if (config->cert_source == AGENT_CERT_SPIFFE)
        workload_api_retry(source);
}

int agent_cert_source_check(const struct agent_config *config, struct err *err)
{
    if (config->cert_source != AGENT_CERT_SPIFFE ||
        workload_api_check_endpoint(config->spiffe_endpoint, err) == 0)
        return 0;
    return err_prefix(err, "spiffe-endpoint");
}
