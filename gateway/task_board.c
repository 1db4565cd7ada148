#include "gateway/task_board.h"

#include "lib/base/clock.h"
#include "lib/json/jdoc.h"
#include "lib/json/jwrite.h"

#define CANCEL_S 3600
#define REPLIES_EACH 4 /* to what is told of a task */
#define ID_MAX 64

static const char LOST[] = "The gateway that worked on it is gone, or cannot reach Redis. What it has done stays done.";

const char *task_state_word(enum task_state s)
{
	static const char *const words[] = {
#define X(id, word) [TASK_##id] = word,
		TASK_STATES(X)
#undef X
	};

	return words[s];
}

/* ---- a task as JSON ---- */

#define AT(member) offsetof(struct task_seen, member)

static const struct {
	const char *name;
	size_t at;
} TEXTS[] = {
	{"id", AT(id)}, {"queue", AT(queue)}, {"by", AT(by)}, {"name", AT(name)}, {"error", AT(error)}, {"failure", AT(failure)},
}, NUMBERS[] = {
	{"olderThanMs", AT(older_than_ms)}, {"scanned", AT(counts.scanned)}, {"matched", AT(counts.matched)}, {"changed", AT(counts.changed)},
	{"skipped", AT(counts.skipped)}, {"total", AT(total)}, {"createdMs", AT(created_ms)}, {"startedMs", AT(started_ms)}, {"endedMs", AT(ended_ms)},
};

static void write_task(struct buf *out, const struct task_seen *t)
{
	struct jwrite w = jwrite_into(out);
	const char *base = (const char *)t;

	jw_open(&w, '{');
	for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++)
		jw_kstr(&w, TEXTS[i].name, *(const struct str *)(const void *)(base + TEXTS[i].at));
	for (size_t i = 0; i < ARRAY_LEN(NUMBERS); i++)
		jw_kint(&w, NUMBERS[i].name, *(const int64_t *)(const void *)(base + NUMBERS[i].at));
	jw_kstrz(&w, "action", bulk_action_word(t->action));
	jw_kstrz(&w, "ofState", bq_state_word(t->of_state));
	jw_kstrz(&w, "state", task_state_word(t->state));
	jw_kint(&w, "heardMs", clock_wall_ms());
	jw_close(&w, '}');
}

static bool read_words(const struct jdoc *doc, struct arena *a, struct task_seen *t)
{
	struct str action = jdoc_string(doc, jdoc_get(doc, JDOC_ROOT, "action"), a), of = jdoc_string(doc, jdoc_get(doc, JDOC_ROOT, "ofState"), a);
	struct str state = jdoc_string(doc, jdoc_get(doc, JDOC_ROOT, "state"), a);
	unsigned of_state = 0, task_state = 0;

	while (of_state < BQ_STATE_COUNT && !str_is(of, bq_state_word((enum bq_state)of_state)))
		of_state++;
	while (task_state < TASK_STATE_COUNT && !str_is(state, task_state_word((enum task_state)task_state)))
		task_state++;
	t->of_state = (enum bq_state)of_state;
	t->state = (enum task_state)task_state;
	return bulk_action_of(action, &t->action) && of_state < BQ_STATE_COUNT && task_state < TASK_STATE_COUNT;
}

static bool read_task(struct str json, struct arena *a, struct task_seen *t, int64_t *heard_ms)
{
	struct str text = arena_dup(a, json);
	struct jdoc doc;
	char *base = (char *)t;
	bool ok = text.p && jdoc_parse(&doc, a, text, &JDOC_LIMITS, NULL) == 0;

	*t = (struct task_seen){0};
	for (size_t i = 0; ok && i < ARRAY_LEN(TEXTS); i++)
		*(struct str *)(void *)(base + TEXTS[i].at) = jdoc_string(&doc, jdoc_get(&doc, JDOC_ROOT, TEXTS[i].name), a);
	for (size_t i = 0; ok && i < ARRAY_LEN(NUMBERS); i++)
		ok = jdoc_int(&doc, jdoc_get(&doc, JDOC_ROOT, NUMBERS[i].name), (int64_t *)(void *)(base + NUMBERS[i].at)) == 0;
	return ok && t->id.p && t->queue.p && jdoc_int(&doc, jdoc_get(&doc, JDOC_ROOT, "heardMs"), heard_ms) == 0 && read_words(&doc, a, t);
}

