/* A slice of bytes that somebody else owns; it need not end in NUL and may contain any byte. Any thread. */
#ifndef SLUICE_BASE_STR_H
#define SLUICE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/attr.h"

struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_from(const char *z)
{
	return (struct str){z, z ? strlen(z) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *z)
{
	return str_eq(a, str_from(z));
}

static inline struct str str_sub(struct str s, size_t from, size_t n)
{
	return (struct str){s.p + from, n};
}

bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_same_letters(const char *a, const char *b, size_t n); /* ASCII letters compare without case */
static inline bool str_ieq(struct str a, struct str b)
{
	return a.n == b.n && str_same_letters(a.p, b.p, a.n);
}
bool str_ieqz(const char *a, const char *b); /* the same of texts that end in NUL; most differ at once */
struct str str_trim(struct str s);        /* without spaces and tabs at both ends */

/* Cuts *rest at the first `sep`: returns what is before it and leaves what is behind it; the whole when there is no sep
 * (then *rest becomes STR_NONE, whose p is NULL). */
struct str str_cut(struct str *rest, char sep);

/* Decimal digits only (a leading '-' for i64), the whole slice, no overflow: 0, else ERR_INVALID. */
int str_to_u64(struct str s, uint64_t *out) MUST_CHECK;
int str_to_i64(struct str s, int64_t *out) MUST_CHECK;

/* Decimal digits, at the end of the caller's room. */
#define STR_U64_SIZE 20
static inline struct str str_of_u64(char room[STR_U64_SIZE], uint64_t v)
{
	size_t at = STR_U64_SIZE;
	do {
		room[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return (struct str){room + at, STR_U64_SIZE - at};
}

/* Well-formed UTF-8 by RFC 3629 (no overlong forms, no surrogates). */
bool str_is_utf8(struct str s);
/* The bytes of the well-formed character that s begins with; 0 when there is none. */
size_t str_utf8_length(struct str s);

#endif
