/* The audit trail in PostgreSQL: who changed what, in rows that are only ever added and bound to one another by their hashes.
 *
 *     struct audit *a = audit_new(&options, &err);      neither Redis nor PostgreSQL need be up
 *     audit_start(a, &err);
 *     audit_add(a, &line);                              any thread; waits for nothing
 *     ...
 *     audit_stop(a);                                    hands over what there is, for a moment; while the multiplexer still runs
 *     audit_free(a);
 *
 * A line that comes alone goes to Redis at once; others gather for ten milliseconds, and while a call is under way, and go together, as one entry of
 * the stream "P:sluice:audit". From there one process at a time takes them to sluice.audit. Lines of one subject about many jobs of a queue that
 * were created (or completed) meanwhile are folded into one with their number and ids.
 *
 * While PostgreSQL is away the stream grows up to AUDIT_STREAM_MAX entries; while Redis is away up to AUDIT_GATHER_MAX bytes wait in this process.
 * What is lost beyond that, or with a process that is killed between a change and its line, is known by the numbers of the lines: the first line
 * behind it is preceded by a row "audit.gap" with their count. */
#ifndef SLUICE_AUDIT_AUDIT_H
#define SLUICE_AUDIT_AUDIT_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct audit;
struct log;
struct metrics;
struct pg;
struct pg_rows;
struct rmux;

#define AUDIT_STREAM_MAX 50000
#define AUDIT_GATHER_MAX ((size_t)1 << 20)
#define AUDIT_GAP "audit.gap"

struct audit_options {
	struct pg *pg;
	struct rmux *mux;
	struct str prefix; /* BULLMQ_PREFIX; must outlive the audit */
	struct log *log;
	struct metrics *metrics;
};

struct audit *audit_new(const struct audit_options *o, struct err *err) MUST_CHECK;
int audit_start(struct audit *a, struct err *err) MUST_CHECK;
void audit_stop(struct audit *a);
void audit_free(struct audit *a); /* NULL: nothing */

struct audit_line {
	const char *action;
	struct str target;        /* "queue/id" of a job, of which 1024 bytes are kept; .p NULL: none */
	struct str sub, org;      /* .p NULL: nobody is known */
	struct str request_id, ip;
	struct str before, after; /* JSON; .p NULL: none */
	struct str ids;           /* of several jobs of the queue that is the target, a JSON array; .p NULL: of one thing */
	int status;
};

/* Copies are made. */
void audit_add(struct audit *a, const struct audit_line *line);

/* ---- reading ---- */

/* Of text, .p NULL is any; of numbers, -1. */
struct audit_filter {
	struct str action, sub, org;
	struct str target; /* "queue" finds what happened to its jobs as well, "queue/id" also where the job is one of many */
	int64_t from_ms, to_ms;
	int64_t below_seq; /* where a page begins */
};
#define AUDIT_FILTER_ANY ((struct audit_filter){.from_ms = -1, .to_ms = -1, .below_seq = -1})

/* X(name): the columns of sluice.audit that a hash goes over, in this order. */
#define AUDIT_COLUMNS(X) \
	X(at_ms) X(action) X(target) X(sub) X(org) X(request_id) X(ip) X(status) X(count) X(ids) X(before) X(after) X(source)
/* Those of an answer. */
enum audit_column {
#define X(name) AUDIT_AT_##name,
	AUDIT_COLUMNS(X)
#undef X
	AUDIT_N_COLUMNS,
	AUDIT_AT_seq = AUDIT_N_COLUMNS,
	AUDIT_AT_hash, /* hexadecimal */
};

#define AUDIT_SEARCH_MAX 10000

/* At most `limit` rows, the newest first; *rows is yours to free. As pg_query. */
int audit_search(struct audit *a, const struct audit_filter *f, size_t limit, struct pg_rows **rows, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;

#endif
