/* One connection to the records' PostgreSQL, for commands. Private to gateway/cli. */
#ifndef SLUICE_GATEWAY_CLI_STORE_H
#define SLUICE_GATEWAY_CLI_STORE_H

#include "gateway/settings.h"
#include "lib/pg/pgmigrate.h"

struct store {
	enum settings_store kind;
	struct buf url;
	struct pg *pg;
	struct pglink *link;
};

/* Connects, and leaves the schema alone. ERR_NOT_FOUND: no records are kept, or the embedded PostgreSQL was never started; ERR_UNAVAILABLE. Release it in
 * either case. */
int store_open(struct store *s, const struct config *cfg, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;
void store_release(struct store *s);

#endif
