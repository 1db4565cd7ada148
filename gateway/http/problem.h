/* The error answers: one table, problems.def. Any thread. */
#ifndef SLUICE_GATEWAY_HTTP_PROBLEM_H
#define SLUICE_GATEWAY_HTTP_PROBLEM_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum problem {
#define X(id, status, slug, title, text) PROBLEM_##id,
#include "gateway/http/problems.def"
#undef X
	PROBLEM_COUNT
};

struct problem_row {
	int status;
	const char *slug, *title, *text;
};

const struct problem_row *problem_row(enum problem p);
const struct problem_row *problem_by_slug(struct str slug); /* NULL: none */
enum problem problem_of_error(int code);                    /* which answer a library's failure becomes */
void problem_dump(struct buf *out);                         /* JSON: [{status, code, title, text}] */

#endif
