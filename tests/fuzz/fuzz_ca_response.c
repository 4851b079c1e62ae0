/* What a control plane may answer to CreateCertificate: the protobuf, and the texts in it. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "ca_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ca_messages_answer answer;
    struct err err = {0};
    if (ca_messages_read_answer(bytes, len, &answer, &err) < 0) {
        assert(err.message[0] != '\0');
        assert(buf_len(&answer.chain_pem) == 0 && buf_len(&answer.roots_pem) == 0);
        return 0;
    }
    assert(buf_len(&answer.chain_pem) > 0 && buf_len(&answer.roots_pem) > 0);
    ca_messages_answer_done(&answer);
    return 0;
}
