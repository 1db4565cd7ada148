/* For our own bugs only, never for input, Redis, PostgreSQL or memory whose size came from outside. Always compiled in. */
#ifndef SLUICE_BASE_PANIC_H
#define SLUICE_BASE_PANIC_H

#include "lib/base/attr.h"

/* Writes one line to stderr and aborts. */
void panic_at(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4) NORETURN;

#define panic(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)
#define bug_on(cond) \
	do { \
		if (__builtin_expect(!!(cond), 0)) \
			panic("bug: %s", #cond); \
	} while (0)

#endif
