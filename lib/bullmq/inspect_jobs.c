/* Jobs as those see them who watch a queue. */
#include "lib/bullmq/inspect.h"

#include <math.h>
#include <stdlib.h>

#include "lib/bullmq/bq_impl.h"

#define ANCHOR_SEARCH 200 /* how far a page looks for the last id of the one before */
#define LIST_PLACE_MAX (UINT64_C(1) << 32) /* more than a list of Redis has */

static void put_key(struct rcmd *cmd, const struct bq_queue *q, struct str id, const char *suffix)
{
	struct buf key = BUF_INIT;

	bq_job_key(&key, q, id, suffix);
	bq_arg_packed(cmd, &key);
}

static int first_error(const struct rreplies *replies, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < replies->count && rc == 0; i++)
		rc = rreply_error(replies->items[i], err);
	return rc;
}

/* ---- pages of ids ---- */

#define PARTS_MAX 2

/* Where the ids of a state stand. BQ_KEY_COUNT: nowhere else. */
static const enum bq_key PARTS[BQ_STATE_COUNT][PARTS_MAX] = {
	[BQ_WAITING] = {BQ_KEY_WAIT, BQ_KEY_PAUSED},
	[BQ_ACTIVE] = {BQ_KEY_ACTIVE, BQ_KEY_COUNT},
	[BQ_COMPLETED] = {BQ_KEY_COMPLETED, BQ_KEY_COUNT},
	[BQ_FAILED] = {BQ_KEY_FAILED, BQ_KEY_COUNT},
	[BQ_DELAYED] = {BQ_KEY_DELAYED, BQ_KEY_COUNT},
	[BQ_PRIORITIZED] = {BQ_KEY_PRIORITIZED, BQ_KEY_COUNT},
	[BQ_WAITING_CHILDREN] = {BQ_KEY_WAITING_CHILDREN, BQ_KEY_COUNT},
};

static void put_page(struct rcmd *cmd, const struct bq_queue *q, enum bq_key key, bool ascending, const struct bq_place *last, size_t limit)
{
	const struct bq_script_call call = {.queue = q, .more = &q->keys[key], .n_more = 1};

	bq_script_begin(cmd, BQ_SCRIPT_PAGE, &call, 5);
	rcmd_argz(cmd, ascending ? "1" : "0");
	rcmd_argi(cmd, (int64_t)limit);
	rcmd_arg(cmd, last->id.p ? last->id : STR(""));
	rcmd_argz(cmd, last->at);
	rcmd_argi(cmd, ANCHOR_SEARCH);
}

static int read_page(const redisReply *reply, unsigned part, struct arena *a, struct bq_place *out, size_t limit, size_t *n, struct err *err)
{
	int rc = rreply_error(reply, err);

	for (size_t i = 0; rc == 0 && *n < limit && rreply_at(reply, i + 1); i += 2) {
		struct str at = rreply_str(rreply_at(reply, i + 1));
		struct bq_place *p = &out[*n];

		*p = (struct bq_place){.id = arena_dup(a, rreply_str(rreply_at(reply, i))), .part = part};
		if (!p->id.p)
			return err_set(err, ERR_NOMEM, "no memory for a job id");
		if (at.n >= sizeof(p->at))
			return err_set(err, ERR_PROTOCOL, "a score of %zu characters", at.n);
		memcpy(p->at, at.p, at.n);
		(*n)++;
	}
	return rc;
}

int bq_page(struct bq *bq, const struct bq_queue *q, enum bq_state state, bool ascending, struct bq_cursor *cursor, size_t limit,
	    struct arena *a, struct bq_place *out, size_t *n, int64_t deadline, struct err *err)
{
	int rc = 0;

	*n = 0;
	while (rc == 0 && *n < limit && !cursor->done) {
		struct rcmd cmd = RCMD_INIT;
		struct rreplies replies;
		unsigned part = cursor->last.part;

		put_page(&cmd, q, PARTS[state][part], ascending, &cursor->last, limit - *n);
		rc = bq_call(bq, &cmd, deadline, &replies, err);
		if (rc < 0)
			break;
		rc = read_page(replies.items[0], part, a, out, limit, n, err);
		rreplies_release(&replies);
		if (*n == limit) {
			cursor->last = out[*n - 1];
		} else if (part + 1 < PARTS_MAX && PARTS[state][part + 1] != BQ_KEY_COUNT) {
			cursor->last = (struct bq_place){.part = part + 1};
		} else {
			cursor->done = true;
		}
	}
	return rc;
}

