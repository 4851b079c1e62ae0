/* What plain text means in YAML. Private to config. */
#ifndef REMORA_YAML_SCALAR_H
#define REMORA_YAML_SCALAR_H

#include "yaml_doc.h"

/* By the core schema (YAML 1.2.2, 10.3.2) of a scalar without quotes. */
enum yaml_meaning yaml_scalar_meaning(const char *text);

#endif
