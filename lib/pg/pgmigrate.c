#include "lib/pg/pgmigrate.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/digest.h"
#include "lib/log/log.h"
#include "lib/pg/pg_internal.h"

/* The lock's number is SHA-256("sluice schema")'s first eight bytes; any would do that nobody else takes. */
static const struct pg_stmt LOCK = {"migrate_lock", "SELECT pg_catalog.pg_advisory_xact_lock(-2187713204905268437)", 0};
/* Not to_regclass: in a transaction that has waited for an advisory lock it still answers from what was cached before. */
static const struct pg_stmt EXISTS = {"migrate_exists",
				      "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
				      "WHERE n.nspname = 'sluice' AND c.relname = 'migrations')",
				      0};
static const struct pg_stmt LIST = {"migrate_list",
				    "SELECT version, name, sha256, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
				    "FROM sluice.migrations ORDER BY version",
				    0};
static const struct pg_stmt NOTE = {"migrate_note", "INSERT INTO sluice.migrations (version, name, sha256) VALUES ($1, $2, $3)", 3};

enum { COLUMN_VERSION, COLUMN_NAME, COLUMN_SHA256, COLUMN_APPLIED_AT };

static void sum_of(const struct pgmigration *m, char out[SHA256_HEX_SIZE])
{
	unsigned char hash[SHA256_BYTES];
	digest_sha256(str_from(m->sql), hash);
	digest_hex(hash, sizeof(hash), out);
}

/* ---- what the database holds ---- */

/* *applied: the rows of sluice.migrations, NULL when there is no such table. */
static int list_applied(struct pglink *l, int64_t deadline, struct pg_rows **applied, struct err *err)
{
	struct pg_rows *exists = NULL;
	const struct pg_call look = {&EXISTS, NULL}, list = {&LIST, NULL};
	*applied = NULL;
	int rc = pglink_run(l, &look, 1, deadline, &exists, err);
	if (rc < 0)
		return rc;
	bool there = pg_bool_at(exists, 0, 0);
	pg_rows_free(exists);
	return there ? pglink_run(l, &list, 1, deadline, applied, err) : 0;
}

static int compare(const struct pgmigrations *known, const struct pg_rows *applied, int row, struct err *err)
{
	char sum[SHA256_HEX_SIZE];
	int64_t version;
	if (!pg_int_at(applied, row, COLUMN_VERSION, &version))
		return err_set(err, ERR_WRONG_STATE, "the table sluice.migrations is not this program's");
	if (version > (int64_t)known->n)
		return err_set(err, ERR_WRONG_STATE, "the database is at version %d (%.*s), this program knows %zu: run the newer program", (int)version,
			       STR_ARG(pg_at(applied, row, COLUMN_NAME)), known->n);
	if (version != row + 1)
		return err_set(err, ERR_WRONG_STATE, "migration %d of the database is missing from its list", row + 1);
	sum_of(&known->items[row], sum);
	if (!str_is(pg_at(applied, row, COLUMN_SHA256), sum))
		return err_set(err, ERR_WRONG_STATE, "migration %d (%s) was applied with another text than this program's", row + 1, known->items[row].name);
	return 0;
}

/* How many of the known ones were applied, all of them as they are known. */
static int count_applied(struct pglink *l, const struct pgmigrations *known, int64_t deadline, struct pg_rows **applied, struct err *err)
{
	int rc = list_applied(l, deadline, applied, err);
	int n = rc == 0 && *applied ? pg_rows_count(*applied) : 0;
	for (int row = n - 1; row >= 0 && rc == 0; row--) /* the newest first: "newer than the program" says more than "missing" */
		rc = compare(known, *applied, row, err);
	return rc < 0 ? rc : n;
}

static void tell(pgmigrate_see *see, void *arg, const struct pgmigration *m, struct str applied_at)
{
	struct pgmigrate_row row = {m->version, m->name, applied_at.p ? PGMIGRATE_APPLIED : PGMIGRATE_PENDING, ""};
	if (applied_at.p)
		snprintf(row.applied_at, sizeof(row.applied_at), "%.*s", STR_ARG(applied_at));
	if (see)
		see(arg, &row);
}

