/* Whether a policy matches a connection. Pure. Private to mesh; mesh_authorize is the way in. */
#ifndef REMORA_MESH_MATCH_H
#define REMORA_MESH_MATCH_H

#include "mesh_authorize.h"

/*
 * A policy matches when any rule does, a rule when all its clauses do, a clause when any of its matches does, a match when all its
 * lists do. Nothing in a structure means: a policy without rules never matches, a rule without clauses always does, a clause
 * without matches does too, and a match without any list never does.
 */
bool mesh_match_policy(const struct mesh_policy *policy, const struct mesh_access *access);

#endif
