/* A message of the SPIFFE Workload API, as a server that lies may send it, and what it brought as the
 * machine reads it. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "svid.h"
#include "workload_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const struct cert_fetched *fetched)
{
    struct err err;
    assert(fetched->chain.len > 0 && fetched->roots.len > 0 && fetched->key.len > 0);
    struct svid *svid = svid_new(&fetched->key, &fetched->chain, &err);
    struct trust_bundle *bundle = trust_bundle_new("td", &fetched->roots, &err);
    if (svid != NULL && bundle != NULL)
        svid_check(svid, bundle, NULL, NULL, 0, &err);
    svid_unref(svid);
    trust_bundle_unref(bundle);
    for (size_t i = 0; i < fetched->num_federated; i++)
        assert(fetched->federated[i].roots.len > 0);
    struct crl_set *crls = crl_set_new(fetched->crls, fetched->num_crls, &err);
    crl_set_unref(crls);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct workload_messages_choice CHOICES[] = {
        {0}, {.hint = "external"}, {.spiffe_id = "spiffe://td/b"}};
    for (size_t i = 0; i < sizeof(CHOICES) / sizeof(CHOICES[0]); i++) {
        struct err err = {0};
        struct workload_messages_answer *answer =
            workload_messages_read_answer(data, size, &CHOICES[i], &err);
        if (answer == NULL) {
            assert(err.kind != ERR_NONE && memchr(err.message, '\0', sizeof(err.message)) != NULL);
            continue;
        }
        look(workload_messages_fetched(answer));
        workload_messages_answer_free(answer);
    }
    return 0;
}
