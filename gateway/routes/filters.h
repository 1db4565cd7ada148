/* The query of a search: filters, a page's length, and the cursor behind which it begins. A request's thread. */
#ifndef SLUICE_GATEWAY_ROUTES_FILTERS_H
#define SLUICE_GATEWAY_ROUTES_FILTERS_H

#include "gateway/http/request.h"

/* One parameter and where its value goes, which is left as it was when the parameter is absent. */
struct query_row {
	const char *name;
	struct str *text;   /* any text of at most 1 KiB, or */
	int64_t *number;    /* a whole number from min to max */
	int64_t min, max;
	const char *words;  /* of a text: the words that it may be, "a|b"; NULL: any */
};
#define QUERY_TIME_MAX INT64_C(9007199254740991)

/* A parameter "data.NAME". */
struct query_field {
	struct str name, value; /* name.p NULL: there was none */
};

/* Reads the whole query. A name that is not in the table, or comes twice, is refused: a misspelt filter would find everything. field may be NULL. False:
 * the response is written. */
bool query_read_or_reply(struct request *r, struct response *res, const struct query_row *rows, size_t n, struct query_field *field) MUST_CHECK;

/* Does the client ask for lines of JSON (Accept: application/x-ndjson)? */
#define NDJSON "application/x-ndjson"
bool accepts_lines(const struct request *r);

/* Cursors: what names a place, at most four texts, of which only the last may have a colon. Opaque to clients. */
#define CURSOR_PARTS 4
struct str cursor_make(struct request *r, const struct str *parts, size_t n); /* in the request's arena; .p NULL without memory */
bool cursor_read_or_reply(struct request *r, struct response *res, struct str cursor, struct str *parts, size_t n) MUST_CHECK;
/* Link: rel="next", this request with that cursor. Nothing when cursor.p is NULL. */
void response_link_next(struct request *r, struct response *res, struct str cursor);

#endif
