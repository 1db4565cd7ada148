/* Rows of jobs that were ended elsewhere, among them such that are gone and have left but a trace in the events. Inside lib/records only; the
 * writer's thread. */
#ifndef SLUICE_RECORDS_TRACE_H
#define SLUICE_RECORDS_TRACE_H

#include "lib/records/private.h"

struct trace_rows {
	struct record_row *items; /* has room for what is added */
	size_t n;
};

/* Adds a row for each trace but of those ends that have their record already. Which job it is of, when its id has come more than once, is asked of
 * PostgreSQL; a created_ms that is 0 is filled in. */
int trace_rows_add(struct trace_rows *rows, struct rec_queue *q, struct record_trace *traces, size_t n, struct err *err) MUST_CHECK;
/* Of rows that were made of hashes, leaves those of ends that have no record yet. Whose end it was is not asked of the hash: a worker without a name
 * leaves there the name of who had the job before. */
int trace_rows_leave_out_written(struct trace_rows *rows, struct rec_queue *q, struct err *err) MUST_CHECK;
/* Writes them, and with them how far the events have been read (NONE: that stays). */
int trace_rows_store(const struct trace_rows *rows, struct rec_queue *q, struct stream_id position, struct err *err) MUST_CHECK;

#endif
