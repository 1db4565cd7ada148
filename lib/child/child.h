/* A server that this process starts for itself, keeps running, and ends with itself: what the embedded Redis and the embedded PostgreSQL have
 * in common.
 *
 *     static const struct child_kind KIND = {.name = "redis-server", .spawn = …, .answers = …, …};
 *     struct child *c = child_start(&KIND, owner, log, &err);     a thread of its own starts the server
 *     child_await(c, &err);                                       waits until it answers, or has failed to come up
 *     ...
 *     child_stop(c);                                              told to end, killed after 10 s; frees
 *
 * When the server ends by itself it is started again, with a backoff. Thread rule: child_start, child_await and child_stop from the owner; child_pid
 * from any thread; the functions of the kind are called on the supervisor's thread, whose death ends the server (child_exec). */
#ifndef SLUICE_CHILD_CHILD_H
#define SLUICE_CHILD_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct child;
struct log;

struct child_kind {
	const char *name;                                /* in sentences: "redis-server" */
	const char *thread;                              /* the supervisor's, at most 15 bytes */
	const char *ready_event, *ended_event, *killed_event; /* log events */
	int stop_signal;
	int64_t ready_within_ms; /* then one that does not answer is killed */
	int64_t look_every_ms;   /* whether it answers */
	bool tries_for_ever;     /* also one that never came up; else the first failure is the end, and child_await's to tell */

	/* What must be done before it can start; stop_fd becomes readable when the wish is gone. NULL: nothing. */
	int (*prepare)(void *owner, int stop_fd, struct err *err);
	pid_t (*spawn)(void *owner, struct err *err);              /* by child_exec */
	bool (*answers)(void *owner);                              /* a server that says it is still loading does answer */
	void (*last_words)(void *owner, char *out, size_t size);   /* of its log */
};

/* kind is kept. NULL: ERR_NOMEM, ERR_IO. */
struct child *child_start(const struct child_kind *kind, void *owner, struct log *log, struct err *err) MUST_CHECK;
/* 0 once it has answered; for a kind that does not try for ever, why it did not come up. */
int child_await(struct child *c, struct err *err) MUST_CHECK;
void child_stop(struct child *c); /* NULL: nothing */
pid_t child_pid(struct child *c); /* 0 while none is running */

#endif
