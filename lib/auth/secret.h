/* Is an HS256 secret worth its name? */
#ifndef SLUICE_AUTH_SECRET_H
#define SLUICE_AUTH_SECRET_H

#include "lib/base/attr.h"
#include "lib/base/str.h"

#define SECRET_MIN_BYTES ((size_t)32) /* RFC 7518 3.2: as long as the hash */

/* NULL when it may be used, else a static phrase that says what is wrong ("is shorter than 32 bytes"). Any thread. */
const char *secret_weakness(struct str secret) MUST_CHECK;

#endif
