/* Searching records, on behalf of requests. Any thread; its stack of 64 KiB suffices.
 *
 *     struct record_filter f = RECORD_FILTER_ANY;
 *     f.queue = queue;
 *     records_search(rec, &f, &place, 51, &rows, deadline, &err);
 *     ... pg_at(rows, i, RECORD_QUEUE) ...        the newest first
 *     pg_rows_free(rows);
 *
 * What is searched for is only ever a parameter; there is one statement for all filters, planned for those that are given. Errors are those of
 * pg_query: ERR_TIMEOUT when PostgreSQL was not done by the deadline. */
#ifndef SLUICE_RECORDS_SEARCH_H
#define SLUICE_RECORDS_SEARCH_H

#include "lib/pg/pg.h"
#include "lib/records/records.h"

/* Of text, .p NULL is any; of times, -1. */
struct record_filter {
	struct str queue, id, name, org, fingerprint;
	struct str state;        /* pending, completed, failed, removed */
	struct str error;        /* a part of the reason, upper and lower case alike */
	struct str field, value; /* a plain member of the job's data, and its value as text */
	int64_t from_ms, to_ms;  /* the end, else the last that was heard of the job: from this moment to before that */
	int64_t created_from_ms, created_to_ms;
};
#define RECORD_FILTER_ANY ((struct record_filter){.from_ms = -1, .to_ms = -1, .created_from_ms = -1, .created_to_ms = -1})

/* A record's place in the order of an answer: pages begin behind it. */
struct record_place {
	int64_t at_ms; /* -1: the first page */
	struct str queue, id;
	int64_t created_ms;
};

/* X(column, expression): what an answer has of each record, behind its queue. */
#define RECORD_COLUMNS(X) \
	X(ID, "job_id") X(CREATED, "created_ms") X(AT, "at_ms") X(STATE, "state") X(NAME, "name") X(ORG, "org") X(SUB, "sub") \
	X(PROCESSED, "processed_ms") X(FINISHED, "finished_ms") X(ATTEMPTS_MADE, "attempts_made") X(WORKER, "worker") X(REASON, "failed_reason") \
	X(FINGERPRINT, "fingerprint") X(PARTIAL, "partial")
/* And what a whole record has besides. */
#define RECORD_WHOLE_COLUMNS(X) \
	X(DATA, "data") X(DATA_BYTES, "data_bytes") X(RESULT, "returnvalue") X(RESULT_BYTES, "result_bytes") X(OPTS, "opts") X(PROGRESS, "progress") \
	X(STACKTRACE, "stacktrace") X(LOGS, "logs::text") X(DELAY, "delay_ms") X(PRIORITY, "priority") X(PARENT_QUEUE, "parent_queue") \
	X(PARENT_ID, "parent_id") X(ATTEMPTS, "attempts::text")
enum record_column {
	RECORD_QUEUE,
#define X(column, expression) RECORD_##column,
	RECORD_COLUMNS(X) RECORD_WHOLE_COLUMNS(X)
#undef X
};

#define RECORDS_SEARCH_MAX 1000

/* At most `limit` records, the newest first, without the columns of a whole one. An id without a queue is looked for in the queues that are declared
 * here. *rows is yours to free. */
int records_search(struct records *rec, const struct record_filter *f, const struct record_place *behind, size_t limit, struct pg_rows **rows,
		   int64_t deadline_mono_ms, struct err *err) MUST_CHECK;

/* The records of one id, whole, the newest first: an id may come again. org .p NULL: any. */
int records_whole(struct records *rec, struct str queue, struct str id, struct str org, struct pg_rows **rows, int64_t deadline_mono_ms,
		  struct err *err) MUST_CHECK;

/* Failures whose messages differ only in what varies from job to job, counted; the most frequent first. Of the filter queue, org, from_ms and to_ms
 * count, and the times must be given. */
enum record_error_column {
	RECORD_ERROR_FINGERPRINT, RECORD_ERROR_COUNT, RECORD_ERROR_FIRST, RECORD_ERROR_LAST,
	RECORD_ERROR_QUEUE, RECORD_ERROR_ID, RECORD_ERROR_REASON, /* of the last one */
};
int records_errors(struct records *rec, const struct record_filter *f, size_t limit, struct pg_rows **rows, int64_t deadline_mono_ms,
		   struct err *err) MUST_CHECK;

#endif
