#include "workload_messages.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protobuf_read.h"
#include "spiffe/workload.pb-c.h"

enum {
    /* protobuf-c's structs beside the bytes themselves. */
    MEMORY_MAX = 2 * WORKLOAD_MESSAGES_MAX,
};

struct workload_messages_answer {
    struct protobuf_memory *memory; /* of all that follows */
    const X509SVIDResponse *message;
    const X509SVID *chosen;
    struct cert_fetched fetched;
};

/* -------------------------------------------------------------------------------- which of them -- */

/* The hints that there are, for a message. */
static void list_hints(const X509SVIDResponse *message, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < message->n_svids && len + 1 < size; i++) {
        const char *hint = message->svids[i]->hint;
        if (hint[0] == '\0')
            continue;
        int added = snprintf(out + len, size - len, "%s\"%.64s\"", len == 0 ? "" : ", ", hint);
        len += added < 0 ? 0 : (size_t)added;
    }
    if (len == 0)
        snprintf(out, size, "none");
}

/* Two with one hint are a mistake of the server's operator; the first counts (SPIFFE Workload API). */
static const X509SVID *find_hint(const X509SVIDResponse *message, const char *hint, struct err *err)
{
    char hints[256];
    for (size_t i = 0; i < message->n_svids; i++)
        if (strcmp(message->svids[i]->hint, hint) == 0)
            return message->svids[i];
    list_hints(message, hints, sizeof(hints));
    err_set(err, ERR_INVALID, "none of the %zu identities has the hint \"%.64s\"; there are: %s",
            message->n_svids, hint, hints);
    return NULL;
}

static const X509SVID *choose(const X509SVIDResponse *message,
                              const struct workload_messages_choice *choice, struct err *err)
{
    if (choice->hint != NULL && choice->hint[0] != '\0')
        return find_hint(message, choice->hint, err);
    const char *id = choice->spiffe_id == NULL ? "" : choice->spiffe_id;
    for (size_t i = 0; id[0] != '\0' && i < message->n_svids; i++)
        if (strcmp(message->svids[i]->spiffe_id, id) == 0)
            return message->svids[i];
    return message->svids[0];
}

/* -------------------------------------------------------------------------------- what is in it -- */

static struct cert_bytes der(const ProtobufCBinaryData *data)
{
    return (struct cert_bytes){
        .bytes = data->len == 0 ? NULL : data->data, .len = data->len, .encoding = CERT_DER};
}

static int check_svid(const X509SVID *svid, struct err *err)
{
    const struct {
        const char *what;
        size_t len;
    } needed[] = {
        {"SPIFFE ID", strlen(svid->spiffe_id)},
        {"certificate", svid->x509_svid.len},
        {"private key", svid->x509_svid_key.len},
        {"trust bundle", svid->bundle.len},
    };
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (needed[i].len == 0)
            return err_set(err, ERR_PROTOCOL, "its identity \"%.200s\" comes without a %s",
                           svid->spiffe_id, needed[i].what);
    return 0;
}

/* "spiffe://td" of a bundle, and "spiffe://td/path" of an SVID, up to the path. */
static bool is_same_domain(const char *bundle_id, const char *svid_id)
{
    static const char SCHEME[] = "spiffe://";
    size_t scheme_len = sizeof(SCHEME) - 1;
    if (strncmp(bundle_id, SCHEME, scheme_len) == 0)
        bundle_id += scheme_len;
    if (strncmp(svid_id, SCHEME, scheme_len) == 0)
        svid_id += scheme_len;
    size_t len = strcspn(svid_id, "/");
    return strlen(bundle_id) == len && strncmp(bundle_id, svid_id, len) == 0;
}

typedef X509SVIDResponse__FederatedBundlesEntry federated_entry;

/* A map's key that comes twice has its last value (protobuf, "Maps"). */
static bool is_last(const X509SVIDResponse *message, size_t index)
{
    for (size_t i = index + 1; i < message->n_federated_bundles; i++)
        if (strcmp(message->federated_bundles[i]->key, message->federated_bundles[index]->key) == 0)
            return false;
    return true;
}

/*
 * Our own domain's bundle is the SVID's; a federated one by its name would contradict it. A domain
 * without roots is left out: nobody of it is trusted, and that is no fault of the rest.
 */
