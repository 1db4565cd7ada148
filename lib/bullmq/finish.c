#include <math.h>

#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/base/panic.h"
#include "lib/bullmq/bq_impl.h"
#include "lib/bullmq/ends.h"
#include "lib/json/jdoc.h"
#include "lib/json/jwrite.h"

/* ---- what the scripts are told of an end ---- */

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

/* ---- one end ---- */

/* The official scripts take "0" for a caller that needs no lock, which nobody here is: a token may come from a client. */
static int check_token(struct str token, struct err *err)
{
	if (token.n == 0 || str_is(token, "0"))
		return err_set(err, ERR_LOCK_LOST, "the job's lock is gone or belongs to another worker");
	return 0;
}

int bq_set_aside(struct bq *bq, const struct bq_queue *q, struct str id, struct str token, struct str reason, int64_t deadline,
		 struct err *err)
{
	const struct bq_script_call call = {.queue = q};
	struct rcmd cmd = RCMD_INIT;

	bq_script_begin(&cmd, BQ_SCRIPT_SET_ASIDE, &call, 7);
	rcmd_arg(&cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(&cmd, clock_wall_ms());
	rcmd_arg(&cmd, id);
	rcmd_arg(&cmd, token);
	rcmd_arg(&cmd, reason);
	bq_arg_outbox(&cmd, q);
	return bq_call_done(bq, &cmd, deadline, err);
}

struct str bq_set_aside_reason(const struct err *why, char out[BQ_REASON_SIZE])
{
	snprintf(out, BQ_REASON_SIZE, "BROKEN_JOB: what is stored of the job lets no end of it be recorded: %s", why->text);
	return str_from(out);
}

/* After an ending that failed with ERR_BROKEN and *err, which stays the answer. */
static void set_broken_aside(struct bq *bq, const struct bq_queue *q, struct str id, struct str token, int64_t deadline, struct err *err)
{
	const struct err why = *err;
	struct err ignored = {0};
	char reason[BQ_REASON_SIZE];

	if (bq_set_aside(bq, q, id, token, bq_set_aside_reason(&why, reason), deadline, &ignored) < 0)
		err_set(err, ERR_BROKEN, "%s; nor can it be set aside: %s", why.text, ignored.text);
}

/* Encodes those that nothing speaks against yet; how many they are. */
static size_t encode(const struct bq_worker *w, struct bq_end_job *ends, size_t n, struct bq_end_job **out)
{
	size_t m = 0;

	for (struct bq_end_job *e = ends; e < ends + n; e++)
		if (e->err.code == 0 && check_token(e->ending.token, &e->err) == 0) {
			bq_end_encode(&e->args_, w, e->job, &e->ending, &e->how);
			out[m++] = e;
		}
	return m;
}

int bq_ends_tell(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, struct bq_end_job *ends, size_t n, int64_t deadline,
		 struct err *err)
{
	struct bq_end_job *told[BQ_WORK_PER_CALL];
	size_t m;
	int rc;

	bug_on(n > BQ_WORK_PER_CALL);
	m = encode(w, ends, n, told);
	rc = m > 0 ? bq_end_with_others(bq, q, w, told, m, deadline, err) : 0;
	for (size_t i = 0; i < m; i++) {
		bq_end_release(&told[i]->args_);
		if (rc == 0 && told[i]->err.code == ERR_BROKEN)
			set_broken_aside(bq, q, told[i]->id, told[i]->ending.token, deadline, &told[i]->err);
	}
	return rc;
}

static int end_one(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, const struct bq_job *job, const struct bq_ending *e,
		   enum bq_failed *how, int64_t deadline, struct err *err)
{
	struct bq_end_job one = {.id = job->id, .ending = *e, .job = job};
	int rc = bq_ends_tell(bq, q, w, &one, 1, deadline, err);

	if (rc == 0 && one.err.code < 0)
		rc = err_set(err, one.err.code, "%s", one.err.text);
	if (how)
		*how = one.how;
	return rc;
}

int bq_complete(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, const struct bq_job *job, struct str token,
		struct str returnvalue, int64_t deadline, struct err *err)
{
	const struct bq_ending e = {.kind = BQ_END_COMPLETE, .token = token, .value = returnvalue};

	return end_one(bq, q, w, job, &e, NULL, deadline, err);
}

int bq_fail(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, const struct bq_job *job, struct str token,
	    const struct bq_failure *f, enum bq_failed *how, int64_t deadline, struct err *err)
{
	const struct bq_ending e = {.kind = BQ_END_FAIL, .token = token, .failure = f};

	return end_one(bq, q, w, job, &e, how, deadline, err);
}

int bq_delay(struct bq *bq, const struct bq_queue *q, const struct bq_job *job, struct str token, int64_t delay_ms, int64_t deadline,
	     struct err *err)
{
	const struct bq_worker nobody = {0};
	const struct bq_ending e = {.kind = BQ_END_DELAY, .token = token, .delay_ms = delay_ms};

	return end_one(bq, q, &nobody, job, &e, NULL, deadline, err);
}

int bq_release(struct bq *bq, const struct bq_queue *q, const struct bq_job *job, struct str token, int64_t deadline, struct err *err)
{
	const struct bq_worker nobody = {0};
	const struct bq_ending e = {.kind = BQ_END_RELEASE, .token = token};

	return end_one(bq, q, &nobody, job, &e, NULL, deadline, err);
}
