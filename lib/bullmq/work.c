#include "lib/bullmq/work.h"

#include "lib/base/clock.h"
#include "lib/bullmq/bq_impl.h"

#define HEAD_ARGS 8 /* work.lua's, ahead of options and endings */
#define ALIKE_ARGS 5 /* of completions that keep the same of their jobs, */
#define KEEP_ARGS 3  /* of which so many stand in each of them */
#define TAKEN_VALUES 4 /* of its reply, for each job taken */

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

	put_number(args, keep->count, keep->count >= 0 || keep->age_s < 0);
	put_number(args, keep->age_s, keep->age_s >= 0);
	put_number(args, keep->limit, keep->limit >= 0);
	args->alike = args->wire.wire.n;
	put(args, e->job->id);
	put(args, e->ending->token);
	put(args, e->ending->value.n > 0 ? e->ending->value : STR("null"));
	put_number(args, (int64_t)e->job->plain_fields, e->job->plain_fields > 0);
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
	args->count = args->alike = 0;
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
	args->count = args->alike = 0;
}

static void put_optional(struct rcmd *cmd, int64_t v)
{
	if (v > 0)
		rcmd_argi(cmd, v);
	else
		rcmd_argz(cmd, "");
}

static struct str alike_of(const struct bq_end_args *args)
{
	return (struct str){args->wire.wire.p, args->alike};
}

/* How many endings from endings[i] on go together. */
static size_t run_length(const struct bq_work *work, size_t i)
{
	struct str alike = alike_of(work->endings[i]);
	size_t end = i + 1;

	while (alike.n && end < work->n_endings && str_eq(alike_of(work->endings[end]), alike))
		end++;
	return end - i;
}

static size_t count_ending_args(const struct bq_work *work)
{
	size_t n = 0, run;

	for (size_t i = 0; i < work->n_endings; i += run) {
		run = run_length(work, i);
		n += work->endings[i]->alike ? ALIKE_ARGS : 0;
		for (size_t k = i; k < i + run; k++)
			n += work->endings[k]->count - (work->endings[k]->alike ? KEEP_ARGS : 0);
	}
	return n;
}

static void put_endings(struct rcmd *cmd, const struct bq_work *work)
{
	size_t run;

	for (size_t i = 0; i < work->n_endings; i += run) {
		run = run_length(work, i);
		if (work->endings[i]->alike) {
			rcmd_argz(cmd, "complete");
			rcmd_argi(cmd, (int64_t)run);
			buf_adds(&cmd->wire, alike_of(work->endings[i]));
		}
		for (size_t k = i; k < i + run; k++) {
			const struct bq_end_args *args = work->endings[k];
			struct str wire = buf_str(&args->wire.wire);

			cmd->wire.failed = cmd->wire.failed || args->wire.wire.failed;
			buf_adds(&cmd->wire, str_sub(wire, args->alike, wire.n - args->alike));
		}
	}
}

static size_t count_option_args(const struct bq_work *work)
{
	return (work->worker->limiter.max > 0 ? 3U : 0) + (work->queue->outbox ? 3U : 0) + (work->worker->proof_ms > 0 ? 2U : 0) +
	       (work->tokens_apart ? 1U : 0);
}

static void put_options(struct rcmd *cmd, const struct bq_work *work)
{
	const struct bq_worker *w = work->worker;

	if (w->limiter.max > 0) {
		rcmd_argz(cmd, "limiter");
		rcmd_argi(cmd, w->limiter.max);
		rcmd_argi(cmd, w->limiter.duration_ms);
	}
	if (work->queue->outbox) {
		rcmd_argz(cmd, "outbox");
		bq_arg_outbox(cmd, work->queue);
	}
	if (w->proof_ms > 0) {
		rcmd_argz(cmd, "proof");
		rcmd_argi(cmd, w->proof_ms);
	}
	if (work->tokens_apart)
		rcmd_argz(cmd, "apart");
}

void bq_work_command(struct rcmd *cmd, const struct bq_work *work)
{
	const struct bq_script_call call = {.queue = work->queue};
	const struct bq_worker *w = work->worker;

	bq_script_begin(cmd, BQ_SCRIPT_WORK, &call, HEAD_ARGS + count_option_args(work) + count_ending_args(work));
	rcmd_arg(cmd, work->queue->keys[BQ_KEY_BASE]);
	rcmd_argi(cmd, clock_wall_ms());
	rcmd_arg(cmd, w->name.p ? w->name : STR(""));
	rcmd_argi(cmd, w->lock_ms);
	put_optional(cmd, w->metrics_points);
	rcmd_arg(cmd, work->token_stem);
	rcmd_argi(cmd, (int64_t)work->free);
	rcmd_argz(cmd, work->frees ? "1" : "");
	put_options(cmd, work);
	put_endings(cmd, work);
}

int bq_work_read(const redisReply *reply, struct bq_work_answer *out, struct err *err)
{
	const redisReply *taken = rreply_at(reply, 1);
	int rc = rreply_error(reply, err);

	*out = (struct bq_work_answer){.codes_ = rreply_at(reply, 0),
				       .taken_ = taken,
				       .taken_at_ = rreply_at(reply, 5),
				       .taken_by_ = rreply_str(rreply_at(reply, 6)),
				       .trouble = rreply_str(rreply_at(reply, 4))};
	if (rc < 0)
		return rc;
	if (!taken || taken->type != REDIS_REPLY_ARRAY || taken->elements % TAKEN_VALUES ||
	    !rreply_int(rreply_at(reply, 2), &out->nothing.limited_ms) || !rreply_int(rreply_at(reply, 3), &out->nothing.next_delayed_ms))
		return err_set(err, ERR_PROTOCOL, "the work script answered in an unknown form");
	out->nothing.next_delayed_ms = bq_time_ms((double)out->nothing.next_delayed_ms);
	out->n_taken = taken->elements / TAKEN_VALUES;
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

/* What taking has written, where the fields are older. */
static int note_taken(const struct bq_work_answer *answer, const redisReply *start, struct arena *a, struct bq_job *job)
{
	if (!rreply_int(start, &job->attempts_started))
		return 0;
	if (job->plain_fields > 0) {
		job->plain_fields += job->processed_on < 0;
		job->plain_fields += job->attempts_started == 1;
		job->plain_fields += answer->taken_by_.n && !job->processed_by.p;
	}
	(void)rreply_int(answer->taken_at_, &job->processed_on);
	if (answer->taken_by_.n)
		job->processed_by = arena_dup(a, answer->taken_by_);
	return answer->taken_by_.n && !job->processed_by.p ? ERR_NOMEM : 0;
}

int bq_work_taken(const struct bq_work_answer *answer, size_t i, const struct bq_job *like, struct arena *a, struct bq_job *job,
		  struct str *token, struct err *err)
{
	const redisReply *all = answer->taken_;
	const size_t at = i * TAKEN_VALUES;
	struct str id = rreply_str(rreply_at(all, at + 1)), its_token = rreply_str(rreply_at(all, at + 2));
	int rc;

	if (!id.p || !its_token.p)
		return err_set(err, ERR_PROTOCOL, "the work script answered with a job in an unknown form");
	rc = bq_job_from_pairs(job, id, rreply_at(all, at), like, a);
	if (rc == 0)
		rc = note_taken(answer, rreply_at(all, at + 3), a, job);
	if (rc == 0)
		*token = arena_dup(a, its_token);
	if (rc < 0 || !token->p)
		return err_set(err, ERR_NOMEM, "no memory for a job");
	job->state = BQ_ACTIVE;
	return 0;
}
