/*
 * Whom the configuration trusts beside our own trust domain, taken apart: aliases, files of federated
 * bundles, files of revocation lists.
 */
#ifndef REMORA_TRUST_CONFIG_H
#define REMORA_TRUST_CONFIG_H

#include <stddef.h>

#include "agent_config.h"
#include "err.h"
#include "trust_extras.h"

enum { TRUST_CONFIG_MAX = TRUST_EXTRAS_MAX }; /* of each list */

struct trust_config_bundle {
    const char *trust_domain;
    const char *path;
};

struct trust_config {
    char *texts[3]; /* what the others point into */
    const char *aliases[TRUST_CONFIG_MAX];
    size_t num_aliases;
    struct trust_config_bundle bundles[TRUST_CONFIG_MAX];
    size_t num_bundles;
    const char *crl_files[TRUST_CONFIG_MAX];
    size_t num_crl_files;
};

/*
 * 0, and the caller gives it to trust_config_done; or -1 with *err (ERR_INVALID naming option and
 * part, ERR_LIMIT, ERR_NOMEM) and an empty one.
 */
int trust_config_parse(struct trust_config *trust, const struct agent_config *config,
                       struct err *err);

/* Frees and empties. An empty one is ignored. */
void trust_config_done(struct trust_config *trust);

#endif
