/* SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash for tables whose keys strangers choose. Any thread. */
#ifndef SLUICE_BASE_SIPHASH_H
#define SLUICE_BASE_SIPHASH_H

#include <stdint.h>

#include "lib/base/str.h"

uint64_t siphash(const unsigned char key[16], struct str in);

#endif
