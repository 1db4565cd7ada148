/* How queues stand, and which there are. */
#include "lib/bullmq/inspect.h"

#include "lib/base/clock.h"
#include "lib/bullmq/bq_impl.h"
#include "lib/json/jdoc.h"

/* What is asked beside the counts, in this order. */
enum {
	AT_META,
	AT_ADDED,
	AT_COMPLETED,
	AT_FAILED,
	AT_LIMIT_USED,
	AT_LIMIT_ENDS,
	AT_DUE,
	AT_NEXT_DELAYED,
	AT_LEFT,
	AT_MARKER,
	AT_NEXT_WAITING,
	AT_NEXT_PRIORITIZED,
	COMMANDS_PER_QUEUE
};

enum { META_CONCURRENCY, META_MAX, META_DURATION, META_VERSION, META_PAUSE };
static const char *const META_FIELDS[] = {"concurrency", "max", "duration", "version", BQ_META_PAUSE};

static void put(struct rcmd *cmd, const char *verb, struct str key, const char *const *args, size_t n)
{
	rcmd_begin(cmd, n + 2);
	rcmd_argz(cmd, verb);
	rcmd_arg(cmd, key);
	for (size_t i = 0; i < n; i++)
		rcmd_argz(cmd, args[i]);
}

static void put_facts(struct rcmd *cmd, const struct bq_queue *q, int64_t now)
{
	static const char *const count[] = {"count"}, *const first[] = {"0", "0"}, *const first_scored[] = {"0", "0", "WITHSCORES"},
				  *const last[] = {"-1"};
	const struct str *k = q->keys;

	put(cmd, "HMGET", k[BQ_KEY_META], META_FIELDS, ARRAY_LEN(META_FIELDS));
	put(cmd, "GET", k[BQ_KEY_ID], NULL, 0);
	put(cmd, "HMGET", k[BQ_KEY_METRICS_COMPLETED], count, 1);
	put(cmd, "HMGET", k[BQ_KEY_METRICS_FAILED], count, 1);
	put(cmd, "GET", k[BQ_KEY_LIMITER], NULL, 0);
	put(cmd, "PTTL", k[BQ_KEY_LIMITER], NULL, 0);
	rcmd_begin(cmd, 4);
	rcmd_argz(cmd, "ZCOUNT");
	rcmd_arg(cmd, k[BQ_KEY_DELAYED]);
	rcmd_argz(cmd, "-inf");
	rcmd_argi(cmd, (now + 1) * BQ_DELAYED_SHIFT - 1);
	put(cmd, "ZRANGE", k[BQ_KEY_DELAYED], first_scored, 3);
	put(cmd, "LLEN", k[BQ_KEY_PAUSED], NULL, 0);
	put(cmd, "ZCARD", k[BQ_KEY_MARKER], NULL, 0);
	put(cmd, "LINDEX", k[BQ_KEY_WAIT], last, 1);
	put(cmd, "ZRANGE", k[BQ_KEY_PRIORITIZED], first, 2);
}

/* {"reason":…,"by":…,"since":…}; what somebody else wrote there is passed over. */
static void read_pause(struct bq_pause_note *note, struct str text, struct arena *a)
{
	struct jdoc doc;

	*note = (struct bq_pause_note){.since_ms = -1};
	struct str copy = text.p ? arena_dup(a, text) : STR_NONE;
	if (!copy.p || jdoc_parse(&doc, a, copy, &JDOC_TOKEN_LIMITS, NULL) < 0)
		return;
	note->reason = jdoc_string(&doc, jdoc_get(&doc, JDOC_ROOT, "reason"), a);
	note->by = jdoc_string(&doc, jdoc_get(&doc, JDOC_ROOT, "by"), a);
	if (jdoc_int(&doc, jdoc_get(&doc, JDOC_ROOT, "since"), &note->since_ms) < 0)
		note->since_ms = -1;
}

static void read_meta(struct bq_facts *f, const redisReply *meta, struct arena *a)
{
	struct str version = rreply_str(rreply_at(meta, META_VERSION));

	f->concurrency = bq_number_or(rreply_at(meta, META_CONCURRENCY), -1);
	f->limiter.max = bq_number_or(rreply_at(meta, META_MAX), 0);
	f->limiter.duration_ms = bq_number_or(rreply_at(meta, META_DURATION), 0);
	f->version = version.p ? arena_dup(a, version) : STR_NONE;
	read_pause(&f->pause, rreply_str(rreply_at(meta, META_PAUSE)), a);
}

