/*
 * The root of the certificates in corpus/peer_cert. Its key was thrown away.
 */
#ifndef REMORA_FUZZ_PEER_CERT_ROOT_H
#define REMORA_FUZZ_PEER_CERT_ROOT_H

#define FUZZ_ROOT_PEM                                                                              \
    "-----BEGIN CERTIFICATE-----\n"                                                                \
    "MIIBQTCB6aADAgECAghrZz31slFtAjAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlm\n"                           \
    "dXp6IHJvb3QwIBcNMjAwOTEzMTIyNjQwWhgPMjExODEyMDkwMzMzMjBaMBQxEjAQ\n"                           \
    "BgNVBAMMCWZ1enogcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFtwLhha\n"                           \
    "UriOiKdVEabDDUjn9aG7mRp37m7fnaG76GBC3SZNaU6qc/ewg3ldWEqmPHlTUIaf\n"                           \
    "cV5bXfiutiCkM/ujIzAhMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEG\n"                           \
    "MAoGCCqGSM49BAMCA0cAMEQCIEjWHxIy4MMCZHzYUfkIDax7/mCmWKg/6DQmSBF4\n"                           \
    "cWmyAiBGnGM+BUo0nlCwqQYI6eow4X3f15DTe0OAelkUihRCnQ==\n"                                       \
    "-----END CERTIFICATE-----\n"

#endif
