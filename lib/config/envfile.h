/* The .env file: NAME=value lines, as far as shells and other readers of such files agree.
 *
 * Empty lines and lines that begin with # say nothing. `export ` before a name is allowed. A value in 'single quotes' is taken as it is; in
 * "double quotes" \n, \" and \\ are understood; without quotes it ends before " #" and has no blanks at its ends. */
#ifndef SLUICE_CONFIG_ENVFILE_H
#define SLUICE_CONFIG_ENVFILE_H

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

/* Called for each line in order; both texts end in NUL and live in the arena. */
typedef void envfile_fn(void *arg, const char *name, const char *value);

/* One line in problems for each line that cannot be read; `path` is for those sentences. 0 or ERR_NOMEM. */
int envfile_read(const char *path, struct str text, struct arena *memory, envfile_fn *fn, void *arg, struct buf *problems) MUST_CHECK;

#endif
