#include "lib/base/panic.h"

#include <stdarg.h>
#include <unistd.h>

void panic_at(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "sluice: %s:%d: ", file, line);
	size_t at = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text + at, sizeof(text) - at, fmt, ap);
	va_end(ap);
	at = strlen(text);
	text[at] = '\n'; /* in place of the NUL: from here on only the length counts */
	(void)!write(STDERR_FILENO, text, at + 1);
	abort();
}
