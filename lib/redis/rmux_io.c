#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/redis/rmux_internal.h"

#define KEEP_OUT_BYTES ((size_t)4 << 20) /* room that the empty output buffer keeps */
#define BATCH 256                        /* replies matched under one hold of mu */
#define READS_PER_TURN 16
#define SLEEP_MAX_MS 60000
#define READ_AT_MOST_MS 5 /* a caller; a reply that takes longer is the I/O thread's */
#define ASIDE_MS 20       /* how long the I/O thread leaves the socket alone after callers have read */

static enum link_state state_of(const struct rmux *m)
{
	return (enum link_state)atomic_load_explicit(&m->state, memory_order_relaxed);
}

/* ---- reading ---- */

/* A server that has become a replica keeps its clients, unless a sentinel has made it one. */
static bool says_read_only(const redisReply *r)
{
	return r->type == REDIS_REPLY_ERROR && str_starts((struct str){r->str, r->len}, STR("READONLY "));
}

/* Matches n replies; a failure means that the peer answered what nobody asked. */
static int give_replies(struct rmux *m, redisReply **replies, size_t n, struct err *err)
{
	struct call_list ended = {0};
	int rc = 0;
	for (size_t i = 0; i < n; i++)
		m->read_only |= says_read_only(replies[i]);
	lock_take(&m->mu);
	for (size_t i = 0; i < n; i++)
		if (flights_take_reply(m, replies[i], &ended) < 0)
			rc = ERR_PROTOCOL;
	lock_give(&m->mu);
	calls_finish(m, &ended);
	return rc < 0 ? err_set(err, rc, "a reply that nothing asked for") : 0;
}

/* Takes whole replies out of the reader: their number, or a failure after which *n_out replies are still good. */
static int parse_batch(struct rmux *m, redisReply **batch, size_t *n_out, struct err *err)
{
	int rc = 1;
	*n_out = 0;
	while (*n_out < BATCH && (rc = rparse_next(&m->parse, &batch[*n_out], err)) > 0)
		++*n_out;
	return rc;
}

static int take_replies(struct rmux *m, struct err *err)
{
	redisReply *batch[BATCH];
	struct err bad = {0};
	size_t n;
	int rc;
	do {
		rc = parse_batch(m, batch, &n, &bad);
		if (n > 0 && give_replies(m, batch, n, err) < 0)
			return ERR_PROTOCOL;
	} while (rc > 0);
	return rc < 0 ? err_set(err, rc, "%s", bad.text) : 0;
}

/* Replies to the greeting; when it is over, what follows belongs to calls. */
static int take_greetings(struct rmux *m, struct err *err)
{
	redisReply *reply;
	int rc = 1;
	while (state_of(m) == LINK_GREETING && (rc = rparse_next(&m->parse, &reply, err)) > 0)
		link_greet(m, reply);
	return rc < 0 ? rc : 0;
}

static int take_bytes(struct rmux *m, size_t n, struct err *err)
{
	m->heard_at = clock_mono_ms();
	atomic_store_explicit(&m->last_reply_at, m->heard_at, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->bytes_in, n, memory_order_relaxed);
	int rc = rparse_feed(&m->parse, m->in, n, err);
	if (rc == 0 && state_of(m) == LINK_GREETING)
		rc = take_greetings(m, err);
	if (rc == 0 && state_of(m) == LINK_UP)
		rc = take_replies(m, err);
	return rc;
}

static bool is_talking(const struct rmux *m)
{
	return state_of(m) == LINK_GREETING || state_of(m) == LINK_UP;
}

/* Reads what is there. A failure loses the connection, but only after all that came before it has been matched. */
static void read_some(struct rmux *m)
{
	struct err err = {0};
	for (int i = 0; i < READS_PER_TURN && is_talking(m); i++) {
		ssize_t n = transport_read(m->transport, m->in, RPARSE_PIECE_BYTES, &err);
		int rc = n > 0 ? take_bytes(m, (size_t)n, &err) : (int)n;
		if (rc < 0) {
			link_lose(m, &err);
			return;
		}
		if (n == 0 || !is_talking(m) || ((size_t)n < RPARSE_PIECE_BYTES && !transport_has_buffered(m->transport)))
			return;
	}
}

/* ---- writing ---- */

static void note_written(struct rmux *m, size_t n)
{
	m->out_pos += n;
	atomic_fetch_add_explicit(&m->bytes_out, n, memory_order_relaxed);
	lock_take(&m->mu);
	m->written += n;
	lock_give(&m->mu);
	if (m->out_pos < m->out.n)
		return;
	m->out_pos = 0;
	if (m->out.cap > KEEP_OUT_BYTES)
		buf_release(&m->out);
	else
		buf_clear(&m->out);
}

