/* What is given up while records cannot be written, and in which order: first the data and return values of new entries, then the oldest
 * entries. */
#include "lib/records/private.h"

#define HURRY_PERCENT 50 /* of Redis' memory: adds do not wait for a quieter moment */
#define SLIM_PERCENT 70 /* of Redis' memory, or of the backlog */
#define DROP_PERCENT 80 /* of Redis' memory; above 90 jobs are refused */
#define FULL_PERCENT 65 /* data is written again below it */
#define DROP_STEP 20000 /* entries of a queue in one look: a second */

static struct rec_stream *stream_at(struct records *rec, size_t i)
{
	struct rec_queue *q = &rec->queues[i / 2];

	return i % 2 ? &q->adds : &q->ends;
}

static void ask(struct records *rec, struct rcmd *cmd)
{
	for (size_t i = 0; i < 2 * rec->n_queues; i++) {
		struct str key = stream_at(rec, i)->key;

		rcmd_begin(cmd, 2);
		rcmd_argz(cmd, "XLEN");
		rcmd_arg(cmd, key);
		rcmd_begin(cmd, 3);
		rcmd_argz(cmd, "XINFO");
		rcmd_argz(cmd, "STREAM");
		rcmd_arg(cmd, key);
	}
	rcmd_begin(cmd, 1);
	rcmd_argz(cmd, "TIME");
}

/* XINFO STREAM is a list of names and values; the first entry among them begins with its id. */
static int64_t first_entry_ms(const redisReply *info)
{
	for (size_t at = 0; rreply_at(info, at + 1); at += 2)
		if (str_is(rreply_str(rreply_at(info, at)), "first-entry"))
			return (int64_t)stream_id_read(rreply_str(rreply_at(rreply_at(info, at + 1), 0))).ms;
	return 0;
}

static void note(struct rec_stream *s, const redisReply *length, const redisReply *info)
{
	if (!rreply_int(length, &s->length))
		s->length = 0;
	s->oldest_ms = s->length > 0 ? first_entry_ms(info) : 0;
	s->waiting = s->waiting || s->length > 0;
}

static int64_t lag_of(int64_t oldest_ms)
{
	int64_t now = clock_wall_ms();

	return oldest_ms && oldest_ms < now ? now - oldest_ms : 0;
}

/* Returns how long the oldest entry of the queue that is due has waited. */
static int64_t tell(struct rec_queue *q)
{
	int64_t ends = lag_of(q->ends.oldest_ms), adds = lag_of(q->adds.oldest_ms) - RECORDS_SETTLE_MS;
	int64_t lag = ends > adds ? ends : adds;

	series_set(q->m_backlog, (double)(q->ends.length + q->adds.length));
	series_set(q->m_lag, (double)lag / 1000.0);
	return lag;
}

static void note_time(struct records *rec, const redisReply *time)
{
	int64_t seconds;

	if (rreply_int(rreply_at(time, 0), &seconds))
		rec->redis_ahead_ms = seconds * 1000 - clock_mono_ms();
}

static int measure(struct records *rec, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int64_t total = 0, longest = 0;

	if (rec->n_queues == 0)
		return 0;
	ask(rec, &cmd);
	int rc = records_redis(rec, &cmd, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < 2 * rec->n_queues; i++) {
		note(stream_at(rec, i), replies.items[2 * i], replies.items[2 * i + 1]);
		total += stream_at(rec, i)->length;
	}
	note_time(rec, replies.items[4 * rec->n_queues]);
	rreplies_release(&replies);
	for (size_t i = 0; i < rec->n_queues; i++) {
		int64_t lag = tell(&rec->queues[i]);
		longest = lag > longest ? lag : longest;
	}
	atomic_store(&rec->backlog, total);
	atomic_store(&rec->lag_ms, longest);
	return 0;
}

static int64_t percent(int64_t part, int64_t whole)
{
	return whole > 0 ? part * 100 / whole : 0;
}

