/* Reading jobs: one, many, and the counts of queues. Nothing here scans a list. */
#include "gateway/counts.h"
#include "gateway/realtime/hub.h"
#include "gateway/routes/archive.h"
#include "gateway/routes/handlers.h"
#include "lib/base/clock.h"
#include "lib/base/digest.h"

#define WAIT_MAX_S 30

/* ---- one job ---- */

/* A job, and whether it stands in Redis or only in its record. */
struct seen {
	struct bq_job job;
	bool archived;
};

/* A change of the job shows in these: enough for an ETag without the payload. true: the client has this version already. */
static bool job_not_modified(const struct request *r, struct response *res, const struct seen *seen, bool with_payload)
{
	const struct bq_job *job = &seen->job;
	unsigned char sum[SHA256_BYTES];
	int64_t facts[] = {(int64_t)job->state, job->attempts_made, job->attempts_started, job->processed_on, job->finished_on, job->delay,
			   job->priority, job->stalled_count, job->timestamp, with_payload, seen->archived};
	struct str parts[] = {job->id, job->progress, job->failed_reason, {(const char *)facts, sizeof(facts)}};

	digest_sha256_parts(parts, ARRAY_LEN(parts), sum);
	return response_etag(r, res, (struct str){(const char *)sum, sizeof(sum)});
}

/* "Prefer: wait=N" (RFC 7240), other preferences beside it: the seconds, 0 when there is none. */
static int64_t prefer_wait_s(const struct request *r)
{
	struct str rest = request_header(r, "Prefer");
	uint64_t seconds;

	while (rest.p) {
		struct str one = str_trim(str_cut(&rest, ','));
		struct str name = str_trim(str_cut(&one, '='));
		if (!str_ieq(name, STR("wait")) || !one.p)
			continue;
		struct str value = str_cut(&one, ';');
		if (str_to_u64(str_trim(value), &seconds) == 0)
			return seconds > WAIT_MAX_S ? WAIT_MAX_S : (int64_t)seconds;
	}
	return 0;
}

static bool is_final(const struct bq_job *job)
{
	return job->state == BQ_COMPLETED || job->state == BQ_FAILED;
}

static int read_job(struct request *r, const struct queue_ref *q, struct str id, bool with_payload, struct seen *seen, struct err *err)
{
	const struct services *s = app_services(r->app);

	int rc = bq_status(s->bq, q->queue, id, with_payload, r->arena, &seen->job, r->deadline_mono_ms, err);
	bool hidden = rc == 0 && !may_see(r, &seen->job); /* the caller may have had the id before */
	seen->archived = rc == ERR_NOT_FOUND || hidden;
	if (seen->archived)
		rc = archived_job(r, q, id, with_payload, &seen->job, err);
	return hidden && rc == ERR_EXPIRED ? no_such_job(q->queue, id, err) : rc;
}

/* Waits for the job's end on the event stream, at most until the deadline; the last word is always a fresh read. */
static int wait_for_end(struct request *r, const struct queue_ref *q, struct str id, bool with_payload, int64_t wait_s, struct seen *seen,
			struct err *err)
{
	const struct services *s = app_services(r->app);
	struct hub_wait w;
	int64_t until = clock_mono_ms() + wait_s * 1000;

	r->deadline_mono_ms += wait_s * 1000;
	int rc = hub_wait_begin(s->hub, &w, q->queue, id, r->deadline_mono_ms, err);
	if (rc < 0)
		return rc;
	do
		rc = read_job(r, q, id, with_payload, seen, err);
	while (rc == 0 && !is_final(&seen->job) && !request_draining(r) && !request_peer_gone(r) && hub_wait_sleep(s->hub, &w, until));
	if (rc == 0 && !is_final(&seen->job))
		rc = read_job(r, q, id, with_payload, seen, err);
	hub_wait_end(s->hub, &w);
	return rc;
}

static int get_job(struct request *r, struct response *res, const struct queue_ref *q, struct str id, bool with_payload, struct seen *seen,
		   struct err *err)
{
	int64_t wait_s = prefer_wait_s(r);
	int rc = read_job(r, q, id, with_payload, seen, err);