/* The record, and whether anybody says that he has it; false: there is none, or nobody of us wrote it. */
static bool read_told(const redisReply *record, const redisReply *alive, struct arena *a, struct task_seen *t)
{
	int64_t heard_ms;

	if (!rreply_str(record).p || !read_task(rreply_str(record), a, t, &heard_ms))
		return false;
	if (task_is_over(t->state) || !rreply_is_nil(alive))
		return true;
	t->state = TASK_LOST;
	t->ended_ms = heard_ms;
	t->failure = (struct str){LOST, sizeof(LOST) - 1};
	return true;
}

/* ---- calls ---- */

static void add_key(struct rcmd *cmd, const struct task_board *b, struct buf *room, struct str id, const char *suffix)
{
	buf_clear(room);
	buf_adds(room, b->prefix);
	buf_addz(room, id.p ? ":sluice:task:" : ":sluice:tasks");
	buf_adds(room, id);
	buf_addz(room, suffix);
	rcmd_arg(cmd, buf_str(room));
	cmd->wire.failed |= room->failed; /* half a key is another's */
}

static void add_set(struct rcmd *cmd, const struct task_board *b, struct buf *room, struct str id, const char *suffix, struct str value, const char *unit,
		    int64_t ttl)
{
	rcmd_begin(cmd, 5);
	rcmd_argz(cmd, "SET");
	add_key(cmd, b, room, id, suffix);
	rcmd_arg(cmd, value);
	rcmd_argz(cmd, unit);
	rcmd_argi(cmd, ttl);
}

static void add_task(struct rcmd *cmd, const struct task_board *b, struct buf *room, struct buf *json, const struct task_seen *t)
{
	buf_clear(json);
	write_task(json, t);
	cmd->wire.failed |= json->failed;
	add_set(cmd, b, room, t->id, "", buf_str(json), "EX", TASK_KEPT_S);
	if (task_is_over(t->state)) {
		rcmd_begin(cmd, 2);
		rcmd_argz(cmd, "DEL");
		add_key(cmd, b, room, t->id, ":alive");
	} else {
		add_set(cmd, b, room, t->id, ":alive", STR("1"), "PX", TASK_ALIVE_MS);
	}
	rcmd_begin(cmd, 2);
	rcmd_argz(cmd, "EXISTS");
	add_key(cmd, b, room, t->id, ":cancel");
	rcmd_begin(cmd, 4);
	rcmd_argz(cmd, "ZADD");
	add_key(cmd, b, room, STR_NONE, "");
	rcmd_argi(cmd, t->created_ms);
	rcmd_arg(cmd, t->id);
}

static void add_bounds(struct rcmd *cmd, const struct task_board *b, struct buf *room)
{
	rcmd_begin(cmd, 4);
	rcmd_argz(cmd, "ZREMRANGEBYRANK");
	add_key(cmd, b, room, STR_NONE, "");
	rcmd_argi(cmd, 0);
	rcmd_argi(cmd, -TASKS_TOLD - 1);
	rcmd_begin(cmd, 3);
	rcmd_argz(cmd, "EXPIRE");
	add_key(cmd, b, room, STR_NONE, "");
	rcmd_argi(cmd, TASK_KEPT_S);
}

/* Sends the command and releases it; an error of any reply is the call's. */
static int call(const struct task_board *b, struct rcmd *cmd, int64_t deadline, struct rreplies *out, struct err *err)
{
	int rc = rmux_call(b->mux, cmd, deadline, out, err);

	rcmd_release(cmd);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < out->count; i++)
		rc = rreply_error(out->items[i], err);
	if (rc < 0)
		rreplies_release(out);
	return rc;
}