void bq_cursor_write(struct buf *out, const struct bq_cursor *c)
{
	buf_addf(out, "%u~%s~", c->last.part, c->last.at);
	buf_adds(out, c->last.id.p ? c->last.id : STR(""));
}

static bool has_part(enum bq_state state, uint64_t part)
{
	return part < PARTS_MAX && PARTS[state][part] != BQ_KEY_COUNT;
}

/* What Redis' scripts take for a place: in a list, how many stand behind; in a set, any score. */
static bool is_place(enum bq_state state, const char *at)
{
	bool list = state == BQ_WAITING || state == BQ_ACTIVE;
	uint64_t behind;
	char *end;

	if (list)
		return str_to_u64(str_from(at), &behind) == 0 && behind <= LIST_PLACE_MAX;
	return at[strspn(at, "0123456789+-.einf")] == '\0' && !isnan(strtod(at, &end)) && *end == '\0';
}

int bq_cursor_read(struct bq_cursor *c, enum bq_state state, struct str text, struct err *err)
{
	uint64_t part;
	struct str first = str_cut(&text, '~'), at = text.p ? str_cut(&text, '~') : STR_NONE;

	*c = (struct bq_cursor){0};
	if (!text.p || at.n >= BQ_PLACE_SIZE || str_to_u64(first, &part) < 0 || !has_part(state, part) || (text.n > 0) != (at.n > 0))
		return err_set(err, ERR_INVALID, "the cursor is none that was given out");
	c->last = (struct bq_place){.id = text.n ? text : STR_NONE, .part = (unsigned)part};
	memcpy(c->last.at, at.p, at.n);
	if (at.n && (strlen(c->last.at) != at.n || !is_place(state, c->last.at)))
		return err_set(err, ERR_INVALID, "the cursor is none that was given out");
	return 0;
}

/* ---- jobs ---- */

static int read_brief(struct bq_brief *b, const redisReply *values, struct arena *a, struct err *err)
{
	struct str name = rreply_str(rreply_at(values, 0)), reason = rreply_str(rreply_at(values, 3));

	*b = (struct bq_brief){.timestamp = -1, .finished_on = -1};
	if (!rreply_int(rreply_at(values, 1), &b->timestamp))
		return 0; /* no job, as in bq_job_from_values */
	if (!rreply_int(rreply_at(values, 2), &b->finished_on))
		b->finished_on = -1;
	b->name = arena_dup(a, name.p ? name : STR(""));
	b->failed_reason = reason.p ? arena_dup(a, reason) : STR_NONE;
	if (!b->name.p || (reason.p && !b->failed_reason.p))
		return err_set(err, ERR_NOMEM, "no memory for jobs");
	return 0;
}

int bq_briefs(struct bq *bq, const struct bq_queue *q, const struct bq_place *places, size_t n, struct arena *a, struct bq_brief *out,
	      int64_t deadline, struct err *err)
{
	static const char *const fields[] = {"name", "timestamp", "finishedOn", "failedReason"};
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		rcmd_begin(&cmd, 2 + ARRAY_LEN(fields));
		rcmd_argz(&cmd, "HMGET");
		put_key(&cmd, q, places[i].id, "");
		for (size_t f = 0; f < ARRAY_LEN(fields); f++)
			rcmd_argz(&cmd, fields[f]);
	}
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = read_brief(&out[i], replies.items[i], a, err);
	rreplies_release(&replies);
	return rc;
}

int bq_read_jobs(struct bq *bq, const struct bq_queue *q, enum bq_state state, const struct bq_place *places, size_t n, struct arena *a,
		 struct bq_job *out, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		bq_job_fetch(&cmd, q, places[i].id, BQ_READ_HEAD);
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = bq_job_from_values(&out[i], places[i].id, BQ_READ_HEAD, replies.items[i], NULL, a);
		if (rc == 0)
			out[i].state = state;
		else if (rc == ERR_NOT_FOUND)
			rc = 0;
	}
	rreplies_release(&replies);
	return rc < 0 ? err_set(err, rc, "no memory for jobs") : 0;
}