static void write_some(struct rmux *m)
{
	struct err err = {0};
	while (is_talking(m) && m->out_pos < m->out.n) {
		ssize_t n = transport_write(m->transport, m->out.p + m->out_pos, m->out.n - m->out_pos, &err);
		if (n < 0) {
			/* What Redis had answered before it hung up is still to be read. */
			read_some(m);
			if (is_talking(m))
				link_lose(m, &err);
			return;
		}
		if (n == 0)
			return;
		note_written(m, (size_t)n);
	}
}

/* ---- writing in the I/O thread's stead, or from one of its callbacks ---- */

static bool may_write_now(const struct rmux *m)
{
	bool is_own_thread = m->runs && pthread_equal(m->self, pthread_self());
	if (!is_own_thread && !m->sleeping && !m->reading)
		return false; /* what is asked next is the I/O thread's own */
	return state_of(m) == LINK_UP && !m->out.failed && m->out_pos == m->out.n;
}

/* Writes all that is queued: false when something is left, or the connection is broken; that is for the I/O thread to find out. */
static bool write_queued(struct rmux *m)
{
	struct err err = {0};
	while (m->queue.head) {
		if (!queue_take(m))
			return false;
		lock_give(&m->mu);
		ssize_t n = transport_write(m->transport, m->out.p + m->out_pos, m->out.n - m->out_pos, &err);
		if (n > 0)
			note_written(m, (size_t)n);
		lock_take(&m->mu);
		if (m->out_pos < m->out.n)
			return false;
	}
	return !transport_has_buffered(m->transport);
}

bool io_write_now(struct rmux *m)
{
	if (m->lent)
		return true; /* it is written by whoever writes now */
	if (!may_write_now(m))
		return !m->sleeping;
	m->lent = true;
	bool done = write_queued(m);
	m->lent = false;
	if (m->awaited)
		cond_signal(&m->returned);
	return (done && m->expiry >= m->sleeps_until && (m->watched || m->reading)) || !m->sleeping;
}

/* ---- reading in the I/O thread's stead ---- */

bool io_read_begin(struct rmux *m)
{
	bool alone = m->flights.first == m->flights.end && !m->queue.head;
	bool mine = alone && m->sleeping && !m->awaited && !m->reading && !m->o.addr.tls && state_of(m) == LINK_UP;
	m->reading = m->reading || mine;
	m->turns += mine;
	return mine;
}

bool rmux_read_begin(struct rmux *m)
{
	lock_take(&m->mu);
	bool mine = io_read_begin(m);
	lock_give(&m->mu);
	return mine;
}

static void read_end(struct rmux *m, const struct err *why)
{
	lock_take(&m->mu);
	m->reading = false;
	if (why)
		m->broken = *why;
	if (m->awaited)
		cond_signal(&m->returned);
	/* Replies it sees to, where it watches; what is to be written, as a call behind a NOSCRIPT, it would not know of. */
	bool more = why || m->queue.head || (!m->watched && m->flights.first != m->flights.end);
	bool wake = more && rmux_needs_wake(m);
	lock_give(&m->mu);
	if (wake)
		rmux_wake(m);
}

/* The I/O thread was woken: it has to write what somebody could not, and waits for the end of our reading. */
static bool is_wanted_back(struct rmux *m)
{
	lock_take(&m->mu);
	bool wanted = !m->sleeping;
	lock_give(&m->mu);
	return wanted;
}

static bool has_come(const struct rmux *m, int64_t until)
{
	struct pollfd p = {.fd = transport_fd(m->transport), .events = POLLIN};
	int64_t now = clock_mono_ms();
	return now < until && poll(&p, 1, (int)(until - now)) > 0;
}

void rmux_read(struct rmux *m, struct parker *awaited)
{
	int64_t until = clock_mono_ms() + READ_AT_MOST_MS;
	struct err err = {0};
	ssize_t rc = 0;
	while (rc >= 0 && !parker_is_open(awaited) && !is_wanted_back(m) && has_come(m, until)) {
		rc = transport_read(m->transport, m->in, RPARSE_PIECE_BYTES, &err);
		if (rc > 0)
			rc = take_bytes(m, (size_t)rc, &err);
	}
	read_end(m, rc < 0 ? &err : NULL);
}

/* ---- one turn ---- */

static void lose_for_memory(struct rmux *m)
{
	struct err err = {0};
	err_set(&err, ERR_NOMEM, "%s", err_sentence(ERR_NOMEM));
	link_lose(m, &err);
}

