/*
 * The token by which the control plane knows us, from the file that Kubernetes keeps fresh. It is
 * read for each call and kept nowhere.
 */
#ifndef REMORA_BEARER_TOKEN_H
#define REMORA_BEARER_TOKEN_H

#include "err.h"

enum {
    BEARER_TOKEN_HEADER_MAX =
        16 * 1024, /* bytes of the header's value; Kubernetes' have a thousand */
};

/*
 * Writes "Bearer <token>" and a NUL to `out` (BEARER_TOKEN_HEADER_MAX bytes), which the caller
 * clears. White space around the token does not count. 0, or -1 with *err naming the file:
 * ERR_NOT_FOUND, ERR_SYSTEM, ERR_LIMIT, or ERR_INVALID when it is empty or holds what no header can
 * carry. The token appears in no message.
 */
int bearer_token_read(const char *path, char *out, struct err *err);

#endif
