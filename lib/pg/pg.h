/* PostgreSQL: the pool through which everything in this program speaks with it.
 *
 *     struct pg_options o = {.url = "postgresql://…", .log = log, .metrics = metrics};
 *     struct pg *pg = pg_new(&o, &err);
 *     pg_start(pg, &err);                 its readers connect, bring the schema up to date, and reconnect ever after
 *     ...
 *     pg_query(pg, calls, n, deadline, rows, &err);        any thread: reading for a request
 *     struct pglink *l = pglink_new(pg, &err);             a background thread's own connection (lib/pg/pglink.h)
 *     ...
 *     pg_stop(pg);  pg_free(pg);          after every pglink has been freed
 *
 * Nothing here ever waits for PostgreSQL to come: while it is away, starting succeeds and pg_query fails at once. libpq runs on threads of
 * this module and on background threads, never on a connection thread of the HTTP server, whose stack is too small for it: pg_query hands the
 * statement to a reader and sleeps.
 *
 * A statement is a constant of the program; what varies are its parameters. There is no way to run SQL that was put together:
 *
 *     static const struct pg_stmt FIND = {"records_find", "SELECT state, data FROM sluice.records WHERE queue = $1 AND id = $2", 2};
 *     const struct pg_call call = {&FIND, (struct pg_value[]){pg_text(queue), pg_text(id)}};
 *     struct pg_rows *rows;
 *     if (pg_query(pg, &call, 1, clock_mono_ms() + 2000, &rows, &err) == 0) {
 *         for (int i = 0; i < pg_rows_count(rows); i++) ... pg_at(rows, i, 0) ...
 *         pg_rows_free(rows);
 *     }
 *
 * Names are qualified (sluice.records), since search_path does not survive pgbouncer in transaction mode. Statements are prepared once for each
 * connection, under their name; behind a pooler (known by a backend that is not the one which greeted) they are sent whole every time.
 *
 * Errors, here and in pglink.h:
 *     ERR_UNAVAILABLE      PostgreSQL is away, its schema is not this program's, or the queue is full: nothing was done
 *     ERR_TIMEOUT          the deadline has passed; PostgreSQL was told to give up. From pg_query it may nevertheless have been done
 *     ERR_UNKNOWN_OUTCOME  the connection broke after sending: it may or may not have been done
 *     ERR_REPLY            PostgreSQL refused the statement; err.text is its sentence
 *     ERR_INVALID          a parameter that PostgreSQL cannot take (text with a NUL, or not UTF-8)
 *     ERR_NOMEM, ERR_STOPPING */
#ifndef SLUICE_PG_PG_H
#define SLUICE_PG_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct log;
struct metrics;
struct pg;
struct pg_rows;

/* ---- statements ---- */

struct pg_stmt {
	const char *name; /* unique in the program, 1 to 63 bytes: also the label of its metric */
	const char *sql;
	int nparams; /* at most PG_MAX_PARAMS */
};

#define PG_MAX_PARAMS 64

struct pg_value {
	enum { PG_NULL, PG_TEXT, PG_BYTES, PG_INT, PG_BOOL } kind;
	struct str s;
	int64_t i;
};

static inline struct pg_value pg_null(void)
{
	return (struct pg_value){0};
}
/* Any type, in PostgreSQL's text form; .p NULL is NULL. UTF-8 without NUL. */
static inline struct pg_value pg_text(struct str s)
{
	return (struct pg_value){.kind = s.p ? PG_TEXT : PG_NULL, .s = s};
}
static inline struct pg_value pg_textz(const char *z)
{
	return pg_text(str_from(z));
}
/* bytea, any bytes. */
static inline struct pg_value pg_bytes(struct str s)
{
	return (struct pg_value){.kind = s.p ? PG_BYTES : PG_NULL, .s = s};
}
static inline struct pg_value pg_int(int64_t v)
{
	return (struct pg_value){.kind = PG_INT, .i = v};
}
static inline struct pg_value pg_bool(bool v)
{
	return (struct pg_value){.kind = PG_BOOL, .i = v};
}

struct pg_call {
	const struct pg_stmt *stmt;
	const struct pg_value *values; /* stmt->nparams of them; NULL when there are none */
};

#define PG_MAX_CALLS 64

