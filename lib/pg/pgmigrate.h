/* The schema's versions: lib/pg/migrations/NNNN_name.sql, all of them part of the program, applied once each and in order.
 *
 * A migration is never changed once it has been released: what was applied is known by its SHA-256 (table sluice.migrations), and a difference is
 * refused. There is no way back; a database with a version that this program does not know is refused as well. Each migration is one transaction,
 * under an advisory lock that ends with it, so that of several processes that start at once one does the work and the others find it done. A
 * migration may therefore hold nothing that a transaction cannot (CREATE INDEX CONCURRENTLY, for one).
 *
 * A new migration: the file, named by the next number, and nothing else; the build puts it into the program. */
#ifndef SLUICE_PG_PGMIGRATE_H
#define SLUICE_PG_PGMIGRATE_H

#include "lib/pg/pglink.h"

struct pgmigration {
	int version; /* 1, 2, … without a gap */
	const char *name;
	const char *sql;
};

/* Those of this program, in order of their versions. Tests bring others. */
struct pgmigrations {
	const struct pgmigration *items;
	size_t n;
};
extern const struct pgmigrations PGMIGRATIONS;

enum pgmigrate_state { PGMIGRATE_APPLIED, PGMIGRATE_PENDING };

struct pgmigrate_row {
	int version;
	const char *name;
	enum pgmigrate_state state;
	char applied_at[32]; /* "" while pending */
};

/* Called for each migration of the program, in order. */
typedef void pgmigrate_see(void *arg, const struct pgmigrate_row *row);

/* Applies what is pending; see, which may be NULL, is told of each that was applied by this call. The number of those, or an error of pg.h;
 * ERR_WRONG_STATE when the database is newer than the program or holds another text of a migration. */
int pgmigrate_apply(struct pglink *l, const struct pgmigrations *m, pgmigrate_see *see, void *arg, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;
/* Changes nothing; tells of every migration. The number of pending ones, or an error as above. */
int pgmigrate_status(struct pglink *l, const struct pgmigrations *m, pgmigrate_see *see, void *arg, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;

#endif
