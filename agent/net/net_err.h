/* libuv's error codes as struct err. */
#ifndef REMORA_NET_ERR_H
#define REMORA_NET_ERR_H

#include "err.h"

/* As err_set_sys; `uv_status` is what libuv returned: an errno, negated. Returns -1. */
int net_err_set(struct err *err, int uv_status, const char *what);

#endif