static int64_t cap(const struct rec_queue *q, const struct records_part *part, bool slim)
{
	return slim || (!part->all && part->n_names == 0) ? 0 : q->rec->o.max_bytes;
}

void records_choose_caps(struct rec_queue *q, bool slim)
{
	atomic_store(&q->outbox.data_cap, cap(q, &q->policy.data, slim));
	atomic_store(&q->outbox.result_cap, cap(q, &q->policy.result, slim));
}

static void become_slim(struct records *rec, bool slim)
{
	if (rec->slim == slim)
		return;
	rec->slim = slim;
	atomic_store(&rec->is_slim, slim);
	for (size_t i = 0; i < rec->n_queues; i++)
		records_choose_caps(&rec->queues[i], slim);
	LOG(rec->o.log, slim ? LOG_WARN : LOG_INFO, slim ? "records_without_data" : "records_with_data_again",
	    log_int("backlog", atomic_load(&rec->backlog)));
}

/* At most DROP_STEP of the oldest entries, down to so many. */
static int drop_down_to(struct rec_stream *s, int64_t length, struct err *err)
{
	struct rec_queue *q = s->q;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int64_t dropped = 0;

	length = length < s->length - DROP_STEP ? s->length - DROP_STEP : length;
	rcmd_begin(&cmd, 4);
	rcmd_argz(&cmd, "XTRIM");
	rcmd_arg(&cmd, s->key);
	rcmd_argz(&cmd, "MAXLEN");
	rcmd_argi(&cmd, length);
	if (s->adds) { /* places of what is dropped would stay; without them only counted ids are found among the rest */
		rcmd_begin(&cmd, 2);
		rcmd_argz(&cmd, "UNLINK");
		rcmd_arg(&cmd, q->queue->keys[BQ_KEY_OUTBOX_ADDS_IDS]);
	}
	int rc = records_redis(q->rec, &cmd, &replies, err);
	if (rc < 0)
		return rc;
	if (!rreply_int(replies.items[0], &dropped))
		dropped = 0;
	rreplies_release(&replies);
	s->length -= dropped;
	atomic_fetch_add(&q->rec->dropped, (uint64_t)dropped);
	series_add(q->m_dropped, (double)dropped);
	return 0;
}

/* Each gives up the same part of what it has. */
static int drop_part(struct records *rec, int64_t keep_percent, struct err *err)
{
	uint64_t before = atomic_load(&rec->dropped);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < 2 * rec->n_queues; i++) {
		struct rec_stream *s = stream_at(rec, i);
		if (s->length > 0)
			rc = drop_down_to(s, s->length * keep_percent / 100, err);
	}
	if (!rec->dropping)
		LOG(rec->o.log, LOG_ERROR, "records_dropped", log_int("entries", (int64_t)(atomic_load(&rec->dropped) - before)),
		    log_int("backlog", atomic_load(&rec->backlog)));
	rec->dropping = true;
	return rc;
}

int records_look(struct records *rec, struct err *err)
{
	int64_t used = 0, most = 0;
	int rc = measure(rec, err);

	if (rc < 0)
		return rc;
	rec->o.memory(rec->o.memory_arg, &used, &most);
	int64_t backlog = atomic_load(&rec->backlog), memory = percent(used, most), entries = percent(backlog, rec->o.backlog_max);
	records_pace_adds(rec, memory >= HURRY_PERCENT);
	if (backlog > 0 && (memory >= SLIM_PERCENT || entries >= SLIM_PERCENT))
		become_slim(rec, true);
	else if (memory < FULL_PERCENT && entries < FULL_PERCENT)
		become_slim(rec, false);
	if (backlog > rec->o.backlog_max)
		return drop_part(rec, 100 * rec->o.backlog_max / backlog, err);
	if (backlog > 0 && memory >= DROP_PERCENT)
		return drop_part(rec, 90, err);
	rec->dropping = false;
	return 0;
}
