/* Turns at something that is scarce: of what one subject asks for at the same time, only so much is done at once; the rest waits a while, or is
 * refused. Any thread.
 *
 *     if (turns_take(t, who, deadline) == 0) {
 *             ...
 *             turns_give(t, who);
 *     } */
#ifndef SLUICE_GATEWAY_TURNS_H
#define SLUICE_GATEWAY_TURNS_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct turns;

/* So many of a subject at once, and so many that wait. NULL: no memory. */
struct turns *turns_new(unsigned at_once, unsigned waiting);
void turns_free(struct turns *t); /* NULL: nothing */

/* 0: it is who's turn, until turns_give. ERR_LIMIT: as many wait already, or the deadline (clock_mono_ms's scale) has come first. ERR_NOMEM. */
int turns_take(struct turns *t, struct str who, int64_t deadline_mono_ms) MUST_CHECK;
void turns_give(struct turns *t, struct str who);

#endif
