#include <poll.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/pg/pg_internal.h"

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 2000

struct pglink *pglink_new(struct pg *pg, struct err *err)
{
	struct pglink *l = calloc(1, sizeof(*l));
	if (!l) {
		err_set(err, ERR_NOMEM, "PostgreSQL: %s", err_sentence(ERR_NOMEM));
		return NULL;
	}
	l->pg = pg;
	arena_init(&l->scratch, 0);
	return l;
}

void pglink_free(struct pglink *l)
{
	if (!l)
		return;
	pglink_close(l);
	arena_release(&l->scratch);
	free(l);
}

void pglink_close(struct pglink *l)
{
	PQfinish(l->conn);
	l->conn = NULL;
	l->n_prepared = 0;
}

bool pglink_is_open(const struct pglink *l)
{
	return l->conn != NULL;
}

int pglink_fd(const struct pglink *l)
{
	return l->conn ? PQsocket(l->conn) : -1;
}

bool pglink_check(struct pglink *l)
{
	if (l->conn && (!PQconsumeInput(l->conn) || PQstatus(l->conn) == CONNECTION_BAD))
		pglink_close(l);
	return l->conn != NULL;
}

/* ---- opening ---- */

static int64_t backoff_ms(unsigned failures)
{
	int64_t ms = failures < 8 ? (int64_t)BACKOFF_FIRST_MS << failures : BACKOFF_MAX_MS;
	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	return ms / 2 + (int64_t)(id_random_u64() % (uint64_t)(ms / 2 + 1)); /* not all of a fleet at once */
}

static int look_at_schema(struct pglink *l, struct err *err)
{
	struct pg *pg = l->pg;
	int rc = 0;
	if (pg->schema == PG_SCHEMA_IGNORE || atomic_load(&pg->schema_right))
		return 0;
	lock_take(&pg->schema_mu);
	if (!atomic_load(&pg->schema_right))
		rc = pgmigrate_at_start(l, err);
	if (rc == 0)
		atomic_store(&pg->schema_right, true);
	lock_give(&pg->schema_mu);
	return rc;
}

static int try_to_open(struct pglink *l, struct err *err)
{
	struct err why = {0};
	int rc = pglink_connect(l, &why);
	if (rc == 0)
		rc = look_at_schema(l, &why);
	if (rc == 0) {
		l->failures = 0;
		return 0;
	}
	pglink_close(l);
	if (rc == ERR_STOPPING)
		return err_set(err, rc, "%s", why.text);
	pg_note_failure(l->pg, &why);
	l->retry_at = clock_mono_ms() + backoff_ms(l->failures++);
	return err_set(err, ERR_UNAVAILABLE, "%s", why.text);
}

/* true: stop. */
static bool wait_until(const struct pg *pg, int64_t at)
{
	struct pollfd stop = {.fd = pg->stop_fd, .events = POLLIN};
	int64_t left = at - clock_mono_ms();
	return poll(&stop, 1, left > 0 ? (int)left : 0) > 0;
}

int pglink_open(struct pglink *l, int64_t deadline_mono_ms, struct err *err)
{
	struct err why = {.code = ERR_UNAVAILABLE, .text = "PostgreSQL did not come in time"};
	while (!l->conn) {
		int64_t at = l->retry_at < deadline_mono_ms ? l->retry_at : deadline_mono_ms;
		if (wait_until(l->pg, at))
			return err_set(err, ERR_STOPPING, "the connection to PostgreSQL is being shut down");
		if (clock_mono_ms() < l->retry_at)
			return err_set(err, ERR_UNAVAILABLE, "%s", why.text);
		int rc = try_to_open(l, &why);
		if (rc == ERR_STOPPING)
			return err_set(err, rc, "%s", why.text);
	}
	return 0;
}
