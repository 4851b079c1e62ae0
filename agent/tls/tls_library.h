/*
 * Which BoringSSL this program runs with, for the line that is logged at start.
 */
#ifndef REMORA_TLS_LIBRARY_H
#define REMORA_TLS_LIBRARY_H

/* "BoringSSL, API version 17 (...)": the library and its limits, in words. Static storage. */
const char *tls_library_describe(void);

/* The groups that we offer, in order of preference, separated by commas:
 * "X25519MLKEM768,X25519,P-256,P-384". Static storage. */
const char *tls_library_groups(void);

#endif
