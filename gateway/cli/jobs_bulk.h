/* `sluice jobs retry|promote|remove --queue …`: one action on all jobs of a queue that fit. The gateway does it as a task; this counts, begins,
 * watches and, on SIGINT or SIGTERM, stops it. The one thread of a command. */
#ifndef SLUICE_GATEWAY_CLI_JOBS_BULK_H
#define SLUICE_GATEWAY_CLI_JOBS_BULK_H

#include "gateway/cli/client.h"

/* Strings are NULL where nothing was said. */
struct bulk_wish {
	const char *action;    /* retry, promote, remove */
	const char *queue;
	const char *state;     /* as the action allows; NULL: that of which jobs are mostly retried or promoted */
	const char *name, *error;
	int64_t older_than_ms; /* 0: any */
	bool dry_run;          /* only count */
	bool yes;              /* do not ask before removing */
	bool json;
};

/* What can be done to all jobs that fit; ends with NULL. */
extern const char *const bulk_words[];

/* CLI_OK: it was done, or counted. CLI_FAILED: refused, stopped, or broken off half-way; what was done by then is told. */
enum cli_exit bulk_do(struct client *c, const struct bulk_wish *wish) MUST_CHECK;

#endif
