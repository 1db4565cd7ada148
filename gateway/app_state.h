/* What the program consists of. Private to app.c, app_parts.c, app_base.c and app_store.c. */
#ifndef SLUICE_GATEWAY_APP_STATE_H
#define SLUICE_GATEWAY_APP_STATE_H

#include <stdbool.h>

#include "gateway/http/server.h"
#include "gateway/openapi/schemas.h"
#include "gateway/realtime/hub.h"
#include "gateway/realtime/lease.h"
#include "gateway/reload.h"
#include "gateway/routes/health.h"
#include "gateway/services.h"
#include "gateway/sweeper.h"
#include "lib/base/buf.h"
#include "lib/config/config.h"
#include "lib/log/log.h"
#include "lib/pg/pgchild.h"
#include "lib/redis/rchild.h"
#include "lib/redis/rsentinel.h"
#include "processors/runtime/runtime.h"

struct app {
	/* Set by the parts' starts, in the order of the list; not changed while requests are served. */
	const struct config *cfg;
	enum log_format log_format;
	struct declarations queues;
	struct schemas *schemas;
	struct buf helper_path, url;
	struct rchild *redis_child; /* NULL: Redis is somebody else's */
	struct rsentinel *sentinel; /* NULL: Redis is where the settings say */
	struct raddr redis;
	struct pgchild *pg_child;   /* NULL: PostgreSQL is somebody else's, or there is none */
	struct rmux *mux;
	struct fetcher *fetcher;
	struct sweeper *sweeper;  /* NULL: documents are kept for ever */
	struct health health;
	struct server *server;
	struct services services;

	struct reload reload;

	size_t started; /* parts of the list that run; the main thread */
	int drained_fd; /* eventfd: the drain is over */
};

/* One part of the program. stop is called only after a start that succeeded. */
struct app_part {
	const char *name;
	int (*start)(struct app *a, struct err *err);
	void (*stop)(struct app *a);
};

/* app_store.c */
int app_store_start(struct app *a, struct err *err);
void app_store_stop(struct app *a);
int app_pg_begin(struct app *a, struct err *err);
void app_pg_end(struct app *a);
int app_records_make(struct app *a, struct err *err);
void app_records_unmake(struct app *a);
int app_records_begin(struct app *a, struct err *err);
void app_records_end(struct app *a);
int app_audit_begin(struct app *a, struct err *err);
void app_audit_end(struct app *a);
int app_records_note(void *arg, struct err *err); /* a health_fn; of a program with records */

extern const struct app_part APP_PARTS[];
extern const size_t APP_PARTS_COUNT;

#endif