int task_board_tell(const struct task_board *b, const struct task_seen *tasks, size_t n, bool *cancel, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct buf room = BUF_INIT, json = BUF_INIT;
	struct rreplies replies;
	int64_t wished;

	for (size_t i = 0; i < n; i++)
		add_task(&cmd, b, &room, &json, &tasks[i]);
	add_bounds(&cmd, b, &room);
	buf_release(&room);
	buf_release(&json);
	int rc = call(b, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		cancel[i] = rreply_int(replies.items[REPLIES_EACH * i + 2], &wished) && wished > 0;
	rreplies_release(&replies);
	return 0;
}

/* MGET of the records of those ids, and of whether they are alive: two elements for each. */
static int read_records(const struct task_board *b, const struct str *ids, size_t n, int64_t deadline, struct rreplies *out, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct buf room = BUF_INIT;

	rcmd_begin(&cmd, 1 + 2 * n);
	rcmd_argz(&cmd, "MGET");
	for (size_t i = 0; i < n; i++) {
		add_key(&cmd, b, &room, ids[i], "");
		add_key(&cmd, b, &room, ids[i], ":alive");
	}
	buf_release(&room);
	return call(b, &cmd, deadline, out, err);
}

int task_board_get(const struct task_board *b, struct str id, struct arena *a, struct task_seen *out, int64_t deadline, struct err *err)
{
	struct rreplies replies;

	if (id.n > ID_MAX)
		return err_set(err, ERR_NOT_FOUND, "there is no such task");
	int rc = read_records(b, &id, 1, deadline, &replies, err);
	if (rc < 0)
		return rc;
	if (!read_told(rreply_at(replies.items[0], 0), rreply_at(replies.items[0], 1), a, out))
		rc = err_set(err, ERR_NOT_FOUND, "there is no task %.*s", STR_ARG(id));
	rreplies_release(&replies);
	return rc;
}

/* The ids that are listed, of at most TASKS_TOLD; they are in the arena. */
static int read_ids(const struct task_board *b, struct arena *a, struct str *ids, size_t *n, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct buf room = BUF_INIT;
	struct rreplies replies;

	*n = 0;
	rcmd_begin(&cmd, 4);
	rcmd_argz(&cmd, "ZREVRANGE");
	add_key(&cmd, b, &room, STR_NONE, "");
	rcmd_argi(&cmd, 0);
	rcmd_argi(&cmd, TASKS_TOLD - 1);
	buf_release(&room);
	int rc = call(b, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; *n < TASKS_TOLD && rreply_at(replies.items[0], i); i++) {
		struct str id = rreply_str(rreply_at(replies.items[0], i));
		ids[*n] = id.n && id.n <= ID_MAX ? arena_dup(a, id) : STR_NONE;
		*n += ids[*n].p != NULL;
	}
	rreplies_release(&replies);
	return 0;
}

int task_board_list(const struct task_board *b, struct arena *a, struct task_seen **out, size_t *n, int64_t deadline, struct err *err)
{
	struct str ids[TASKS_TOLD];
	struct rreplies replies;
	size_t count;

	*n = 0;
	*out = arena_array(a, TASKS_TOLD, sizeof(**out));
	if (!*out)
		return err_set(err, ERR_NOMEM, "no memory for the tasks");
	int rc = read_ids(b, a, ids, &count, deadline, err);
	if (rc < 0 || count == 0)
		return rc;
	rc = read_records(b, ids, count, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++)
		*n += read_told(rreply_at(replies.items[0], 2 * i), rreply_at(replies.items[0], 2 * i + 1), a, &(*out)[*n]);
	rreplies_release(&replies);
	return 0;
}

int task_board_cancel(const struct task_board *b, struct str id, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct buf room = BUF_INIT;
	struct rreplies replies;

	add_set(&cmd, b, &room, id, ":cancel", STR("1"), "EX", CANCEL_S);
	buf_release(&room);
	int rc = call(b, &cmd, deadline, &replies, err);
	if (rc == 0)
		rreplies_release(&replies);
	return rc;
}
