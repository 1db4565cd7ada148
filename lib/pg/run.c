#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/pg/pg_internal.h"

/* ---- results ---- */

int pglink_flush(struct pglink *l, int64_t deadline_mono_ms, struct err *err)
{
	for (;;) {
		int left = PQflush(l->conn);
		if (left < 0)
			return pglink_broken(l, ERR_UNAVAILABLE, err);
		if (left == 0)
			return 0;
		int rc = pglink_poll(l, POLLIN | POLLOUT, deadline_mono_ms, err);
		if (rc < 0)
			return rc;
		/* A server that waits for us to read takes nothing; at most what is there is read. */
		if (!PQconsumeInput(l->conn))
			return pglink_broken(l, ERR_UNAVAILABLE, err);
	}
}

int pglink_next(struct pglink *l, int64_t deadline_mono_ms, PGresult **out, struct err *err)
{
	while (PQisBusy(l->conn)) {
		int rc = pglink_poll(l, POLLIN, deadline_mono_ms, err);
		if (rc < 0)
			return rc;
		if (!PQconsumeInput(l->conn))
			return pglink_broken(l, ERR_UNAVAILABLE, err);
	}
	*out = PQgetResult(l->conn);
	return 0;
}

/* ---- refusals ---- */

static const struct {
	const char *state; /* or its class */
	int code;
} meanings[] = {
	{"57014", ERR_TIMEOUT}, /* statement_timeout */
	{"57P0", ERR_UNAVAILABLE}, /* shutdown, crash, not ready */
	{"25006", ERR_UNAVAILABLE}, /* has become a standby */
	{"08", ERR_UNAVAILABLE},
	{"", ERR_REPLY},
};

int pglink_refused(struct pglink *l, const PGresult *r, struct err *err)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE), *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	size_t i = 0;
	if (!state) /* libpq's own: the connection */
		return pglink_broken(l, ERR_UNAVAILABLE, err);
	while (strncmp(state, meanings[i].state, strlen(meanings[i].state)) != 0)
		i++;
	snprintf(l->sqlstate, sizeof(l->sqlstate), "%s", state);
	return err_set(err, meanings[i].code, "PostgreSQL: %s (%s)", text ? text : "refused", state);
}

/* ---- sending ---- */

static const struct pg_stmt LIMIT_TIME = {"pg_limit_time", "SELECT pg_catalog.set_config('statement_timeout', $1, true)", 1};

/* One run on its way. What comes back, in order: for each statement that had to be prepared one result, then its own; at the end the sync. */
struct run {
	struct pglink *l;
	struct pg_call limit;
	const struct pg_call *calls;
	size_t n;
	int64_t deadline;
	struct pg_rows **rows;
	enum pglink_phase phase;

	bool written; /* something was: the connection must be read to the sync, or closed */
	bool sent;    /* everything has left */
	bool at_end;  /* every call was answered; the end of the transaction was not */
	bool preparing[PG_MAX_CALLS + 1], prepared[PG_MAX_CALLS + 1]; /* by this run; [n] is the limit's */
	unsigned n_prepared_before;
	struct err refusal; /* the first one */
	bool closing;       /* and it means that the server goes */
};

/* The statement at the place, of which [n] is the time limit. */
static const struct pg_call *call_at(const struct run *r, size_t i)
{
	return i == r->n ? &r->limit : &r->calls[i];
}

/* A transaction keeps the limit that its beginning was given, and one that was refused something takes nothing but its end. */
static bool is_limited(const struct run *r)
{
	return r->phase == PGLINK_ALONE || r->phase == PGLINK_WITHIN;
}

static bool is_prepared(const struct pglink *l, const struct pg_stmt *stmt)
{
	for (unsigned i = 0; i < l->n_prepared; i++)
		if (l->prepared[i] == stmt)
			return true;
	return false;
}

/* true: it is prepared, or will be once what was sent so far has been done. */
static bool prepare(struct run *r, size_t i)
{
	struct pglink *l = r->l;
	const struct pg_stmt *stmt = call_at(r, i)->stmt;
	if (!l->named || is_prepared(l, stmt))
		return l->named;
	if (l->n_prepared == PG_MAX_PREPARED || !PQsendPrepare(l->conn, stmt->name, stmt->sql, 0, NULL))
		return false;
	l->prepared[l->n_prepared++] = stmt;
	r->preparing[i] = true;
	return true;
}

