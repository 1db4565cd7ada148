/* A background thread's own connection to PostgreSQL: batches, transactions, COPY.
 *
 *     struct pglink *l = pglink_new(pg, &err);
 *     for (;;) {
 *         if (pglink_open(l, clock_mono_ms() + 1000, &err) < 0)      connects when it is not connected, with the pool's backoff
 *             ... not now (ERR_STOPPING: never again)
 *         rc = pglink_run(l, calls, n, deadline, NULL, &err);        n statements, one transaction, one round trip
 *         rc = pglink_transact(l, store_batch, batch, deadline, &err);
 *     }
 *     pglink_free(l);
 *
 * Every wait ends at the deadline and when pg_interrupt is called. The statement is also told its time, so that PostgreSQL itself gives up; when
 * even that does not answer, the connection is closed and made anew by the next pglink_open. Errors are those of pg.h.
 *
 * One thread at a time; a thread with at least 256 KiB of stack, and never one that a request waits on. */
#ifndef SLUICE_PG_PGLINK_H
#define SLUICE_PG_PGLINK_H

#include "lib/pg/pg.h"

struct pglink;

struct pglink *pglink_new(struct pg *pg, struct err *err) MUST_CHECK; /* not connected yet. NULL: ERR_NOMEM */
void pglink_free(struct pglink *l);                                   /* NULL: nothing */

/* 0 when connected and the schema is this program's (the first to connect migrates where pg_options say so). ERR_UNAVAILABLE when that did not come
 * true before the deadline; ERR_STOPPING. */
int pglink_open(struct pglink *l, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;
void pglink_close(struct pglink *l);
bool pglink_is_open(const struct pglink *l);
/* The descriptor to poll for the server's going away while nothing is under way; -1 when closed. */
int pglink_fd(const struct pglink *l);
/* Looks, without waiting, whether the server has gone away meanwhile; then the link is closed and the answer false. */
bool pglink_check(struct pglink *l);

/* Runs n calls (at most PG_MAX_CALLS) in one round trip. Outside of pglink_transact they are one transaction; inside they are part of it. rows may
 * be NULL, else rows[i] is call i's answer, yours to free; all NULL on failure. */
int pglink_run(struct pglink *l, const struct pg_call *calls, size_t n, int64_t deadline_mono_ms, struct pg_rows **rows, struct err *err) MUST_CHECK;

/* COPY … FROM STDIN: stmt->sql is the whole COPY command in text format, rows what lib/pg/pgtext.h built. *copied, which may be NULL, is the
 * number of rows. Outside of pglink_transact it is a transaction of its own. */
int pglink_copy(struct pglink *l, const struct pg_stmt *stmt, struct str rows, int64_t deadline_mono_ms, int64_t *copied, struct err *err) MUST_CHECK;

typedef int pglink_work(struct pglink *l, void *arg, int64_t deadline_mono_ms, struct err *err);

/* BEGIN, work, COMMIT; ROLLBACK when work fails, whose failure is then returned. Work runs again (three times in all) after a deadlock, a failed
 * serialization, or a statement that a pooler forgot, so it must leave nothing behind outside of PostgreSQL. ERR_UNKNOWN_OUTCOME: the connection
 * broke during COMMIT. Does not nest. */
int pglink_transact(struct pglink *l, pglink_work *work, void *arg, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;

/* The SQLSTATE of the last ERR_REPLY, such as "23505"; "" when there was none. */
const char *pglink_sqlstate(const struct pglink *l);

#endif
