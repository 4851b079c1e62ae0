/* The schema of one policy of the local file. Private to control. */
#ifndef REMORA_LOCAL_POLICY_H
#define REMORA_LOCAL_POLICY_H

#include "mesh.h"
#include "yaml_reader.h"

/*
 * Fills *policy, with memory of the reader's document. Errors stay in the reader. `dryRun` and all other keys of a policy are
 * required, those of a match are not.
 */
void local_policy_read(struct yaml_reader *reader, const struct yaml_node *node,
                       struct mesh_policy *policy);

#endif
