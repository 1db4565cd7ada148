/* One action on many jobs: counted first, then done by a task that one can watch and stop. */
#include "gateway/bulk.h"
#include "gateway/http/audit.h"
#include "gateway/routes/handlers.h"
#include "gateway/routes/queues.h"
#include "gateway/tasks.h"
#include "lib/base/clock.h"

#define COUNT_MAX 20000 /* jobs that a dry run looks at */
#define COUNT_MS 2000

/* Bits of the states that an action can be done to. */
static const unsigned STATES[] = {
	[BULK_COUNT] = 0,
	[BULK_RETRY] = 1u << BQ_FAILED | 1u << BQ_COMPLETED,
	[BULK_REMOVE] = ~(1u << BQ_ACTIVE),
	[BULK_PROMOTE] = 1u << BQ_DELAYED,
	[BULK_CLEAN] = ~(1u << BQ_ACTIVE | 1u << BQ_WAITING_CHILDREN),
};

static struct str text_of(const struct request *r, uint32_t object, const char *name)
{
	return jdoc_string(&r->json, jdoc_get(&r->json, object, name), r->arena);
}

/* The schema has seen to the words. */
static bool read_spec(struct request *r, struct response *res, struct bulk_spec *spec)
{
	uint32_t filter = jdoc_get(&r->json, JDOC_ROOT, "filter");

	*spec = (struct bulk_spec){
		.state = state_of_word(text_of(r, filter, "state")),
		.name = text_of(r, filter, "name"),
		.error = text_of(r, filter, "error"),
	};
	(void)bulk_action_of(body_text(r, "action"), &spec->action);
	if (jdoc_int(&r->json, jdoc_get(&r->json, filter, "olderThanMs"), &spec->older_than_ms) < 0)
		spec->older_than_ms = 0;
	bool fits = STATES[spec->action] & 1u << spec->state, by_more = spec->name.p || spec->error.p;
	if (fits && !(by_more && spec->action == BULK_CLEAN))
		return true;
	if (fits)
		response_problem(r, res, PROBLEM_VALIDATION, "clean goes by state and age: to go by name or error, remove");
	else
		response_problem(r, res, PROBLEM_VALIDATION, "jobs that are %s cannot be asked to %s", bq_state_word(spec->state),
				 bulk_action_word(spec->action));
	return false;
}

static void write_task(struct jwrite *w, const struct task_seen *t)
{
	jw_open(w, '{');
	jw_kstr(w, "id", t->id);
	jw_kstr(w, "queue", t->queue);
	jw_kstrz(w, "action", bulk_action_word(t->action));
	jw_key(w, "filter");
	jw_open(w, '{');
	jw_kstrz(w, "state", bq_state_word(t->of_state));
	jw_kstr(w, "name", t->name);
	jw_kstr(w, "error", t->error);
	jw_kint(w, "olderThanMs", t->older_than_ms);
	jw_close(w, '}');
	jw_kstrz(w, "state", task_state_word(t->state));
	jw_kstr(w, "by", t->by);
	write_optional(w, "total", t->total);
	jw_kint(w, "scanned", t->counts.scanned);
	jw_kint(w, "matched", t->counts.matched);
	jw_kint(w, "changed", t->counts.changed);
	jw_kint(w, "skipped", t->counts.skipped);
	write_time(w, "createdAt", t->created_ms);
	write_time(w, "startedAt", t->started_ms);
	write_time(w, "endedAt", t->ended_ms);
	jw_kstr(w, "failure", t->failure);
	jw_close(w, '}');
}

/* ---- a dry run ---- */