/* Moves queued calls to the output and writes. */
static void send_queued(struct rmux *m)
{
	if (!is_talking(m))
		return;
	if (m->out_pos > 0)
		buf_drop(&m->out, m->out_pos);
	m->out_pos = 0;
	bool ok = !m->out.failed;
	if (ok && state_of(m) == LINK_UP) {
		lock_take(&m->mu);
		ok = queue_take(m);
		lock_give(&m->mu);
	}
	if (ok)
		write_some(m);
	else
		lose_for_memory(m);
}

static void end_late_calls(struct rmux *m, int64_t now)
{
	struct call_list ended = {0};
	lock_take(&m->mu);
	queue_expire(m, now, &ended);
	if (m->stopping)
		queue_fail_all(m, ERR_STOPPING, &ended);
	else if (now >= link_gives_up_at(m))
		queue_fail_all(m, ERR_UNAVAILABLE, &ended);
	while (m->refused.head) {
		struct call *c = m->refused.head;
		list_remove(&m->refused, c);
		list_push_back(&ended, c);
	}
	lock_give(&m->mu);
	calls_finish(m, &ended);
}

/* No reply is to come, and callers have read theirs since the last sleep: others will as well. */
static bool is_left_alone(struct rmux *m)
{
	bool have_read = m->turns != m->turns_seen;
	m->turns_seen = m->turns;
	return have_read && m->flights.first == m->flights.end && m->out_pos == m->out.n && state_of(m) == LINK_UP;
}

/* Goes to sleep unless there is something to do at once: the milliseconds for poll. */
static int prepare_sleep(struct rmux *m, int64_t now)
{
	lock_take(&m->mu);
	int64_t until = link_next_timer(m);
	if (m->expiry < until)
		until = m->expiry;
	if (m->stopping && m->stop_deadline < until)
		until = m->stop_deadline;
	if (m->queue.head && link_gives_up_at(m) < until)
		until = link_gives_up_at(m);
	bool can_take = state_of(m) == LINK_UP && m->queue.head && m->out.n == m->out_pos;
	if (can_take || m->refused.head || (m->stopping && m->queue.head) || transport_has_buffered(m->transport))
		until = now;
	if (until > now + SLEEP_MAX_MS)
		until = now + SLEEP_MAX_MS;
	m->watched = !is_left_alone(m);
	if (!m->watched && until > now + ASIDE_MS)
		until = now + ASIDE_MS;
	m->sleeping = true;
	m->sleeps_until = until;
	lock_give(&m->mu);
	return until <= now ? 0 : (int)(until - now);
}

/* Takes back what others were lent: why their reading failed, if it did. */
static struct err wake_up(struct rmux *m)
{
	lock_take(&m->mu);
	for (m->awaited = true; m->lent || m->reading;)
		cond_wait(&m->returned, &m->mu);
	m->awaited = m->sleeping = false;
	struct err broken = m->broken;
	m->broken.code = 0;
	lock_give(&m->mu);
	return broken;
}

static void wait_for_work(struct rmux *m, int64_t now)
{
	struct pollfd p[] = {
		{.fd = m->wake_fd, .events = POLLIN},
		{.fd = transport_fd(m->transport), .events = transport_events(m->transport, m->out_pos < m->out.n)},
	};
	int ms = prepare_sleep(m, now); /* from here on others may write and read */
	if (!m->watched)
		p[1].fd = -1;
	int rc = poll(p, ARRAY_LEN(p), ms);
	if (rc < 0 && errno != EINTR)
		panic("poll");
	struct err broken = wake_up(m);
	if (rc < 0)
		return;
	uint64_t count;
	if (p[0].revents && read(m->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		panic("eventfd");
	if (broken.code)
		link_lose(m, &broken);
	else if (state_of(m) == LINK_CONNECTING && p[1].revents)
		link_advance(m);
	else if (p[1].revents || transport_has_buffered(m->transport))
		read_some(m);
}

static bool is_over(struct rmux *m, int64_t now)
{
	lock_take(&m->mu);
	bool over = m->stopping && !m->queue.head && (m->flights.live == 0 || now >= m->stop_deadline);
	lock_give(&m->mu);
	return over;
}

void io_end_all(struct rmux *m)
{
	link_close(m);
	lock_take(&m->mu);
	m->gone = true;
	lock_give(&m->mu);
	end_late_calls(m, clock_mono_ms());
}

void io_main(void *arg)
{
	struct rmux *m = arg;
	lock_take(&m->mu);
	m->self = pthread_self();
	m->runs = true;
	lock_give(&m->mu);
	for (int64_t now = clock_mono_ms(); !is_over(m, now); now = clock_mono_ms()) {
		link_timers(m, now);
		end_late_calls(m, now); /* before sending: what is late by now must not go out any more */
		link_begin(m, now);
		send_queued(m);
		wait_for_work(m, clock_mono_ms());
	}
	io_end_all(m);
}
