/* What endings that are told from elsewhere depend on. */
#include "lib/bullmq/ends.h"
#include "lib/bullmq/bq_impl.h"

static bool completes(const struct bq_end_job *e)
{
	return e->ending.kind == BQ_END_COMPLETE;
}

static enum bq_job_read reading_of(const struct bq_end_job *e)
{
	return completes(e) ? BQ_READ_TO_COMPLETE : BQ_READ_TO_END;
}

/* The job's hash, and the wish that it stop. */
static void put_reading(struct rcmd *cmd, const struct bq_queue *q, const struct bq_end_job *e)
{
	bq_job_fetch(cmd, q, e->id, reading_of(e));
	if (!completes(e))
		bq_put_cancel_mark(cmd, q, e->id);
}

static int read_one(struct bq_end_job *e, struct bq_job *job, redisReply *const *replies, const struct bq_job *like, struct arena *a,
		    struct err *err)
{
	int64_t meant;
	int rc = rreply_is_foreign(replies[0]) ? ERR_NOT_FOUND : rreply_error(replies[0], err);

	if (rc == 0)
		rc = bq_job_from_values(job, e->id, reading_of(e), replies[0], like, a);
	if (rc == 0 && !completes(e))
		rc = rreply_error(replies[1], err);
	e->job = job;
	if (rc == ERR_NOT_FOUND) {
		err_set(&e->err, rc, "the job is gone");
		return 0;
	}
	if (rc == ERR_NOMEM)
		return err_set(err, rc, "no memory for a job");
	e->cancelled = rc == 0 && !completes(e) && rreply_int(replies[1], &meant) && meant == job->timestamp;
	return rc;
}

int bq_ends_read(struct bq *bq, const struct bq_queue *q, struct bq_end_job *ends, size_t n, struct arena *a, int64_t deadline,
		 struct err *err)
{
	struct bq_job *jobs = arena_array(a, n, sizeof(*jobs));
	const struct bq_job *like = NULL;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	size_t at = 0;
	int rc;

	if (n == 0)
		return 0;
	if (!jobs)
		return err_set(err, ERR_NOMEM, "no memory for jobs");
	for (size_t i = 0; i < n; i++)
		put_reading(&cmd, q, &ends[i]);
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = read_one(&ends[i], &jobs[i], replies.items + at, like, a, err);
		like = ends[i].err.code == 0 ? &jobs[i] : like;
		at += completes(&ends[i]) ? 1 : 2;
	}
	rreplies_release(&replies);
	return rc;
}
