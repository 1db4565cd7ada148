/* Transactions, COPY, and scripts: what needs more than one round trip. */
#include <poll.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/pg/pg_internal.h"

#define TRIES 3
#define COPY_PIECE_BYTES 65536

/* ---- transactions ---- */

static const struct pg_stmt BEGIN = {"pg_begin", "BEGIN", 0};
static const struct pg_stmt COMMIT = {"pg_commit", "COMMIT", 0};
static const struct pg_stmt ROLLBACK = {"pg_rollback", "ROLLBACK", 0};

static int begin(struct pglink *l, int64_t deadline, struct err *err)
{
	const struct pg_call call = {&BEGIN, NULL};
	/* Whatever happens to a mere BEGIN, nothing has been done. */
	int rc = pglink_run_phase(l, &call, 1, deadline, PGLINK_WITHIN, NULL, err);
	l->in_transaction = rc == 0;
	return rc;
}

static int commit(struct pglink *l, int64_t deadline, struct err *err)
{
	const struct pg_call call = {&COMMIT, NULL};
	if (!l->conn)
		return err_set(err, ERR_UNAVAILABLE, "the connection to PostgreSQL was lost within a transaction");
	if (PQtransactionStatus(l->conn) != PQTRANS_INTRANS)
		return err_set(err, ERR_REPLY, "a transaction with a refused statement was to be committed");
	return pglink_run_phase(l, &call, 1, deadline, PGLINK_COMMIT, NULL, err);
}

/* A connection on which even that fails is closed, which comes to the same. */
static void rollback(struct pglink *l)
{
	char sqlstate[SQLSTATE_SIZE];
	const struct pg_call call = {&ROLLBACK, NULL};
	if (!l->conn || PQtransactionStatus(l->conn) == PQTRANS_IDLE)
		return;
	memcpy(sqlstate, l->sqlstate, sizeof(sqlstate));
	if (pglink_run_phase(l, &call, 1, clock_mono_ms() + l->pg->connect_timeout_ms, PGLINK_ROLLBACK, NULL, NULL) < 0)
		pglink_close(l);
	memcpy(l->sqlstate, sqlstate, sizeof(sqlstate));
}

static bool may_run_again(const struct pglink *l, int rc)
{
	static const char *const states[] = {"40001", "40P01", "26000", "42P05"}; /* serialization, deadlock, forgotten, foreign statement */
	for (size_t i = 0; rc == ERR_REPLY && i < ARRAY_LEN(states); i++)
		if (strcmp(l->sqlstate, states[i]) == 0)
			return true;
	return false;
}

static int transact_once(struct pglink *l, pglink_work *work, void *arg, int64_t deadline, struct err *err)
{
	int rc = begin(l, deadline, err);
	if (rc == 0)
		rc = work(l, arg, deadline, err);
	if (rc >= 0) {
		int done = commit(l, deadline, err);
		rc = done < 0 ? done : rc;
	}
	if (rc < 0)
		rollback(l);
	l->in_transaction = false;
	return rc;
}

int pglink_transact(struct pglink *l, pglink_work *work, void *arg, int64_t deadline_mono_ms, struct err *err)
{
	bug_on(l->in_transaction);
	int rc = transact_once(l, work, arg, deadline_mono_ms, err);
	for (int tried = 1; tried < TRIES && may_run_again(l, rc); tried++)
		rc = transact_once(l, work, arg, deadline_mono_ms, err);
	return rc;
}

const char *pglink_sqlstate(const struct pglink *l)
{
	return l->sqlstate;
}

/* ---- the simple protocol: what a pipeline cannot do ---- */

/* Reads to the end of a command; the first refusal is what counts. *last, which may be NULL, is the last good result's number of rows. */
static int drain(struct pglink *l, int64_t deadline, int64_t *last, struct err *err)
{
	struct err refusal = {0};
	PGresult *r = NULL;
	do {
		PQclear(r);
		int rc = pglink_next(l, pg_grace(deadline), &r, err);
		if (rc < 0)
			return rc;
		ExecStatusType status = r ? PQresultStatus(r) : PGRES_COMMAND_OK;
		if (status == PGRES_FATAL_ERROR && !refusal.code)
			(void)pglink_refused(l, r, &refusal);
		else if (r && last && status == PGRES_COMMAND_OK)
			*last = pg_rows_affected((struct pg_rows *)r);
	} while (r);
	return refusal.code ? err_set(err, refusal.code, "%s", refusal.text) : 0;
}

