/* What an operator does to a queue: pause, resume, drain, clean. */
#include "gateway/http/audit.h"
#include "gateway/routes/handlers.h"
#include "gateway/routes/queues.h"
#include "lib/base/clock.h"
#include "lib/bullmq/admin.h"

/* Jobs of one call to Redis, which takes 1 to 2 ms for them: nobody else waits longer. */
#define CLEAN_STEP 100
#define DRAIN_STEP 200
#define REMOVED_MAX 100000  /* in one request */
#define REMOVED_DEFAULT 1000
#define STEPS_MS 3000       /* for all steps of a request */

bool confirmed_or_reply(struct request *r, struct response *res, struct str queue)
{
	struct str confirm = body_text(r, "confirm");

	if (confirm.p && str_eq(confirm, queue))
		return true;
	response_problem(r, res, PROBLEM_VALIDATION, "this cannot be undone: set confirm to the queue's name, \"%.*s\"", STR_ARG(queue));
	return false;
}

/* ---- pause and resume ---- */

static struct str pause_state(struct request *r, bool paused, struct str reason)
{
	struct buf text = BUF_INIT;
	struct jwrite w = jwrite_into(&text);

	jw_open(&w, '{');
	jw_kbool(&w, "paused", paused);
	if (paused)
		jw_kstr(&w, "reason", reason);
	jw_close(&w, '}');
	struct str copy = arena_dup(r->arena, buf_str(&text));
	buf_release(&text);
	return copy;
}

static void set_paused(struct request *r, struct response *res, bool pause)
{
	const struct services *s = app_services(r->app);
	struct str reason = pause ? body_text(r, "reason") : STR_NONE;
	struct queue_ref q;
	struct bq_facts f;
	struct err err = {0};

	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	int rc = queue_facts(r, &q, &f, &err);
	if (rc == 0)
		rc = pause ? bq_pause_noted(s->bq, q.queue, reason, str_from(r->who.sub), r->deadline_mono_ms, &err)
			   : bq_resume(s->bq, q.queue, r->deadline_mono_ms, &err);
	if (rc < 0) {
		response_error(r, res, &err);
	} else {
		watch_outdated(s->watch);
		audit_note(r, pause ? "queue.pause" : "queue.resume", q.queue->name, pause_state(r, f.counts.paused, f.pause.reason),
			   pause_state(r, pause, reason));
		struct jwrite w = response_json(res, 200);
		jw_open(&w, '{');
		jw_kstr(&w, "queue", q.queue->name);
		jw_kbool(&w, "paused", pause);
		jw_kstr(&w, "reason", reason);
		jw_close(&w, '}');
	}
}

void queues_pause(struct request *r, struct response *res)
{
	set_paused(r, res, true);
}

void queues_resume(struct request *r, struct response *res)
{
	set_paused(r, res, false);
}

/* ---- drain and clean: many small steps, so that nobody waits long for Redis ---- */

struct removal {
	struct request *r;
	const struct services *s;
	struct queue_ref q;
	const char *action;
	struct str what;       /* for the audit: JSON */
	bool delayed;          /* drain */
	struct bq_clean clean;
	int64_t limit;         /* of the jobs that are met */
	int64_t met, removed;
	int64_t at_once;       /* in one step */
	bool more;
	int (*step)(struct removal *m, size_t n, struct err *err);
};

static int drain_step(struct removal *m, size_t n, struct err *err)
{
	int64_t removed;
	int rc = bq_drain_some(m->s->bq, m->q.queue, m->delayed, n, &removed, m->r->deadline_mono_ms, err);

	if (rc == 0) {
		m->met = m->removed += removed;
		m->more = removed >= (int64_t)n;
	}
	return rc;
}

static int clean_step(struct removal *m, size_t n, struct err *err)
{
	int rc = bq_clean_some(m->s->bq, m->q.queue, &m->clean, n, m->r->deadline_mono_ms, err);

	m->met = m->clean.seen;
	m->removed = m->clean.removed;
	m->more = !m->clean.done;
	return rc;
}

static int remove_all(struct removal *m, struct err *err)
{
	int64_t until = clock_mono_ms() + STEPS_MS;
	int rc = 0;

	m->more = true;
	while (rc == 0 && m->more && m->met < m->limit && clock_mono_ms() < until && !request_draining(m->r)) {
		int64_t left = m->limit - m->met;

		rc = m->step(m, (size_t)(left < m->at_once ? left : m->at_once), err);
	}
	return rc;
}

static void note_removal(const struct removal *m)
{
	audit_note(m->r, m->action, m->q.queue->name, m->what,
		   str_from(arena_printf(m->r->arena, "{\"removed\":%lld,\"more\":%s}", (long long)m->removed, m->more ? "true" : "false")));
}

/* What was removed before a failure is removed: the answer is the failure, and the audit says how many. */
static void answer_removal(struct removal *m, struct response *res)
{
	struct request *r = m->r;
	struct err err = {0};

	if (queue_ref_or_reply(r, res, r->params[0], &m->q) < 0)
		return;
	if (confirmed_or_reply(r, res, m->q.queue->name)) {
		int rc = remove_all(m, &err);
		watch_outdated(m->s->watch);
		if (rc == 0 || m->removed > 0)
			note_removal(m);
		if (rc < 0) {
			response_error(r, res, &err);
		} else {
			struct jwrite w = response_json(res, 200);
			jw_open(&w, '{');
			jw_kstr(&w, "queue", m->q.queue->name);
			jw_kint(&w, "removed", m->removed);
			jw_kbool(&w, "more", m->more);
			jw_close(&w, '}');
		}
	}
}

void queues_drain(struct request *r, struct response *res)
{
	struct removal m = {
		.r = r,
		.s = app_services(r->app),
		.action = "queue.drain",
		.delayed = body_flag(r, "delayed"),
		.limit = REMOVED_MAX,
		.at_once = DRAIN_STEP,
		.step = drain_step,
	};

	m.what = m.delayed ? STR("{\"delayed\":true}") : STR("{\"delayed\":false}");
	answer_removal(&m, res);
}

void queues_clean(struct request *r, struct response *res)
{
	struct removal m = {
		.r = r,
		.s = app_services(r->app),
		.action = "queue.clean",
		.clean = {.state = state_of_word(body_text(r, "state")), .older_than_ms = body_number(r, "olderThanMs", 0)},
		.at_once = CLEAN_STEP,
		.limit = body_number(r, "limit", REMOVED_DEFAULT),
		.step = clean_step,
	};
	const char *what = arena_printf(r->arena, "{\"state\":\"%s\",\"olderThanMs\":%lld,\"limit\":%lld}", bq_state_word(m.clean.state),
					(long long)m.clean.older_than_ms, (long long)m.limit);

	m.what = str_from(what);
	answer_removal(&m, res);
}
