#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/bullmq/bq_impl.h"
#include "lib/bullmq/work.h"

void bq_pack_worker(struct mp_map *m, const struct bq_worker *w, struct str token)
{
	mp_key(m, "token");
	mp_str(m->b, token);
	mp_key(m, "lockDuration");
	mp_int(m->b, w->lock_ms);
	if (w->limiter.max > 0) {
		struct mp_map limiter;

		mp_key(m, "limiter");
		limiter = mp_map_open(m->b);
		mp_key(&limiter, "max");
		mp_int(m->b, w->limiter.max);
		mp_key(&limiter, "duration");
		mp_int(m->b, w->limiter.duration_ms);
		mp_map_close(&limiter);
	}
	if (w->name.p) {
		mp_key(m, "name");
		mp_str(m->b, w->name);
	}
}

/* {HGETALL's pairs or 0, id or 0, rate limit in ms, due time of the next delayed job} */
int bq_read_taken(const redisReply *r, struct arena *a, struct bq_job *job, struct bq_taken *out, struct err *err)
{
	struct str id = rreply_str(rreply_at(r, 1));
	int rc = rreply_error(r, err);

	*out = (struct bq_taken){0};
	if (rc < 0)
		return rc;
	if (!rreply_int(rreply_at(r, 2), &out->limited_ms))
		out->limited_ms = 0;
	if (!rreply_int(rreply_at(r, 3), &out->next_delayed_ms))
		out->next_delayed_ms = 0;
	out->next_delayed_ms = bq_time_ms((double)out->next_delayed_ms);
	if (!id.p)
		return 0;
	rc = bq_job_from_pairs(job, id, rreply_at(r, 0), NULL, a);
	if (rc < 0)
		return err_set(err, rc, "no memory for a job");
	job->state = BQ_ACTIVE;
	out->got = true;
	return 0;
}

static void put_take(struct rcmd *cmd, const struct bq_queue *q, const struct bq_worker *w, struct str token)
{
	const struct bq_script_call call = {.queue = q};
	struct buf packed = BUF_INIT;
	struct mp_map m = mp_map_open(&packed);

	bq_pack_worker(&m, w, token);
	mp_map_close(&m);
	bq_script_begin(cmd, BQ_SCRIPT_MOVE_TO_ACTIVE, &call, 3);
	rcmd_arg(cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(cmd, clock_wall_ms());
	bq_arg_packed(cmd, &packed);
}

int bq_take(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, struct str token, struct arena *a, struct bq_job *job,
	    struct bq_taken *out, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	put_take(&cmd, q, w, token);
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = bq_read_taken(replies.items[0], a, job, out, err);
	rreplies_release(&replies);
	return rc;
}

static int read_held(const struct bq_work_answer *answer, struct arena *a, struct bq_held *held, size_t n, size_t *got, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < answer->n_taken && i < n; i++) {
		struct str token = STR_NONE;

		rc = bq_work_taken(answer, i, *got ? &held[*got - 1].job : NULL, a, &held[*got].job, &token, err);
		if (rc == 0 && token.n >= BQ_TOKEN_SIZE)
			rc = err_set(err, ERR_PROTOCOL, "a token of %zu bytes", token.n);
		if (rc == 0)
			snprintf(held[(*got)++].token, BQ_TOKEN_SIZE, "%.*s", STR_ARG(token));
	}
	return rc;
}

int bq_take_many(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, struct str token, struct arena *a, struct bq_held *held,
		 size_t n, size_t *got, struct bq_taken *last, int64_t deadline, struct err *err)
{
	const struct bq_work work = {.queue = q, .worker = w, .token_stem = token, .tokens_apart = true, .free = n};
	struct bq_work_answer answer;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	bug_on(n > BQ_WORK_PER_CALL);
	*got = 0;
	*last = (struct bq_taken){0};
	bq_work_command(&cmd, &work);
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = bq_work_read(replies.items[0], &answer, err);
	if (rc == 0) {
		*last = answer.nothing;
		rc = read_held(&answer, a, held, n, got, err);
	}
	if (rc == 0 && *got == 0 && answer.trouble.n)
		rc = rreply_error_text(answer.trouble, err);
	rreplies_release(&replies);
	return *got > 0 ? 0 : rc;
}
