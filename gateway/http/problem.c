#include "gateway/http/problem.h"

#include "lib/base/panic.h"
#include "lib/json/jwrite.h"

static const struct problem_row rows[] = {
#define X(id, status, slug, title, text) {status, slug, title, text},
#include "gateway/http/problems.def"
#undef X
};

const struct problem_row *problem_row(enum problem p)
{
	bug_on(p >= PROBLEM_COUNT);
	return &rows[p];
}

const struct problem_row *problem_by_slug(struct str slug)
{
	for (unsigned i = 0; i < PROBLEM_COUNT; i++)
		if (str_is(slug, rows[i].slug))
			return &rows[i];
	return NULL;
}

static const enum problem by_error[] = {
	[ERR_INDEX_NOMEM] = PROBLEM_INTERNAL,
	[ERR_INDEX_INVALID] = PROBLEM_VALIDATION,
	[ERR_INDEX_LIMIT] = PROBLEM_TOO_LARGE,
	[ERR_INDEX_NOT_FOUND] = PROBLEM_NOT_FOUND,
	[ERR_INDEX_EXISTS] = PROBLEM_CONFLICT,
	[ERR_INDEX_IO] = PROBLEM_INTERNAL,
	[ERR_INDEX_TIMEOUT] = PROBLEM_REDIS_UNAVAILABLE,
	[ERR_INDEX_UNAVAILABLE] = PROBLEM_REDIS_UNAVAILABLE,
	[ERR_INDEX_UNKNOWN_OUTCOME] = PROBLEM_OUTCOME_UNKNOWN,
	[ERR_INDEX_REPLY] = PROBLEM_INTERNAL,
	[ERR_INDEX_BROKEN] = PROBLEM_INTERNAL,
	[ERR_INDEX_PROTOCOL] = PROBLEM_INTERNAL,
	[ERR_INDEX_LOCK_LOST] = PROBLEM_LOCK_LOST,
	[ERR_INDEX_WRONG_STATE] = PROBLEM_CONFLICT,
	[ERR_INDEX_FULL] = PROBLEM_QUEUE_FULL,
	[ERR_INDEX_TAKEN] = PROBLEM_ID_TAKEN,
	[ERR_INDEX_MISMATCH] = PROBLEM_IDEMPOTENCY_MISMATCH,
	[ERR_INDEX_DENIED] = PROBLEM_FORBIDDEN,
	[ERR_INDEX_STOPPING] = PROBLEM_DRAINING,
	[ERR_INDEX_EXPIRED] = PROBLEM_JOB_EXPIRED,
	[ERR_INDEX_NO_RECORDS] = PROBLEM_RECORDS_UNAVAILABLE,
	[ERR_INDEX_BUG] = PROBLEM_INTERNAL,
};
_Static_assert(ARRAY_LEN(by_error) == ERR_COUNT, "every error has its problem");

enum problem problem_of_error(int code)
{
	return code < 0 && -code <= ERR_COUNT ? by_error[-code - 1] : PROBLEM_INTERNAL;
}

void problem_dump(struct buf *out)
{
	struct jwrite w = jwrite_into(out);
	jw_open(&w, '[');
	for (unsigned i = 0; i < PROBLEM_COUNT; i++) {
		jw_open(&w, '{');
		jw_kint(&w, "status", rows[i].status);
		jw_kstrz(&w, "code", rows[i].slug);
		jw_kstrz(&w, "title", rows[i].title);
		jw_kstrz(&w, "text", rows[i].text);
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
}