int bq_logs(struct bq *bq, const struct bq_queue *q, struct str id, int64_t start, size_t limit, struct arena *a, struct bq_logs *out,
	    int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	*out = (struct bq_logs){.lines = arena_array(a, limit + 1, sizeof(*out->lines))};
	if (!out->lines)
		return err_set(err, ERR_NOMEM, "no memory for log lines");
	rcmd_begin(&cmd, 4);
	rcmd_argz(&cmd, "LRANGE");
	put_key(&cmd, q, id, ":logs");
	rcmd_argi(&cmd, start);
	rcmd_argi(&cmd, start + (int64_t)limit - 1);
	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, "LLEN");
	put_key(&cmd, q, id, ":logs");
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = first_error(&replies, err);
	for (size_t i = 0; rc == 0 && i < limit && rreply_at(replies.items[0], i); i++) {
		out->lines[i] = arena_dup(a, rreply_str(rreply_at(replies.items[0], i)));
		if (!out->lines[i].p)
			rc = err_set(err, ERR_NOMEM, "no memory for log lines");
		out->n = i + 1;
	}
	if (rc == 0 && !rreply_int(replies.items[1], &out->total))
		out->total = (int64_t)out->n;
	rreplies_release(&replies);
	return rc;
}

/* ---- children ---- */

void bq_split_key(struct str key, struct str *queue, struct str *id)
{
	size_t colon = key.n, from;

	while (colon > 0 && key.p[colon - 1] != ':')
		colon--;
	*id = str_sub(key, colon, key.n - colon);
	from = colon > 0 ? colon - 1 : 0;
	while (from > 0 && key.p[from - 1] != ':')
		from--;
	*queue = str_sub(key, from, colon > 0 ? colon - 1 - from : 0);
}

/* Where the children of a job stand: those that have not ended, those that have, by what they left behind. */
static const struct {
	const char *suffix, *verb;
	unsigned step; /* a hash's keys stand between its values */
} CHILDREN[] = {
	{":dependencies", "SSCAN", 1},
	{":processed", "HSCAN", 2},
	{":failed", "HSCAN", 2},
	{":unsuccessful", "ZSCAN", 2},
};

static void put_children(struct rcmd *cmd, struct str job_key, size_t limit)
{
	for (size_t i = 0; i < ARRAY_LEN(CHILDREN); i++) {
		struct buf key = BUF_INIT;

		buf_adds(&key, job_key);
		buf_addz(&key, CHILDREN[i].suffix);
		rcmd_begin(cmd, 5);
		rcmd_argz(cmd, CHILDREN[i].verb);
		bq_arg_packed(cmd, &key);
		rcmd_argz(cmd, "0");
		rcmd_argz(cmd, "COUNT");
		rcmd_argi(cmd, (int64_t)limit);
	}
}

static int read_children(const redisReply *scan, unsigned step, size_t limit, struct arena *a, struct bq_child_keys *out, struct err *err)
{
	const redisReply *items = rreply_at(scan, 1);

	if (!str_is(rreply_str(rreply_at(scan, 0)), "0"))
		out->more = true;
	for (size_t i = 0; rreply_at(items, i); i += step) {
		if (out->n == limit) {
			out->more = true;
			break;
		}
		out->keys[out->n] = arena_dup(a, rreply_str(rreply_at(items, i)));
		if (!out->keys[out->n++].p)
			return err_set(err, ERR_NOMEM, "no memory for the children of a job");
	}
	return 0;
}

int bq_child_keys(struct bq *bq, const struct str *job_keys, size_t n, size_t limit, struct arena *a, struct bq_child_keys *out,
		  int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		out[i] = (struct bq_child_keys){.keys = arena_array(a, limit + 1, sizeof(*out[i].keys))};
		if (!out[i].keys)
			rc = err_set(err, ERR_NOMEM, "no memory for the children of a job");
		put_children(&cmd, job_keys[i], limit);
	}
	if (rc < 0 || n == 0) {
		rcmd_release(&cmd);
		return rc;
	}
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = first_error(&replies, err);
	for (size_t i = 0; i < n * ARRAY_LEN(CHILDREN) && rc == 0; i++)
		rc = read_children(replies.items[i], CHILDREN[i % ARRAY_LEN(CHILDREN)].step, limit, a, &out[i / ARRAY_LEN(CHILDREN)], err);
	rreplies_release(&replies);
	return rc;
}
