#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"
#include "lib/redis/rmux_internal.h"

#define BACKOFF_FIRST_MS 20
#define BACKOFF_MAX_MS 800 /* below the promised second, which also has to hold the connect itself */
#define BACKOFF_MIN_MS 5
#define STEADY_MS 1000   /* up for so long: the next loss starts the backoff anew */
#define PING_EVERY_MS 1000
#define READ_ONLY_AGAIN_MS 5000 /* a server that takes no writes is asked so seldom whether it is the right one */
#define LOG_AGAIN_MS 10000
#define PATIENCE_MS 250  /* without a connection, from then on calls do not wait for one */

static const unsigned legal_moves[] = {
	[LINK_DOWN] = 1u << LINK_CONNECTING | 1u << LINK_CLOSED,
	[LINK_CONNECTING] = 1u << LINK_GREETING | 1u << LINK_DOWN,
	[LINK_GREETING] = 1u << LINK_UP | 1u << LINK_DOWN,
	[LINK_UP] = 1u << LINK_DOWN,
	[LINK_CLOSED] = 0,
};

static void link_move(struct rmux *m, enum link_state to)
{
	lock_take(&m->mu);
	int from = atomic_load(&m->state);
	bug_on(!(legal_moves[from] & 1u << to));
	if (from == LINK_UP)
		m->down_since = clock_mono_ms();
	atomic_store(&m->state, (int)to);
	cond_broadcast(&m->changed);
	lock_give(&m->mu);
}

static enum link_state link_state(const struct rmux *m)
{
	return (enum link_state)atomic_load(&m->state);
}

int64_t link_gives_up_at(const struct rmux *m)
{
	return link_state(m) == LINK_UP ? NEVER : m->down_since + PATIENCE_MS;
}

/* Somewhere between a little and the whole of the step, so that many gateways do not come back in one wave. */
static int64_t backoff_ms(unsigned attempts)
{
	int64_t cap = attempts < 6 ? (int64_t)BACKOFF_FIRST_MS << attempts : BACKOFF_MAX_MS;
	if (cap > BACKOFF_MAX_MS)
		cap = BACKOFF_MAX_MS;
	return BACKOFF_MIN_MS + (int64_t)(id_random_u64() % (uint64_t)(cap - BACKOFF_MIN_MS + 1));
}

static void log_loss(struct rmux *m, enum link_state from, const struct err *why)
{
	int64_t now = clock_mono_ms();
	if (from != LINK_UP && m->logged_at && now - m->logged_at < LOG_AGAIN_MS)
		return;
	m->logged_at = now;
	char where[RADDR_SHOW_SIZE];
	raddr_show(transport_addr(m->transport), where);
	LOG(m->o.log, LOG_WARN, from == LINK_UP ? "redis_lost" : "redis_unreachable", log_strz("redis", where), log_err(why));
}

/* Forgets all that belongs to the connection. */
static void drop_connection(struct rmux *m)
{
	transport_close(m->transport);
	rhello_release(&m->hello);
	rparse_release(&m->parse);
	buf_release(&m->out);
	m->out_pos = 0;
	m->read_only = false;
}

void link_lose(struct rmux *m, const struct err *why)
{
	struct call_list ended = {0};
	enum link_state from = link_state(m);
	int64_t now = clock_mono_ms();
	log_loss(m, from, why);
	drop_connection(m);
	link_move(m, LINK_DOWN);
	lock_take(&m->mu);
	flights_lose(m, why, &ended);
	lock_give(&m->mu);
	if (from == LINK_UP && now - m->up_since >= STEADY_MS)
		m->attempts = 0;
	m->retry_at = now + backoff_ms(m->attempts);
	m->attempts++;
	calls_finish(m, &ended);
	if (from == LINK_UP && m->o.on_state)
		m->o.on_state(m->o.on_state_arg, false, false);
}

/* The socket is connected: says hello. */
static void link_start_greeting(struct rmux *m)
{
	link_move(m, LINK_GREETING);
	m->heard_at = clock_mono_ms();
	if (rparse_init(&m->parse) == 0 && rhello_init(&m->hello, &m->o.addr, m->client_name, m->scripts, m->n_scripts) == 0)
		buf_adds(&m->out, buf_str(&m->hello.cmd.wire));
	else
		m->out.failed = true;
	lock_take(&m->mu);
	m->written = 0;
	m->appended = m->out.n;
	lock_give(&m->mu);
}

static void link_continue(struct rmux *m, int rc, const struct err *err)
{
	if (rc < 0)
		link_lose(m, err);
	else if (rc == 1)
		link_start_greeting(m);
}

