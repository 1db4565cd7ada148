#include <stdlib.h>

#include "gateway/realtime/hub_state.h"
#include "lib/base/clock.h"

#define READ_COUNT 1000 /* entries of one stream in one reply, at most */
#define STRETCH_BYTES ((size_t)256 << 10) /* of text for listeners, then others get the lock, and the streams' thread the processor: some ms */
#define BREATH_MS 4
#define NOTHING_MS 1000 /* without a stream that can be read */

static const struct rblock_kind KIND = {"sluice:events", "stream"};

struct hub *hub_new(struct bq *bq, const struct raddr *redis, struct log *log, struct err *err)
{
	struct hub *h = calloc(1, sizeof(*h));

	if (!h) {
		err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	h->bq = bq;
	lock_init(&h->mu);
	cond_init(&h->needed);
	table_init(&h->streams);
	event_reader_init(&h->reader);
	arena_init(&h->arena, 0);
	if (rblock_init(&h->block, redis, &KIND, bq_mux(bq), log, err) < 0) {
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
	event_reader_release(&h->reader);
	arena_release(&h->arena);
	cond_release(&h->needed);
	lock_release(&h->mu);
	free(h);
}

/* ---- reading ---- */

/* Has anything been trimmed before it was read? Asked behind each reading, of streams that somebody listens to: no, when the entry that was read last
 * before is still there, or, where there was none, when the stream is whole. */
struct hub_doubt {
	struct str key;
	struct event_id last;
};

/* Without memory nothing is asked, and nothing read. */
static bool note_doubts(struct hub *h)
{
	arena_reset(&h->arena);
	h->n_doubts = 0;
	h->doubts = arena_array(&h->arena, h->streams.count, sizeof(*h->doubts));
	for (struct table_iter it = {0}; h->doubts && table_next(&h->streams, &it);) {
		const struct hub_stream *s = it.value;
		bool asked = s->places && s->read;
		struct str key = asked ? arena_dup(&h->arena, s->key) : STR_NONE;
		if (key.p)
			h->doubts[h->n_doubts++] = (struct hub_doubt){key, s->last};
		else if (asked)
			return false;
	}
	return h->doubts != NULL;
}

static void add_doubts(const struct hub *h, struct rcmd *cmd)
{
	char room[EVENT_ID_SIZE];

	for (size_t i = 0; i < h->n_doubts; i++) {
		const struct hub_doubt *d = &h->doubts[i];
		struct str last = event_id_text(d->last, room);
		if (event_id_is_none(d->last)) {
			event_stream_ask(cmd, d->key);
			continue;
		}
		rcmd_begin(cmd, 4);
		rcmd_argz(cmd, "XRANGE");
		rcmd_arg(cmd, d->key);
		rcmd_arg(cmd, last);
		rcmd_arg(cmd, last);
	}
}

static void add_read(const struct hub *h, struct rcmd *cmd, size_t n)
{
	char room[EVENT_ID_SIZE];

	rcmd_begin(cmd, 6 + 2 * n);
	rcmd_argz(cmd, "XREAD");
	rcmd_argz(cmd, "COUNT");
	rcmd_argi(cmd, (int64_t)portion_count(&h->portion));
	rcmd_argz(cmd, "BLOCK");
	rcmd_argi(cmd, RBLOCK_MS);
	rcmd_argz(cmd, "STREAMS");
	for (struct table_iter it = {0}; table_next(&h->streams, &it);)
		if (((struct hub_stream *)it.value)->read)
			rcmd_arg(cmd, it.key);
	for (struct table_iter it = {0}; table_next(&h->streams, &it);)
		if (((struct hub_stream *)it.value)->read)
			rcmd_arg(cmd, event_id_text(((struct hub_stream *)it.value)->last, room));
}

/* Begins XREAD over every stream there is; false when there is none. */
static bool choose(struct hub *h, struct rcmd *cmd)
{
	size_t n = 0;

	rcmd_clear(cmd);
	lock_take(&h->mu);
	rblock_choose(&h->block);
	for (struct table_iter it = {0}; table_next(&h->streams, &it);) {
		struct hub_stream *s = it.value;
		s->read = rblock_takes(&h->block, s->key);
		n += s->read;
	}
	bool ready = n && note_doubts(h);
	if (ready) {
		add_read(h, cmd, n);
		add_doubts(h, cmd);
	}
	lock_give(&h->mu);
	return ready;
}

static void wake_waiters(struct hub_stream *s, const struct event *e)
{
	if (e->type != EVENT_COMPLETED && e->type != EVENT_FAILED && e->type != EVENT_REMOVED)
		return;
	for (struct hub_wait *w = s->waiters; w; w = w->next)
		if (str_eq(w->job_id, e->job_id)) {
			w->finished = true;
			cond_signal(&w->cond);
		}
}

/* How much there was to tell to those who listen, in bytes. */
static size_t use_entry(struct hub *h, struct hub_stream *s, const redisReply *entry)
{
	struct event e;
	size_t told = 0;

	if (!event_head(entry, &e) || event_id_compare(e.id, s->last) <= 0)
		return 0;
	s->last = e.id;
	wake_waiters(s, &e);
	if (!s->places || !event_read(&h->reader, s->queue, entry, &e))
		return 0;
	for (struct hub_place *p = s->places; p; p = p->next, told += e.json.n)
		p->listener->event(p->listener->arg, p->index, &e);
	return told;
}

/* A stream that is not there has lost nothing, unless something was read from it. */
static bool is_gap(const struct hub_doubt *d, const redisReply *reply)
{
	if (!event_id_is_none(d->last))
		return !rreply_at(reply, 0);
	return reply->type == REDIS_REPLY_ARRAY && !event_stream_is_whole(reply);
}

/* The first reply is XREAD's, then come those about the doubts, which are told first. What is left of the stream is read from its beginning; those
 * who listen know what they have had. */
static void use_doubts(struct hub *h, const struct rreplies *replies)
{
	for (size_t i = 0; i < h->n_doubts; i++) {
		struct hub_stream *s = table_get(&h->streams, h->doubts[i].key);
		if (!s || !is_gap(&h->doubts[i], replies->items[1 + i]))
			continue;
		s->last = (struct event_id){0};
		for (struct hub_place *p = s->places; p; p = p->next)
			p->listener->gap(p->listener->arg, p->index);
	}
}

/* mu is held, and given back for a moment when much has been told. */
static void breathe(struct hub *h, size_t *told)
{
	if (*told < STRETCH_BYTES)
		return;
	*told = 0;
	lock_give(&h->mu);
	clock_sleep_ms(BREATH_MS);
	lock_take(&h->mu);
}

/* The stream is looked up for each entry: it may have gone, or gone and come again, while the lock was given back. */
static void use_stream(struct hub *h, const redisReply *stream, size_t *told)
{
	const redisReply *entries = rreply_at(stream, 1);
	struct hub_stream *s;

	for (size_t i = 0; rreply_at(entries, i) && (s = table_get(&h->streams, rreply_str(rreply_at(stream, 0)))); i++) {
		*told += use_entry(h, s, rreply_at(entries, i));
		breathe(h, told);
	}
}

static void use_replies(struct hub *h, const struct rreplies *replies)
{
	const redisReply *read = replies->items[0];
	size_t told = 0;

	lock_take(&h->mu);
	use_doubts(h, replies);
	for (size_t i = 0; rreply_at(read, i); i++)
		use_stream(h, rreply_at(read, i), &told);
	lock_give(&h->mu);
}

/* Of each stream as many are asked for: those that brought the most are taken to bring as many again. */
static void note_portion(struct hub *h, const redisReply *read)
{
	size_t bytes = 0, most = 0, n;

	for (size_t i = 0; rreply_at(read, i); i++) {
		bytes += portion_weigh(rreply_at(rreply_at(read, i), 1), &n);
		most = n > most ? n : most;
	}
	portion_note(&h->portion, most, bytes);
}

static void read_once(struct hub *h, const struct rcmd *cmd)
{
	struct rreplies replies;

	if (!rblock_call(&h->block, cmd, RBLOCK_MS, &replies))
		return;
	note_portion(h, replies.items[0]);
	use_replies(h, &replies);
	rreplies_release(&replies);
}

static void wait_needed(struct hub *h)
{
	lock_take(&h->mu);
	while (!h->streams.count && !atomic_load(&h->stopping))
		cond_wait(&h->needed, &h->mu);
	lock_give(&h->mu);
}

/* There are streams, and none that can be read. */
static void wait_for_another(struct hub *h)
{
	lock_take(&h->mu);
	if (!rblock_is_stale(&h->block) && !atomic_load(&h->stopping))
		cond_wait_until(&h->needed, &h->mu, clock_mono_ms() + NOTHING_MS);
	lock_give(&h->mu);
}

/* On a new connection much may have gathered, and nobody knows of what size. */
static void read_on(struct hub *h, struct rcmd *cmd, bool anew)
{
	if (anew)
		h->portion = portion_of(READ_COUNT);
	if (choose(h, cmd))
		read_once(h, cmd);
	else
		wait_for_another(h);
}

static bool is_needed(struct hub *h)
{
	lock_take(&h->mu);
	bool needed = h->streams.count > 0;
	lock_give(&h->mu);
	return needed;
}

static void hub_main(void *arg)
{
	struct hub *h = arg;
	struct rcmd cmd = RCMD_INIT;
	bool anew;

	while (!atomic_load(&h->stopping)) {
		if (!is_needed(h))
			wait_needed(h);
		else if (rblock_open(&h->block, &anew))
			read_on(h, &cmd, anew);
	}
	rcmd_release(&cmd);
	rblock_close(&h->block);
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
	rblock_wake(&h->block);
	thread_join(&h->thread);
}

/* ---- streams ---- */

static void ask_ends(const struct bq_queue *const *queues, size_t n, struct rcmd *cmd)
{
	for (size_t i = 0; i < n; i++) {
		rcmd_begin(cmd, 6);
		rcmd_argz(cmd, "XREVRANGE");
		rcmd_arg(cmd, queues[i]->keys[BQ_KEY_EVENTS]);
		rcmd_argz(cmd, "+");
		rcmd_argz(cmd, "-");
		rcmd_argz(cmd, "COUNT");
		rcmd_argz(cmd, "1");
	}
}

static int read_ends(const struct rreplies *replies, size_t n, struct event_id *of, struct err *err)
{
	struct event e;
	int rc = 0;

	memset(of, 0, n * sizeof(*of));
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = rreply_is_foreign(replies->items[i]) ? 0 : rreply_error(replies->items[i], err);
		if (rc == 0 && event_head(rreply_at(replies->items[i], 0), &e))
			of[i] = e.id;
	}
	return rc;
}

int hub_ends(struct hub *h, const struct bq_queue *const *queues, size_t n, struct event_id *of, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	ask_ends(queues, n, &cmd);
	int rc = rmux_call(bq_mux(h->bq), &cmd, deadline, &replies, err);
	rcmd_release(&cmd);
	if (rc < 0)
		return rc;
	rc = read_ends(&replies, n, of, err);
	rreplies_release(&replies);
	return rc;
}

static struct hub_stream *add_stream(struct hub *h, const struct bq_queue *q, struct event_id end)
{
	struct str key = q->keys[BQ_KEY_EVENTS];
	struct hub_stream *s = calloc(1, sizeof(*s) + key.n + q->name.n);

	if (!s)
		return NULL;
	s->key = (struct str){memcpy(s + 1, key.p, key.n), key.n};
	s->queue = (struct str){memcpy((char *)(s + 1) + key.n, q->name.p, q->name.n), q->name.n};
	s->last = end;
	if (table_put(&h->streams, s->key, s) < 0) {
		free(s);
		return NULL;
	}
	cond_signal(&h->needed);
	rblock_refresh(&h->block);
	return s;
}

struct hub_stream *hub_stream_known(const struct hub *h, const struct bq_queue *q)
{
	return table_get(&h->streams, q->keys[BQ_KEY_EVENTS]);
}

struct hub_stream *hub_stream_of(struct hub *h, const struct bq_queue *q, struct event_id end)
{
	struct hub_stream *s = hub_stream_known(h, q);

	return s ? s : add_stream(h, q, end);
}

void hub_stream_left(struct hub *h, struct hub_stream *s)
{
	if (s->waiters || s->places)
		return;
	table_remove(&h->streams, s->key);
	free(s);
}
