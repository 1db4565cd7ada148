/* What a JSON string is made of; shared by the scanner and the writer. Any thread. */
#ifndef SLUICE_JSON_JTEXT_H
#define SLUICE_JSON_JTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/str.h"

/* The first byte in [p, end) that cannot be passed over: a quote, a backslash, a control character, or one past ASCII. */
const char *jtext_skip_plain(const char *p, const char *end);

/* The byte that "\c" stands for; 0 when c (which may be 'u') is no one-letter escape. */
char jtext_escape(char c);

/* The UTF-16 unit of four hex digits at p; -1 when they are not hex digits. */
int jtext_hex4(const char *p);

/* Decodes a scanned string's content (without its quotes) into out, which has room for raw.n bytes; how many it wrote. */
size_t jtext_unescape(struct str raw, char *out);

/* Is the decoded content of a scanned string `plain`? */
bool jtext_equal(struct str raw, struct str plain);

#endif
