/* The writer's thread: when it looks at what. */
#include "lib/records/private.h"

#define GATHER_MS 100       /* after the first news: what comes meanwhile goes with it */
#define LOOK_MS 1000        /* at what other processes have left in the outboxes, and how long these are */
#define FOREIGN_MS 2000     /* for workers of other programs */
#define SAVE_MS 60000       /* how far the events of queues that are not followed have come */
#define UPKEEP_MS 3600000   /* partitions */
#define AGAIN_MS 60000      /* upkeep that failed */
#define LAST_MS 1000        /* at the end, for what is there */
#define CONNECT_MS 200      /* PostgreSQL: its backoff is the pool's */

/* ---- Redis ---- */

int records_redis(struct records *rec, struct rcmd *cmd, struct rreplies *out, struct err *err)
{
	int64_t deadline = clock_mono_ms() + RECORDS_REDIS_TIMEOUT_MS;
	int rc = cmd->wire.failed ? err_set(err, ERR_NOMEM, "no memory for a command") : 0;

	if (rc == 0 && !rconn_is_open(rec->redis))
		rc = rconn_open(rec->redis, deadline, err);
	if (rc == 0)
		rc = rconn_command(rec->redis, cmd, deadline, out, err);
	rcmd_release(cmd);
	return rc;
}

void stream_id_text(struct stream_id id, char out[RECORDS_STREAM_ID_SIZE])
{
	snprintf(out, RECORDS_STREAM_ID_SIZE, "%llu-%llu", (unsigned long long)id.ms, (unsigned long long)id.seq);
}

struct stream_id stream_id_read(struct str s)
{
	struct stream_id id;
	struct str ms = str_cut(&s, '-');

	if (!ms.p || !s.p || str_to_u64(ms, &id.ms) < 0 || str_to_u64(s, &id.seq) < 0)
		return STREAM_ID_NONE;
	return id;
}

/* ---- duties ---- */

static bool is_due(int64_t *due_mono_ms, int64_t again_ms)
{
	int64_t now = clock_mono_ms();

	if (now < *due_mono_ms)
		return false;
	*due_mono_ms = now + again_ms;
	return true;
}

/* Each failure may have taken all the time that a statement has: the bounds are kept meanwhile. */
bool records_go_on(struct records *rec, int rc, const struct err *why, struct err *first)
{
	struct err cannot = {0};

	if (rc >= 0)
		return true;
	if (!first->code)
		*first = *why;
	first->code = first->code ? first->code : rc;
	rec->weeks.n = 0; /* a transaction that made one may have been undone */
	if (rc == ERR_UNAVAILABLE || rc == ERR_STOPPING || atomic_load(&rec->stopping))
		return false;
	if (is_due(&rec->look_mono_ms, LOOK_MS) && records_look(rec, &cannot) < 0)
		return false;
	return pglink_open(rec->link, clock_mono_ms() + CONNECT_MS, &cannot) == 0;
}

static int upkeep(struct records *rec, int64_t until_mono_ms UNUSED, struct err *err)
{
	int rc = is_due(&rec->upkeep_mono_ms, UPKEEP_MS) ? records_expire(rec, err) : 0;

	if (rc < 0)
		rec->upkeep_mono_ms = clock_mono_ms() + AGAIN_MS;
	return rc;
}

/* Every outbox in turn, a batch each, until none has more. */
static int drain_all(struct records *rec, int64_t until_mono_ms, struct err *err)
{
	bool more = true;

	for (size_t i = 0; i < rec->n_queues; i++)
		if (atomic_exchange(&rec->queues[i].outbox.fresh, false))
			rec->queues[i].ends.waiting = true;
	while (more && clock_mono_ms() < until_mono_ms) {
		more = false;
		for (size_t i = 0; i < rec->n_queues; i++) {
			struct rec_stream *s = &rec->queues[i].ends;
			struct err why = {0};
			int rc = s->waiting ? records_drain(s, RECORDS_ALL, &why) : 0;
			if (!records_go_on(rec, rc, &why, err))
				return err->code;
			more = more || (rc >= 0 && s->waiting);
		}
	}
	return err->code;
}

