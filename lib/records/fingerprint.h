/* A failure's message without what varies from job to job, so that failures of one kind can be counted together.
 *
 *     "SMTP_DOWN: no answer from 10.1.2.3:587 in 15000 ms"  →  "SMTP_DOWN: no answer from # in # ms"
 *
 * Numbers, hexadecimal words, UUIDs, addresses, what stands in quotes, and paths become "#"; blanks become one. Any thread. */
#ifndef SLUICE_RECORDS_FINGERPRINT_H
#define SLUICE_RECORDS_FINGERPRINT_H

#include "lib/base/buf.h"
#include "lib/base/str.h"

#define FINGERPRINT_MAX_BYTES 200

/* Appends it: at most FINGERPRINT_MAX_BYTES, cut at a character. */
void fingerprint(struct buf *out, struct str message);

#endif
