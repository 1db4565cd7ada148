/* Reading records on behalf of requests. */
#include "lib/bullmq/opts.h"
#include "lib/json/jdoc.h"
#include "lib/pg/pgtext.h"
#include "lib/records/private.h"

#define LOOK_MS 2000     /* how long a request waits for PostgreSQL, */
#define CATCH_UP_MS 3000 /* and for the writer */
#define NAP_MIN_MS 10
#define NAP_MAX_MS 100

#define HEAD \
	"SELECT DISTINCT ON (job_id) job_id, created_ms, state, name, org, sub, processed_ms, finished_ms, delay_ms, priority, attempts_made, worker," \
	" failed_reason, progress, opts, parent_queue, parent_id"
#define TAIL \
	" FROM sluice.records WHERE prefix = $1 AND queue = $2 AND job_id = ANY($3::text[]) ORDER BY job_id, org IS DISTINCT FROM $4, created_ms DESC"
enum column {
	AT_ID, AT_CREATED, AT_STATE, AT_NAME, AT_ORG, AT_SUB, AT_PROCESSED, AT_FINISHED, AT_DELAY, AT_PRIORITY, AT_ATTEMPTS, AT_WORKER,
	AT_REASON, AT_PROGRESS, AT_OPTS, AT_PARENT_QUEUE, AT_PARENT_ID, AT_DATA, AT_RETURNVALUE, AT_STACKTRACE,
};

static const struct pg_stmt FIND = {"records_find", HEAD TAIL, 4};
static const struct pg_stmt FIND_WHOLE = {"records_find_whole", HEAD ", data, returnvalue, stacktrace" TAIL, 4};

/* ---- one record ---- */

struct reading {
	const struct pg_rows *rows;
	int row;
	struct arena *a;
	bool failed; /* no memory */
};

static struct str text_at(struct reading *r, enum column c)
{
	struct str s = pg_at(r->rows, r->row, (int)c);

	if (!s.p)
		return STR_NONE;
	s = arena_dup(r->a, s);
	r->failed = r->failed || !s.p;
	return s;
}

static int64_t number_at(const struct reading *r, enum column c, int64_t otherwise)
{
	int64_t v;

	return pg_int_at(r->rows, r->row, (int)c, &v) ? v : otherwise;
}

static void read_opts(struct reading *r, struct bq_job *job)
{
	struct jdoc doc;
	struct jdoc_fault fault;

	bq_opts_init(&job->opts);
	job->opts_json = text_at(r, AT_OPTS);
	if (job->opts_json.p && jdoc_parse(&doc, r->a, job->opts_json, &JDOC_LIMITS, &fault) == 0 &&
	    bq_opts_read(&job->opts, &doc, JDOC_ROOT, r->a, false, NULL) < 0)
		bq_opts_init(&job->opts);
	job->opts.org = text_at(r, AT_ORG);
	job->opts.sub = text_at(r, AT_SUB);
}

static enum bq_state state_of(struct str word)
{
	return str_is(word, "completed") ? BQ_COMPLETED : str_is(word, "failed") ? BQ_FAILED : BQ_STATE_UNKNOWN;
}

static void read_job(struct reading *r, struct bq_job *job, bool with_payload)
{
	*job = (struct bq_job){
		.id = text_at(r, AT_ID),
		.name = text_at(r, AT_NAME),
		.timestamp = number_at(r, AT_CREATED, 0),
		.state = state_of(pg_at(r->rows, r->row, AT_STATE)),
		.processed_on = number_at(r, AT_PROCESSED, -1),
		.finished_on = number_at(r, AT_FINISHED, -1),
		.delay = number_at(r, AT_DELAY, 0),
		.priority = number_at(r, AT_PRIORITY, 0),
		.attempts_made = number_at(r, AT_ATTEMPTS, 0),
		.processed_by = text_at(r, AT_WORKER),
		.failed_reason = text_at(r, AT_REASON),
		.progress = text_at(r, AT_PROGRESS),
		.parent_queue = text_at(r, AT_PARENT_QUEUE),
		.parent_id = text_at(r, AT_PARENT_ID),
	};
	read_opts(r, job);
	if (!with_payload)
		return;
	job->data = text_at(r, AT_DATA);
	job->returnvalue = text_at(r, AT_RETURNVALUE);
	job->stacktrace = text_at(r, AT_STACKTRACE);
}

