/* Holds log lines back until the program listens, so that its first line says where.
 *
 *     struct early_log early;
 *     early_log_begin(&early, STDOUT_FILENO, &err);
 *     struct log *log = log_new(early.fd, ...);           lines go to memory
 *     ... the first line is written to STDOUT_FILENO itself ...
 *     early_log_end(&early);                              what was held follows; from now on early.fd is STDOUT_FILENO
 *     log_look_again(log);
 *     ... log_free(log); early_log_release(&early);
 *
 * The owner's thread; the log itself may be in use by any. */
#ifndef SLUICE_GATEWAY_EARLY_LOG_H
#define SLUICE_GATEWAY_EARLY_LOG_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct early_log {
	int fd;   /* for log_new */
	int real; /* not owned */
};

int early_log_begin(struct early_log *e, int real, struct err *err) MUST_CHECK;
void early_log_end(struct early_log *e); /* a second call does nothing */
void early_log_release(struct early_log *e); /* ends it, too */

#endif
