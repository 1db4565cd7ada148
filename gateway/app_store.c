/* PostgreSQL and the records in it: they come up behind the rest, which never waits for them. */
#include "gateway/admission.h"
#include "gateway/app_state.h"
#include "gateway/redis_facts.h"
#include "gateway/settings.h"
#include "gateway/turns.h"
#include "lib/audit/audit.h"
#include "lib/pg/pg.h"
#include "lib/records/records.h"

#define STORE_PATIENCE_MS 60000 /* how long the embedded PostgreSQL may take to make its data and to recover */

#define LAG_TOLD_MS 5000        /* what has waited for less is not worth a word */
#define SEARCHES_WAITING 8      /* of one subject */

/* ---- PostgreSQL -------------------------------------------------------------------------------------------------------------- */

int app_store_start(struct app *a, struct err *err)
{
	struct pgchild_options o = {.data_dir = a->cfg->data_dir, .log = a->services.log};
	if (settings_store(a->cfg) != STORE_EMBEDDED)
		return 0;
	a->pg_child = pgchild_start(&o, err);
	return a->pg_child ? 0 : ERR_UNAVAILABLE;
}

void app_store_stop(struct app *a)
{
	pgchild_stop(a->pg_child);
}

int app_pg_begin(struct app *a, struct err *err)
{
	if (settings_store(a->cfg) == STORE_NONE) {
		LOG(a->services.log, LOG_INFO, "records_off");
		return 0;
	}
	struct pg_options o = settings_pg(a->cfg, a->pg_child ? pgchild_url(a->pg_child) : a->cfg->database_url);
	o.patience_ms = a->pg_child ? STORE_PATIENCE_MS : 0;
	o.log = a->services.log;
	o.metrics = a->services.metrics;
	a->services.pg = pg_new(&o, err);
	int rc = a->services.pg ? pg_start(a->services.pg, err) : ERR_INVALID;
	if (rc < 0)
		pg_free(a->services.pg);
	return rc;
}

void app_pg_end(struct app *a)
{
	if (!a->services.pg)
		return;
	pg_stop(a->services.pg);
	pg_free(a->services.pg);
}

/* ---- records ----------------------------------------------------------------------------------------------------------------- */

static void redis_memory(void *arg, int64_t *used, int64_t *most)
{
	const struct app *a = arg;
	struct redis_facts facts;
	if (admission_facts(a->services.admission, &facts) < 0)
		return;
	*used = facts.used_bytes;
	*most = facts.max_bytes;
}

/* Of one subject's searches so many are under way at once that a connection is left for everybody else, if there are several. */
static struct turns *make_searches(const struct app *a)
{
	unsigned readers = (unsigned)a->cfg->pg_readers;
	return turns_new(readers > 1 ? readers - 1 : 1, SEARCHES_WAITING);
}

/* Gives the declared queues their outboxes. */
int app_records_make(struct app *a, struct err *err)
{
	if (!a->services.pg)
		return 0;
	struct records_queue *queues = calloc(a->queues.count + 1, sizeof(*queues));
	if (!queues)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < a->queues.count; i++) {
		struct declaration *d = a->queues.items[i];
		queues[i] = (struct records_queue){.queue = &d->queue, .policy = d->record, .adds = d->processor == NULL};
	}
	struct records_options o = {
		.pg = a->services.pg,
		.bq = a->services.bq,
		.redis = &a->redis,
		.prefix = str_from(a->cfg->bullmq_prefix),
		.queues = queues,
		.n_queues = a->queues.count,
		.max_bytes = a->cfg->records_max_bytes,
		.backlog_max = a->cfg->records_backlog,
		.memory = redis_memory,
		.memory_arg = a,
		.log = a->services.log,
		.metrics = a->services.metrics,
	};
	a->services.records = records_new(&o, err);
	free(queues);
	if (!a->services.records)
		return ERR_NOMEM;
	a->services.searches = make_searches(a);
	if (!a->services.searches)
		records_free(a->services.records);
	return a->services.searches ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

void app_records_unmake(struct app *a)
{
	records_free(a->services.records);
	turns_free(a->services.searches);
}

int app_records_begin(struct app *a, struct err *err)
{
	return a->services.records ? records_start(a->services.records, err) : 0;
}

void app_records_end(struct app *a)
{
	if (a->services.records)
		records_stop(a->services.records);
}

/* ---- the audit trail --------------------------------------------------------------------------------------------------------- */

int app_audit_begin(struct app *a, struct err *err)
{
	if (!a->services.pg || a->cfg->role == CONFIG_ROLE_WORKER)
		return 0;
	struct audit_options o = {
		.pg = a->services.pg,
		.mux = a->mux,
		.prefix = str_from(a->cfg->bullmq_prefix),
		.log = a->services.log,
		.metrics = a->services.metrics,
	};
	a->services.audit = audit_new(&o, err);
	if (!a->services.audit)
		return ERR_NOMEM;
	int rc = audit_start(a->services.audit, err);
	if (rc < 0)
		audit_free(a->services.audit);
	return rc;
}

void app_audit_end(struct app *a)
{
	if (!a->services.audit)
		return;
	audit_stop(a->services.audit);
	audit_free(a->services.audit);
}

/* ---- what there is to say of the records --------------------------------------------------------------------------------------- */

/* What there is to say of them while all is well: nothing, or what waits and what was given up. */
static void tell_backlog(const struct records_health *h, struct err *err)
{
	if (h->lag_ms < LAG_TOLD_MS && h->dropped == 0 && h->gaps == 0 && !h->slim)
		return;
	err_set(err, ERR_OK, "%lld entries wait to be written, the oldest for %lld s%s; %llu were dropped; events were lost %llu times",
		(long long)h->backlog, (long long)h->lag_ms / 1000, h->slim ? "; new ones come without data and return value" : "",
		(unsigned long long)h->dropped, (unsigned long long)h->gaps);
}

int app_records_note(void *arg, struct err *err)
{
	const struct app *a = arg;
	struct pg_state state;
	struct records_health health;
	struct err told = {0};
	pg_state(a->services.pg, &state);
	records_health(a->services.records, &health);
	tell_backlog(&health, &told);
	if (!state.up)
		return err_set(err, ERR_UNAVAILABLE, "%s%s%s", state.why.text, told.text[0] ? "; " : "", told.text);
	if (told.text[0])
		*err = told;
	return 0;
}
