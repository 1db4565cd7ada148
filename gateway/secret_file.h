/* The HS256 secret that is made at the first start when JWT_SECRET is unset: DATA_DIR/jwt-secret, readable by its owner alone. */
#ifndef SLUICE_GATEWAY_SECRET_FILE_H
#define SLUICE_GATEWAY_SECRET_FILE_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

#define SECRET_FILE_NAME "jwt-secret"

/* Appends the secret; ERR_NOT_FOUND when none has been made. */
int secret_file_read(const char *data_dir, struct buf *out, struct err *err) MUST_CHECK;
/* The same, but makes folder and secret when they are missing. Of several processes that start at once, all get the one secret. */
int secret_file_ensure(const char *data_dir, struct buf *out, struct err *err) MUST_CHECK;

#endif
