/* The schema of the ports-file. Private to ports. */
#ifndef REMORA_PORTS_SCHEMA_H
#define REMORA_PORTS_SCHEMA_H

#include "ports.h"
#include "yaml_reader.h"

/* With memory of the document. */
struct ports_lists {
    const struct ports_port *ports; /* in the file's order */
    size_t num_ports;
    const struct ports_destination *destinations;
    size_t num_destinations;
};

/* Reads and checks everything in the document. 0, or -1 with *err. */
int ports_schema_read(struct yaml_doc *doc, struct ports_lists *lists, struct err *err);

#endif
