/* Tasks: what takes longer than a request may. One thread works on one after the other in small steps, and rests after each as long as it took,
 * so that other requests find Redis free.
 *
 *     tasks_add(tasks, &spec, by, &seen, &err);       → seen.id; /api/tasks/{id}
 *     tasks_get(tasks, id, arena, &seen, &err);       how far it is
 *     tasks_cancel(tasks, id, arena, &seen, &err);
 *
 * Tasks are this process' own: when it ends, so do they, and what they have done stays done. The last TASKS_KEPT that ended can be read. Thread
 * rule: new, start, stop, free are the owner's; the rest any thread's. */
#ifndef SLUICE_GATEWAY_TASKS_H
#define SLUICE_GATEWAY_TASKS_H

#include "gateway/bulk.h"

#define TASKS_KEPT 100
#define TASKS_OPEN_MAX 20

struct log;
struct tasks;

#define TASK_STATES(X) X(QUEUED, "queued") X(RUNNING, "running") X(DONE, "done") X(CANCELLED, "cancelled") X(FAILED, "failed")
enum task_state {
#define X(id, word) TASK_##id,
	TASK_STATES(X)
#undef X
};
const char *task_state_word(enum task_state s);

/* A task as it was when it was looked at; strings are in the given arena. */
struct task_seen {
	struct str id, queue, by;
	enum bulk_action action;
	enum bq_state of_state;
	struct str name, error;
	int64_t older_than_ms;
	enum task_state state;
	struct bulk_counts counts;
	int64_t total;                            /* jobs of the state when it began; -1: it has not */
	int64_t created_ms, started_ms, ended_ms; /* wall time; -1: not yet */
	struct str failure;                       /* .p NULL: none */
};

struct tasks *tasks_new(struct bq *bq, struct log *log, struct err *err);
int tasks_start(struct tasks *t, struct err *err) MUST_CHECK;
void tasks_stop(struct tasks *t); /* the one that runs is cancelled */
void tasks_free(struct tasks *t);

/* The spec is copied, its queue's keys too. ERR_LIMIT: TASKS_OPEN_MAX are waiting already. */
int tasks_add(struct tasks *t, const struct bulk_spec *spec, struct str by, struct arena *a, struct task_seen *out, struct err *err) MUST_CHECK;
/* ERR_NOT_FOUND. */
int tasks_get(struct tasks *t, struct str id, struct arena *a, struct task_seen *out, struct err *err) MUST_CHECK;
/* Returns at once; the task ends behind its present step. ERR_NOT_FOUND, ERR_WRONG_STATE: it has ended. */
int tasks_cancel(struct tasks *t, struct str id, struct arena *a, struct task_seen *out, struct err *err) MUST_CHECK;
/* All that are known, the newest first; *out is in the arena. */
int tasks_list(struct tasks *t, struct arena *a, struct task_seen **out, size_t *n, struct err *err) MUST_CHECK;

#endif
