/* lib/pg's inside.
 *
 *     pg.c         the pool: readers, queue, state            link.c       a connection: when it is open, and when not
 *     rows.c       answers                                    connect.c    making one, against the clock
 *     params.c     parameters                                 run.c        calls in a pipeline
 *     pgtext.c     rows for COPY, arrays                      transact.c   transactions and COPY
 *     pgmigrate.c  versions of the schema                     pgchild*.c   the embedded server */
#ifndef SLUICE_PG_PG_INTERNAL_H
#define SLUICE_PG_PG_INTERNAL_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "lib/base/arena.h"
#include "lib/base/lock.h"
#include "lib/metrics/metrics.h"
#include "lib/pg/pg.h"
#include "lib/pg/pglink.h"
#include "lib/pg/pgmigrate.h"

#define PG_FOREVER INT64_MAX /* as a deadline: none */
#define PG_MAX_READERS 16
#define PG_MAX_PREPARED 128 /* statements that a link remembers as prepared; further ones are sent whole */
#define PG_OLDEST 130000    /* server_version_num */

#define SQLSTATE_SIZE 6

/* ---- the pool, as its links see it ---- */

struct pg_request;

struct pg_reader {
	struct pg *pg;
	struct thread thread;
	struct pglink *link;
};

struct pg {
	/* Set before start. */
	char *url;
	enum pg_prepare prepare;
	enum pg_schema schema;
	const struct pgmigrations *migrations;
	int64_t connect_timeout_ms;
	int64_t patient_until; /* mono ms */
	unsigned max_waiting;
	struct log *log;
	struct metrics *metrics;
	int stop_fd; /* eventfd, readable for ever: stop */
	int work_fd; /* eventfd, one for each request that was queued */
	struct pg_reader readers[PG_MAX_READERS];
	unsigned n_readers;

	atomic_bool forgetful;    /* a pooler has lost a prepared statement: no link prepares any more */
	atomic_bool schema_right; /* seen once; later versions of the program may go on changing it */
	struct lock schema_mu;    /* held while the first link looks at the schema, or changes it */

	struct lock mu;
	/* Protected by mu. */
	struct pg_request *first, *last; /* waiting for a reader */
	unsigned waiting;
	unsigned connected; /* readers */
	struct pg_state state;
	struct err told;     /* the failure that was logged last */
	struct cond changed; /* state.up */
};

/* Told by links. */
void pg_note_connected(struct pg *pg, int server_version);
void pg_note_failure(struct pg *pg, const struct err *why);
bool pg_stopping(const struct pg *pg);
void pg_count(struct pg *pg, enum metric_id id, const char *label);

/* ---- a link ---- */

struct pglink {
	struct pg *pg;
	PGconn *conn; /* NULL: closed. Otherwise in pipeline mode, with nothing under way */
	bool named;   /* statements are prepared under their names */
	const struct pg_stmt *prepared[PG_MAX_PREPARED];
	unsigned n_prepared;
	bool in_transaction;
	unsigned failures; /* to connect, in a row */
	int64_t retry_at;  /* mono ms */
	char sqlstate[SQLSTATE_SIZE];
	struct arena scratch; /* of one run's parameters */
};

/* connect.c: a connection in pipeline mode that has greeted; does not look at the schema. */
int pglink_connect(struct pglink *l, struct err *err) MUST_CHECK;

/* Waits for events of the connection's socket. 0: something has happened; ERR_TIMEOUT, ERR_STOPPING. */
int pglink_poll(struct pglink *l, short events, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;
/* The next result, NULL included, within the time. What was written is sent meanwhile. ERR_UNAVAILABLE: the connection is gone. */
int pglink_next(struct pglink *l, int64_t deadline_mono_ms, PGresult **out, struct err *err) MUST_CHECK;
/* Sends what was written; sending may need reading. */
int pglink_flush(struct pglink *l, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;
/* When the deadline has passed, the server gets this much longer to say itself that it gave up. */
int64_t pg_grace(int64_t deadline_mono_ms);

/* Notes a refused statement: its SQLSTATE in the link, its first sentence in err. The code: ERR_TIMEOUT (cancelled), ERR_UNAVAILABLE (the server
 * ends, or takes no writes: the link must be closed), ERR_REPLY. */
int pglink_refused(struct pglink *l, const PGresult *r, struct err *err);
/* The connection's last error as one line, with its code. */
int pglink_broken(const struct pglink *l, int code, struct err *err);

/* Runs the text, of several statements perhaps, inside a transaction. */
int pglink_script(struct pglink *l, const char *sql, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;

/* pglink_run, knowing what the calls are to their transaction: all of it, a part, or its end. */
enum pglink_phase { PGLINK_ALONE, PGLINK_WITHIN, PGLINK_COMMIT, PGLINK_ROLLBACK };
int pglink_run_phase(struct pglink *l, const struct pg_call *calls, size_t n, int64_t deadline_mono_ms, enum pglink_phase phase, struct pg_rows **rows,
		     struct err *err) MUST_CHECK;

/* pgmigrate.c: what pg->schema says, with the first connection. */
int pgmigrate_at_start(struct pglink *l, struct err *err) MUST_CHECK;

/* ---- parameters ---- */

struct pg_params {
	const char *values[PG_MAX_PARAMS];
	int lengths[PG_MAX_PARAMS];
	int formats[PG_MAX_PARAMS];
};

/* Valid until the arena is reset. ERR_INVALID, ERR_NOMEM. */
int pg_params_fill(struct pg_params *out, struct arena *a, const struct pg_call *call, struct err *err) MUST_CHECK;
/* A copy of the calls whose values live in the arena. NULL: no memory. */
const struct pg_call *pg_calls_copy(struct arena *a, const struct pg_call *calls, size_t n) MUST_CHECK;

/* ---- rows ---- */

struct pg_rows *pg_rows_of(PGresult *r); /* takes it over */

#endif