	response_header(res, "Vary", STR("Prefer"));
	if (rc < 0 || wait_s <= 0 || is_final(&seen->job) || !request_wait_begin(r))
		return rc;
	rc = wait_for_end(r, q, id, with_payload, wait_s, seen, err);
	request_wait_end(r);
	response_headerf(res, "Preference-Applied", "wait=%lld", (long long)wait_s);
	return rc;
}

/* 200 with the job, or 304. A client that has some version is first answered without reading the payload; a tag that has become old
 * between the two reads costs it one more request, no more. */
static int answer_job(struct request *r, struct response *res, const struct queue_ref *q, struct str id, struct err *err)
{
	bool with_payload = !str_is(request_query(r, "data"), "0");
	bool has_version = request_header(r, "If-None-Match").p != NULL;
	struct seen seen;
	int rc = get_job(r, res, q, id, with_payload && !has_version, &seen, err);

	if (rc < 0 || job_not_modified(r, res, &seen, with_payload))
		return rc;
	if (with_payload && has_version)
		rc = read_job(r, q, id, true, &seen, err);
	if (rc < 0)
		return rc;
	struct jwrite w = response_json(res, 200);
	(seen.archived ? write_archived_job : write_job)(r, &w, q->queue->name, &seen.job, with_payload);
	return 0;
}

void jobs_status(struct request *r, struct response *res)
{
	struct queue_ref q;
	struct err err = {0};

	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	if (answer_job(r, res, &q, r->params[1], &err) < 0)
		response_error(r, res, &err);
}

/* ---- many jobs ---- */

/* One request's wants and what was found, in parallel arrays; the last two are for one queue at a time. */
struct batch {
	size_t n;
	struct str *queues, *wanted;
	const struct bq_job **jobs; /* NULL: no such job, or not the caller's to see */
	bool *answered;
	struct str *ids;
	size_t *places;
};

static int batch_read(struct request *r, struct batch *b, struct err *err)
{
	uint32_t jobs = jdoc_get(&r->json, JDOC_ROOT, "jobs");
	size_t n = r->json.nodes[jobs].count, i = 0;

	*b = (struct batch){
		.n = n,
		.queues = arena_array(r->arena, n, sizeof(*b->queues)),
		.wanted = arena_array(r->arena, n, sizeof(*b->wanted)),
		.jobs = arena_array(r->arena, n, sizeof(*b->jobs)),
		.answered = arena_array(r->arena, n, sizeof(*b->answered)),
		.ids = arena_array(r->arena, n, sizeof(*b->ids)),
		.places = arena_array(r->arena, n, sizeof(*b->places)),
	};
	if (!b->queues || !b->wanted || !b->jobs || !b->answered || !b->ids || !b->places)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (uint32_t c = jdoc_first(&r->json, jobs); c != JDOC_NONE; c = jdoc_next(&r->json, jobs, c), i++) {
		b->queues[i] = jdoc_string(&r->json, jdoc_get(&r->json, c, "queue"), r->arena);
		b->wanted[i] = jdoc_string(&r->json, jdoc_get(&r->json, c, "jobId"), r->arena);
	}
	return 0;
}

/* Gathers the unanswered wants of the same queue as the one at `first`. */
static size_t batch_gather(struct batch *b, size_t first)
{
	size_t count = 0;

	for (size_t i = first; i < b->n; i++) {
		if (b->answered[i] || !str_eq(b->queues[i], b->queues[first]))
			continue;
		b->answered[i] = true;
		b->ids[count] = b->wanted[i];
		b->places[count++] = i;
	}
	return count;
}

