/* Attempts, inside the cage, of what the cage is there to prevent. */
#ifndef SLUICE_PROCESSORS_HELPER_SELFTEST_H
#define SLUICE_PROCESSORS_HELPER_SELFTEST_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

/* Runs one probe and writes {"probe", "sandbox", "refused", "detail"} to out. 0, or ERR_NOT_FOUND when there is no such probe. The probes
 * spin and flood never return: their caller's limits end them. */
int selftest_run(const char *probe, const char *sandbox, struct buf *out) MUST_CHECK;

/* "connect, open-passwd, …" for the usage text. */
void selftest_names(struct buf *out);

#endif
