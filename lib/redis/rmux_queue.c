#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/redis/rmux_internal.h"

/* Unwritten bytes above which calls stay in the queue, where they can still be taken back. */
#define OUT_ENOUGH_BYTES ((size_t)256 << 10)
#define FIRST_RING 256

void list_push_back(struct call_list *l, struct call *c)
{
	c->next = NULL;
	c->prev = l->tail;
	*(l->tail ? &l->tail->next : &l->head) = c;
	l->tail = c;
}

void list_push_front(struct call_list *l, struct call *c)
{
	c->prev = NULL;
	c->next = l->head;
	*(l->head ? &l->head->prev : &l->tail) = c;
	l->head = c;
}

void list_remove(struct call_list *l, struct call *c)
{
	*(c->prev ? &c->prev->next : &l->head) = c->next;
	*(c->next ? &c->next->prev : &l->tail) = c->prev;
	c->prev = c->next = NULL;
}

void queue_add(struct rmux *m, struct call *c)
{
	bug_on(c->phase != CALL_NEW);
	list_push_back(&m->queue, c);
	c->phase = CALL_QUEUED;
	m->pending_bytes += c->wire.n;
	if (c->done && c->deadline < m->expiry)
		m->expiry = c->deadline;
}

static void queue_put_back(struct rmux *m, struct call *c)
{
	bug_on(c->phase != CALL_SENT);
	list_push_front(&m->queue, c);
	c->phase = CALL_QUEUED;
	m->pending_bytes += c->wire.n;
}

void queue_remove(struct rmux *m, struct call *c)
{
	bug_on(c->phase != CALL_QUEUED);
	list_remove(&m->queue, c);
	m->pending_bytes -= c->wire.n;
}

/* ---- flights ---- */

static struct flight *flight_at(const struct flights *f, uint64_t seq)
{
	return &f->ring[seq & (f->size - 1)];
}

static bool flights_grow(struct flights *f)
{
	size_t size = f->size ? f->size * 2 : FIRST_RING;
	struct flight *ring = calloc(size, sizeof(*ring));
	if (!ring)
		return false;
	for (uint64_t seq = f->first; seq != f->end; seq++)
		ring[seq & (size - 1)] = *flight_at(f, seq);
	free(f->ring);
	f->ring = ring;
	f->size = size;
	return true;
}

static bool flights_push(struct rmux *m, struct call *c, unsigned replies)
{
	struct flights *f = &m->flights;
	if (f->end - f->first == f->size && !flights_grow(f))
		return false;
	if (f->first == f->end)
		m->heard_at = clock_mono_ms(); /* silence counts from the question, not from the last answer */
	if (c)
		c->seq = f->end;
	f->live += c != NULL;
	*flight_at(f, f->end++) = (struct flight){c, replies, m->appended};
	return true;
}

void flights_release(struct flights *f)
{
	free(f->ring);
	*f = (struct flights){0};
}

void flights_abandon(struct rmux *m, struct call *c)
{
	struct flight *flight = flight_at(&m->flights, c->seq);
	bug_on(c->phase != CALL_SENT || flight->call != c);
	flight->call = NULL;
	m->flights.live--;
}

static void append(struct rmux *m, struct str bytes)
{
	buf_adds(&m->out, bytes);
	m->appended += bytes.n;
}

bool flights_send_dropped(struct rmux *m, const struct rcmd *cmd)
{
	if (!flights_push(m, NULL, cmd->commands))
		return false;
	append(m, buf_str(&cmd->wire));
	return true;
}

/* ---- NOSCRIPT: another round ---- */

/* A flush may come again while the scripts are being loaded, which Redis does in pieces; who has none to load would never end. */
#define NOSCRIPT_ROUNDS 10

static bool is_noscript(const redisReply *r)
{
	return r && r->type == REDIS_REPLY_ERROR && r->len >= 8 && memcmp(r->str, "NOSCRIPT", 8) == 0;
}

static unsigned count_noscript(const struct call *c)
{
	unsigned n = 0;
	for (unsigned i = 0; i < c->commands; i++)
		n += is_noscript(c->items[i]);
	return n;
}

/* The number behind the '*' or '$' at *pos; *pos goes past its line. The bytes are rcmd's own, so they are well formed. */
static size_t wire_number(struct str wire, size_t *pos)
{
	size_t n = 0, i = *pos + 1;
	for (; i < wire.n && wire.p[i] != '\r'; i++)
		n = n * 10 + (size_t)(wire.p[i] - '0');
	*pos = i + 2;
	return n;
}

/* Where the command that begins at pos ends. */
static size_t wire_command_end(struct str wire, size_t pos)
{
	size_t args = wire_number(wire, &pos);
	for (size_t i = 0; i < args; i++) {
		size_t n = wire_number(wire, &pos);
		pos += n + 2;
	}
	bug_on(pos > wire.n);
	return pos;
}