/* The connection goes on only when it is known to be between two commands. */
static int leave(struct pglink *l, int rc, struct err *err)
{
	if (rc == 0 && PQtransactionStatus(l->conn) != PQTRANS_INTRANS)
		rc = err_set(err, ERR_REPLY, "the script ended its own transaction");
	bool usable = (rc == 0 || rc == ERR_REPLY || rc == ERR_TIMEOUT) && PQstatus(l->conn) == CONNECTION_OK && PQenterPipelineMode(l->conn);
	if (!usable)
		pglink_close(l);
	if (rc == 0 && !usable)
		rc = err_set(err, ERR_UNAVAILABLE, "the connection to PostgreSQL was lost");
	return rc;
}

static int enter(struct pglink *l, const char *sql, int64_t deadline, struct err *err)
{
	bug_on(!l->in_transaction);
	l->sqlstate[0] = '\0';
	if (!l->conn)
		return err_set(err, ERR_UNAVAILABLE, "there is no connection to PostgreSQL");
	if (!PQexitPipelineMode(l->conn) || !PQsendQuery(l->conn, sql))
		return pglink_broken(l, ERR_UNAVAILABLE, err);
	return pglink_flush(l, deadline, err);
}

int pglink_script(struct pglink *l, const char *sql, int64_t deadline_mono_ms, struct err *err)
{
	int rc = enter(l, sql, deadline_mono_ms, err);
	if (rc == 0)
		rc = drain(l, deadline_mono_ms, NULL, err);
	return l->conn ? leave(l, rc, err) : rc;
}

/* ---- COPY ---- */

static int put_piece(struct pglink *l, struct str piece, int64_t deadline, struct err *err)
{
	for (;;) {
		int put = PQputCopyData(l->conn, piece.p, (int)piece.n);
		if (put < 0)
			return pglink_broken(l, ERR_UNAVAILABLE, err);
		int rc = pglink_flush(l, deadline, err);
		if (rc < 0 || put > 0)
			return rc;
	}
}

static int put_rows(struct pglink *l, struct str rows, int64_t deadline, struct err *err)
{
	int rc = 0;
	while (rc == 0 && rows.n) {
		size_t n = rows.n < COPY_PIECE_BYTES ? rows.n : COPY_PIECE_BYTES;
		rc = put_piece(l, str_sub(rows, 0, n), deadline, err);
		rows = str_sub(rows, n, rows.n - n);
	}
	if (rc == 0 && PQputCopyEnd(l->conn, NULL) < 0)
		return pglink_broken(l, ERR_UNAVAILABLE, err);
	return rc < 0 ? rc : pglink_flush(l, deadline, err);
}

struct copying {
	const struct pg_stmt *stmt;
	struct str rows;
	int64_t *copied;
};

/* A COPY that is refused answers like any command; one that begins asks for the rows. */
static int copy(struct pglink *l, const struct copying *c, int64_t deadline, struct err *err)
{
	PGresult *r = NULL;
	int rc = enter(l, c->stmt->sql, deadline, err);
	if (rc == 0)
		rc = pglink_next(l, pg_grace(deadline), &r, err);
	if (rc < 0)
		return rc;
	ExecStatusType status = PQresultStatus(r);
	if (status != PGRES_COPY_IN)
		rc = status == PGRES_FATAL_ERROR ? pglink_refused(l, r, err) : err_set(err, ERR_REPLY, "%s is no COPY FROM STDIN", c->stmt->name);
	PQclear(r);
	if (rc == 0)
		rc = put_rows(l, c->rows, deadline, err);
	else if (rc == ERR_REPLY || rc == ERR_TIMEOUT)
		(void)drain(l, deadline, NULL, NULL);
	return rc < 0 ? rc : drain(l, deadline, c->copied, err);
}

static int copy_work(struct pglink *l, void *arg, int64_t deadline, struct err *err)
{
	int rc = copy(l, arg, deadline, err);
	return l->conn ? leave(l, rc, err) : rc;
}

int pglink_copy(struct pglink *l, const struct pg_stmt *stmt, struct str rows, int64_t deadline_mono_ms, int64_t *copied, struct err *err)
{
	struct copying c = {stmt, rows, copied};
	return l->in_transaction ? copy_work(l, &c, deadline_mono_ms, err) : pglink_transact(l, copy_work, &c, deadline_mono_ms, err);
}
