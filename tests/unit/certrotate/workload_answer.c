#include "workload_answer.h"

#include <assert.h>
#include <stdlib.h>

#include "spiffe/workload.pb-c.h"

static ProtobufCBinaryData data_of(const struct workload_answer_bytes *bytes)
{
    return (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)bytes->bytes, .len = bytes->len};
}

static char *text_of(const char *text)
{
    static char empty[1];
    return text == NULL ? empty : (char *)(uintptr_t)text;
}

uint8_t *workload_answer_pack(const struct workload_answer *answer, size_t *len)
{
    X509SVID svids[WORKLOAD_ANSWER_MAX], *svid_list[WORKLOAD_ANSWER_MAX];
    X509SVIDResponse__FederatedBundlesEntry entries[WORKLOAD_ANSWER_MAX];
    X509SVIDResponse__FederatedBundlesEntry *entry_list[WORKLOAD_ANSWER_MAX];
    ProtobufCBinaryData crls[WORKLOAD_ANSWER_MAX];
    X509SVIDResponse message;
    x509_svidresponse__init(&message);
    for (size_t i = 0; i < answer->num_svids; i++) {
        const struct workload_answer_svid *from = &answer->svids[i];
        x509_svid__init(&svids[i]);
        svids[i].spiffe_id = text_of(from->spiffe_id);
        svids[i].hint = text_of(from->hint);
        svids[i].x509_svid = data_of(&from->chain);
        svids[i].x509_svid_key = data_of(&from->key);
        svids[i].bundle = data_of(&from->bundle);
        svid_list[i] = &svids[i];
    }
    for (size_t i = 0; i < answer->num_federated; i++) {
        x509_svidresponse__federated_bundles_entry__init(&entries[i]);
        entries[i].key = text_of(answer->federated[i].trust_domain);
        entries[i].value = data_of(&answer->federated[i].bundle);
        entry_list[i] = &entries[i];
    }
    for (size_t i = 0; i < answer->num_crls; i++)
        crls[i] = data_of(&answer->crls[i]);
    message.n_svids = answer->num_svids;
    message.svids = svid_list;
    message.n_federated_bundles = answer->num_federated;
    message.federated_bundles = entry_list;
    message.n_crl = answer->num_crls;
    message.crl = crls;
    *len = x509_svidresponse__get_packed_size(&message);
    uint8_t *bytes = malloc(*len + 1);
    assert(bytes != NULL);
    x509_svidresponse__pack(&message, bytes);
    return bytes;
}
