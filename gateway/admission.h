/* Admission: may jobs be created now? A poller asks Redis once a second how full its memory is and what its settings are, so
 * that no request has to. Finishing jobs is never refused. */
#ifndef SLUICE_GATEWAY_ADMISSION_H
#define SLUICE_GATEWAY_ADMISSION_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct admission;

/* 0, or ERR_FULL with a sentence (Redis' memory is over 90 % of maxmemory). Any thread, never blocks. */
int admission_check(const struct admission *a, struct err *err) MUST_CHECK;

#endif
