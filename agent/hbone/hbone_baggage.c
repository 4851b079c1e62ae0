/* baggage (W3C), with the members that Istio's ambient mesh gives. */
#include <stdio.h>
#include <string.h>

#include "hbone_headers.h"

static const char *const workload_types[] = {"deployment", "cronjob", "pod", "job"};

/* The members with fixed keys, in Istio's order; the workload's place is after the namespace. */
static const struct member {
    const char *key;
    size_t offset;
} members[] = {
    {"k8s.cluster.name", offsetof(struct hbone_baggage, cluster)},
    {"k8s.namespace.name", offsetof(struct hbone_baggage, ns)},
    {NULL, offsetof(struct hbone_baggage, workload)},
    {"service.name", offsetof(struct hbone_baggage, service)},
    {"service.version", offsetof(struct hbone_baggage, version)},
    {"cloud.region", offsetof(struct hbone_baggage, region)},
    {"cloud.availability_zone", offsetof(struct hbone_baggage, zone)},
};

enum { NUM_MEMBERS = sizeof(members) / sizeof(members[0]) };

static const char **member_slot(struct hbone_baggage *baggage, const struct member *member)
{
    return (const char **)((char *)baggage + member->offset);
}

/* -------------------------------------------------------------------------------- formatting -- */

/* baggage-octet of the specification, less "%": nothing is percent-encoded in the field. */
static bool can_carry(const char *value)
{
    for (; *value != '\0'; value++)
        if (*value <= ' ' || *value >= 0x7f || strchr("\",;\\=", *value) != NULL)
            return false;
    return true;
}

static int append(char *out, size_t out_len, size_t *at, const char *key, const char *value)
{
    int len = snprintf(out + *at, out_len - *at, "%s%s=%s", *at > 0 ? "," : "", key, value);
    if (len < 0 || (size_t)len >= out_len - *at)
        return -1;
    *at += (size_t)len;
    return 0;
}

int hbone_baggage_format(const struct hbone_baggage *baggage, char *out, size_t out_len)
{
    struct hbone_baggage copy = *baggage;
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < NUM_MEMBERS; i++) {
        const char *value = *member_slot(&copy, &members[i]);
        const char *key = members[i].key;
        char typed[32];
        if (value == NULL || value[0] == '\0')
            continue;
        if (key == NULL) {
            snprintf(typed, sizeof(typed), "k8s.%s.name",
                     baggage->workload_type != NULL ? baggage->workload_type : "pod");
            key = typed;
        }
        if (!can_carry(value) || append(out, out_len, &at, key, value) < 0) {
            out[0] = '\0';
            return -1;
        }
    }
    return 0;
}

/* ----------------------------------------------------------------------------------- parsing -- */

static char *trim(char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    text[len] = '\0';
    return text;
}

/* "k8s.<type>.name" */
static const char *workload_type_of(const char *key)
{
    for (size_t i = 0; i < sizeof(workload_types) / sizeof(workload_types[0]); i++) {
        char typed[32];
        snprintf(typed, sizeof(typed), "k8s.%s.name", workload_types[i]);
        if (strcmp(key, typed) == 0)
            return workload_types[i];
    }
    return NULL;
}

static void set_member(struct hbone_baggage *baggage, const char *key, const char *value)
{
    const char *type = workload_type_of(key);
    if (value[0] == '\0')
        value = NULL;
    if (type != NULL) {
        baggage->workload = value;
        baggage->workload_type = value != NULL ? type : NULL;
        return;
    }
    for (size_t i = 0; i < NUM_MEMBERS; i++)
        if (members[i].key != NULL && strcmp(members[i].key, key) == 0)
            *member_slot(baggage, &members[i]) = value;
}

int hbone_baggage_parse(struct hbone_baggage_store *store, const char *text, size_t len)
{
    memset(&store->members, 0, sizeof(store->members));
    if (len >= sizeof(store->text))
        return -1;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0x7f || ((unsigned char)text[i] < ' ' && text[i] != '\t'))
            return -1;
    memcpy(store->text, text, len);
    store->text[len] = '\0';
    char *rest = store->text;
    for (char *member; (member = strsep(&rest, ",")) != NULL;) {
        char *value = strchr(member, '=');
        if (value == NULL)
            continue;
        *value++ = '\0';
        value[strcspn(value, ";")] = '\0'; /* properties */
        set_member(&store->members, trim(member), trim(value));
    }
    return 0;
}
