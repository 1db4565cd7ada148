#include "gateway/realtime/hub.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/table.h"
#include "lib/log/log.h"
#include "lib/redis/rblock.h"

#define BLOCK_MS 5000
#define BLOCK_GRACE_MS 3000
#define OPEN_TIMEOUT_MS 1000
#define REOPEN_PAUSE_MS 200
#define READ_COUNT "1000" /* entries of one stream in one reply */
#define STREAM_ID_SIZE 48

/* A stream that somebody waits on; it goes with its last waiter. */
struct hub_stream {
	struct str key;            /* of its own */
	char last_id[STREAM_ID_SIZE]; /* read up to here */
	struct hub_wait *waiters;
};

struct hub {
	/* set before start */
	struct bq *bq;
	struct log *log;
	struct rblock block;
	struct thread thread;
	_Atomic bool stopping;
	/* protected by mu */
	struct lock mu;
	struct cond needed;    /* the first stream has come */
	struct table streams;  /* by key */
};

struct hub *hub_new(struct bq *bq, const struct raddr *redis, struct log *log, struct err *err)
{
	struct hub *h = calloc(1, sizeof(*h));

	if (!h) {
		err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	h->bq = bq;
	h->log = log;
	lock_init(&h->mu);
	cond_init(&h->needed);
	table_init(&h->streams);
	if (rblock_init(&h->block, redis, "sluice:events", bq_mux(bq), err) < 0) {
		hub_free(h);
		return NULL;
	}
	return h;
}

void hub_free(struct hub *h)
{
	if (!h)
		return;
	rblock_release(&h->block);
	table_release(&h->streams);
	cond_release(&h->needed);
	lock_release(&h->mu);
	free(h);
}

/* ---- reading ---- */

/* Begins XREAD over every stream there is; false when nobody waits. */
static bool choose(struct hub *h, struct rcmd *cmd)
{
	rcmd_clear(cmd);
	lock_take(&h->mu);
	rblock_choose(&h->block);
	size_t n = h->streams.count;
	if (n) {
		rcmd_begin(cmd, 6 + 2 * n);
		rcmd_argz(cmd, "XREAD");
		rcmd_argz(cmd, "COUNT");
		rcmd_argz(cmd, READ_COUNT);
		rcmd_argz(cmd, "BLOCK");
		rcmd_argi(cmd, BLOCK_MS);
		rcmd_argz(cmd, "STREAMS");
		for (struct table_iter it = {0}; table_next(&h->streams, &it);)
			rcmd_arg(cmd, it.key);
		for (struct table_iter it = {0}; table_next(&h->streams, &it);)
			rcmd_argz(cmd, ((struct hub_stream *)it.value)->last_id);
	}
	lock_give(&h->mu);
	return n > 0;
}

static struct str entry_field(const redisReply *fields, const char *name)
{
	for (size_t i = 0; rreply_at(fields, i); i += 2)
		if (str_is(rreply_str(rreply_at(fields, i)), name))
			return rreply_str(rreply_at(fields, i + 1));
	return STR_NONE;
}

static bool is_end(struct str event)
{
	return str_is(event, "completed") || str_is(event, "failed") || str_is(event, "removed");
}

/* One entry: [id, [field, value, …]]. */
static void use_entry(struct hub_stream *s, const redisReply *entry)
{
	struct str id = rreply_str(rreply_at(entry, 0));
	const redisReply *fields = rreply_at(entry, 1);

	if (!id.p || id.n >= sizeof(s->last_id))
		return;
	memcpy(s->last_id, id.p, id.n);
	s->last_id[id.n] = '\0';
	if (!is_end(entry_field(fields, "event")))
		return;
	struct str job = entry_field(fields, "jobId");
	for (struct hub_wait *w = s->waiters; w; w = w->next)
		if (str_eq(w->job_id, job)) {
			w->finished = true;
			cond_signal(&w->cond);
		}
}

static void use_reply(struct hub *h, const redisReply *reply)
{
	lock_take(&h->mu);
	for (size_t i = 0; rreply_at(reply, i); i++) {
		const redisReply *stream = rreply_at(reply, i), *entries = rreply_at(stream, 1);
		struct hub_stream *s = table_get(&h->streams, rreply_str(rreply_at(stream, 0)));
		for (size_t k = 0; s && rreply_at(entries, k); k++)
			use_entry(s, rreply_at(entries, k));
	}
	lock_give(&h->mu);
}

static void read_once(struct hub *h, const struct rcmd *cmd)
{
	struct rreplies replies;
	struct err err = {0};
	int rc = rblock_call(&h->block, cmd, clock_mono_ms() + BLOCK_MS + BLOCK_GRACE_MS, &replies, &err);

	if (rc < 0) {
		if (rc != ERR_STOPPING)
			LOG(h->log, LOG_WARN, "events_connection_lost", log_err(&err));
		return;
	}
	use_reply(h, replies.items[0]);
	rreplies_release(&replies);
}

static void wait_needed(struct hub *h)
{
	lock_take(&h->mu);
	while (!h->streams.count && !atomic_load(&h->stopping))
		cond_wait(&h->needed, &h->mu);
	lock_give(&h->mu);
}

static void hub_main(void *arg)
{
	struct hub *h = arg;
	struct rcmd cmd = RCMD_INIT;
	struct err err = {0};

	while (!atomic_load(&h->stopping)) {
		if (!choose(h, &cmd))
			wait_needed(h);
		else if (!rconn_is_open(h->block.conn) && rconn_open(h->block.conn, clock_mono_ms() + OPEN_TIMEOUT_MS, &err) < 0)
			clock_sleep_ms(REOPEN_PAUSE_MS);
		else
			read_once(h, &cmd);
	}
	rcmd_release(&cmd);
	rconn_close(h->block.conn);
}

int hub_start(struct hub *h, struct err *err)
{
	if (thread_start(&h->thread, "events", hub_main, h) < 0)
		return err_set(err, ERR_NOMEM, "the event reader's thread cannot be started");
	return 0;
}

void hub_stop(struct hub *h)
{
	atomic_store(&h->stopping, true);
	lock_take(&h->mu);
	cond_broadcast(&h->needed);
	for (struct table_iter it = {0}; table_next(&h->streams, &it);)
		for (struct hub_wait *w = ((struct hub_stream *)it.value)->waiters; w; w = w->next)
			cond_signal(&w->cond);
	lock_give(&h->mu);
	rconn_wake(h->block.conn);
	thread_join(&h->thread);
}

/* ---- waiting ---- */

/* The id of the stream's newest entry, "0-0" when it has none. */
static int newest_id(struct hub *h, struct str key, char out[STREAM_ID_SIZE], int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	rcmd_begin(&cmd, 6);
	rcmd_argz(&cmd, "XREVRANGE");
	rcmd_arg(&cmd, key);
	rcmd_argz(&cmd, "+");
	rcmd_argz(&cmd, "-");
	rcmd_argz(&cmd, "COUNT");
	rcmd_argz(&cmd, "1");
	int rc = rmux_call(bq_mux(h->bq), &cmd, deadline, &replies, err);
	rcmd_release(&cmd);
	if (rc < 0)
		return rc;
	rc = rreply_error(replies.items[0], err);
	struct str id = rreply_str(rreply_at(rreply_at(replies.items[0], 0), 0));
	if (!id.p || id.n >= STREAM_ID_SIZE)
		id = STR("0-0");
	memcpy(out, id.p, id.n);
	out[id.n] = '\0';
	rreplies_release(&replies);
	return rc;
}

static struct hub_stream *add_stream(struct hub *h, struct str key, const char *last_id)
{
	struct hub_stream *s = calloc(1, sizeof(*s) + key.n);

