#include "discovery_node.h"

#include <string.h>

enum { SHOWN = 200 }; /* bytes of a text of the client's in a message */

static int check_ip(const char *text, size_t len, struct err *err)
{
    char ip_text[ADDR_TEXT_MAX];
    struct ip ip;
    if (len < sizeof(ip_text)) {
        memcpy(ip_text, text, len);
        ip_text[len] = '\0';
        if (ip_parse(&ip, ip_text, NULL) == 0)
            return 0;
    }
    return err_set(err, ERR_INVALID, "the node id has no IP address: \"%.*s\"",
                   (int)(len < SHOWN ? len : SHOWN), text);
}

static int check_id(const char *id, struct err *err)
{
    static const char role[] = "ztunnel~";
    unsigned num_tildes = 0;
    for (const char *c = id; *c != '\0'; c++)
        num_tildes += *c == '~';
    if (num_tildes != 3)
        return err_set(err, ERR_INVALID, "the node id is not \"role~ip~name~domain\": \"%.*s\"",
                       SHOWN, id);
    if (strncmp(id, role, strlen(role)) != 0)
        return err_set(err, ERR_INVALID, "only nodes of the role \"ztunnel\" are served: \"%.*s\"",
                       SHOWN, id);
    const char *ip = id + strlen(role);
    return check_ip(ip, strcspn(ip, "~"), err);
}

int discovery_node_check(const struct discovery_node *node, const char *ns, const char *sa,
                         struct err *err)
{
    if (check_id(node->id, err) < 0)
        return -1;
    if (ns == NULL || sa == NULL)
        return err_set(err, ERR_DENIED, "the token's identity has no namespace");
    if (strcmp(node->namespace_, ns) != 0)
        return err_set(err, ERR_DENIED,
                       "the node's NAMESPACE is \"%.*s\", and the token's identity is in \"%s\"",
                       SHOWN, node->namespace_, ns);
    if (node->service_account[0] != '\0' && strcmp(node->service_account, sa) != 0)
        return err_set(err, ERR_DENIED,
                       "the node's SERVICE_ACCOUNT is \"%.*s\", and the token's is \"%s\"", SHOWN,
                       node->service_account, sa);
    return 0;
}
