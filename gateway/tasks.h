/* Tasks: what takes longer than a request may. One thread works on one after the other in small steps, and rests after each as long as it took,
 * so that other requests find Redis free.
 *
 *     tasks_add(tasks, &spec, by, arena, &seen, deadline, &err);       → seen.id; /api/tasks/{id}
 *     tasks_get(tasks, id, arena, &seen, deadline, &err);              how far it is
 *     tasks_cancel(tasks, id, arena, &seen, deadline, &err);
 *
 * The process that took a task on works on it, and tells all others on the same Redis how far it is (task_board.h); so each of them answers for it.
 * When that process ends, so do its tasks, and what they have done stays done. Of its own the last TASKS_KEPT that ended can be read without Redis.
 * Thread rule: new, start, stop, free are the owner's; the rest any thread's. */
#ifndef SLUICE_GATEWAY_TASKS_H
#define SLUICE_GATEWAY_TASKS_H

#include "gateway/task_board.h"

#define TASKS_KEPT 100
#define TASKS_OPEN_MAX 20

struct log;
struct tasks;

struct tasks *tasks_new(struct bq *bq, struct str prefix, struct log *log, struct err *err); /* the prefix outlives it */
int tasks_start(struct tasks *t, struct err *err) MUST_CHECK;
void tasks_stop(struct tasks *t); /* the one that runs, and those that wait, are cancelled */
void tasks_free(struct tasks *t);

/* The spec is copied, its queue's keys too. ERR_LIMIT: TASKS_OPEN_MAX are waiting here already. Behind 0 every gateway knows of it. */
int tasks_add(struct tasks *t, const struct bulk_spec *spec, struct str by, struct arena *a, struct task_seen *out, int64_t deadline,
	      struct err *err) MUST_CHECK;
/* ERR_NOT_FOUND. */
int tasks_get(struct tasks *t, struct str id, struct arena *a, struct task_seen *out, int64_t deadline, struct err *err) MUST_CHECK;
/* Returns at once; the task ends behind its present step, one of another process within TASK_BEAT_MS more. ERR_NOT_FOUND, ERR_WRONG_STATE: it has
 * ended. */
int tasks_cancel(struct tasks *t, struct str id, struct arena *a, struct task_seen *out, int64_t deadline, struct err *err) MUST_CHECK;
/* All that are known, the newest first; *out is in the arena. */
int tasks_list(struct tasks *t, struct arena *a, struct task_seen **out, size_t *n, int64_t deadline, struct err *err) MUST_CHECK;

#endif
