#include "ports.h"

#include <stdlib.h>
#include <string.h>

#include "ports_schema.h"

struct ports_config {
    struct yaml_doc *doc; /* holds what the entries point to; NULL: there is none */
    struct ports_port *ports;
    size_t num_ports;
    const struct ports_destination *destinations;
    size_t num_destinations;
};

const char *ports_mode_name(enum ports_mode mode)
{
    switch (mode) {
    case PORTS_MESH:
        return "mesh";
    case PORTS_MTLS:
        return "mtls";
    case PORTS_PASSTHROUGH:
        return "passthrough";
    case PORTS_PLAINTEXT:
        break;
    }
    return "plaintext";
}

struct ports_config *ports_config_new_empty(void)
{
    return calloc(1, sizeof(struct ports_config));
}

static int compare_ports(const void *a, const void *b)
{
    const struct ports_port *left = a;
    const struct ports_port *right = b;
    return (int)left->port - (int)right->port;
}

static int sort_ports(struct ports_config *config, const struct ports_lists *lists)
{
    if (lists->num_ports == 0)
        return 0;
    config->ports = yaml_doc_alloc(config->doc, lists->num_ports, sizeof(*config->ports));
    if (config->ports == NULL)
        return -1;
    memcpy(config->ports, lists->ports, lists->num_ports * sizeof(*config->ports));
    qsort(config->ports, lists->num_ports, sizeof(*config->ports), compare_ports);
    config->num_ports = lists->num_ports;
    return 0;
}

/* Takes the document. */
static struct ports_config *build(struct yaml_doc *doc, struct err *err)
{
    struct ports_lists lists;
    struct ports_config *config = ports_config_new_empty();
    if (config == NULL) {
        err_set(err, ERR_NOMEM, "%s: out of memory", yaml_doc_name(doc));
        yaml_doc_free(doc);
        return NULL;
    }
    config->doc = doc;
    if (ports_schema_read(doc, &lists, err) < 0)
        goto fail;
    if (sort_ports(config, &lists) < 0) {
        err_set(err, ERR_NOMEM, "%s: out of memory", yaml_doc_name(doc));
        goto fail;
    }
    config->destinations = lists.destinations;
    config->num_destinations = lists.num_destinations;
    return config;
fail:
    ports_config_free(config);
    return NULL;
}

struct ports_config *ports_config_parse(const char *name, const char *bytes, size_t len,
                                        struct err *err)
{
    struct yaml_doc *doc = yaml_doc_parse(name, bytes, len, err);
    return doc == NULL ? NULL : build(doc, err);
}

struct ports_config *ports_config_load(const char *path, struct err *err)
{
    struct yaml_doc *doc = yaml_doc_load(path, err);
    return doc == NULL ? NULL : build(doc, err);
}

void ports_config_free(struct ports_config *config)
{
    if (config == NULL)
        return;
    yaml_doc_free(config->doc);
    free(config);
}

const struct ports_port *ports_config_ports(const struct ports_config *config, size_t *num)
{
    *num = config->num_ports;
    return config->ports;
}

const struct ports_destination *ports_config_destinations(const struct ports_config *config,
                                                          size_t *num)
{
    *num = config->num_destinations;
    return config->destinations;
}