int pgmigrate_status(struct pglink *l, const struct pgmigrations *m, pgmigrate_see *see, void *arg, int64_t deadline_mono_ms, struct err *err)
{
	struct pg_rows *applied;
	int n = count_applied(l, m, deadline_mono_ms, &applied, err);
	for (int i = 0; n >= 0 && i < (int)m->n; i++)
		tell(see, arg, &m->items[i], i < n ? pg_at(applied, i, COLUMN_APPLIED_AT) : STR_NONE);
	pg_rows_free(applied);
	return n < 0 ? n : (int)m->n - n;
}

/* ---- applying ---- */

struct step {
	const struct pgmigrations *known;
	const struct pgmigration *done; /* NULL: there was nothing to do */
};

static int note(struct pglink *l, const struct pgmigration *m, int64_t deadline, struct err *err)
{
	char sum[SHA256_HEX_SIZE];
	sum_of(m, sum);
	const struct pg_value values[] = {pg_int(m->version), pg_textz(m->name), pg_textz(sum)};
	const struct pg_call call = {&NOTE, values};
	return pglink_run(l, &call, 1, deadline, NULL, err);
}

/* In a transaction: under the lock, the first that is pending. */
static int apply_next(struct pglink *l, void *arg, int64_t deadline, struct err *err)
{
	struct step *step = arg;
	struct pg_rows *applied;
	struct err why = {0};
	const struct pg_call lock = {&LOCK, NULL};
	step->done = NULL;
	int rc = pglink_run(l, &lock, 1, deadline, NULL, err);
	if (rc < 0)
		return rc;
	int n = count_applied(l, step->known, deadline, &applied, err);
	pg_rows_free(applied);
	if (n < 0 || n == (int)step->known->n)
		return n < 0 ? n : 0;
	const struct pgmigration *next = &step->known->items[n];
	rc = pglink_script(l, next->sql, deadline, &why);
	if (rc == 0)
		rc = note(l, next, deadline, &why);
	if (rc < 0)
		return err_set(err, rc, "migration %d (%s): %s", next->version, next->name, why.text);
	step->done = next;
	return 0;
}

int pgmigrate_apply(struct pglink *l, const struct pgmigrations *m, pgmigrate_see *see, void *arg, int64_t deadline_mono_ms, struct err *err)
{
	struct step step = {.known = m};
	struct pg_rows *applied;
	int count = 0;
	/* A role that may only write rows can run a program whose schema is there already. */
	int n = count_applied(l, m, deadline_mono_ms, &applied, err);
	pg_rows_free(applied);
	if (n < 0 || n == (int)m->n)
		return n < 0 ? n : 0;
	for (;;) {
		int rc = pglink_transact(l, apply_next, &step, deadline_mono_ms, err);
		if (rc < 0)
			return rc;
		if (!step.done)
			return count;
		tell(see, arg, step.done, STR("now"));
		count++;
	}
}

/* ---- at start ---- */

static void log_applied(void *arg, const struct pgmigrate_row *row)
{
	const struct pg *pg = arg;
	LOG(pg->log, LOG_INFO, "postgres_migrated", log_int("version", row->version), log_strz("name", row->name));
}

int pgmigrate_at_start(struct pglink *l, struct err *err)
{
	struct pg *pg = l->pg;
	if (pg->schema == PG_SCHEMA_MIGRATE) {
		int rc = pgmigrate_apply(l, pg->migrations, log_applied, pg, PG_FOREVER, err);
		return rc < 0 ? rc : 0;
	}
	int pending = pgmigrate_status(l, pg->migrations, NULL, NULL, clock_mono_ms() + pg->connect_timeout_ms, err);
	if (pending > 0)
		return err_set(err, ERR_WRONG_STATE, "%d migrations are pending: run sluice migrate", pending);
	return pending;
}