	if (!s)
		return NULL;
	s->key = (struct str){memcpy(s + 1, key.p, key.n), key.n};
	memcpy(s->last_id, last_id, STREAM_ID_SIZE);
	if (table_put(&h->streams, s->key, s) < 0) {
		free(s);
		return NULL;
	}
	cond_signal(&h->needed);
	rblock_refresh(&h->block);
	return s;
}

static bool is_watched(struct hub *h, struct str key)
{
	lock_take(&h->mu);
	bool watched = table_get(&h->streams, key) != NULL;
	lock_give(&h->mu);
	return watched;
}

int hub_wait_begin(struct hub *h, struct hub_wait *w, const struct bq_queue *q, struct str job_id, int64_t deadline_mono_ms,
		   struct err *err)
{
	struct str key = q->keys[BQ_KEY_EVENTS];
	char last_id[STREAM_ID_SIZE] = "0-0";

	if (!is_watched(h, key)) {
		int rc = newest_id(h, key, last_id, deadline_mono_ms, err);
		if (rc < 0)
			return rc;
	}
	*w = (struct hub_wait){.job_id = job_id};
	cond_init(&w->cond);
	lock_take(&h->mu);
	w->stream = table_get(&h->streams, key);
	if (!w->stream)
		w->stream = add_stream(h, key, last_id);
	if (w->stream) {
		w->next = w->stream->waiters;
		if (w->next)
			w->next->prev = w;
		w->stream->waiters = w;
	}
	lock_give(&h->mu);
	if (w->stream)
		return 0;
	cond_release(&w->cond);
	return err_set(err, ERR_NOMEM, "out of memory");
}

bool hub_wait_sleep(struct hub *h, struct hub_wait *w, int64_t deadline_mono_ms)
{
	int64_t recheck = clock_mono_ms() + HUB_RECHECK_MS;
	int64_t until = recheck < deadline_mono_ms ? recheck : deadline_mono_ms;

	lock_take(&h->mu);
	while (!w->finished && !atomic_load(&h->stopping) && cond_wait_until(&w->cond, &h->mu, until))
		;
	bool finished = w->finished;
	w->finished = false;
	lock_give(&h->mu);
	return finished || (clock_mono_ms() < deadline_mono_ms && !atomic_load(&h->stopping));
}

void hub_wait_end(struct hub *h, struct hub_wait *w)
{
	struct hub_stream *s = w->stream;

	lock_take(&h->mu);
	if (w->next)
		w->next->prev = w->prev;
	if (w->prev)
		w->prev->next = w->next;
	else
		s->waiters = w->next;
	if (!s->waiters) {
		table_remove(&h->streams, s->key);
		free(s);
	}
	lock_give(&h->mu);
	cond_release(&w->cond);
}
