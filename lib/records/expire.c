/* Partitions to come, and records whose time is over. */
#include "lib/records/private.h"

#define DAY_MS INT64_C(86400000)
#define STEP 1000   /* rows deleted in one statement */
#define STEPS 100   /* of a queue, in one run */

static const struct pg_stmt DROP_WEEKS = {"records_expire", "SELECT sluice.records_expire($1)", 1};
static const struct pg_stmt DELETE_OLD = {
	"records_delete_old",
	"DELETE FROM sluice.records r USING (SELECT prefix, queue, job_id, created_ms FROM sluice.records"
	" WHERE prefix = $1 AND queue = $2 AND at_ms < $3 LIMIT $4) o"
	" WHERE r.prefix = o.prefix AND r.queue = o.queue AND r.job_id = o.job_id AND r.created_ms = o.created_ms",
	4};

/* By then nothing of before waits in an outbox any more; and a person's id has no business here for longer. */
#define ERASURE_DAYS 90
static const struct pg_stmt FORGET_ERASURES = {"records_forget_erasures", "DELETE FROM sluice.record_erasures WHERE until_ms < $1", 1};

static int forget_erasures(struct records *rec, int64_t now, struct err *err)
{
	const struct pg_value value = pg_int(now - ERASURE_DAYS * DAY_MS);
	const struct pg_call call = {&FORGET_ERASURES, &value};

	return pglink_run(rec->link, &call, 1, records_pg_deadline(rec), NULL, err);
}

static int make_weeks(struct records *rec, struct err *err)
{
	int64_t now = clock_wall_ms();
	int rc = record_week_ensure(rec->link, &rec->weeks, now, records_pg_deadline(rec), err);

	return rc < 0 ? rc : record_week_ensure(rec->link, &rec->weeks, now + RECORD_WEEK_MS, records_pg_deadline(rec), err);
}

static int drop_weeks(struct records *rec, int64_t cutoff_ms, struct err *err)
{
	const struct pg_value value = pg_int(cutoff_ms);
	const struct pg_call call = {&DROP_WEEKS, &value};
	struct pg_rows *rows;
	int64_t dropped = 0;
	int rc = pglink_run(rec->link, &call, 1, records_pg_deadline(rec), &rows, err);

	if (rc < 0)
		return rc;
	if (pg_int_at(rows, 0, 0, &dropped) && dropped > 0)
		LOG(rec->o.log, LOG_INFO, "records_expired", log_int("weeks", dropped));
	pg_rows_free(rows);
	return 0;
}

/* Rows of queues that keep them for a shorter time than others. */
static int delete_old(struct rec_queue *q, int64_t cutoff_ms, struct err *err)
{
	const struct pg_value values[] = {pg_text(q->rec->o.prefix), pg_text(q->queue->name), pg_int(cutoff_ms), pg_int(STEP)};
	const struct pg_call call = {&DELETE_OLD, values};
	int64_t deleted = STEP;
	int rc = 0;

	for (int i = 0; rc == 0 && deleted == STEP && i < STEPS && !atomic_load(&q->rec->stopping); i++) {
		struct pg_rows *rows;
		rc = pglink_run(q->rec->link, &call, 1, records_pg_deadline(q->rec), &rows, err);
		if (rc == 0) {
			deleted = pg_rows_affected(rows);
			pg_rows_free(rows);
		}
	}
	return rc;
}

bool records_is_over(const struct rec_queue *q, int64_t at_ms)
{
	return at_ms < clock_wall_ms() - q->policy.days * DAY_MS;
}

int records_expire(struct records *rec, struct err *err)
{
	int64_t longest = RECORDS_DEFAULT_DAYS, now = clock_wall_ms();
	int rc = make_weeks(rec, err);

	if (rc == 0)
		rc = forget_erasures(rec, now, err);
	for (size_t i = 0; i < rec->n_queues; i++)
		longest = rec->queues[i].policy.days > longest ? rec->queues[i].policy.days : longest;
	for (size_t i = 0; rc == 0 && i < rec->n_queues; i++)
		if (rec->queues[i].policy.days < longest)
			rc = delete_old(&rec->queues[i], now - rec->queues[i].policy.days * DAY_MS, err);
	return rc < 0 ? rc : drop_weeks(rec, now - longest * DAY_MS, err);
}
