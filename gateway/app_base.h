/* The parts of the program that stand before anything is connected or listened on: the log, metrics, keys, the declared queues and their
 * schemas, documents, outbound requests. Rows of APP_PARTS (app_parts.c); the main thread. */
#ifndef SLUICE_GATEWAY_APP_BASE_H
#define SLUICE_GATEWAY_APP_BASE_H

#include "gateway/app_state.h"
#include "lib/base/err.h"

int app_no_memory(struct err *err);

/* The log is held back until the address is known (log_hold). */
int log_start(struct app *a, struct err *err);
void log_stop(struct app *a);
int metrics_start(struct app *a, struct err *err);
void metrics_stop(struct app *a);
int keys_start(struct app *a, struct err *err);
int keys_reload(struct app *a, struct err *err); /* while it serves; on failure the keys that were there stay */
void keys_stop(struct app *a);
int queues_start(struct app *a, struct err *err);
void queues_stop(struct app *a);
int schemas_start(struct app *a, struct err *err);
int openapi_show(struct app *a, struct err *err); /* the document of the schemas as they are now */
void schemas_stop(struct app *a);
int documents_start(struct app *a, struct err *err);
void documents_stop(struct app *a);
int fetch_start(struct app *a, struct err *err);
void fetch_stop(struct app *a);

#endif