static void count(struct request *r, struct response *res, const struct bulk_spec *spec)
{
	const struct services *s = app_services(r->app);
	struct bulk_spec as_count = *spec;
	int64_t until = clock_mono_ms() + COUNT_MS;
	struct bulk b;
	struct arena a;
	struct err err = {0};
	int rc;

	as_count.action = BULK_COUNT;
	bulk_init(&b, &as_count);
	arena_init(&a, 0);
	do {
		rc = bulk_step(s->bq, &b, &a, r->deadline_mono_ms, &err);
		arena_reset(&a);
	} while (rc == 0 && !b.done && b.counts.scanned < COUNT_MAX && clock_mono_ms() < until);
	arena_release(&a);
	bulk_release(&b);
	if (rc < 0) {
		response_error(r, res, &err);
		return;
	}
	audit_note(r, "jobs.bulk.count", spec->queue->name, STR_NONE, STR_NONE);
	struct jwrite w = response_json(res, 200);
	jw_open(&w, '{');
	jw_kint(&w, "matched", b.counts.matched);
	jw_kint(&w, "scanned", b.counts.scanned);
	jw_kint(&w, "total", b.most);
	jw_kbool(&w, "complete", b.done);
	jw_close(&w, '}');
}

/* ---- a task ---- */

static void begin(struct request *r, struct response *res, const struct bulk_spec *spec)
{
	const struct services *s = app_services(r->app);
	struct task_seen task;
	struct buf after = BUF_INIT;
	struct err err = {0};
	int rc = tasks_add(s->tasks, spec, str_from(r->who.sub), r->arena, &task, r->deadline_mono_ms, &err);

	if (rc == ERR_LIMIT) {
		response_problem(r, res, PROBLEM_OVERLOADED, "%s", err.text);
		response_header(res, "Retry-After", STR("5"));
		return;
	}
	if (rc < 0) {
		response_error(r, res, &err);
		return;
	}
	struct jwrite note = jwrite_into(&after);
	write_task(&note, &task);
	audit_note(r, "jobs.bulk", spec->queue->name, STR_NONE, buf_str(&after));
	buf_release(&after);
	struct jwrite w = response_json(res, 202);
	write_task(&w, &task);
	response_headerf(res, "Location", "/api/tasks/%.*s", STR_ARG(task.id));
}

void jobs_bulk(struct request *r, struct response *res)
{
	struct bulk_spec spec;
	struct queue_ref q;
	bool dry = body_flag(r, "dryRun"), removes;

	if (!read_spec(r, res, &spec) || queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	spec.queue = q.queue;
	removes = spec.action == BULK_REMOVE || spec.action == BULK_CLEAN;
	if (dry)
		count(r, res, &spec);
	else if (!removes || confirmed_or_reply(r, res, q.queue->name))
		begin(r, res, &spec);
}

/* ---- watching tasks ---- */

static void answer_task(struct request *r, struct response *res, int rc, const struct task_seen *task, const struct err *err)
{
	if (rc < 0) {
		response_error(r, res, err);
		return;
	}
	struct jwrite w = response_json(res, 200);
	write_task(&w, task);
}

void tasks_show(struct request *r, struct response *res)
{
	struct task_seen task;
	struct err err = {0};
	int rc = tasks_get(app_services(r->app)->tasks, r->params[0], r->arena, &task, r->deadline_mono_ms, &err);

	answer_task(r, res, rc, &task, &err);
}

void tasks_stop_one(struct request *r, struct response *res)
{
	struct task_seen task;
	struct err err = {0};
	int rc = tasks_cancel(app_services(r->app)->tasks, r->params[0], r->arena, &task, r->deadline_mono_ms, &err);

	if (rc == 0)
		audit_note(r, "task.cancel", task.id, STR_NONE, STR_NONE);
	answer_task(r, res, rc, &task, &err);
}

void tasks_show_all(struct request *r, struct response *res)
{
	struct task_seen *tasks;
	size_t n;
	struct err err = {0};

	if (tasks_list(app_services(r->app)->tasks, r->arena, &tasks, &n, r->deadline_mono_ms, &err) < 0) {
		response_error(r, res, &err);
		return;
	}
	struct jwrite w = response_json(res, 200);
	jw_open(&w, '{');
	jw_key(&w, "items");
	jw_open(&w, '[');
	for (size_t i = 0; i < n; i++)
		write_task(&w, &tasks[i]);
	jw_close(&w, ']');
	jw_close(&w, '}');
}
