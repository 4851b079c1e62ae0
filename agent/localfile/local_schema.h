/*
 * The schema of the local file: from a YAML document to a mesh_builder. Field names and values are ztunnel's. Private to
 * control.
 */
#ifndef REMORA_LOCAL_SCHEMA_H
#define REMORA_LOCAL_SCHEMA_H

#include "mesh_builder.h"
#include "yaml_reader.h"

/* Adds everything in the document to the builder. 0, or -1 with *err: file, line, path of keys, and what is wrong. */
int local_schema_read(struct yaml_doc *doc, struct mesh_builder *builder, struct err *err);

#endif