static int look_for_foreign(struct records *rec, int64_t until_mono_ms UNUSED, struct err *err)
{
	return is_due(&rec->foreign_mono_ms, FOREIGN_MS) ? records_look_for_foreign(rec, err) : 0;
}

static int follow(struct records *rec, int64_t until_mono_ms, struct err *err)
{
	int rc;

	do
		rc = records_follow(rec, err);
	while (rc > 0 && clock_mono_ms() < until_mono_ms);
	return rc < 0 ? rc : 0;
}

static int save_cursors(struct records *rec, int64_t until_mono_ms UNUSED, struct err *err)
{
	return is_due(&rec->save_mono_ms, SAVE_MS) ? records_cursors_save(rec, err) : 0;
}

static int (*const duties[])(struct records *rec, int64_t until_mono_ms, struct err *err) = {
	upkeep,
	drain_all,
	look_for_foreign,
	follow,
	records_settle_adds, /* behind the others: ends and events are trimmed when they are not read */
	save_cursors,
};

/* What needs Redis and PostgreSQL. */
static int work(struct records *rec, int64_t until_mono_ms, struct err *err)
{
	int rc = pglink_open(rec->link, clock_mono_ms() + CONNECT_MS, err);

	if (rc == 0 && !rec->cursors_loaded)
		rc = records_cursors_load(rec, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(duties); i++) {
		struct err why = {0};
		rc = duties[i](rec, until_mono_ms, &why);
		if (!records_go_on(rec, rc, &why, err))
			break;
	}
	return err->code;
}

static void complain(struct records *rec, int rc, const struct err *err)
{
	bool expected = rc == ERR_UNAVAILABLE || rc == ERR_STOPPING; /* the pool tells of a lost PostgreSQL, the multiplexer of a lost Redis */

	LOG(rec->o.log, expected ? LOG_DEBUG : LOG_WARN, "records_not_written", log_err(err));
}

static bool anything_waits(const struct records *rec)
{
	for (size_t i = 0; i < rec->n_queues; i++)
		if (rec->queues[i].ends.waiting || rec->queues[i].adds.waiting)
			return true;
	return false;
}

/* True when time was over before everything was written. */
static bool run_once(struct records *rec, int64_t until_mono_ms)
{
	struct err err = {0};
	int rc = 0;

	size_t admitted = rec->n_admitted;
	rec->cursors_loaded = rec->cursors_loaded && admitted == rec->n_queues;
	rec->n_queues = admitted;
	if (is_due(&rec->look_mono_ms, LOOK_MS))
		rc = records_look(rec, &err);
	if (rc == 0)
		rc = work(rec, until_mono_ms, &err);
	if (rc < 0)
		complain(rec, rc, &err);
	arena_reset(&rec->arena);
	arena_reset(&rec->events_arena);
	return rc == 0 && anything_waits(rec);
}

/* Until there is news and some more has gathered, or the next look is due. */
static void wait_for_news(struct records *rec)
{
	int64_t now = clock_mono_ms();

	lock_take(&rec->mu);
	while (!rec->woken && !atomic_load(&rec->stopping) && cond_wait_until(&rec->wake, &rec->mu, now + LOOK_MS))
		continue;
	int64_t gathered = clock_mono_ms() + GATHER_MS;
	while (!atomic_load(&rec->hurry) && !atomic_load(&rec->stopping) && cond_wait_until(&rec->wake, &rec->mu, gathered))
		continue;
	atomic_store(&rec->hurry, false);
	rec->woken = false;
	lock_give(&rec->mu);
}

void records_writer_main(void *arg)
{
	struct records *rec = arg;

	while (!atomic_load(&rec->stopping))
		if (!run_once(rec, clock_mono_ms() + LOOK_MS))
			wait_for_news(rec);
	(void)run_once(rec, clock_mono_ms() + LAST_MS);
}
