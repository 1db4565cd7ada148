/* Deletes documents past SLUICE_DOC_MAX_AGE, in bounded steps on a thread of its own. start and stop: the owner. */
#ifndef SLUICE_GATEWAY_SWEEPER_H
#define SLUICE_GATEWAY_SWEEPER_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct docstore;
struct log;
struct sweeper;

struct sweeper *sweeper_start(struct docstore *documents, struct log *log, struct err *err) MUST_CHECK;
void sweeper_stop(struct sweeper *s); /* frees; NULL: nothing */

#endif
