/* What is given up while records cannot be written, and in which order: first the data and return values of new entries, then the oldest
 * entries. */
#include "lib/records/private.h"

#define SLIM_PERCENT 70 /* of Redis' memory, or of the backlog */
#define DROP_PERCENT 80 /* of Redis' memory; above 90 jobs are refused */
#define FULL_PERCENT 65 /* data is written again below it */
#define DROP_STEP 20000 /* entries of a queue in one look: a second */

static void ask(struct records *rec, struct rcmd *cmd)
{
	for (size_t i = 0; i < rec->n_queues; i++) {
		struct str key = rec->queues[i].queue->keys[BQ_KEY_OUTBOX];

		rcmd_begin(cmd, 2);
		rcmd_argz(cmd, "XLEN");
		rcmd_arg(cmd, key);
		rcmd_begin(cmd, 3);
		rcmd_argz(cmd, "XINFO");
		rcmd_argz(cmd, "STREAM");
		rcmd_arg(cmd, key);
	}
}

/* XINFO STREAM is a list of names and values; the first entry among them begins with its id. */
static int64_t first_entry_ms(const redisReply *info)
{
	for (size_t at = 0; rreply_at(info, at + 1); at += 2)
		if (str_is(rreply_str(rreply_at(info, at)), "first-entry"))
			return (int64_t)stream_id_read(rreply_str(rreply_at(rreply_at(info, at + 1), 0))).ms;
	return 0;
}

static void note(struct rec_queue *q, const redisReply *length, const redisReply *info)
{
	int64_t now = clock_wall_ms();

	if (!rreply_int(length, &q->length))
		q->length = 0;
	q->oldest_ms = q->length > 0 ? first_entry_ms(info) : 0;
	q->waiting = q->waiting || q->length > 0;
	series_set(q->m_backlog, (double)q->length);
	series_set(q->m_lag, q->oldest_ms && q->oldest_ms < now ? (double)(now - q->oldest_ms) / 1000.0 : 0);
}

static int measure(struct records *rec, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int64_t total = 0, oldest = 0;

	if (rec->n_queues == 0)
		return 0;
	ask(rec, &cmd);
	int rc = records_redis(rec, &cmd, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < rec->n_queues; i++) {
		struct rec_queue *q = &rec->queues[i];
		note(q, replies.items[2 * i], replies.items[2 * i + 1]);
		total += q->length;
		oldest = q->oldest_ms && (!oldest || q->oldest_ms < oldest) ? q->oldest_ms : oldest;
	}
	rreplies_release(&replies);
	atomic_store(&rec->backlog, total);
	atomic_store(&rec->lag_ms, oldest && oldest < clock_wall_ms() ? clock_wall_ms() - oldest : 0);
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
static int drop_down_to(struct rec_queue *q, int64_t length, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int64_t dropped = 0;

	length = length < q->length - DROP_STEP ? q->length - DROP_STEP : length;
	rcmd_begin(&cmd, 4);
	rcmd_argz(&cmd, "XTRIM");
	rcmd_arg(&cmd, q->queue->keys[BQ_KEY_OUTBOX]);
	rcmd_argz(&cmd, "MAXLEN");
	rcmd_argi(&cmd, length);
	int rc = records_redis(q->rec, &cmd, &replies, err);
	if (rc < 0)
		return rc;
	if (!rreply_int(replies.items[0], &dropped))
		dropped = 0;
	rreplies_release(&replies);
	q->length -= dropped;
	atomic_fetch_add(&q->rec->dropped, (uint64_t)dropped);
	series_add(q->m_dropped, (double)dropped);
	return 0;
}

/* Each queue gives up the same part of what it has. */
static int drop_part(struct records *rec, int64_t keep_percent, struct err *err)
{
	uint64_t before = atomic_load(&rec->dropped);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < rec->n_queues; i++)
		if (rec->queues[i].length > 0)
			rc = drop_down_to(&rec->queues[i], rec->queues[i].length * keep_percent / 100, err);
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