static void append_noscript_commands(struct rmux *m, const struct call *c)
{
	size_t pos = 0;
	for (unsigned i = 0; i < c->commands; i++) {
		size_t end = wire_command_end(c->wire, pos);
		if (is_noscript(c->items[i]))
			append(m, str_sub(c->wire, pos, end - pos));
		pos = end;
	}
}

/* true: the call goes round again. */
static bool retry_noscript(struct rmux *m, struct call *c)
{
	unsigned n = c->rounds == NOSCRIPT_ROUNDS || m->n_scripts == 0 ? 0 : count_noscript(c);
	if (n == 0)
		return false;
	c->again = true;
	c->rounds++;
	c->touched = n < c->commands;
	c->answered = 0;
	queue_put_back(m, c);
	return true;
}

/* ---- the way out ---- */

static bool send_call(struct rmux *m, struct call *c, bool *loaded)
{
	if (c->again && !*loaded) {
		if (!flights_send_dropped(m, &m->load))
			return false;
		*loaded = true;
	}
	unsigned replies = c->again ? count_noscript(c) : c->commands;
	if (!flights_push(m, c, replies))
		return false;
	queue_remove(m, c);
	c->phase = CALL_SENT;
	if (c->again)
		append_noscript_commands(m, c);
	else
		append(m, c->wire);
	atomic_fetch_add_explicit(&m->calls, !c->again, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->commands, replies, memory_order_relaxed);
	return true;
}

bool queue_take(struct rmux *m)
{
	bool loaded = false;
	while (m->queue.head && m->out.n - m->out_pos < OUT_ENOUGH_BYTES)
		if (!send_call(m, m->queue.head, &loaded))
			return false;
	return !m->out.failed;
}

/* ---- the way back ---- */

static unsigned next_slot(const struct call *c)
{
	unsigned i = c->answered;
	while (c->again && !is_noscript(c->items[i]))
		i++;
	return i;
}

static void call_take_reply(struct call *c, redisReply *reply)
{
	unsigned i = next_slot(c);
	if (c->items[i])
		rreply_free(c->items[i]);
	c->items[i] = reply;
	c->answered = i + 1;
}

int flights_take_reply(struct rmux *m, redisReply *reply, struct call_list *ended)
{
	struct flights *f = &m->flights;
	if (f->first == f->end) {
		rreply_free(reply);
		return ERR_PROTOCOL;
	}
	struct flight *flight = flight_at(f, f->first);
	struct call *c = flight->call;
	if (c)
		call_take_reply(c, reply);
	else
		rreply_free(reply);
	if (--flight->left > 0)
		return 0;
	f->first++;
	if (!c)
		return 0;
	f->live--;
	if (!retry_noscript(m, c)) {
		c->phase = CALL_ENDED;
		c->rc = 0;
		list_push_back(ended, c);
	}
	return 0;
}

void flights_lose(struct rmux *m, const struct err *why, struct call_list *ended)
{
	struct flights *f = &m->flights;
	struct call_list unknown = {0};
	/* From the newest to the oldest, so that what goes back to the front of the queue keeps its order. */
	while (f->end != f->first) {
		struct flight *flight = flight_at(f, --f->end);
		struct call *c = flight->call;
		if (c && flight->start >= m->written)
			queue_put_back(m, c);
		else if (c)
			list_push_front(&unknown, c);
	}
	f->live = 0;
	while (unknown.head) {
		struct call *c = unknown.head;
		list_remove(&unknown, c);
		call_end_unknown(m, c, why->text, ended);
	}
}

void queue_fail_all(struct rmux *m, int code, struct call_list *ended)
{
	while (m->queue.head) {
		struct call *c = m->queue.head;
		queue_remove(m, c);
		call_end_unsent(m, c, code, ended);
	}
}

void queue_expire(struct rmux *m, int64_t now, struct call_list *ended)
{
	if (now < m->expiry)
		return;
	m->expiry = NEVER;
	for (struct call *c = m->queue.head, *next; c; c = next) {
		next = c->next;
		if (c->done && c->deadline <= now) {
			queue_remove(m, c);
			call_end_unsent(m, c, ERR_TIMEOUT, ended);
		} else if (c->done && c->deadline < m->expiry) {
			m->expiry = c->deadline;
		}
	}
	for (uint64_t seq = m->flights.first; seq != m->flights.end; seq++) {
		struct call *c = flight_at(&m->flights, seq)->call;
		if (c && c->done && c->deadline <= now) {
			flights_abandon(m, c);
			call_end_unknown(m, c, "no reply within the deadline", ended);
		} else if (c && c->done && c->deadline < m->expiry) {
			m->expiry = c->deadline;
		}
	}
}
