#include "lib/bullmq/work.h"

#include "lib/base/clock.h"
#include "lib/bullmq/bq_impl.h"

#define HEAD_ARGS 13 /* work.lua's, ahead of the endings */

static void put(struct bq_end_args *args, struct str s)
{
	rcmd_arg(&args->wire, s);
	args->count++;
}

static void put_number(struct bq_end_args *args, int64_t v, bool given)
{
	if (given)
		rcmd_argi(&args->wire, v);
	else
		rcmd_argz(&args->wire, "");
	args->count++;
}

static void put_packed(struct bq_end_args *args, struct buf *packed)
{
	bq_arg_packed(&args->wire, packed);
	args->count++;
}

struct ended {
	const struct bq_worker *worker;
	const struct bq_job *job;
	const struct bq_ending *ending;
};

static void put_complete(struct bq_end_args *args, const struct ended *e)
{
	const struct bq_keep *keep = bq_keep_of(e->job, e->worker, false);

	put(args, STR("complete"));
	put(args, e->job->id);
	put(args, e->ending->token);
	put(args, e->ending->value.n > 0 ? e->ending->value : STR("null"));
	put_number(args, keep->count, keep->count >= 0 || keep->age_s < 0);
	put_number(args, keep->age_s, keep->age_s >= 0);
	put_number(args, keep->limit, keep->limit >= 0);
}

static void put_delay(struct bq_end_args *args, const struct ended *e, int64_t ms, struct buf *fields)
{
	put(args, STR("delay"));
	put(args, e->job->id);
	put(args, e->ending->token);
	put_number(args, ms > 0 ? ms : 0, true);
	put(args, fields ? STR("0") : STR("1"));
	if (fields)
		put_packed(args, fields);
	else
		put(args, STR(""));
}

static void put_failure(struct bq_end_args *args, const struct ended *e, enum bq_failed *how)
{
	const struct bq_failure *f = e->ending->failure;
	struct buf fields = bq_pack_failure(e->job, f), opts;
	int64_t delay_ms = 0;

	*how = bq_failure_kind(e->job, f, &delay_ms);
	switch (*how) {
	case BQ_FAILED_DELAYED:
		put_delay(args, e, delay_ms, &fields);
		return;
	case BQ_FAILED_RETRIED:
		put(args, STR("retry"));
		put(args, e->job->id);
		put(args, e->ending->token);
		put(args, e->job->opts.lifo ? STR("RPUSH") : STR("LPUSH"));
		break;
	case BQ_FAILED_FINAL:
		opts = bq_pack_finish(e->worker, e->job, e->ending->token, true);
		put(args, STR("fail"));
		put(args, e->job->id);
		put(args, f->reason);
		put_packed(args, &opts);
	}
	put_packed(args, &fields);
}

void bq_end_encode(struct bq_end_args *args, const struct bq_worker *w, const struct bq_job *job, const struct bq_ending *ending,
		   enum bq_failed *how)
{
	const struct ended e = {w, job, ending};

	rcmd_clear(&args->wire);
	args->count = 0;
	switch (ending->kind) {
	case BQ_END_COMPLETE:
		put_complete(args, &e);
		break;
	case BQ_END_FAIL:
		put_failure(args, &e, how);
		break;
	case BQ_END_DELAY:
		put_delay(args, &e, ending->delay_ms, NULL);
		break;
	case BQ_END_RELEASE:
		put(args, STR("release"));
		put(args, job->id);
		put(args, ending->token);
	}
}

void bq_end_release(struct bq_end_args *args)
{
	rcmd_release(&args->wire);
	args->count = 0;
}

static void put_optional(struct rcmd *cmd, int64_t v)
{
	if (v > 0)
		rcmd_argi(cmd, v);
	else
		rcmd_argz(cmd, "");
}

void bq_work_command(struct rcmd *cmd, const struct bq_work *work)
{
	const struct bq_script_call call = {.queue = work->queue};
	const struct bq_worker *w = work->worker;
	size_t n_args = HEAD_ARGS;

	for (size_t i = 0; i < work->n_endings; i++)
		n_args += work->endings[i]->count;
	bq_script_begin(cmd, BQ_SCRIPT_WORK, &call, n_args);
	rcmd_arg(cmd, work->queue->keys[BQ_KEY_BASE]);
	rcmd_argi(cmd, clock_wall_ms());
	rcmd_arg(cmd, w->name.p ? w->name : STR(""));
	rcmd_argi(cmd, w->lock_ms);
	put_optional(cmd, w->limiter.max);
	rcmd_argi(cmd, w->limiter.duration_ms);
	put_optional(cmd, w->metrics_points);
	rcmd_arg(cmd, work->token_stem);
	rcmd_argi(cmd, (int64_t)work->free);
	rcmd_argz(cmd, work->frees ? "1" : "");
	bq_arg_outbox(cmd, work->queue);
	put_optional(cmd, w->proof_ms);
	for (size_t i = 0; i < work->n_endings; i++) {
		const struct buf *wire = &work->endings[i]->wire.wire;

		cmd->wire.failed = cmd->wire.failed || wire->failed;
		buf_adds(&cmd->wire, buf_str(wire));
	}
}

int bq_work_read(const redisReply *reply, struct bq_work_answer *out, struct err *err)
{
	const redisReply *taken = rreply_at(reply, 1);
	int rc = rreply_error(reply, err);

	*out = (struct bq_work_answer){.codes_ = rreply_at(reply, 0), .taken_ = taken, .trouble = rreply_str(rreply_at(reply, 4))};
	if (rc < 0)
		return rc;
	if (!taken || taken->type != REDIS_REPLY_ARRAY || !rreply_int(rreply_at(reply, 2), &out->nothing.limited_ms) ||
	    !rreply_int(rreply_at(reply, 3), &out->nothing.next_delayed_ms))
		return err_set(err, ERR_PROTOCOL, "the work script answered in an unknown form");
	out->n_taken = taken->elements;
	out->nothing.got = out->n_taken > 0;
	return 0;
}

int bq_work_ended(const struct bq_work_answer *answer, size_t i, struct err *err)
{
	const redisReply *r = rreply_at(answer->codes_, i);
	struct str text = rreply_str(r);
	int64_t code;

	if (text.p)
		return bq_script_error(text, err);
	if (!rreply_int(r, &code))
		return err_set(err, ERR_PROTOCOL, "the work script left out an ending");
	return code < 0 ? bq_script_failure(code, err) : 0;
}

int bq_work_taken(const struct bq_work_answer *answer, size_t i, struct arena *a, struct bq_job *job, struct str *token,
		  struct err *err)
{
	const redisReply *r = rreply_at(answer->taken_, i);
	struct str id = rreply_str(rreply_at(r, 1)), its_token = rreply_str(rreply_at(r, 2));
	int rc;

	if (!id.p || !its_token.p)
		return err_set(err, ERR_PROTOCOL, "the work script answered with a job in an unknown form");
	rc = bq_job_from_pairs(job, id, rreply_at(r, 0), a);
	if (rc == 0)
		*token = arena_dup(a, its_token);
	if (rc < 0 || !token->p)
		return err_set(err, ERR_NOMEM, "no memory for a job");
	job->state = BQ_ACTIVE;
	return 0;
}