static int send_call(struct run *r, size_t i, struct err *err)
{
	struct pg_params p;
	struct pglink *l = r->l;
	const struct pg_call *call = call_at(r, i);
	const struct pg_stmt *stmt = call->stmt;
	int rc = pg_params_fill(&p, &l->scratch, call, err);
	if (rc < 0)
		return rc;
	r->written = true;
	int ok = prepare(r, i) ? PQsendQueryPrepared(l->conn, stmt->name, stmt->nparams, p.values, p.lengths, p.formats, 0) :
				 PQsendQueryParams(l->conn, stmt->sql, stmt->nparams, NULL, p.values, p.lengths, p.formats, 0);
	arena_reset(&l->scratch);
	return ok ? 0 : pglink_broken(l, ERR_UNAVAILABLE, err);
}

/* Looked at before anything is written, so that a bad parameter leaves the connection as it was. */
static int check_params(struct run *r, struct err *err)
{
	struct pg_params p;
	int rc = 0;
	for (size_t i = 0; i < r->n && rc == 0; i++) {
		rc = pg_params_fill(&p, &r->l->scratch, &r->calls[i], err);
		arena_reset(&r->l->scratch);
	}
	return rc;
}

static int send_all(struct run *r, struct err *err)
{
	int rc = check_params(r, err);
	if (rc == 0 && is_limited(r))
		rc = send_call(r, r->n, err);
	for (size_t i = 0; i < r->n && rc == 0; i++)
		rc = send_call(r, i, err);
	if (rc == 0 && !PQpipelineSync(r->l->conn))
		rc = pglink_broken(r->l, ERR_UNAVAILABLE, err);
	if (rc == 0)
		rc = pglink_flush(r->l, r->deadline, err);
	r->sent = rc == 0;
	return rc;
}

/* ---- taking the answers ---- */

/* What follows the first refusal was passed over because of it. What libpq says of a lost connection is no refusal. */
static void note_refusal(struct run *r, const PGresult *result)
{
	bool from_server = PQresultErrorField(result, PG_DIAG_SQLSTATE) != NULL;
	if (r->refusal.code || (!from_server && PQstatus(r->l->conn) == CONNECTION_BAD))
		return;
	if (from_server)
		r->closing = pglink_refused(r->l, result, &r->refusal) == ERR_UNAVAILABLE;
	else
		err_set(&r->refusal, ERR_NOMEM, "PostgreSQL: %s", PQresultErrorMessage(result));
}

/* The answer to one statement, and the NULL behind it. *ok: it was done. */
static int take_answer(struct run *r, struct pg_rows **rows, bool *ok, struct err *err)
{
	PGresult *result = NULL;
	for (;;) {
		int rc = pglink_next(r->l, pg_grace(r->deadline), &result, err);
		if (rc < 0 || !result)
			return rc;
		ExecStatusType status = PQresultStatus(result);
		*ok = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
		if (status == PGRES_FATAL_ERROR)
			note_refusal(r, result);
		if (*ok && rows && !*rows)
			*rows = pg_rows_of(result);
		else
			PQclear(result);
		if (PQstatus(r->l->conn) == CONNECTION_BAD)
			return pglink_broken(r->l, ERR_UNAVAILABLE, err);
	}
}

/* The end of the transaction, which may be refused as well (a deferred constraint). */
static int take_sync(struct run *r, struct err *err)
{
	PGresult *result = NULL;
	ExecStatusType status;
	r->at_end = !r->refusal.code;
	do {
		int rc = pglink_next(r->l, pg_grace(r->deadline), &result, err);
		if (rc < 0)
			return rc;
		status = result ? PQresultStatus(result) : PGRES_EMPTY_QUERY;
		if (status == PGRES_FATAL_ERROR)
			note_refusal(r, result);
		PQclear(result);
		if (PQstatus(r->l->conn) == CONNECTION_BAD)
			return pglink_broken(r->l, ERR_UNAVAILABLE, err);
	} while (status != PGRES_PIPELINE_SYNC);
	return 0;
}

static int take_call(struct run *r, size_t i, struct pg_rows **rows, struct err *err)
{
	bool done = false;
	int rc = r->preparing[i] ? take_answer(r, NULL, &r->prepared[i], err) : 0;
	return rc < 0 ? rc : take_answer(r, rows, &done, err);
}

static int take_all(struct run *r, struct err *err)
{
	int rc = is_limited(r) ? take_call(r, r->n, NULL, err) : 0;
	for (size_t i = 0; i < r->n && rc == 0; i++)
		rc = take_call(r, i, r->rows ? &r->rows[i] : NULL, err);
	return rc < 0 ? rc : take_sync(r, err);
}

/* ---- one run ---- */

static void drop_rows(struct run *r)
{
	for (size_t i = 0; r->rows && i < r->n; i++) {
		pg_rows_free(r->rows[i]);
		r->rows[i] = NULL;
	}
}

