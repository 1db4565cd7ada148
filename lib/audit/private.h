/* What the files of lib/audit share, and nobody else. */
#ifndef SLUICE_AUDIT_PRIVATE_H
#define SLUICE_AUDIT_PRIVATE_H

#include "lib/audit/audit.h"
#include "lib/audit/chain.h"
#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/id.h"
#include "lib/base/lock.h"
#include "lib/pg/pglink.h"
#include "lib/redis/rmux.h"

#define AUDIT_REDIS_TIMEOUT_MS 5000
#define AUDIT_PG_TIMEOUT_MS 30000
#define AUDIT_PACE_MS 10 /* between two entries of the stream: what each costs does not depend on how many lines it has */
#define AUDIT_FOLDS 8
#define AUDIT_FOLD_MAX 1000 /* lines in one row */
#define AUDIT_INDEXED_MAX_BYTES ((size_t)1024) /* of a column that an index goes over, which takes no more than 2704 bytes of a row */

/* A row that may yet take other lines. */
struct audit_fold {
	const char *action;
	struct str queue, sub, org, ip; /* the same for all of its lines */
	int status;
	int64_t at_ms;
	struct str target, request_id, before, after; /* of the first one */
	struct buf ids; /* of a JSON array, but for its end */
	int64_t count;
};

/* Lines that follow one another, as one entry of the stream will have them. */
struct audit_batch {
	struct arena arena;  /* of the folds */
	struct buf rows;     /* JSON arrays of AUDIT_COLUMNS, one a line */
	struct audit_fold folds[AUDIT_FOLDS];
	size_t n_folds;
	uint64_t first, lines;
	bool full;           /* takes no more */
};

struct audit {
	/* set before start */
	struct audit_options o;
	struct buf key; /* of the stream */
	char source[ID_UUID_SIZE];
	struct thread thread, sender;
	/* the writer's thread */
	struct pglink *link;
	struct arena arena;
	/* protected by mu */
	struct lock mu;
	struct cond wake; /* the writer */
	struct cond due;  /* the sender */
	bool woken, stopping;
	bool waiting;                 /* lines, for their time to be sent */
	int64_t next_mono_ms;         /* that is then */
	uint64_t lines;               /* of this process */
	struct audit_batch batches[2];
	struct audit_batch *gathering, *leaving;
	bool sending;                 /* `leaving` is on its way */
};

extern const struct pg_stmt AUDIT_HEAD; /* of a prefix: seq, hash in hexadecimal */

/* trail.c */
void audit_batch_release(struct audit_batch *b);
/* Sends what waits, unless something is under way or it is not yet time. */
void audit_send(struct audit *a);
/* The thread that sends what had to wait, and by which nobody has come since. */
void audit_sender_main(void *arg);
/* drain.c */
void audit_writer_main(void *arg);

#endif
