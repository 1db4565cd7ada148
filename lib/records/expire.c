/* Partitions to come, and records whose time is over. */
#include "lib/pg/pgtext.h"
#include "lib/records/private.h"

#define DAY_MS INT64_C(86400000)
#define STEP 1000   /* rows deleted in one statement */
#define STEPS 100   /* of a queue, in one run */

static const struct pg_stmt DROP_WEEKS = {"records_expire", "SELECT sluice.records_expire($1, $2, $3::text[])", 3};
static const struct pg_stmt DELETE_OLD = {
	"records_delete_old",
	"DELETE FROM sluice.records r USING (SELECT prefix, queue, job_id, created_ms FROM sluice.records"
	" WHERE prefix = $1 AND queue = $2 AND at_ms < $3 AND (created_ms < $5 OR created_ms >= $6) LIMIT $4) o"
	" WHERE r.prefix = o.prefix AND r.queue = o.queue AND r.job_id = o.job_id AND r.created_ms = o.created_ms",
	6};

/* By then nothing of before waits in an outbox any more; and a person's id has no business here for longer. */
#define ERASURE_DAYS 90
static const struct pg_stmt FORGET_ERASURES = {
	"records_forget_erasures",
	"WITH jobs AS (DELETE FROM sluice.record_erased_jobs WHERE until_ms < $1) DELETE FROM sluice.record_erasures WHERE until_ms < $1", 1};

static int forget_erasures(struct records *rec, int64_t now, struct err *err)
{
	const struct pg_value value = pg_int(now - ERASURE_DAYS * DAY_MS);
	const struct pg_call call = {&FORGET_ERASURES, &value};

	return pglink_run(rec->link, &call, 1, records_pg_deadline(rec), NULL, err);
}

static const struct pg_stmt NOW = {"records_now", "SELECT (extract(epoch FROM now()) * 1000)::bigint", 0};

/* By whose clock less is over: one that runs ahead would take all that there is. */
static int ask_now(struct records *rec, int64_t *now, struct err *err)
{
	const struct pg_call call = {&NOW, NULL};
	struct pg_rows *rows;
	int64_t theirs, ours = clock_wall_ms();
	int rc = pglink_run(rec->link, &call, 1, records_pg_deadline(rec), &rows, err);

	if (rc < 0)
		return rc;
	*now = pg_int_at(rows, 0, 0, &theirs) && theirs < ours ? theirs : ours;
	pg_rows_free(rows);
	return 0;
}

static int make_weeks(struct records *rec, struct err *err)
{
	int64_t now = clock_wall_ms();
	int rc = record_week_ensure(rec->link, &rec->weeks, now, records_pg_deadline(rec), err);

	return rc < 0 ? rc : record_week_ensure(rec->link, &rec->weeks, now + RECORD_WEEK_MS, records_pg_deadline(rec), err);
}

static int drop_weeks(struct records *rec, int64_t cutoff_ms, struct err *err)
{
	struct pgarray queues = PGARRAY_INIT;
	struct pg_rows *rows;
	int64_t dropped = 0;
	int rc;

	for (size_t i = 0; i < rec->n_queues; i++)
		pgarray_text(&queues, rec->queues[i].queue->name);
	pgarray_end(&queues);
	const struct pg_value values[] = {pg_int(cutoff_ms), pg_text(rec->o.prefix), pg_text(buf_str(&queues.out))};
	const struct pg_call call = {&DROP_WEEKS, values};
	if (queues.out.failed)
		rc = err_set(err, ERR_NOMEM, "no memory for the names of queues");
	else
		rc = pglink_run(rec->link, &call, 1, records_pg_deadline(rec), &rows, err);
	pgarray_release(&queues);
	if (rc < 0)
		return rc;
	if (pg_int_at(rows, 0, 0, &dropped) && dropped > 0)
		LOG(rec->o.log, LOG_INFO, "records_expired", log_int("weeks", dropped));
	pg_rows_free(rows);
	return 0;
}

/* Which rows of a queue are deleted one by one: of before the cutoff, and of these jobs. */
struct old {
	int64_t cutoff_ms;
	int64_t created_before_ms, created_from_ms; /* before the one, or since the other */
};

static int delete_old(struct rec_queue *q, const struct old *old, struct err *err)
{
	const struct pg_value values[] = {pg_text(q->rec->o.prefix), pg_text(q->queue->name), pg_int(old->cutoff_ms),
					  pg_int(STEP), pg_int(old->created_before_ms), pg_int(old->created_from_ms)};
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

/* Of queues that keep them for a shorter time than others: all. */
static int delete_of_shorter(struct records *rec, int64_t now, int64_t longest, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < rec->n_queues; i++) {
		struct rec_queue *q = &rec->queues[i];
		const struct old old = {now - q->policy.days * DAY_MS, INT64_MAX, INT64_MAX};
		if (q->policy.days < longest)
			rc = delete_old(q, &old, err);
	}
	return rc;
}

/* Of the others, whose weeks go as a whole: what stands in a week that is somebody else's too, or in none. */
static int delete_of_longest(struct records *rec, int64_t now, int64_t longest, struct err *err)
{
	int64_t cutoff = now - longest * DAY_MS;
	const struct old old = {cutoff, cutoff / RECORD_WEEK_MS * RECORD_WEEK_MS, now + 2 * RECORD_WEEK_MS};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < rec->n_queues; i++)
		if (rec->queues[i].policy.days == longest)
			rc = delete_old(&rec->queues[i], &old, err);
	return rc;
}

bool records_is_over(const struct rec_queue *q, int64_t at_ms)
{
	return at_ms < clock_wall_ms() - q->policy.days * DAY_MS;
}

int records_expire(struct records *rec, struct err *err)
{
	int64_t longest = RECORDS_DEFAULT_DAYS, now = 0;
	int rc = make_weeks(rec, err);

	if (rc == 0)
		rc = ask_now(rec, &now, err);
	if (rc == 0)
		rc = forget_erasures(rec, now, err);
	for (size_t i = 0; i < rec->n_queues; i++)
		longest = rec->queues[i].policy.days > longest ? rec->queues[i].policy.days : longest;
	if (rc == 0)
		rc = delete_of_shorter(rec, now, longest, err);
	if (rc == 0)
		rc = drop_weeks(rec, now - longest * DAY_MS, err);
	return rc < 0 ? rc : delete_of_longest(rec, now, longest, err);
}
