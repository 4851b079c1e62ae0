#include "net_err.h"

#include <errno.h>

int net_err_set(struct err *err, int uv_status, const char *what)
{
    if (uv_status == -ENOMEM)
        return err_set(err, ERR_NOMEM, "%s: out of memory", what);
    return err_set_sys(err, -uv_status, "%s", what);
}
