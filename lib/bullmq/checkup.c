#include "lib/bullmq/checkup.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/bullmq/bq_impl.h"

#define STEP_TIMEOUT_MS 10000
#define SCAN_KEYS 1000
#define BACK_AT_ONCE 500
#define AT_ONCE 20 /* ids that one script looks at: each may walk along the lists */

const struct bq_fault_row bq_faults[BQ_FAULT_COUNT] = {
#define X(id, word, means, mends) [BQ_FAULT_##id] = {word, means, mends},
	BQ_FAULTS(X)
#undef X
};

/* Suspects of one kind, looked at AT_ONCE at a time. */
struct suspects {
	enum bq_script script;
	struct str ids[AT_ONCE];
	size_t n;
};

struct queue_seen {
	struct bq_queue queue;
	struct table placed; /* ids that stand somewhere; the value says nothing */
	struct suspects jobs, deduplications;
	bool foreign; /* something else stands under one of its keys: nothing of it can be read for certain */
};

struct walk {
	struct bq *bq;
	struct bq_checkup *c;
	struct table queues; /* struct queue_seen by name */
	struct arena a;      /* of the present step; it ends with no suspect waiting */
	int64_t step_began_ms;
	struct err *err;
};

static int64_t step_deadline(struct walk *w)
{
	w->step_began_ms = clock_mono_ms();
	return w->step_began_ms + STEP_TIMEOUT_MS;
}

/* Others shall find Redis free. */
static void rest(struct walk *w)
{
	clock_sleep_ms(clock_mono_ms() - w->step_began_ms + 1);
	arena_reset(&w->a);
}

/* ---- looking at suspects ---- */

static void tell_word(struct walk *w, const struct queue_seen *q, struct str id, struct str word)
{
	for (unsigned i = 0; i < BQ_FAULT_COUNT; i++) {
		if (!str_is(word, bq_faults[i].word))
			continue;
		const struct bq_faulty found = {.queue = q->queue.name, .id = id, .fault = (enum bq_fault)i};
		w->c->tell(w->c->arg, &found);
	}
}

static int look_at(struct walk *w, const struct queue_seen *q, struct suspects *s)
{
	const struct bq_script_call call = {.queue = &q->queue};
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	if (s->n == 0)
		return 0;
	bq_script_begin(&cmd, s->script, &call, s->n + 1);
	rcmd_argz(&cmd, w->c->mend ? "1" : "0");
	for (size_t i = 0; i < s->n; i++)
		rcmd_arg(&cmd, s->ids[i]);
	int rc = bq_ask(w->bq, &cmd, clock_mono_ms() + STEP_TIMEOUT_MS, &replies, w->err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s->n; i++)
		tell_word(w, q, s->ids[i], rreply_str(rreply_at(replies.items[0], i)));
	rreplies_release(&replies);
	s->n = 0;
	return rc;
}

/* The id must last until the step's end. */
static int suspect(struct walk *w, struct queue_seen *q, struct suspects *s, struct str id)
{
	s->ids[s->n++] = id;
	return s->n == AT_ONCE ? look_at(w, q, s) : 0;
}

static int look_at_rest(struct walk *w)
{
	int rc = 0;

	for (struct table_iter it = {0}; rc == 0 && table_next(&w->queues, &it);) {
		struct queue_seen *q = it.value;

		rc = look_at(w, q, &q->jobs);
		if (rc == 0)
			rc = look_at(w, q, &q->deduplications);
	}
	return rc;
}

/* ---- which queues there are ---- */

static void queue_free(struct queue_seen *q)
{
	table_release(&q->placed);
	bq_queue_release(&q->queue);
	free(q);
}

static int add_queue(struct walk *w, struct str name)
{
	struct queue_seen *q;

	if (table_get(&w->queues, name))
		return 0;
	q = calloc(1, sizeof(*q));
	if (!q)
		return err_set(w->err, ERR_NOMEM, "no memory for a queue");
	table_init(&q->placed);
	q->jobs.script = BQ_SCRIPT_CHECK_JOBS;
	q->deduplications.script = BQ_SCRIPT_CHECK_DEDUPLICATION;
	if (bq_queue_init(&q->queue, w->c->prefix, name, NULL) < 0 || table_put(&w->queues, name, q) < 0) {
		queue_free(q);
		return err_set(w->err, ERR_NOMEM, "no memory for a queue");
	}
	w->c->queues++;
	return 0;
}

static int find_queues(struct walk *w)
{
	uint64_t cursor = 0;
	int rc;

	do {
		struct str *names;
		size_t n = 0;

		rc = bq_discover(w->bq, w->c->prefix, &cursor, SCAN_KEYS, &w->a, &names, &n, step_deadline(w), w->err);
		for (size_t i = 0; rc == 0 && i < n; i++)
			rc = add_queue(w, names[i]);
		rest(w);
	} while (rc == 0 && cursor != 0);
	return rc;
}