static int read_facts(struct bq_facts *f, redisReply *const *replies, struct arena *a, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < COMMANDS_PER_QUEUE && rc == 0; i++) {
		bool foreign = rreply_is_foreign(replies[i]);
		rc = foreign ? 0 : rreply_error(replies[i], err);
		f->counts.foreign = f->counts.foreign || foreign;
	}
	if (rc < 0)
		return rc;
	read_meta(f, replies[AT_META], a);
	f->added = bq_number_or(replies[AT_ADDED], 0);
	f->completed_total = bq_number_or(rreply_at(replies[AT_COMPLETED], 0), -1);
	f->failed_total = bq_number_or(rreply_at(replies[AT_FAILED], 0), -1);
	int64_t ends = bq_number_or(replies[AT_LIMIT_ENDS], -1);
	f->limit_ends_ms = ends > 0 ? ends : 0;
	f->limit_used = ends > 0 ? bq_number_or(replies[AT_LIMIT_USED], 0) : 0;
	f->due = bq_number_or(replies[AT_DUE], 0);
	struct str due = rreply_str(rreply_at(replies[AT_NEXT_DELAYED], 1));
	f->next_delayed_ms = bq_due_ms(due);
	f->left_by_v5 = bq_number_or(replies[AT_LEFT], 0);
	f->marker = bq_number_or(replies[AT_MARKER], 0) > 0;
	struct str next = rreply_str(replies[AT_NEXT_WAITING]);
	if (!next.p)
		next = rreply_str(rreply_at(replies[AT_NEXT_PRIORITIZED], 0));
	f->next_id = next.p ? arena_dup(a, next) : STR_NONE;
	f->next_since_ms = -1;
	return next.p && !f->next_id.p ? err_set(err, ERR_NOMEM, "no memory for a job id") : 0;
}

/* When the next in line were added. */
static int read_ages(struct bq *bq, const struct bq_queue *const *queues, size_t n, struct bq_facts *out, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		struct buf key = BUF_INIT;

		if (!out[i].next_id.p)
			continue;
		bq_job_key(&key, queues[i], out[i].next_id, "");
		rcmd_begin(&cmd, 3);
		rcmd_argz(&cmd, "HGET");
		bq_arg_packed(&cmd, &key);
		rcmd_argz(&cmd, "timestamp");
	}
	if (cmd.commands == 0)
		return 0;
	int rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		if (out[i].next_id.p)
			out[i].next_since_ms = bq_number_or(replies.items[at++], -1);
	rreplies_release(&replies);
	return 0;
}

int bq_facts(struct bq *bq, const struct bq_queue *const *queues, size_t n, struct arena *a, struct bq_facts *out, int64_t deadline,
	     struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int64_t now = clock_wall_ms();
	int rc;

	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		out[i] = (struct bq_facts){0};
		bq_put_counts(&cmd, queues[i]);
		put_facts(&cmd, queues[i], now);
	}
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	redisReply *const *at = replies.items;
	for (size_t i = 0; i < n && rc == 0; i++, at += BQ_COUNTS_COMMANDS + COMMANDS_PER_QUEUE) {
		rc = bq_read_counts(&out[i].counts, at, err);
		if (rc == 0)
			rc = read_facts(&out[i], at + BQ_COUNTS_COMMANDS, a, err);
	}
	rreplies_release(&replies);
	return rc < 0 ? rc : read_ages(bq, queues, n, out, deadline, err);
}

/* ---- which queues there are ---- */

void bq_pattern(struct buf *out, struct str prefix, const char *rest)
{
	for (size_t i = 0; i < prefix.n; i++) {
		if (strchr("*?[]\\", prefix.p[i]))
			buf_addc(out, '\\');
		buf_addc(out, prefix.p[i]);
	}
	buf_addz(out, rest);
}

/* The name in "P:Q:meta"; .p NULL where something else ends so. */
static struct str name_in(struct str key, struct str prefix)
{
	size_t around = prefix.n + sizeof(":" ":meta") - 1;
	struct str name = key.n > around ? str_sub(key, prefix.n + 1, key.n - around) : STR_NONE;

	return name.p && bq_queue_name_ok(name) ? name : STR_NONE;
}

static int read_names(const redisReply *reply, struct str prefix, struct arena *a, uint64_t *cursor, struct str **names, size_t *n,
		      struct err *err)
{
	const redisReply *keys = rreply_at(reply, 1);
	size_t count = 0;

	while (rreply_at(keys, count))
		count++;
	*n = 0;
	*names = arena_array(a, count + 1, sizeof(**names));
	if (!*names)
		return err_set(err, ERR_NOMEM, "no memory for the names of queues");
	for (size_t i = 0; i < count; i++) {
		struct str name = name_in(rreply_str(rreply_at(keys, i)), prefix);

		if (!name.p)
			continue;
		(*names)[*n] = arena_dup(a, name);
		if (!(*names)[*n].p)
			return err_set(err, ERR_NOMEM, "no memory for the name of a queue");
		(*n)++;
	}
	if (str_to_u64(rreply_str(rreply_at(reply, 0)), cursor) < 0)
		return err_set(err, ERR_PROTOCOL, "Redis answered a SCAN in an unknown form");
	return 0;
}

int bq_discover(struct bq *bq, struct str prefix, uint64_t *cursor, int64_t count, struct arena *a, struct str **names, size_t *n,
		int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	struct buf at = BUF_INIT, pattern = BUF_INIT;
	int rc;

	buf_addu(&at, *cursor);
	bq_pattern(&pattern, prefix, ":*:meta");
	rcmd_begin(&cmd, 6);
	rcmd_argz(&cmd, "SCAN");
	bq_arg_packed(&cmd, &at);
	rcmd_argz(&cmd, "MATCH");
	bq_arg_packed(&cmd, &pattern);
	rcmd_argz(&cmd, "COUNT");
	rcmd_argi(&cmd, count);
	rc = bq_ask(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = read_names(replies.items[0], prefix, a, cursor, names, n, err);
	rreplies_release(&replies);
	return rc;
}
