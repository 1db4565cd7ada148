#include <math.h>

#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/bullmq/bq_impl.h"
#include "lib/json/jdoc.h"
#include "lib/json/jwrite.h"

/* The official scripts take "0" for a caller that needs no lock, which nobody here is: a token may come from a client. */
static int check_token(struct str token, struct err *err)
{
	if (token.n == 0 || str_is(token, "0"))
		return err_set(err, ERR_LOCK_LOST, "the job's lock is gone or belongs to another worker");
	return 0;
}

/* ---- moveToFinished ---- */
struct finish {
	const struct bq_job *job;
	const struct bq_worker *worker;
	struct str token;
	bool failed;
	struct str value;         /* returnvalue's JSON, or the reason */
	struct buf *fields;       /* packed job fields to set; NULL: none */
};

const struct bq_keep *bq_keep_of(const struct bq_job *job, const struct bq_worker *w, bool failed)
{
	static const struct bq_keep all = {.count = -1, .age_s = -1, .limit = -1};
	const struct bq_keep *own = failed ? &job->opts.remove_on_fail : &job->opts.remove_on_complete;
	const struct bq_keep *workers = failed ? &w->keep_failed : &w->keep_completed;

	return own->set ? own : workers->set ? workers : &all;
}

static void pack_keep(struct mp_map *m, const struct bq_keep *keep)
{
	struct mp_map in;

	mp_key(m, "keepJobs");
	in = mp_map_open(m->b);
	if (keep->count >= 0 || keep->age_s < 0) {
		mp_key(&in, "count");
		mp_int(m->b, keep->count);
	}
	if (keep->age_s >= 0) {
		mp_key(&in, "age");
		mp_int(m->b, keep->age_s);
	}
	if (keep->limit >= 0) {
		mp_key(&in, "limit");
		mp_int(m->b, keep->limit);
	}
	mp_map_close(&in);
}

struct buf bq_pack_finish(const struct bq_worker *w, const struct bq_job *job, struct str token, bool failed)
{
	static const struct {
		const char *name;
		enum bq_on_parent value;
	} on_parent[] = {
		{"fpof", BQ_PARENT_FAILS},
		{"cpof", BQ_PARENT_CONTINUES},
		{"idof", BQ_PARENT_IGNORES},
		{"rdof", BQ_PARENT_REMOVES},
	};
	const struct bq_opts *o = &job->opts;
	struct buf packed = BUF_INIT;
	struct mp_map m = mp_map_open(&packed);

	bq_pack_worker(&m, w, token);
	pack_keep(&m, bq_keep_of(job, w, failed));
	mp_key(&m, "attempts");
	mp_int(&packed, o->attempts > 0 ? o->attempts : 0);
	mp_key(&m, "maxMetricsSize");
	if (w->metrics_points > 0)
		mp_int(&packed, w->metrics_points);
	else
		mp_strz(&packed, "");
	for (size_t i = 0; i < ARRAY_LEN(on_parent); i++) {
		mp_key(&m, on_parent[i].name);
		mp_bool(&packed, o->on_parent == on_parent[i].value);
	}
	mp_map_close(&m);
	return packed;
}

static void put_finish(struct rcmd *cmd, const struct bq_queue *q, const struct finish *f)
{
	const struct bq_script_call call = {.queue = q, .id = f->job->id, .failed = f->failed};
	struct buf opts = bq_pack_finish(f->worker, f->job, f->token, f->failed);

	bq_script_begin(cmd, BQ_SCRIPT_MOVE_TO_FINISHED, &call, 9);
	rcmd_arg(cmd, f->job->id);
	rcmd_argi(cmd, clock_wall_ms());
	rcmd_argz(cmd, f->failed ? "failedReason" : "returnvalue");
	rcmd_arg(cmd, f->value);
	rcmd_argz(cmd, f->failed ? "failed" : "completed");
	rcmd_argz(cmd, "0"); /* the next job is not fetched */
	rcmd_arg(cmd, q->keys[BQ_KEY_BASE]);
	bq_arg_packed(cmd, &opts);
	if (f->fields)
		bq_arg_packed(cmd, f->fields);
	else
		rcmd_argz(cmd, "");
}

static int move_to_finished(struct bq *bq, const struct bq_queue *q, const struct finish *f, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;

	put_finish(&cmd, q, f);
	return bq_call_done(bq, &cmd, deadline, err);
}

int bq_complete(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, const struct bq_job *job, struct str token,
		struct str returnvalue, int64_t deadline, struct err *err)
{
	const struct finish f = {.job = job, .worker = w, .token = token, .value = returnvalue.n > 0 ? returnvalue : STR("null")};
	int rc = check_token(token, err);

	return rc < 0 ? rc : move_to_finished(bq, q, &f, deadline, err);
}

/* ---- failing ---- */

/* The entries of the old stacktrace that stay, then the new one. */
static void write_traces(struct buf *out, const struct bq_job *job, struct str trace, struct arena *a)
{
	int64_t limit = job->opts.stack_trace_limit, skip = 0;
	struct jwrite w = jwrite_into(out);
	struct jdoc doc;
	struct jdoc_fault fault;
	bool had = job->stacktrace.p && jdoc_parse(&doc, a, job->stacktrace, &JDOC_LIMITS, &fault) == 0 &&
		   jdoc_type(&doc, JDOC_ROOT) == J_ARRAY;

	if (had && limit >= 0)
		skip = (int64_t)doc.nodes[JDOC_ROOT].count + 1 - limit;
	jw_open(&w, '[');
	if (had)
		for (uint32_t c = jdoc_first(&doc, JDOC_ROOT); c != JDOC_NONE; c = jdoc_next(&doc, JDOC_ROOT, c))
			if (skip-- <= 0)
				jw_raw(&w, jdoc_raw(&doc, c));
	if (limit != 0)
		jw_str(&w, trace);
	jw_close(&w, ']');
}