/* ---- what stands in the lists and sets ---- */

static int note_page(struct walk *w, struct queue_seen *q, const struct bq_place *places, size_t n)
{
	struct bq_brief *briefs = arena_array(&w->a, n + 1, sizeof(*briefs));
	int rc = briefs ? bq_briefs(w->bq, &q->queue, places, n, &w->a, briefs, clock_mono_ms() + STEP_TIMEOUT_MS, w->err) : ERR_NOMEM;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		bool twice = table_get(&q->placed, places[i].id) != NULL;

		rc = table_put(&q->placed, places[i].id, q);
		if (rc == 0 && (twice || !briefs[i].name.p))
			rc = suspect(w, q, &q->jobs, places[i].id);
	}
	return rc == ERR_NOMEM ? err_set(w->err, rc, "no memory for the ids of jobs") : rc;
}

static int walk_state(struct walk *w, struct queue_seen *q, enum bq_state state)
{
	struct bq_cursor at = {0};
	struct buf last = BUF_INIT; /* the cursor's id between two steps */
	int rc = 0;

	while (rc == 0 && !at.done) {
		struct bq_place *places = arena_array(&w->a, BQ_PAGE_MAX, sizeof(*places));
		size_t n = 0;

		rc = places ? bq_page(w->bq, &q->queue, state, false, &at, BQ_PAGE_MAX, &w->a, places, &n, step_deadline(w), w->err) : ERR_NOMEM;
		if (rc == 0)
			rc = note_page(w, q, places, n);
		if (rc == 0)
			rc = look_at(w, q, &q->jobs);
		w->c->jobs += (int64_t)n;
		buf_clear(&last);
		if (at.last.id.p) {
			buf_adds(&last, at.last.id);
			at.last.id = buf_str(&last);
		}
		rest(w);
	}
	buf_release(&last);
	return rc;
}

/* What resuming does with the jobs, but that the queue stays paused: a worker would take some in between. */
static int put_back(struct walk *w, const struct queue_seen *q, int64_t n)
{
	int rc = 0;

	for (; rc == 0 && n > 0; n -= BACK_AT_ONCE) {
		struct rcmd cmd = RCMD_INIT;
		struct rreplies replies;

		for (int64_t i = 0; i < n && i < BACK_AT_ONCE; i++) {
			rcmd_begin(&cmd, 5);
			rcmd_argz(&cmd, "LMOVE");
			rcmd_arg(&cmd, q->queue.keys[BQ_KEY_PAUSED]);
			rcmd_arg(&cmd, q->queue.keys[BQ_KEY_WAIT]);
			rcmd_argz(&cmd, "LEFT");
			rcmd_argz(&cmd, "RIGHT");
		}
		rc = bq_call(w->bq, &cmd, step_deadline(w), &replies, w->err);
		if (rc < 0)
			return rc;
		for (size_t i = 0; rc == 0 && i < replies.count; i++)
			rc = rreply_error(replies.items[i], w->err);
		rreplies_release(&replies);
		rest(w);
	}
	return rc;
}

static int look_at_leftovers(struct walk *w, struct queue_seen *q)
{
	const struct bq_queue *queues[] = {&q->queue};
	const struct bq_faulty found = {.queue = q->queue.name, .id = STR(""), .fault = BQ_FAULT_LEFT_BY_V5};
	struct bq_facts f;
	int rc = bq_facts(w->bq, queues, 1, &w->a, &f, step_deadline(w), w->err);

	if (rc < 0 || f.left_by_v5 == 0)
		return rc;
	w->c->tell(w->c->arg, &found);
	if (!w->c->mend)
		return 0;
	return f.counts.paused ? put_back(w, q, f.left_by_v5) : bq_pause(w->bq, &q->queue, false, clock_mono_ms() + STEP_TIMEOUT_MS, w->err);
}