/* One round trip for all wants of one queue, and one more for those that Redis has no more. */
static int batch_answer_queue(struct request *r, struct batch *b, size_t first, struct err *err)
{
	const struct services *s = app_services(r->app);
	const struct declaration *decl = declarations_find(s->queues, b->queues[first]);
	size_t count = batch_gather(b, first);
	struct bq_job *found = arena_array(r->arena, count, sizeof(*found));
	struct err no_such_name = {0};
	struct bq_queue own;

	if (!found)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (!decl && bq_queue_init(&own, str_from(s->prefix), b->queues[first], &no_such_name) < 0)
		return 0; /* no queue can have that name, so no job is there */
	int rc = bq_status_many(s->bq, decl ? &decl->queue : &own, b->ids, count, r->arena, found, r->deadline_mono_ms, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		if (found[i].state != BQ_STATE_UNKNOWN && !may_see(r, &found[i]))
			found[i].state = BQ_STATE_UNKNOWN;
	if (rc == 0 && decl)
		rc = archived_jobs(r, &decl->queue, b->ids, found, count, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		if (found[i].state != BQ_STATE_UNKNOWN)
			b->jobs[b->places[i]] = &found[i];
	if (!decl)
		bq_queue_release(&own);
	return rc;
}

static void batch_write(struct response *res, const struct batch *b)
{
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	jw_key(&w, "jobs");
	jw_open(&w, '[');
	for (size_t i = 0; i < b->n; i++) {
		const struct bq_job *job = b->jobs[i];
		jw_open(&w, '{');
		jw_kstr(&w, "queue", b->queues[i]);
		jw_kstr(&w, "jobId", b->wanted[i]);
		jw_kstrz(&w, "state", job ? bq_state_word(job->state) : NULL);
		jw_kint(&w, "attemptsMade", job ? job->attempts_made : 0);
		write_time(&w, "finishedOn", job ? job->finished_on : -1);
		jw_kstr(&w, "failedReason", job ? job->failed_reason : STR_NONE);
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
	jw_close(&w, '}');
}

void jobs_status_batch(struct request *r, struct response *res)
{
	struct batch b;
	struct err err = {0};
	int rc = batch_read(r, &b, &err);

	for (size_t i = 0; rc == 0 && i < b.n; i++)
		if (!b.answered[i])
			rc = batch_answer_queue(r, &b, i, &err);
	if (rc < 0)
		response_error(r, res, &err);
	else
		batch_write(res, &b);
}

/* ---- counts ---- */

void stats_queue(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct queue_ref q;
	struct bq_counts counts;
	struct err err = {0};

	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	int rc = q.decl ? counts_get(s->counts, q.decl, &counts, r->deadline_mono_ms, &err)
			: bq_counts(s->bq, q.queue, &counts, r->deadline_mono_ms, &err);
	if (rc < 0) {
		response_error(r, res, &err);
	} else {
		struct jwrite w = response_json(res, 200);
		jw_open(&w, '{');
		jw_kstr(&w, "queue", r->params[0]);
		write_counts(&w, &counts);
		jw_close(&w, '}');
	}
}

static void write_all_counts(struct response *res, const struct bq_queue *const *queues, size_t n, const struct bq_counts *counts)
{
	struct bq_counts totals = {.paused = n > 0}; /* paused: all of them are */
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	jw_key(&w, "queues");
	jw_open(&w, '{');
	for (size_t i = 0; i < n; i++) {
		jw_keys(&w, queues[i]->name);
		jw_open(&w, '{');
		write_counts(&w, &counts[i]);
		jw_close(&w, '}');
		for (unsigned k = 0; k < BQ_STATE_COUNT; k++)
			totals.n[k] += counts[i].n[k];
		totals.paused = totals.paused && counts[i].paused;
	}
	jw_close(&w, '}');
	jw_key(&w, "totals");
	jw_open(&w, '{');
	write_counts(&w, &totals);
	jw_close(&w, '}');
	jw_close(&w, '}');
}

void stats_all(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	size_t n = s->queues->count;
	const struct bq_queue **queues = arena_array(r->arena, n, sizeof(struct bq_queue *));
	struct bq_counts *counts = arena_array(r->arena, n, sizeof(*counts));
	struct err err = {0};

	if (!queues || !counts) {
		response_problem(r, res, PROBLEM_INTERNAL, "out of memory");
		return;
	}
	for (size_t i = 0; i < n; i++)
		queues[i] = &s->queues->items[i]->queue;
	if (bq_counts_many(s->bq, queues, n, counts, r->deadline_mono_ms, &err) < 0)
		response_error(r, res, &err);
	else
		write_all_counts(res, queues, n, counts);
}