void link_begin(struct rmux *m, int64_t now)
{
	if (link_state(m) != LINK_DOWN || now < m->retry_at)
		return;
	struct err err = {0};
	link_move(m, LINK_CONNECTING);
	m->connect_deadline = now + m->o.connect_timeout_ms;
	int rc = transport_begin(m->transport, m->connect_deadline, &err);
	link_continue(m, rc, &err);
}

void link_advance(struct rmux *m)
{
	struct err err = {0};
	int rc = transport_advance(m->transport, &err);
	link_continue(m, rc, &err);
}

static void link_up(struct rmux *m)
{
	bool changed = m->run_id[0] && m->hello.run_id[0] && strcmp(m->run_id, m->hello.run_id) != 0;
	bool first = m->up_since == 0;
	memcpy(m->run_id, m->hello.run_id, sizeof(m->run_id));
	rhello_release(&m->hello);
	m->up_since = clock_mono_ms();
	m->logged_at = 0;
	if (!first)
		atomic_fetch_add_explicit(&m->reconnects, 1, memory_order_relaxed);
	link_move(m, LINK_UP);
	char where[RADDR_SHOW_SIZE];
	raddr_show(transport_addr(m->transport), where);
	LOG(m->o.log, LOG_INFO, "redis_up", log_strz("redis", where), log_bool("otherProcess", changed));
	if (m->o.on_state)
		m->o.on_state(m->o.on_state_arg, true, changed);
}

void link_greet(struct rmux *m, redisReply *reply)
{
	struct err err = {0};
	int rc = rhello_take(&m->hello, reply, &err);
	rreply_free(reply);
	if (rc < 0)
		link_lose(m, &err);
	else if (rc == 1)
		link_up(m);
}

static bool in_flight(struct rmux *m)
{
	lock_take(&m->mu);
	bool any = m->flights.first != m->flights.end;
	lock_give(&m->mu);
	return any;
}

static void ping_when_idle(struct rmux *m, int64_t now)
{
	if (now - m->heard_at < PING_EVERY_MS || in_flight(m))
		return;
	struct rcmd ping = RCMD_INIT;
	rcmd_begin(&ping, 1);
	rcmd_argz(&ping, "PING");
	lock_take(&m->mu);
	/* Without memory it is not sent; the next turn tries again. */
	if (!ping.wire.failed)
		(void)flights_send_dropped(m, &ping);
	lock_give(&m->mu);
	rcmd_release(&ping);
}

/* Is what is at the other end still the one to speak to? */
static int check_place(struct rmux *m, int64_t now, struct err *err)
{
	bool refused = m->read_only;
	m->read_only = false;
	if (refused && now - m->up_since >= READ_ONLY_AGAIN_MS)
		return err_set(err, ERR_UNAVAILABLE, "it has become a replica");
	return transport_check_place(m->transport, err);
}

void link_timers(struct rmux *m, int64_t now)
{
	struct err err = {0};
	enum link_state state = link_state(m);
	if (state != LINK_DOWN && check_place(m, now, &err) < 0) {
		link_lose(m, &err);
	} else if (state == LINK_CONNECTING && now >= transport_deadline(m->transport)) {
		link_advance(m);
	} else if (state == LINK_GREETING && now >= m->connect_deadline) {
		err_set(&err, ERR_TIMEOUT, "no answer to the greeting within the time allowed");
		link_lose(m, &err);
	} else if (state == LINK_UP && now - m->heard_at >= m->o.io_timeout_ms && in_flight(m)) {
		err_set(&err, ERR_TIMEOUT, "silent for %lld ms", (long long)(now - m->heard_at));
		link_lose(m, &err);
	} else if (state == LINK_UP) {
		ping_when_idle(m, now);
	}
}

int64_t link_next_timer(const struct rmux *m)
{
	switch (link_state(m)) {
	case LINK_DOWN:
		return m->retry_at;
	case LINK_CONNECTING:
		return transport_deadline(m->transport);
	case LINK_GREETING:
		return m->connect_deadline;
	case LINK_UP:
		return m->heard_at + (m->flights.first != m->flights.end ? m->o.io_timeout_ms : PING_EVERY_MS);
	case LINK_CLOSED:
		break;
	}
	return NEVER;
}

void link_close(struct rmux *m)
{
	enum link_state from = link_state(m);
	if (from != LINK_DOWN) {
		struct err err = {0};
		struct call_list ended = {0};
		err_set(&err, ERR_STOPPING, "%s", err_sentence(ERR_STOPPING));
		drop_connection(m);
		link_move(m, LINK_DOWN);
		lock_take(&m->mu);
		flights_lose(m, &err, &ended);
		lock_give(&m->mu);
		calls_finish(m, &ended);
	}
	link_move(m, LINK_CLOSED);
}
