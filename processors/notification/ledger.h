/* What has been sent: so that a job that runs twice does not send twice.
 *
 * One hash per job, {prefix}:notify:{queue}:{jobId}:{timestamp}, with a field per target, kept for SLUICE_NOTIFY_LEDGER_TTL after the last
 * change. The timestamp tells a job from a later one of the same id. A field goes
 *
 *     (none) ──claim──► sending ──settle──► sent        accepted; never sent again
 *                          │                refused     for good; never sent again
 *                          └──────────────► (none)      not accepted; the next attempt may send
 *
 * and stays "sending" when the process dies in between or no answer came: the next attempt finds it and knows that the message may
 * have arrived. Targets are named by a keyed hash, whose key is kept in Redis (so that results of all processes name a target alike):
 * nobody can go through all telephone numbers to find the one behind a result. */
#ifndef SLUICE_PROCESSORS_NOTIFICATION_LEDGER_H
#define SLUICE_PROCESSORS_NOTIFICATION_LEDGER_H

#include "processors/notification/notifier.h"

enum ledger_state { LEDGER_NONE, LEDGER_SENDING, LEDGER_SENT, LEDGER_REFUSED };

#define LEDGER_TAG_SIZE 33

struct ledger_entry {
	char tag[LEDGER_TAG_SIZE]; /* the target's name, hex */
	enum ledger_state state;
	unsigned sends;            /* how often it may have been sent */
	struct attempt attempt;    /* of SENT and REFUSED */
	int64_t sent_wall_ms;      /* of SENT */
};

struct ledger {
	const struct notifier *n;
	const struct notice *m;
	struct buf key;
	char tag_key[LEDGER_TAG_SIZE];
};

/* Reads the key of the tags, making it when there is none. 0, else a failure of rmux_call, ERR_REPLY or ERR_NOMEM. */
int ledger_open(struct ledger *l, const struct notifier *n, const struct notice *m, struct err *err) MUST_CHECK;
void ledger_release(struct ledger *l);

/* What is known of the target. */
int ledger_read(struct ledger *l, const char *channel, struct str address, struct ledger_entry *e, struct err *err) MUST_CHECK;
/* Writes "sending", one more time; must have succeeded before the message is sent. ERR_TAKEN when another process has claimed it since
 * ledger_read. */
int ledger_claim(struct ledger *l, struct ledger_entry *e, struct err *err) MUST_CHECK;
/* Writes what came of it: e->attempt, by its trouble. An outcome that is unknown is left as "sending". */
int ledger_settle(struct ledger *l, struct ledger_entry *e, struct err *err) MUST_CHECK;

/* One field's text, as it is stored; false when it is none. */
void ledger_write_entry(const struct ledger_entry *e, struct buf *out);
bool ledger_read_entry(struct str text, struct ledger_entry *e);

#endif
