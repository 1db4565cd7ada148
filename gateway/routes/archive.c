#include "gateway/routes/archive.h"

#include "gateway/http/route.h"
#include "lib/records/records.h"

static int ask(struct request *r, const struct bq_queue *q, const struct str *ids, size_t n, bool with_payload, struct bq_job *jobs, bool *known,
	       struct err *err)
{
	const struct services *s = app_services(r->app);
	struct str org = r->who.roles & r->route->roles & ROLES_EVERY_ORG ? STR_NONE : str_from(r->who.org);
	struct err why = {0};

	for (size_t i = 0; i < n; i++)
		known[i] = false;
	if (!s->records || records_find(s->records, q, org, ids, n, with_payload, r->arena, jobs, known, r->deadline_mono_ms, &why) == 0)
		return 0;
	return err_set(err, ERR_NO_RECORDS, "%s", why.text);
}

static int gone(struct request *r, const struct bq_queue *q, struct str id, struct err *err)
{
	bool given = false;
	int rc = bq_id_was_given(app_services(r->app)->bq, q, id, &given, r->deadline_mono_ms, err);

	if (rc < 0)
		return rc;
	if (!given)
		return no_such_job(q, id, err);
	return err_set(err, ERR_EXPIRED, "the job %.*s of the queue %.*s is not kept any more", STR_ARG(id), STR_ARG(q->name));
}

int archived_job(struct request *r, const struct queue_ref *q, struct str id, bool with_payload, struct bq_job *job, struct err *err)
{
	bool known;
	int rc = ask(r, q->queue, &id, 1, with_payload, job, &known, err);

	if (rc < 0)
		return rc;
	if (!known)
		return gone(r, q->queue, id, err);
	if (!may_see(r, job))
		return no_such_job(q->queue, id, err);
	if (job->state != BQ_STATE_UNKNOWN)
		return 0;
	return err_set(err, ERR_EXPIRED, "the job %.*s of the queue %.*s was removed before it had ended", STR_ARG(id), STR_ARG(q->queue->name));
}

int archived_jobs(struct request *r, const struct bq_queue *q, const struct str *ids, struct bq_job *jobs, size_t n, struct err *err)
{
	struct str *missing = arena_array(r->arena, n + 1, sizeof(*missing));
	size_t *places = arena_array(r->arena, n + 1, sizeof(*places)), n_missing = 0;
	struct bq_job *found = arena_array(r->arena, n + 1, sizeof(*found));
	bool *known = arena_array(r->arena, n + 1, sizeof(*known));

	if (!missing || !places || !found || !known)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		if (jobs[i].state == BQ_STATE_UNKNOWN) {
			places[n_missing] = i;
			missing[n_missing++] = ids[i];
		}
	int rc = n_missing ? ask(r, q, missing, n_missing, false, found, known, err) : 0;
	for (size_t i = 0; rc == 0 && i < n_missing; i++)
		if (known[i] && may_see(r, &found[i]))
			jobs[places[i]] = found[i];
	return rc;
}