/* Preparing is no part of the transaction: what was prepared before the refusal is so still. */
static void keep_what_is_prepared(struct run *r)
{
	r->l->n_prepared = r->n_prepared_before;
	for (size_t i = 0; i <= r->n; i++)
		if (r->prepared[i])
			r->l->prepared[r->l->n_prepared++] = call_at(r, i)->stmt;
}

/* The connection failed in the middle: what is known of the calls? */
static int say_outcome(const struct run *r, int rc, const struct err *why, struct err *err)
{
	if (r->refusal.code && !r->at_end)
		return err_set(err, r->refusal.code, "%s", r->refusal.text);
	if (!r->sent || r->phase == PGLINK_WITHIN || r->phase == PGLINK_ROLLBACK) /* without its end no transaction is done */
		return err_set(err, rc, "%s", why->text);
	return err_set(err, ERR_UNKNOWN_OUTCOME, "%s, after it had been asked", why->text);
}

static int run_once(struct run *r, struct err *err)
{
	struct err why = {0};
	struct pglink *l = r->l;
	int rc = send_all(r, &why);
	if (rc < 0 && !r->written)
		return err_set(err, rc, "%s", why.text);
	if (rc == 0)
		rc = take_all(r, &why);
	if (rc == 0 && !r->refusal.code)
		return 0;
	drop_rows(r);
	keep_what_is_prepared(r);
	if (rc < 0)
		rc = say_outcome(r, rc, &why, err);
	else
		rc = err_set(err, r->refusal.code, "%s", r->refusal.text);
	if (PQstatus(l->conn) == CONNECTION_BAD || r->closing || PQpipelineStatus(l->conn) == PQ_PIPELINE_ABORTED || why.code)
		pglink_close(l);
	return rc;
}

/* What a pooler in transaction mode makes of prepared statements: forgotten, or somebody else's under the same name. */
static bool is_forgotten(const char *sqlstate)
{
	return strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "42P05") == 0;
}

static int64_t left_ms(int64_t deadline)
{
	if (deadline == PG_FOREVER)
		return 0; /* for statement_timeout: none */
	int64_t left = deadline - clock_mono_ms();
	return left > INT32_MAX ? INT32_MAX : left;
}

static const char *const outcomes[] = {
	[-ERR_UNAVAILABLE] = "unavailable", [-ERR_TIMEOUT] = "timeout", [-ERR_UNKNOWN_OUTCOME] = "unknown_outcome", [-ERR_REPLY] = "refused"};

static void count_failure(struct pg *pg, int rc)
{
	const char *kind = (size_t)-rc < ARRAY_LEN(outcomes) ? outcomes[-rc] : NULL;
	if (kind)
		pg_count(pg, M_PG_ERRORS, kind);
}

int pglink_run_phase(struct pglink *l, const struct pg_call *calls, size_t n, int64_t deadline, enum pglink_phase phase, struct pg_rows **rows,
		     struct err *err)
{
	bug_on(n == 0 || n > PG_MAX_CALLS);
	for (size_t i = 0; rows && i < n; i++)
		rows[i] = NULL;
	l->sqlstate[0] = '\0';
	for (;;) {
		int64_t ms = left_ms(deadline), since = clock_mono_us();
		const struct pg_value limit = pg_int(ms);
		struct run r = {.l = l, .limit = {&LIMIT_TIME, &limit}, .calls = calls, .n = n, .deadline = deadline, .rows = rows, .phase = phase,
				.n_prepared_before = l->n_prepared};
		if (!l->conn)
			return err_set(err, ERR_UNAVAILABLE, "there is no connection to PostgreSQL");
		if (deadline != PG_FOREVER && ms <= 0)
			return err_set(err, ERR_TIMEOUT, "the deadline had passed before PostgreSQL was asked");
		int rc = run_once(&r, err);
		if (l->pg->metrics && atomic_load(&l->pg->schema_right)) /* what comes before is start-up */
			metrics_observe(l->pg->metrics, M_PG_CALL_SECONDS, (double)(clock_mono_us() - since) / 1e6,
					(struct str[]){str_from(calls[0].stmt->name)});
		if (rc < 0)
			count_failure(l->pg, rc);
		if (rc != ERR_REPLY || !l->named || l->pg->prepare != PG_PREPARE_AUTO || !is_forgotten(l->sqlstate))
			return rc;
		atomic_store(&l->pg->forgetful, true);
		l->named = false;
		if (phase != PGLINK_ALONE)
			return rc; /* the transaction is lost; pglink_transact begins it anew */
	}
}

int pglink_run(struct pglink *l, const struct pg_call *calls, size_t n, int64_t deadline_mono_ms, struct pg_rows **rows, struct err *err)
{
	return pglink_run_phase(l, calls, n, deadline_mono_ms, l->in_transaction ? PGLINK_WITHIN : PGLINK_ALONE, rows, err);
}