struct buf bq_pack_failure(const struct bq_job *job, const struct bq_failure *f)
{
	struct buf fields = BUF_INIT, traces = BUF_INIT;
	struct arena a;

	arena_init(&a, 0);
	write_traces(&traces, job, f->trace.p ? f->trace : f->reason, &a);
	arena_release(&a);
	mp_array(&fields, 4);
	mp_strz(&fields, "failedReason");
	mp_str(&fields, f->reason);
	mp_strz(&fields, "stacktrace");
	mp_str(&fields, buf_str(&traces));
	fields.failed = fields.failed || traces.failed;
	buf_release(&traces);
	return fields;
}

static void put_delay(struct rcmd *cmd, const struct bq_queue *q, struct str id, struct str token, int64_t delay_ms,
		      bool skip_attempt, struct buf *fields)
{
	const struct bq_script_call call = {.queue = q, .id = id};

	bq_script_begin(cmd, BQ_SCRIPT_MOVE_TO_DELAYED, &call, 9);
	rcmd_arg(cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(cmd, clock_wall_ms());
	rcmd_arg(cmd, id);
	rcmd_arg(cmd, token);
	rcmd_argi(cmd, delay_ms);
	rcmd_argz(cmd, skip_attempt ? "1" : "0");
	if (fields)
		bq_arg_packed(cmd, fields);
	else
		rcmd_argz(cmd, "");
	rcmd_argz(cmd, "0"); /* the next job is not fetched */
	rcmd_argz(cmd, "");
}

static void put_retry(struct rcmd *cmd, const struct bq_queue *q, const struct bq_job *job, struct str token, struct buf *fields)
{
	const struct bq_script_call call = {.queue = q, .id = job->id};

	bq_script_begin(cmd, BQ_SCRIPT_RETRY_JOB, &call, 6);
	rcmd_arg(cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(cmd, clock_wall_ms());
	rcmd_argz(cmd, job->opts.lifo ? "RPUSH" : "LPUSH");
	rcmd_arg(cmd, job->id);
	rcmd_arg(cmd, token);
	bq_arg_packed(cmd, fields);
}

static double random01(void)
{
	return ldexp((double)(id_random_u64() >> 11), -53);
}

enum bq_failed bq_failure_kind(const struct bq_job *job, const struct bq_failure *f, int64_t *delay_ms)
{
	int64_t made = job->attempts_made + 1;

	if (f->permanent || made >= job->opts.attempts)
		return BQ_FAILED_FINAL;
	*delay_ms = f->retry_after_ms >= 0 ? f->retry_after_ms : bq_backoff_ms(&job->opts.backoff, made, random01());
	return *delay_ms > 0 ? BQ_FAILED_DELAYED : BQ_FAILED_RETRIED;
}

int bq_fail(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, const struct bq_job *job, struct str token,
	    const struct bq_failure *f, enum bq_failed *how, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	int64_t delay_ms = 0;
	int rc = check_token(token, err);

	if (rc < 0)
		return rc;
	struct buf fields = bq_pack_failure(job, f);
	*how = bq_failure_kind(job, f, &delay_ms);
	if (*how == BQ_FAILED_FINAL) {
		const struct finish finish = {
			.job = job,
			.worker = w,
			.token = token,
			.failed = true,
			.value = f->reason,
			.fields = &fields,
		};

		return move_to_finished(bq, q, &finish, deadline, err);
	}
	if (*how == BQ_FAILED_DELAYED)
		put_delay(&cmd, q, job->id, token, delay_ms, false, &fields);
	else
		put_retry(&cmd, q, job, token, &fields);
	return bq_call_done(bq, &cmd, deadline, err);
}

/* ---- back without using up an attempt ---- */
int bq_delay(struct bq *bq, const struct bq_queue *q, const struct bq_job *job, struct str token, int64_t delay_ms, int64_t deadline,
	     struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	int rc = check_token(token, err);

	if (rc < 0)
		return rc;
	put_delay(&cmd, q, job->id, token, delay_ms > 0 ? delay_ms : 0, true, NULL);
	return bq_call_done(bq, &cmd, deadline, err);
}

int bq_release(struct bq *bq, const struct bq_queue *q, const struct bq_job *job, struct str token, int64_t deadline, struct err *err)
{
	const struct bq_script_call call = {.queue = q, .id = job->id};
	struct rcmd cmd = RCMD_INIT;
	struct buf key = BUF_INIT;
	int rc = check_token(token, err);

	if (rc < 0)
		return rc;
	bq_script_begin(&cmd, BQ_SCRIPT_MOVE_JOB_FROM_ACTIVE_TO_WAIT, &call, 3);
	rcmd_arg(&cmd, job->id);
	rcmd_arg(&cmd, token);
	bq_job_key(&key, q, job->id, "");
	bq_arg_packed(&cmd, &key);
	return bq_call_done(bq, &cmd, deadline, err);
}