/* ---- rows ---- */

/* What one statement answered. Text form, whatever the type; ask SQL for the form that you want (…::text, extract(epoch …)::bigint). Valid until
 * pg_rows_free; any one thread at a time. */
int pg_rows_count(const struct pg_rows *r);
struct str pg_at(const struct pg_rows *r, int row, int column); /* .p NULL is NULL; a NUL follows the bytes */
bool pg_int_at(const struct pg_rows *r, int row, int column, int64_t *out); /* false: NULL or no integer */
bool pg_bool_at(const struct pg_rows *r, int row, int column);              /* NULL is false */
int64_t pg_rows_affected(const struct pg_rows *r);                          /* by INSERT, UPDATE, DELETE */
void pg_rows_free(struct pg_rows *r);                                       /* NULL: nothing */

/* ---- the pool ---- */

enum pg_prepare { PG_PREPARE_AUTO, PG_PREPARE_ON, PG_PREPARE_OFF };

/* What the first connection does about the schema (lib/pg/pgmigrate.h): bring it up to date; demand that it is; nothing (the command line's). */
enum pg_schema { PG_SCHEMA_MIGRATE, PG_SCHEMA_DEMAND, PG_SCHEMA_IGNORE };

struct pgmigrations;

struct pg_options {
	const char *url;            /* what libpq takes: postgresql://… or "host=… dbname=…". A copy is made */
	enum pg_prepare prepare;    /* ON: also behind a pooler (pgbouncer 1.21 and newer with max_prepared_statements) */
	int readers;                /* connections for pg_query; 0 = 2 */
	int queue;                  /* calls of pg_query that may wait; 0 = 64 */
	int64_t connect_timeout_ms; /* 0 = 5000 */
	enum pg_schema schema;
	const struct pgmigrations *migrations; /* NULL: the program's own */
	int64_t patience_ms;        /* for so long after the start PostgreSQL may still be coming up: that it does not answer is no warning */
	struct log *log;            /* NULL: none */
	struct metrics *metrics;    /* NULL: none */
};

/* NULL: ERR_INVALID (the URL, in words that do not show its password), ERR_NOMEM. Connects to nothing. */
struct pg *pg_new(const struct pg_options *o, struct err *err) MUST_CHECK;
/* Starts the readers. 0, else ERR_NOMEM. */
int pg_start(struct pg *pg, struct err *err) MUST_CHECK;
/* From now on every wait in this module ends, also those of other threads' links: with ERR_STOPPING, or ERR_UNKNOWN_OUTCOME where PostgreSQL had been
 * asked already. Any thread. */
void pg_interrupt(struct pg *pg);
/* pg_interrupt, and waits for the readers' end. No call after it but pg_free. */
void pg_stop(struct pg *pg);
void pg_free(struct pg *pg); /* NULL: nothing */

/* Runs the n calls in one transaction and one round trip: all are done or none is. rows[i], yours to free, is what call i answered; rows may be
 * NULL. Copies are made of everything: when the deadline (clock_mono_ms's scale) passes first, the caller goes on and the reader ends alone.
 * While PostgreSQL is away or when the queue is full it fails at once. Any thread, with any stack. */
int pg_query(struct pg *pg, const struct pg_call *calls, size_t n, int64_t deadline_mono_ms, struct pg_rows **rows, struct err *err) MUST_CHECK;
/* One statement whose best plan depends on its values (on which of them are NULL, say): it is planned for this run. *rows is yours to free. */
int pg_query_varied(struct pg *pg, const struct pg_call *call, int64_t deadline_mono_ms, struct pg_rows **rows, struct err *err) MUST_CHECK;

struct pg_state {
	bool up;           /* a reader is connected, and the schema is this program's */
	int64_t since_ms;  /* wall time of the last change */
	uint64_t connects; /* connections made since the start */
	int server_version; /* such as 150020; 0 before the first connection */
	struct err why;    /* why it is down: the last failure */
};

/* Any thread; waits for nothing. */
void pg_state(struct pg *pg, struct pg_state *out);
bool pg_is_up(struct pg *pg);
/* For tests and commands: true when it is up before the deadline. */
bool pg_wait_up(struct pg *pg, int64_t deadline_mono_ms);

#endif
