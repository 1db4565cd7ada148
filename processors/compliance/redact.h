/* What may be shown of a value: where it stands, a masked sample, and a keyed hash by which the same value is known again. The value itself
 * never leaves the process. Any thread. */
#ifndef SLUICE_PROCESSORS_COMPLIANCE_REDACT_H
#define SLUICE_PROCESSORS_COMPLIANCE_REDACT_H

#include "processors/compliance/scan.h"

#define SAMPLE_SIZE 64

/* HMAC-SHA256 of organization, entity and normalized value, cut to FINDING_HASH_BYTES: equal within one organization only. */
void findings_hash(struct findings *f, struct str text, struct str key, struct str org);

/* offsets: where each page begins, ascending. Without any, the pages are what form feeds divide. */
void findings_paginate(struct findings *f, struct str text, const int64_t *offsets, size_t n);

/* "411111******1111": as much of it as the entity's row allows, five characters are hidden at least; how many bytes. Not terminated. */
size_t finding_sample(const struct finding *f, struct str text, char out[SAMPLE_SIZE]);

#endif
