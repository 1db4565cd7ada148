#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/pg/pg_internal.h"

/* ---- waiting ---- */

#define LONGEST_POLL_MS 60000
#define GRACE_MS 500

int64_t pg_grace(int64_t deadline_mono_ms)
{
	return deadline_mono_ms > PG_FOREVER - GRACE_MS ? PG_FOREVER : deadline_mono_ms + GRACE_MS;
}

int pglink_poll(struct pglink *l, short events, int64_t deadline_mono_ms, struct err *err)
{
	struct pollfd fds[] = {{.fd = PQsocket(l->conn), .events = events}, {.fd = l->pg->stop_fd, .events = POLLIN}};
	for (;;) {
		int64_t left = deadline_mono_ms - clock_mono_ms();
		if (left < 0)
			left = 0;
		int n = poll(fds, ARRAY_LEN(fds), (int)(left < LONGEST_POLL_MS ? left : LONGEST_POLL_MS));
		if (n < 0 && errno != EINTR)
			return err_errno(err, "poll");
		if (n > 0 && fds[1].revents)
			return err_set(err, ERR_STOPPING, "the connection to PostgreSQL is being shut down");
		if (n > 0)
			return 0;
		if (n == 0 && left == 0)
			return err_set(err, ERR_TIMEOUT, "PostgreSQL did not answer in time");
	}
}

int pglink_broken(const struct pglink *l, int code, struct err *err)
{
	struct str text = str_from(l->conn ? PQerrorMessage(l->conn) : "out of memory");
	struct str line = str_trim(str_cut(&text, '\n'));
	return err_set(err, code, "PostgreSQL: %.*s", STR_ARG(line.n ? line : STR("the connection broke")));
}

/* ---- the handshake ---- */

/* libpq says what it wants to wait for, and does the rest. */
static int shake_hands(struct pglink *l, int64_t deadline, struct err *err)
{
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;
	if (PQstatus(l->conn) == CONNECTION_BAD)
		return pglink_broken(l, ERR_UNAVAILABLE, err);
	while (next != PGRES_POLLING_OK) {
		if (next == PGRES_POLLING_FAILED)
			return pglink_broken(l, ERR_UNAVAILABLE, err);
		int rc = pglink_poll(l, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline, err);
		if (rc < 0)
			return rc;
		next = PQconnectPoll(l->conn);
	}
	return 0;
}

static void drop_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

/* What stands before the URL it may override; what stands behind it is not its to decide. */
static PGconn *begin(const struct pg *pg)
{
	static const char *const names[] = {"fallback_application_name", "keepalives_idle", "keepalives_interval", "keepalives_count", "dbname",
					    "client_encoding", NULL};
	const char *values[] = {"sluice", "30", "10", "3", pg->url, "UTF8", NULL};
	return PQconnectStartParams(names, values, 1);
}

/* ---- the greeting ---- */

static const struct pg_stmt GREET = {"pg_greet",
				     "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_version_num'), "
				     "pg_catalog.pg_is_in_recovery()",
				     0};

static int look_at_greeting(struct pglink *l, const struct pg_rows *r, struct err *err)
{
	int64_t pid, version;
	if (pg_rows_count(r) != 1 || !pg_int_at(r, 0, 0, &pid) || !pg_int_at(r, 0, 1, &version))
		return err_set(err, ERR_UNAVAILABLE, "PostgreSQL does not say who it is");
	if (version < PG_OLDEST)
		return err_set(err, ERR_UNAVAILABLE, "PostgreSQL %d is too old: 13 or newer is needed", (int)version / 10000);
	if (pg_bool_at(r, 0, 2))
		return err_set(err, ERR_UNAVAILABLE, "this PostgreSQL is a standby, which takes no writes");
	/* A pooler makes up the backend that it says it is. */
	bool direct = pid == PQbackendPID(l->conn);
	l->named = l->pg->prepare == PG_PREPARE_ON || (l->pg->prepare == PG_PREPARE_AUTO && direct && !atomic_load(&l->pg->forgetful));
	pg_note_connected(l->pg, (int)version);
	return 0;
}

static int greet(struct pglink *l, int64_t deadline, struct err *err)
{
	struct pg_rows *rows = NULL;
	const struct pg_call call = {&GREET, NULL};
	l->named = false;
	int rc = pglink_run(l, &call, 1, deadline, &rows, err);
	if (rc == 0)
		rc = look_at_greeting(l, rows, err);
	pg_rows_free(rows);
	return rc;
}

int pglink_connect(struct pglink *l, struct err *err)
{
	int64_t deadline = clock_mono_ms() + l->pg->connect_timeout_ms;
	l->n_prepared = 0;
	l->in_transaction = false;
	l->conn = begin(l->pg);
	if (!l->conn)
		return err_set(err, ERR_NOMEM, "PostgreSQL: out of memory");
	int rc = shake_hands(l, deadline, err);
	if (rc < 0)
		return rc;
	PQsetNoticeReceiver(l->conn, drop_notice, NULL);
	if (PQsetnonblocking(l->conn, 1) != 0 || !PQenterPipelineMode(l->conn))
		return pglink_broken(l, ERR_UNAVAILABLE, err);
	return greet(l, deadline, err);
}