static int take_federated(struct workload_messages_answer *answer, struct err *err)
{
    const X509SVIDResponse *message = answer->message;
    struct cert_federated *federated =
        protobuf_memory_array(answer->memory, message->n_federated_bundles, sizeof(*federated));
    if (protobuf_memory_failed(answer->memory))
        return protobuf_memory_err(answer->memory, err);
    size_t num = 0;
    for (size_t i = 0; i < message->n_federated_bundles; i++) {
        const federated_entry *entry = message->federated_bundles[i];
        if (!is_last(message, i) || is_same_domain(entry->key, answer->chosen->spiffe_id) ||
            entry->value.len == 0)
            continue;
        federated[num++] =
            (struct cert_federated){.trust_domain = entry->key, .roots = der(&entry->value)};
    }
    answer->fetched.federated = federated;
    answer->fetched.num_federated = num;
    return 0;
}

static int take_crls(struct workload_messages_answer *answer, struct err *err)
{
    const X509SVIDResponse *message = answer->message;
    struct cert_bytes *crls = protobuf_memory_array(answer->memory, message->n_crl, sizeof(*crls));
    if (protobuf_memory_failed(answer->memory))
        return protobuf_memory_err(answer->memory, err);
    for (size_t i = 0; i < message->n_crl; i++)
        crls[i] = der(&message->crl[i]);
    answer->fetched.crls = crls;
    answer->fetched.num_crls = message->n_crl;
    return 0;
}

/* ------------------------------------------------------------------------------------ the whole -- */

static int check_counts(const X509SVIDResponse *message, struct err *err)
{
    const struct {
        const char *what;
        size_t num, max;
    } counts[] = {
        {"identities", message->n_svids, WORKLOAD_MESSAGES_SVIDS_MAX},
        {"federated trust domains", message->n_federated_bundles, WORKLOAD_MESSAGES_FEDERATED_MAX},
        {"revocation lists", message->n_crl, WORKLOAD_MESSAGES_CRLS_MAX},
    };
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        if (counts[i].num > counts[i].max)
            return err_set(err, ERR_LIMIT, "it brings %zu %s; at most %zu are taken", counts[i].num,
                           counts[i].what, counts[i].max);
    return message->n_svids > 0 ? 0 : err_set(err, ERR_PROTOCOL, "it brings no identity at all");
}

static const X509SVIDResponse *read_message(struct protobuf_memory *memory, const uint8_t *bytes,
                                            size_t len, struct err *err)
{
    if (len > WORKLOAD_MESSAGES_MAX) {
        err_set(err, ERR_LIMIT, "its message has %zu bytes; at most %d are taken", len,
                WORKLOAD_MESSAGES_MAX);
        return NULL;
    }
    const X509SVIDResponse *message =
        protobuf_read(memory, &x509_svidresponse__descriptor, bytes, len, err);
    if (message == NULL) {
        err_prefix(err, "its message is not an X509SVIDResponse");
        return NULL;
    }
    return check_counts(message, err) < 0 ? NULL : message;
}

static int take_all(struct workload_messages_answer *answer,
                    const struct workload_messages_choice *choice, struct err *err)
{
    answer->chosen = choose(answer->message, choice, err);
    if (answer->chosen == NULL || check_svid(answer->chosen, err) < 0)
        return -1;
    answer->fetched.chain = der(&answer->chosen->x509_svid);
    answer->fetched.key = der(&answer->chosen->x509_svid_key);
    answer->fetched.roots = der(&answer->chosen->bundle);
    return take_federated(answer, err) < 0 ? -1 : take_crls(answer, err);
}

struct workload_messages_answer *
workload_messages_read_answer(const uint8_t *bytes, size_t len,
                              const struct workload_messages_choice *choice, struct err *err)
{
    struct workload_messages_answer *answer = calloc(1, sizeof(*answer));
    if (answer != NULL)
        answer->memory = protobuf_memory_new(MEMORY_MAX, PROTOBUF_SECRET);
    if (answer == NULL || answer->memory == NULL) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto fail;
    }
    answer->message = read_message(answer->memory, bytes, len, err);
    if (answer->message == NULL || take_all(answer, choice, err) < 0)
        goto fail;
    return answer;

fail:
    workload_messages_answer_free(answer);
    return NULL;
}

const struct cert_fetched *workload_messages_fetched(const struct workload_messages_answer *answer)
{
    return &answer->fetched;
}

size_t workload_messages_num_svids(const struct workload_messages_answer *answer)
{
    return answer->message->n_svids;
}

const char *workload_messages_spiffe_id(const struct workload_messages_answer *answer)
{
    return answer->chosen->spiffe_id;
}

void workload_messages_answer_free(struct workload_messages_answer *answer)
{
    if (answer == NULL)
        return;
    protobuf_memory_free(answer->memory);
    free(answer);
}
