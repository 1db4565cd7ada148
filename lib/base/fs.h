/* Small file helpers. Any thread. */
#ifndef SLUICE_BASE_FS_H
#define SLUICE_BASE_FS_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

/* Appends the whole file; ERR_NOT_FOUND, ERR_LIMIT (over max_bytes), ERR_IO. */
int fs_read_file(const char *path, size_t max_bytes, struct buf *out, struct err *err) MUST_CHECK;
/* Writes a new file beside it, fsyncs, renames: readers see the old or the new content, never half. */
int fs_write_file(const char *path, struct str content, mode_t mode, struct err *err) MUST_CHECK;
/* Like mkdir -p. */
int fs_make_dirs(const char *path, mode_t mode, struct err *err) MUST_CHECK;

#endif
