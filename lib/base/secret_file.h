/* A secret that is made at the first start when nobody has given one: DIR/NAME, readable by its owner alone, one line of
 * base64url. Any thread, any process. */
#ifndef SLUICE_BASE_SECRET_FILE_H
#define SLUICE_BASE_SECRET_FILE_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

#define SECRET_FILE_TOKENS "jwt-secret" /* signs tokens when JWT_SECRET is unset */

/* Appends the secret; ERR_NOT_FOUND when none has been made. */
int secret_file_read(const char *dir, const char *name, struct buf *out, struct err *err) MUST_CHECK;
/* The same, but makes folder and secret when they are missing. Of several processes that start at once, all get the one secret. */
int secret_file_ensure(const char *dir, const char *name, struct buf *out, struct err *err) MUST_CHECK;

#endif
