/* The one error convention: 0 is success, a negative enum is failure, the detail goes to an optional struct err.
 *
 *     struct err err = {0};
 *     if (thing_open(t, path, &err) < 0)
 *         log_err(log, "thing_open_failed", &err);
 *
 * A struct err is untouched on success. Functions here may be called from any thread. */
#ifndef SLUICE_BASE_ERR_H
#define SLUICE_BASE_ERR_H

#include "lib/base/attr.h"

enum err_index {
#define X(name, sentence) ERR_INDEX_##name,
#include "lib/base/errors.def"
#undef X
	ERR_COUNT
};

enum err_code {
	ERR_OK = 0,
#define X(name, sentence) ERR_##name = -(ERR_INDEX_##name + 1),
#include "lib/base/errors.def"
#undef X
};

struct err {
	int code;       /* one of enum err_code */
	char text[248]; /* a sentence for a person, always terminated, cut when too long */
};

/* Fills *err (which may be NULL) and returns code, so that a failing function can end with `return err_set(...)`. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same with ": strerror(errno)" appended; the code is ERR_IO. */
int err_errno(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The code's name ("NOMEM") and its sentence; "?" for a number that is none. */
const char *err_name(int code);
const char *err_sentence(int code);

#endif
