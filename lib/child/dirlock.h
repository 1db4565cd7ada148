/* One process per data folder: an advisory lock on FOLDER/.lock, which holds the owner's process id for people.
 *
 * The lock belongs to the open file, so children that inherit the descriptor keep it as well: after the death of the owner a new
 * one waits until they are gone too. Any thread. */
#ifndef SLUICE_CHILD_DIRLOCK_H
#define SLUICE_CHILD_DIRLOCK_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

/* The descriptor (close-on-exec; close it to give the lock back). ERR_TAKEN names the holder when wait_ms have passed; ERR_IO. */
int dirlock_take(const char *folder, int64_t wait_ms, struct err *err) MUST_CHECK;

#endif
