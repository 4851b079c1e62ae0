#include "trust_config.h"

#include <stdlib.h>
#include <string.h>

#include "spiffe_id.h"

/* Cuts `text`, which is copied to *copy, at its commas; spaces around parts do not count. */
static int split(const char *text, char **copy, const char **parts, size_t *num, struct err *err)
{
    char *rest = NULL;
    *copy = strdup(text);
    if (*copy == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (char *part = strtok_r(*copy, ", ", &rest); part != NULL;
         part = strtok_r(NULL, ", ", &rest)) {
        if (*num == TRUST_CONFIG_MAX)
            return err_set(err, ERR_LIMIT, "more than the %d that are allowed, from \"%.200s\" on",
                           TRUST_CONFIG_MAX, part);
        parts[(*num)++] = part;
    }
    return 0;
}

static int check_domain(const char *name, struct err *err)
{
    return spiffe_id_check_trust_domain(name, strlen(name), err) < 0
               ? err_prefix(err, "\"%.100s\"", name)
               : 0;
}

static int parse_aliases(struct trust_config *trust, const struct agent_config *config,
                         struct err *err)
{
    if (split(config->trust_domain_aliases, &trust->texts[0], trust->aliases, &trust->num_aliases,
              err) < 0)
        return -1;
    for (size_t i = 0; i < trust->num_aliases; i++) {
        if (check_domain(trust->aliases[i], err) < 0)
            return -1;
        if (strcmp(trust->aliases[i], config->trust_domain) == 0)
            return err_set(err, ERR_INVALID, "\"%.100s\" is the trust domain itself",
                           trust->aliases[i]);
    }
    return 0;
}

/* A trust domain is ours or another's, never both. */
static int check_federated(const struct trust_config *trust, const struct agent_config *config,
                           const char *name, struct err *err)
{
    if (check_domain(name, err) < 0)
        return -1;
    bool is_own = strcmp(name, config->trust_domain) == 0;
    for (size_t i = 0; i < trust->num_aliases; i++)
        is_own = is_own || strcmp(name, trust->aliases[i]) == 0;
    if (is_own)
        return err_set(err, ERR_INVALID, "\"%.100s\" is our own trust domain or an alias of it",
                       name);
    for (size_t i = 0; i < trust->num_bundles; i++)
        if (strcmp(name, trust->bundles[i].trust_domain) == 0)
            return err_set(err, ERR_INVALID, "\"%.100s\" is there twice", name);
    return 0;
}

static int parse_bundles(struct trust_config *trust, const struct agent_config *config,
                         struct err *err)
{
    const char *parts[TRUST_CONFIG_MAX];
    size_t num = 0;
    if (split(config->federated_bundle_files, &trust->texts[1], parts, &num, err) < 0)
        return -1;
    for (size_t i = 0; i < num; i++) {
        size_t name_len = strcspn(parts[i], "=");
        if (parts[i][name_len] == '\0' || parts[i][name_len + 1] == '\0')
            return err_set(err, ERR_INVALID, "\"%.200s\" is not domain=path", parts[i]);
        trust->texts[1][parts[i] - trust->texts[1] + (ptrdiff_t)name_len] = '\0';
        if (check_federated(trust, config, parts[i], err) < 0)
            return -1;
        trust->bundles[trust->num_bundles++] =
            (struct trust_config_bundle){parts[i], parts[i] + name_len + 1};
    }
    return 0;
}

int trust_config_parse(struct trust_config *trust, const struct agent_config *config,
                       struct err *err)
{
    *trust = (struct trust_config){0};
    int result = 0;
    if (parse_aliases(trust, config, err) < 0)
        result = err_prefix(err, "trust-domain-aliases");
    else if (parse_bundles(trust, config, err) < 0)
        result = err_prefix(err, "federated-bundle-files");
    else if (split(config->crl_file, &trust->texts[2], trust->crl_files, &trust->num_crl_files,
                   err) < 0)
        result = err_prefix(err, "crl-file");
    if (result < 0)
        trust_config_done(trust);
    return result;
}

void trust_config_done(struct trust_config *trust)
{
    for (size_t i = 0; i < sizeof(trust->texts) / sizeof(trust->texts[0]); i++)
        free(trust->texts[i]);
    *trust = (struct trust_config){0};
}
