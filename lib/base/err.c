#include "lib/base/err.h"

#include <errno.h>
#include <stdarg.h>

static const struct {
	const char *name;
	const char *sentence;
} errors[] = {
#define X(name, sentence) {#name, sentence},
#include "lib/base/errors.def"
#undef X
};

int err_set(struct err *err, int code, const char *fmt, ...)
{
	if (!err)
		return code;
	va_list ap;
	va_start(ap, fmt);
	err->code = code;
	(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

int err_errno(struct err *err, const char *fmt, ...)
{
	if (!err)
		return ERR_IO;
	char reason[96];
	const char *why = strerror_r(errno, reason, sizeof(reason));
	va_list ap;
	va_start(ap, fmt);
	err->code = ERR_IO;
	int n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(err->text))
		(void)snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", why);
	return ERR_IO;
}

static int index_of(int code)
{
	return code < 0 && code >= -ERR_COUNT ? -code - 1 : -1;
}

const char *err_name(int code)
{
	if (code == ERR_OK)
		return "OK";
	int i = index_of(code);
	return i < 0 ? "?" : errors[i].name;
}

const char *err_sentence(int code)
{
	if (code == ERR_OK)
		return "success";
	int i = index_of(code);
	return i < 0 ? "?" : errors[i].sentence;
}