/* ---- many ---- */

struct find {
	struct records *rec;
	const struct bq_queue *q;
	struct str org;
	const struct str *ids;
	size_t n;
	bool with_payload;
	struct arena *a;
	struct bq_job *jobs;
	bool *known;
	int64_t deadline;
};

static int ask(const struct find *f, struct pg_rows **rows, struct err *err)
{
	struct pgarray ids = PGARRAY_INIT;
	int64_t until = clock_mono_ms() + LOOK_MS;
	int rc = ERR_INVALID;

	for (size_t i = 0; i < f->n; i++)
		pgarray_text(&ids, f->ids[i]);
	pgarray_end(&ids);
	const struct pg_value values[] = {pg_text(f->rec->o.prefix), pg_text(f->q->name), pg_text(buf_str(&ids.out)), pg_text(f->org)};
	const struct pg_call call = {f->with_payload ? &FIND_WHOLE : &FIND, values};
	if (!ids.out.failed)
		rc = pg_query(f->rec->o.pg, &call, 1, until < f->deadline ? until : f->deadline, rows, err);
	else if (!ids.refused)
		rc = err_set(err, ERR_NOMEM, "out of memory");
	else
		err_set(err, rc, "a job id is not UTF-8");
	pgarray_release(&ids);
	return rc;
}

/* How many of the ids have a record; a failure otherwise. */
static int look(const struct find *f, struct err *err)
{
	struct pg_rows *rows;
	bool failed = false;
	int found = 0, rc = ask(f, &rows, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < f->n; i++)
		f->known[i] = false;
	for (int row = 0; row < pg_rows_count(rows); row++)
		for (size_t i = 0; i < f->n; i++) {
			struct reading r = {.rows = rows, .row = row, .a = f->a};
			if (!str_eq(f->ids[i], pg_at(rows, row, AT_ID)))
				continue;
			read_job(&r, &f->jobs[i], f->with_payload);
			f->known[i] = true;
			found++;
			failed = failed || r.failed;
		}
	pg_rows_free(rows);
	return failed ? err_set(err, ERR_NOMEM, "out of memory") : found;
}

/* ---- what the writer has not come to yet ---- */

/* How many ends wait, and how many adds. */
struct waiting {
	int64_t ends, adds;
};

static int measure(const struct find *f, struct waiting *w, struct err *err)
{
	static const enum bq_key streams[] = {BQ_KEY_OUTBOX, BQ_KEY_OUTBOX_ADDS};
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		rcmd_begin(&cmd, 2);
		rcmd_argz(&cmd, "XLEN");
		rcmd_arg(&cmd, f->q->keys[streams[i]]);
	}
	int rc = rmux_call(bq_mux(f->rec->o.bq), &cmd, f->deadline, &replies, err);
	rcmd_release(&cmd);
	if (rc < 0)
		return rc;
	if (!rreply_int(replies.items[0], &w->ends))
		w->ends = 0;
	if (!rreply_int(replies.items[1], &w->adds))
		w->adds = 0;
	rreplies_release(&replies);
	return 0;
}

/* The id of the last end (up to NULL) or of the first one up to `up_to`, in out; "" when there is none. */
static int edge(const struct find *f, const char *up_to, char out[RECORDS_STREAM_ID_SIZE], struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	rcmd_begin(&cmd, 6);
	rcmd_argz(&cmd, up_to ? "XRANGE" : "XREVRANGE");
	rcmd_arg(&cmd, f->q->keys[BQ_KEY_OUTBOX]);
	rcmd_argz(&cmd, up_to ? "-" : "+");
	rcmd_argz(&cmd, up_to ? up_to : "-");
	rcmd_argz(&cmd, "COUNT");
	rcmd_argz(&cmd, "1");
	int rc = rmux_call(bq_mux(f->rec->o.bq), &cmd, f->deadline, &replies, err);
	rcmd_release(&cmd);
	if (rc < 0)
		return rc;
	snprintf(out, RECORDS_STREAM_ID_SIZE, "%s", "");
	struct str id = rreply_str(rreply_at(rreply_at(replies.items[0], 0), 0));
	if (id.p && id.n < RECORDS_STREAM_ID_SIZE)
		snprintf(out, RECORDS_STREAM_ID_SIZE, "%.*s", STR_ARG(id));
	rreplies_release(&replies);
	return 0;
}

