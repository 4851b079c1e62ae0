/* Any bytes as the ports-file. What is taken keeps what its header promises, so that whoever uses it need not look again. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "ports.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_certificate(const struct ports_certificate *certificate)
{
    assert((certificate->cert_file == NULL) == (certificate->key_file == NULL));
    assert(certificate->cert_file == NULL || certificate->cert_file[0] == '/');
    for (size_t i = 0; i < certificate->num_names; i++)
        assert(strpbrk(certificate->names[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZ/ ") == NULL);
}

static void check_port(const struct ports_port *port)
{
    assert(port->port > 0);
    if (port->mode != PORTS_MTLS) {
        assert(port->num_certificates == 0 && port->client_ca_file == NULL && !port->allow_tls12);
        return;
    }
    assert(port->num_principals > 0 && port->num_principals <= NUM_PRINCIPAL_KINDS);
    assert(port->num_certificates <= PORTS_CERTIFICATES_MAX && port->num_alpn <= PORTS_ALPN_MAX);
    assert(port->verify_depth <= PORTS_VERIFY_DEPTH_MAX);
    assert(port->client_ca_file != NULL || port->principals[0] == PRINCIPAL_URI);
    for (size_t i = 0; i < port->num_certificates; i++) {
        assert(port->certificates[i].cert_file != NULL);
        check_certificate(&port->certificates[i]);
    }
}

static void check_destination(const struct ports_destination *destination)
{
    assert(destination->port > 0);
    assert((destination->host == NULL) == (destination->cidr.ip.family != IP_NONE));
    assert((destination->server_name == NULL) == (destination->num_spiffe_ids > 0));
    assert((destination->server_name == NULL) == (destination->ca_file == NULL));
    for (size_t i = 0; i < destination->num_spiffe_ids; i++)
        assert(strncmp(destination->spiffe_ids[i], "spiffe://", 9) == 0);
    check_certificate(&destination->certificate);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct err err;
    struct ports_config *config = ports_config_parse("fuzz", (const char *)bytes, len, &err);
    if (config == NULL)
        return 0;
    size_t num_ports, num_destinations;
    const struct ports_port *ports = ports_config_ports(config, &num_ports);
    const struct ports_destination *destinations =
        ports_config_destinations(config, &num_destinations);
    for (size_t i = 0; i < num_ports; i++) {
        assert(i == 0 || ports[i - 1].port < ports[i].port);
        check_port(&ports[i]);
    }
    for (size_t i = 0; i < num_destinations; i++)
        check_destination(&destinations[i]);
    ports_config_free(config);
    return 0;
}