static int find_foreign(struct walk *w, struct queue_seen *q)
{
	static const struct {
		enum bq_key key;
		const char *type;
	} expected[] = {{BQ_KEY_WAIT, "list"}, {BQ_KEY_PAUSED, "list"}, {BQ_KEY_ACTIVE, "list"}, {BQ_KEY_DELAYED, "zset"},
			{BQ_KEY_PRIORITIZED, "zset"}, {BQ_KEY_WAITING_CHILDREN, "zset"}, {BQ_KEY_COMPLETED, "zset"}, {BQ_KEY_FAILED, "zset"},
			{BQ_KEY_META, "hash"}, {BQ_KEY_EVENTS, "stream"}, {BQ_KEY_ID, "string"}, {BQ_KEY_MARKER, "zset"}, {BQ_KEY_STALLED, "set"}};
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		rcmd_begin(&cmd, 2);
		rcmd_argz(&cmd, "TYPE");
		rcmd_arg(&cmd, q->queue.keys[expected[i].key]);
	}
	int rc = bq_call(w->bq, &cmd, step_deadline(w), &replies, w->err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(expected); i++) {
		struct str key = q->queue.keys[expected[i].key], type = rreply_str(replies.items[i]);
		size_t base = q->queue.keys[BQ_KEY_BASE].n;
		const struct bq_faulty found = {.queue = q->queue.name, .id = str_sub(key, base, key.n - base), .fault = BQ_FAULT_FOREIGN_KEY};

		rc = rreply_error(replies.items[i], w->err);
		if (rc < 0 || str_is(type, "none") || str_is(type, expected[i].type))
			continue;
		w->c->tell(w->c->arg, &found);
		q->foreign = true;
	}
	rreplies_release(&replies);
	return rc;
}

static int walk_queue(struct walk *w, struct queue_seen *q)
{
	int rc = find_foreign(w, q);

	if (rc == 0 && !q->foreign)
		rc = look_at_leftovers(w, q);
	for (unsigned s = 0; rc == 0 && !q->foreign && s < BQ_STATE_COUNT; s++)
		rc = walk_state(w, q, (enum bq_state)s);
	return rc;
}

/* ---- all keys ---- */

/* "P:Q:<rest>": a job's hash, a deduplication, or something else. */
static int look_at_key(struct walk *w, struct str key)
{
	if (key.n <= w->c->prefix.n + 1)
		return 0;
	struct str rest_of_key = str_sub(key, w->c->prefix.n + 1, key.n - w->c->prefix.n - 1);
	struct str name = str_cut(&rest_of_key, ':');
	struct queue_seen *q = table_get(&w->queues, name);

	if (!q || q->foreign || !rest_of_key.p || rest_of_key.n == 0)
		return 0;
	if (str_starts(rest_of_key, STR("de:")))
		return suspect(w, q, &q->deduplications, str_sub(rest_of_key, 3, rest_of_key.n - 3));
	bool may_be_job = !memchr(rest_of_key.p, ':', rest_of_key.n) || str_starts(rest_of_key, STR("repeat:"));
	return may_be_job && !table_get(&q->placed, rest_of_key) ? suspect(w, q, &q->jobs, rest_of_key) : 0;
}

static void put_scan(struct rcmd *cmd, const struct walk *w, uint64_t cursor)
{
	struct buf at = BUF_INIT, pattern = BUF_INIT;

	buf_addu(&at, cursor);
	bq_pattern(&pattern, w->c->prefix, ":*");
	rcmd_begin(cmd, 6);
	rcmd_argz(cmd, "SCAN");
	bq_arg_packed(cmd, &at);
	rcmd_argz(cmd, "MATCH");
	bq_arg_packed(cmd, &pattern);
	rcmd_argz(cmd, "COUNT");
	rcmd_argi(cmd, SCAN_KEYS);
}

static int walk_keys(struct walk *w)
{
	uint64_t cursor = 0;
	int rc = 0;

	do {
		struct rcmd cmd = RCMD_INIT;
		struct rreplies replies;

		put_scan(&cmd, w, cursor);
		rc = bq_ask(w->bq, &cmd, step_deadline(w), &replies, w->err);
		if (rc < 0)
			break;
		const redisReply *keys = rreply_at(replies.items[0], 1);
		for (size_t i = 0; rc == 0 && rreply_at(keys, i); i++)
			rc = look_at_key(w, rreply_str(rreply_at(keys, i)));
		if (rc == 0)
			rc = look_at_rest(w); /* what they point to is about to go */
		if (rc == 0 && str_to_u64(rreply_str(rreply_at(replies.items[0], 0)), &cursor) < 0)
			rc = err_set(w->err, ERR_PROTOCOL, "Redis answered a SCAN in an unknown form");
		rreplies_release(&replies);
		rest(w);
	} while (rc == 0 && cursor != 0);
	return rc;
}

int bq_check_up(struct bq *bq, struct bq_checkup *c, struct err *err)
{
	struct walk w = {.bq = bq, .c = c, .err = err};
	int rc;

	c->queues = c->jobs = 0;
	table_init(&w.queues);
	arena_init(&w.a, 0);
	rc = find_queues(&w);
	for (struct table_iter it = {0}; rc == 0 && table_next(&w.queues, &it);)
		rc = walk_queue(&w, it.value);
	if (rc == 0)
		rc = walk_keys(&w);
	for (struct table_iter it = {0}; table_next(&w.queues, &it);)
		queue_free(it.value);
	table_release(&w.queues);
	arena_release(&w.a);
	return rc;
}
