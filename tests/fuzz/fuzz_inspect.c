#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "cert_findings.h"
#include "inspect_chain.h"
#include "inspect_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { NOW_MS = 1800000000 };

/* What is shown of a certificate is text that does nothing to a terminal. */
static void expect_plain(const struct buf *text)
{
    const uint8_t *at = buf_head(text);
    for (size_t i = 0; i < buf_len(text); i++)
        assert(at[i] == '\n' || (at[i] >= ' ' && at[i] != 0x7f));
}

static void look(const struct inspect_chain *chain)
{
    const struct pki pki = {
        .peer = PKI_CLIENT,
        .principals = {PRINCIPAL_URI, PRINCIPAL_DNS, PRINCIPAL_EMAIL, PRINCIPAL_CN},
        .num_principals = 4};
    struct cert_finding findings[CERT_FINDINGS_MAX];
    for (size_t i = 0; i < chain->num_certs; i++) {
        size_t num = cert_findings_list(&chain->certs[i], NULL, NOW_MS, findings);
        num += cert_findings_list(&chain->certs[i], &pki, NOW_MS, findings);
        assert(num <= 2 * CERT_FINDINGS_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct inspect_chain chain = {0};
    struct buf text = {0};
    struct err err;
    if (inspect_chain_parse(&chain, bytes, len, &err) < 0) {
        assert(err.message[0] != '\0' && chain.num_certs == 0);
        return 0;
    }
    assert(chain.num_certs > 0);
    assert(inspect_text_write(&chain, NOW_MS, &text) == 0);
    expect_plain(&text);
    look(&chain);
    buf_done(&text);
    inspect_chain_done(&chain);
    return 0;
}
