/* The request target: which paths and queries are taken, and their decoding (RFC 3986 2.1, 3.3). Pure functions, any thread. */
#ifndef SLUICE_GATEWAY_HTTP_URI_H
#define SLUICE_GATEWAY_HTTP_URI_H

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/str.h"

/* NULL when the path is "/" followed by segments of visible ASCII, none of them empty, "." or ".." when decoded, every escape complete,
 * and the decoded bytes UTF-8 without control characters; one slash may stand at the end. Else the reason (a static sentence). */
const char *uri_path_fault(struct str raw);
/* The same for a query: characters and escapes. */
const char *uri_query_fault(struct str raw);

/* A decoded copy (the text itself when there is nothing to decode); '+' means a blank when `form` is true. The text must have passed
 * one of the checks above. .p is NULL without memory. */
struct str uri_decode(struct arena *a, struct str raw, bool form) MUST_CHECK;

/* The next parameter of a query, which is taken off *rest: its name and its value ("" when it has no '='), decoded; .p is NULL without memory.
 * false: there is none left. */
bool uri_query_next(struct arena *a, struct str *rest, struct str *name, struct str *value) MUST_CHECK;

/* The decoded value of the first `name` in a query; .p NULL when absent (or without memory), "" when it has no '='. */
struct str uri_query_value(struct arena *a, struct str query, const char *name) MUST_CHECK;

#endif
