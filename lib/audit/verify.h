/* Does the chain of audit rows hold? For the command line.
 *
 *     struct audit_verdict v;
 *     if (audit_verify(link, prefix, &v, deadline, &err) < 0) ...      it could not be read
 *     if (v.broken_seq) ... v.fault ...                                 the first row that is not what was written
 *
 * Rows that were changed, taken out, put in or moved are found. Whoever may write to the whole database could put a new chain in the place of the
 * old one: who wants to know that as well keeps the head of an earlier look, and asks whether its row has its hash still. */
#ifndef SLUICE_AUDIT_VERIFY_H
#define SLUICE_AUDIT_VERIFY_H

#include "lib/audit/chain.h"
#include "lib/pg/pglink.h"

struct audit_verdict {
	int64_t rows;         /* that were looked at and are right */
	struct audit_head head; /* of the last one */
	int64_t broken_seq;   /* 0: none */
	const char *fault;    /* static; what is wrong with it */
};

/* Errors are pglink_run's. earlier may be NULL. */
int audit_verify(struct pglink *l, struct str prefix, const struct audit_head *earlier, struct audit_verdict *out, int64_t deadline_mono_ms,
		 struct err *err) MUST_CHECK;

#endif
