#include "gateway/reload.h"

#include <stdlib.h>

#include "gateway/app_base.h"
#include "gateway/app_state.h"
#include "gateway/declared.h"
#include "lib/base/clock.h"
#include "lib/metrics/metrics.h"
#include "lib/records/records.h"

/* ---- what readiness tells --------------------------------------------------------------------------------------------------------- */

void reload_init(struct reload *r)
{
	lock_init(&r->mu);
}

void reload_release(struct reload *r)
{
	lock_release(&r->mu);
}

static void note(struct reload *r, struct err *which, const struct err *is)
{
	lock_take(&r->mu);
	*which = *is;
	lock_give(&r->mu);
}

int reload_note(void *arg, struct err *err)
{
	struct reload *r = arg;
	lock_take(&r->mu);
	const struct err *told = r->wrong.code < 0 ? &r->wrong : &r->waits;
	int rc = told->code < 0 ? err_set(err, told->code, "%s", told->text) : 0;
	lock_give(&r->mu);
	return rc;
}

/* ---- keys -------------------------------------------------------------------------------------------------------------------------- */

static bool reload_keys(struct app *a)
{
	struct err err = {0};
	int rc = keys_reload(a, &err);
	if (rc < 0)
		LOG(a->services.log, LOG_ERROR, "keys_not_reloaded", log_err(&err));
	else
		LOG(a->services.log, LOG_INFO, "keys_reloaded");
	return rc == 0;
}

/* ---- queues ------------------------------------------------------------------------------------------------------------------------ */

/* One line of the log for each thing that waits for a restart, and one sentence of them all. */
static void tell_left(struct app *a, struct str left)
{
	struct err told = {0};
	unsigned n = 0;
	struct str rest = left;
	for (; rest.n; n++)
		LOG(a->services.log, LOG_WARN, "waits_for_restart", log_str("change", str_cut(&rest, '\n')));
	rest = left;
	if (n)
		err_set(&told, ERR_INVALID, "%u changes of the declared queues wait for a restart, first this: %.*s", n, STR_ARG(str_cut(&rest, '\n')));
	note(&a->reload, &a->reload.waits, &told);
}

/* Before the queue is used: its ends are recorded from the first on. */
static void record_new(struct app *a, const struct declarations *later)
{
	struct err err = {0};
	for (size_t i = 0; a->services.records && i < later->count; i++) {
		struct declaration *d = later->items[i];
		const struct records_queue q = {.queue = &d->queue, .policy = d->record, .adds = d->processor == NULL};
		if (declarations_is_new(&a->queues, d) && records_admit(a->services.records, &q, &err) < 0)
			LOG(a->services.log, LOG_ERROR, "queue_without_records", log_str("queue", d->name), log_err(&err));
	}
}

/* Requests, jobs and the API's description follow. */
static int spread(struct app *a, struct err *err)
{
	int rc = declared_schemas_again(a->schemas, &a->queues, err);
	server_schemas_changed(a->server);
	if (rc == 0)
		rc = openapi_show(a, err);
	return rc < 0 ? rc : runtime_heed_declarations(a->services.runtime, err);
}

static void adopt(struct app *a, struct declarations *later, struct str left)
{
	struct err err = {0};
	size_t before = a->queues.count;
	record_new(a, later);
	declarations_adopt(&a->queues, later);
	if (spread(a, &err) < 0)
		LOG(a->services.log, LOG_ERROR, "queues_partly_reloaded", log_err(&err));
	LOG(a->services.log, LOG_INFO, "queues_reloaded", log_int("queues", (int64_t)a->queues.count), log_int("new", (int64_t)(a->queues.count - before)));
	tell_left(a, left);
}

static int load(const struct app *a, struct declarations **out, struct err *err)
{
	struct declarations *later = calloc(1, sizeof(*later));
	if (!later)
		return app_no_memory(err);
	int rc = declared_load(later, a->cfg, err);
	if (rc < 0) {
		free(later);
		return rc;
	}
	*out = later;
	return 0;
}

static bool reload_queues(struct app *a)
{
	struct declarations *later = NULL;
	struct buf left = BUF_INIT;
	struct err err = {0};
	int rc = load(a, &later, &err);
	if (rc == 0)
		rc = declarations_compare(&a->queues, later, &left, &err);
	if (rc == 0 && left.failed)
		rc = app_no_memory(&err);
	if (rc == 0) {
		adopt(a, later, left.n ? buf_str(&left) : STR(""));
	} else if (later) {
		declarations_release(later);
		free(later);
	}
	bool taken = rc == 0 || rc == ERR_EXISTS; /* or there is nothing new */
	if (!taken)
		LOG(a->services.log, LOG_ERROR, "queues_not_reloaded", log_err(&err));
	note(&a->reload, &a->reload.wrong, &err);
	buf_release(&left);
	return taken;
}

static void show(const struct app *a, bool taken)
{
	metrics_set(a->services.metrics, M_RELOAD_OK, taken, NULL);
	if (taken)
		metrics_set(a->services.metrics, M_RELOAD_SECONDS, (double)clock_wall_ms() / 1000, NULL);
}

void reload_shown_from_start(const struct app *a)
{
	show(a, true);
}

void reload(struct app *a)
{
	bool keys = reload_keys(a), queues = !*a->cfg->queues_file || reload_queues(a);
	show(a, keys && queues);
}
