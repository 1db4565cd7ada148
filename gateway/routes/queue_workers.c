/* Who works on a queue: processors of Sluice, workers over HTTP, BullMQ's. */
#include "gateway/realtime/lessees.h"
#include "gateway/routes/handlers.h"
#include "gateway/routes/queues.h"
#include "lib/base/clock.h"

#define HOLDERS_MAX 1000 /* active jobs that are looked at */

struct holder {
	struct str name;
	int64_t jobs;
};

struct workers {
	struct bq_clients clients;
	struct lessee *lessees;
	size_t n_lessees;
	struct holder *holders;
	size_t n_holders;
	bool more;
};

static struct holder *holder_of(struct workers *found, struct str name)
{
	for (size_t i = 0; i < found->n_holders; i++)
		if (str_eq(found->holders[i].name, name))
			return &found->holders[i];
	found->holders[found->n_holders] = (struct holder){.name = name};
	return &found->holders[found->n_holders++];
}

/* Active jobs say by whom they are worked on. */
static int read_holders(struct request *r, const struct queue_ref *q, struct workers *found, struct err *err)
{
	const struct services *s = app_services(r->app);
	struct bq_place *places = arena_array(r->arena, HOLDERS_MAX, sizeof(*places));
	struct bq_job *jobs = arena_array(r->arena, HOLDERS_MAX, sizeof(*jobs));
	struct bq_cursor at = {0};
	size_t n = 0;

	found->holders = arena_array(r->arena, HOLDERS_MAX, sizeof(*found->holders));
	if (!places || !jobs || !found->holders)
		return err_set(err, ERR_NOMEM, "out of memory");
	int rc = bq_page(s->bq, q->queue, BQ_ACTIVE, false, &at, HOLDERS_MAX, r->arena, places, &n, r->deadline_mono_ms, err);
	if (rc == 0)
		rc = bq_read_jobs(s->bq, q->queue, BQ_ACTIVE, places, n, r->arena, jobs, r->deadline_mono_ms, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (jobs[i].processed_by.p)
			holder_of(found, jobs[i].processed_by)->jobs++;
	found->more = !at.done;
	return rc;
}

static int64_t held_by(const struct workers *found, struct str name)
{
	for (size_t i = 0; i < found->n_holders; i++)
		if (str_eq(found->holders[i].name, name))
			return found->holders[i].jobs;
	return 0;
}

/* By which name a job says that this worker has it, as lease_name writes it. */
static struct str lessee_name(struct request *r, const struct lessee *l)
{
	const char *name = arena_printf(r->arena, "lease:%.*s:%.*s:%.*s", STR_ARG(l->worker_id), STR_ARG(l->org), STR_ARG(l->sub));

	return name ? str_from(name) : STR("");
}

static void write_lessee(struct request *r, struct jwrite *w, const struct workers *found, const struct lessee *l)
{
	jw_open(w, '{');
	jw_kstrz(w, "kind", "http");
	jw_kstr(w, "name", l->worker_id);
	jw_kstr(w, "address", STR_NONE);
	jw_kstr(w, "org", l->org);
	jw_kstr(w, "sub", l->sub);
	jw_kint(w, "active", held_by(found, lessee_name(r, l)));
	write_time(w, "since", l->first_ms);
	write_time(w, "lastSeen", l->last_ms);
	jw_close(w, '}');
}

static void write_client(struct jwrite *w, const struct workers *found, const struct bq_client *c, int64_t now)
{
	bool ours = c->name.p && str_starts(c->name, STR("sluice-"));

	jw_open(w, '{');
	jw_kstrz(w, "kind", ours ? "own" : "bullmq");
	jw_kstr(w, "name", c->name);
	jw_kstr(w, "address", c->address);
	jw_kstr(w, "org", STR_NONE);
	jw_kstr(w, "sub", STR_NONE);
	write_optional(w, "active", c->name.p ? held_by(found, c->name) : -1);
	write_time(w, "since", now - c->age_s * 1000);
	write_time(w, "lastSeen", now - c->idle_s * 1000);
	jw_close(w, '}');
}

static void write_workers(struct request *r, struct response *res, const struct queue_ref *q, const struct workers *found)
{
	int64_t now = clock_wall_ms();
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	jw_kstr(&w, "queue", q->queue->name);
	jw_key(&w, "items");
	jw_open(&w, '[');
	for (size_t i = 0; i < found->clients.n; i++)
		if (str_eq(found->clients.items[i].queue, q->queue->name))
			write_client(&w, found, &found->clients.items[i], now);
	for (size_t i = 0; i < found->n_lessees; i++)
		write_lessee(r, &w, found, &found->lessees[i]);
	jw_close(&w, ']');
	jw_key(&w, "holders");
	jw_open(&w, '[');
	for (size_t i = 0; i < found->n_holders; i++) {
		jw_open(&w, '{');
		jw_kstr(&w, "name", found->holders[i].name);
		jw_kint(&w, "active", found->holders[i].jobs);
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
	jw_kbool(&w, "more", found->more);
	jw_kbool(&w, "bullmqKnown", !found->clients.refused);
	jw_close(&w, '}');
}

void queues_workers(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct workers found = {0};
	struct queue_ref q;
	struct err err = {0};

	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	int rc = bq_clients(s->bq, str_from(s->prefix), r->arena, &found.clients, r->deadline_mono_ms, &err);
	if (rc == 0)
		rc = lessees_list(s->lessees, q.queue->name, r->arena, &found.lessees, &found.n_lessees, &err);
	if (rc == 0)
		rc = read_holders(r, &q, &found, &err);
	if (rc < 0)
		response_error(r, res, &err);
	else
		write_workers(r, res, &q, &found);
}
