#include "hbone_options.h"

enum {
    TLS_TIMEOUT_MS = 10 * 1000,
    IDLE_TIMEOUT_MS = 5 * 60 * 1000,
    PING_AFTER_MS = 10 * 1000, /* this and the next: what HBONE's peers do */
    PING_TIMEOUT_MS = 20 * 1000,
};

void hbone_conn_options_default(struct hbone_conn_options *options, enum h2_side side)
{
    *options = (struct hbone_conn_options){
        .tls_timeout_ms = TLS_TIMEOUT_MS,
        .idle_timeout_ms = IDLE_TIMEOUT_MS,
        .ping_after_ms = PING_AFTER_MS,
        .ping_timeout_ms = PING_TIMEOUT_MS,
    };
    h2_options_default(&options->h2, side);
}