/* Until every end that stands in the outbox now has been written, by whichever process. */
static int catch_up(const struct find *f, struct err *err)
{
	char last[RECORDS_STREAM_ID_SIZE], first[RECORDS_STREAM_ID_SIZE];
	int64_t nap = NAP_MIN_MS, until = clock_mono_ms() + CATCH_UP_MS;
	int rc = edge(f, NULL, last, err);

	until = until < f->deadline ? until : f->deadline;
	while (rc == 0 && *last) {
		rc = edge(f, last, first, err);
		if (rc < 0 || !*first)
			break;
		if (clock_mono_ms() + nap >= until)
			return err_set(err, ERR_UNAVAILABLE, "the records are behind: what has become of the job is not known yet");
		atomic_store(&f->rec->hurry, true);
		f->q->outbox->wake(f->q->outbox->wake_arg);
		clock_sleep_ms(nap);
		nap = nap * 2 < NAP_MAX_MS ? nap * 2 : NAP_MAX_MS;
	}
	return rc;
}

static bool is_of(const struct bq_job *job, struct str org)
{
	return !org.p || str_eq(job->opts.org.p ? job->opts.org : STR("default"), org);
}

/* The writer can have nothing that would take its place. */
static bool is_settled(const struct find *f, size_t i)
{
	return f->known[i] && f->jobs[i].state != BQ_STATE_UNKNOWN && is_of(&f->jobs[i], f->org);
}

static bool any_unsettled(const struct find *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (!is_settled(f, i))
			return true;
	return false;
}

static bool any_missing(const struct find *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (!f->known[i] || !is_of(&f->jobs[i], f->org))
			return true;
	return false;
}

/* What only waits among the adds is known by that: these are many at times, and nobody waits until they have been written. */
static bool would_know(const struct find *f, size_t i, const struct bq_entry *e)
{
	return !f->known[i] || (!is_of(&f->jobs[i], f->org) && is_of(&e->job, f->org));
}

static int look_among_adds(const struct find *f, struct err *err)
{
	struct bq_entry *entries = arena_array(f->a, f->n, sizeof(*entries));
	bool *found = arena_array(f->a, f->n, sizeof(*found));

	if (!entries || !found)
		return err_set(err, ERR_NOMEM, "out of memory");
	int rc = bq_outbox_find_adds(f->rec->o.bq, f->q, f->ids, f->n, f->a, entries, found, f->deadline, err);
	if (rc == 0)
		rc = look(f, err); /* behind it: what was written since is no add any more */
	for (size_t i = 0; rc >= 0 && i < f->n; i++)
		if (found[i] && would_know(f, i, &entries[i])) {
			f->jobs[i] = entries[i].job;
			f->known[i] = true;
		}
	return rc < 0 ? rc : 0;
}

int records_find(struct records *rec, const struct bq_queue *q, struct str org, const struct str *ids, size_t n, bool with_payload, struct arena *a,
		 struct bq_job *jobs, bool *known, int64_t deadline_mono_ms, struct err *err)
{
	const struct find f = {rec, q, org, ids, n, with_payload, a, jobs, known, deadline_mono_ms};
	struct waiting waiting = {0};
	int rc;

	for (size_t i = 0; i < n; i++)
		known[i] = false;
	if (!q->outbox || n == 0)
		return 0;
	rc = measure(&f, &waiting, err); /* first: what is written after the look below was still there then */
	if (rc == 0)
		rc = look(&f, err);
	if (rc >= 0 && waiting.ends > 0 && any_unsettled(&f)) {
		rc = catch_up(&f, err);
		if (rc == 0)
			rc = look(&f, err);
	}
	if (rc >= 0 && waiting.adds > 0 && any_missing(&f))
		rc = look_among_adds(&f, err);
	return rc < 0 ? rc : 0;
}
