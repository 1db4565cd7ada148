/* What gateways on one Redis tell each other of their tasks, so that each of them answers for all.
 *
 *     task_board_tell(&board, tasks, n, cancel, deadline, &err);        by whoever works on them, at least every TASK_BEAT_MS
 *     task_board_get(&board, id, arena, &seen, deadline, &err);
 *     task_board_list(&board, arena, &seen, &n, deadline, &err);        the newest first
 *     task_board_cancel(&board, id, deadline, &err);                    a wish; the next telling brings it
 *
 * In Redis, P being the prefix:
 *     P:sluice:task:ID          the task as JSON, for TASK_KEPT_S behind the last telling
 *     P:sluice:task:ID:alive    somebody works on it, or will: for TASK_ALIVE_MS behind the last telling. A task that is open without it is lost
 *     P:sluice:task:ID:cancel   the wish
 *     P:sluice:tasks            a sorted set of the last TASKS_TOLD by when they were made
 *
 * Any thread. Failures are those of rmux_call. */
#ifndef SLUICE_GATEWAY_TASK_BOARD_H
#define SLUICE_GATEWAY_TASK_BOARD_H

#include "gateway/bulk.h"
#include "lib/base/id.h"

#define TASK_KEPT_S 86400
#define TASK_ALIVE_MS 15000
#define TASK_BEAT_MS 500
#define TASKS_TOLD 120

/* The first two are open. Lost: the process that had it is gone, or cannot reach Redis. */
#define TASK_STATES(X) \
	X(QUEUED, "queued") X(RUNNING, "running") X(DONE, "done") X(CANCELLED, "cancelled") X(FAILED, "failed") X(LOST, "lost")
enum task_state {
#define X(id, word) TASK_##id,
	TASK_STATES(X)
#undef X
	TASK_STATE_COUNT
};
const char *task_state_word(enum task_state s);
static inline bool task_is_over(enum task_state s)
{
	return s >= TASK_DONE;
}

/* A task as it was when it was looked at. */
struct task_seen {
	struct str id, queue, by;
	enum bulk_action action;
	enum bq_state of_state;
	struct str name, error;
	int64_t older_than_ms;
	enum task_state state;
	struct bulk_counts counts;
	int64_t total;                            /* jobs of the state when it began; -1: it has not */
	int64_t created_ms, started_ms, ended_ms; /* wall time; -1: not yet. A lost one ended when it was last heard of */
	struct str failure;                       /* .p NULL: none */
};

/* Both outlive it. */
struct task_board {
	struct rmux *mux;
	struct str prefix;
};

/* cancel[i]: somebody wishes the i-th to be stopped. */
int task_board_tell(const struct task_board *b, const struct task_seen *tasks, size_t n, bool *cancel, int64_t deadline, struct err *err) MUST_CHECK;
/* ERR_NOT_FOUND. Strings are in the arena, as those of the list. */
int task_board_get(const struct task_board *b, struct str id, struct arena *a, struct task_seen *out, int64_t deadline, struct err *err) MUST_CHECK;
int task_board_list(const struct task_board *b, struct arena *a, struct task_seen **out, size_t *n, int64_t deadline, struct err *err) MUST_CHECK;
int task_board_cancel(const struct task_board *b, struct str id, int64_t deadline, struct err *err) MUST_CHECK;

#endif
