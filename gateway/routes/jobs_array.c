/* An array of jobs, added and answered item by item. It goes to Redis in parts: the first is on its way while the next is read. */
#include "gateway/routes/jobs_array.h"

#include "gateway/admission.h"
#include "gateway/http/audit.h"
#include "gateway/routes/creation.h"
#include "lib/schema/schema.h"
#include "processors/runtime/tally.h"

#define ARRAY_MAX 1000
#define FIRST_PART_JOBS 10 /* soon on its way; then as many as a call takes, since each has a price of its own */
#define PART_JOBS 100

/* Jobs that go to Redis together. */
struct part {
	struct bq_adding *adding;
	struct arena arena; /* another thread's until the part has ended */
	size_t first, n;    /* of items.jobs */
};

struct items {
	size_t n;
	struct bq_add *jobs;             /* the good ones, packed */
	size_t *place;                   /* of each item among them, SIZE_MAX for a bad one */
	struct schema_report *reports;
	struct bq_add_result *results;
	size_t n_jobs, n_begun;
	struct part parts[ARRAY_MAX / PART_JOBS + 1];
	size_t n_parts, n_failed;
	struct err failure;              /* of the parts that failed, what tells least */
};

static int items_init(struct items *it, struct request *r)
{
	size_t n = r->json.nodes[JDOC_ROOT].count;

	*it = (struct items){.n = n,
			     .jobs = arena_array(r->arena, n + 1, sizeof(*it->jobs)),
			     .place = arena_array(r->arena, n + 1, sizeof(*it->place)),
			     .reports = arena_array(r->arena, n + 1, sizeof(*it->reports)),
			     .results = arena_array(r->arena, n + 1, sizeof(*it->results))};
	return it->jobs && it->place && it->reports && it->results ? 0 : ERR_NOMEM;
}

static void items_release(struct items *it)
{
	for (size_t i = 0; i < it->n_parts; i++)
		arena_release(&it->parts[i].arena);
}

/* ---- parts ---- */

/* All of the part is answered by the same failure. "It may have happened" weighs more than "nothing was sent". */
static void note_failure(struct items *it, const struct part *p, const struct err *err)
{
	for (size_t i = p->first; i < p->first + p->n; i++) {
		it->results[i].rc = err->code;
		it->results[i].err = *err;
	}
	if (it->n_failed++ == 0 || err->code == ERR_UNKNOWN_OUTCOME)
		it->failure = *err;
}

/* Sends the jobs that have been read since the last part. */
static void begin_part(struct request *r, const struct queue_ref *q, struct items *it)
{
	struct part *p = &it->parts[it->n_parts++];
	struct err err = {0};

	*p = (struct part){.first = it->n_begun, .n = it->n_jobs - it->n_begun};
	it->n_begun = it->n_jobs;
	arena_init(&p->arena, 0);
	p->adding = bq_add_many_begin(app_services(r->app)->bq, q->queue, it->jobs + p->first, p->n, &p->arena, it->results + p->first,
				      r->deadline_mono_ms, &err);
	if (!p->adding)
		note_failure(it, p, &err);
}

/* The last one first: with it all have been answered, and nobody sleeps again. */
static void end_parts(struct items *it)
{
	struct err err = {0};

	for (size_t i = it->n_parts; i > 0; i--) {
		struct part *p = &it->parts[i - 1];
		if (p->adding && bq_add_many_end(p->adding, &err) < 0)
			note_failure(it, p, &err);
	}
}

/* Reads the items, and sends them as they come. */
static void add_items(struct request *r, const struct queue_ref *q, struct str key, struct items *it)
{
	size_t i = 0;

	for (uint32_t c = jdoc_first(&r->json, JDOC_ROOT); c != JDOC_NONE; c = jdoc_next(&r->json, JDOC_ROOT, c), i++) {
		struct bq_add *job = &it->jobs[it->n_jobs];
		it->reports[i].arena = r->arena;
		it->place[i] = SIZE_MAX;
		if (!creation_fits(r, "job-add", &r->json, c, STR(""), &it->reports[i]) ||
		    !creation_read_item(r, q->decl, &r->json, c, STR(""), job, &it->reports[i]))
			continue;
		creation_set_key(job, creation_idempotency(r, q->queue, key, jdoc_raw(&r->json, c), i + 1));
		it->place[i] = it->n_jobs++;
		if (it->n_jobs - it->n_begun == (it->n_parts == 0 ? FIRST_PART_JOBS : PART_JOBS))
			begin_part(r, q, it);
	}
	if (it->n_jobs > it->n_begun)
		begin_part(r, q, it);
	end_parts(it);
}

/* ---- the answer ---- */

static void write_items(struct request *r, struct response *res, const struct queue_ref *q, const struct items *it)
{
	const struct services *s = app_services(r->app);
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	jw_key(&w, "results");
	jw_open(&w, '[');
	for (size_t i = 0; i < it->n; i++) {
		const struct bq_add_result *result = it->place[i] == SIZE_MAX ? NULL : &it->results[it->place[i]];
		jw_open(&w, '{');
		if (result && result->rc == 0) {
			tallies_created(s->tallies, q->queue->name, q->decl, &result->added, it->jobs[it->place[i]].data.n);
			jw_kstr(&w, "jobId", result->added.id);
			jw_kbool(&w, "created", result->added.created);
		} else {
			struct response item = {.file_fd = -1};
			if (result)
				creation_refused(r, &item, &result->err);
			else
				response_invalid(r, &item, &it->reports[i]);
			creation_add_problem(&w, &item);
		}
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
	jw_close(&w, '}');
}

static void note_added(struct request *r, const struct bq_queue *q, const struct items *it)
{
	size_t created = 0;

	for (size_t i = 0; i < it->n_jobs; i++)
		created += it->results[i].rc == 0 && it->results[i].added.created;
	const char *after = arena_printf(r->arena, "{\"items\":%zu,\"created\":%zu}", it->n, created);
	audit_note(r, "job.create", q->name, STR_NONE, str_from(after));
}

/* What concerns every job of the array is the answer's own failure. */
static void answer(struct request *r, struct response *res, const struct queue_ref *q, const struct items *it)
{
	if (it->n_parts > 0 && it->n_failed == it->n_parts) {
		response_error(r, res, &it->failure);
		return;
	}
	note_added(r, q->queue, it);
	write_items(r, res, q, it);
}

void jobs_add_array(struct request *r, struct response *res, const struct queue_ref *q)
{
	const struct services *s = app_services(r->app);
	struct items it = {0};
	struct str key;
	struct err err = {0};

	if (r->json.nodes[JDOC_ROOT].count > ARRAY_MAX) {
		response_problem(r, res, PROBLEM_TOO_LARGE, "at most %d jobs are taken at once", ARRAY_MAX);
		return;
	}
	if (!creation_key_or_reply(r, res, &key))
		return;
	int rc = admission_check(s->admission, &err);
	if (rc == 0 && items_init(&it, r) < 0)
		rc = err_set(&err, ERR_NOMEM, "out of memory");
	if (rc < 0) {
		response_error(r, res, &err);
		return;
	}
	add_items(r, q, key, &it);
	answer(r, res, q, &it);
	items_release(&it);
}
