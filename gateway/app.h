/* The program while it serves.
 *
 * Everything long-lived hangs off one struct app. Its parts are one list (app.c): they start from top to bottom and stop from bottom to top,
 * so a part may use every part above it from its start to its end. Handlers see of it what services.h offers. */
#ifndef SLUICE_GATEWAY_APP_H
#define SLUICE_GATEWAY_APP_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct app;
struct config;

/* Starts, serves until SIGTERM or SIGINT, drains and stops: 0. When it cannot start, what had started is stopped, and err names the part.
 *
 * The first signal makes readiness fail, lets the requests and (for SLUICE_DRAIN_GRACE) the jobs in flight finish, and puts back what is
 * still running; the second ends the process at once, which loses no job either: its locks run out.
 * SIGHUP reads the files of token keys and of queue declarations again (reload.h); where one is not right, what was there stays, and the log
 * says so.
 * The main thread, before any other thread exists. Changes the process's signal mask and umask. */
int app_run(const struct config *cfg, struct err *err) MUST_CHECK;

#endif
