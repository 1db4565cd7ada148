/* Public keys from PEM text. Any thread. */
#ifndef SLUICE_AUTH_PEM_H
#define SLUICE_AUTH_PEM_H

#include "lib/auth/key.h"

/* Reads one PEM public key ("BEGIN PUBLIC KEY"), tells the algorithm that its type allows (RSA of 2048 bits or more: RS256; EC on P-256: ES256), and
 * writes it anew, alone, into the arena. ERR_INVALID with a phrase that continues "the key …"; ERR_NOMEM. */
int pem_read_public(struct str text, struct arena *a, enum key_alg *alg, struct str *pem, struct err *err) MUST_CHECK;

#endif
