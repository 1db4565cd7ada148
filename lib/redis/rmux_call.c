#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/redis/rmux_internal.h"

void rmux_wake(struct rmux *m)
{
	uint64_t one = 1;
	/* The counter cannot overflow (it is emptied at every wake-up), so this never blocks or fails. */
	if (write(m->wake_fd, &one, sizeof(one)) < 0)
		panic("eventfd");
}

/* ---- how calls end ---- */

static void call_end(struct call *c, int code, struct call_list *ended)
{
	c->phase = CALL_ENDED;
	c->rc = code;
	if (ended)
		list_push_back(ended, c);
}

void call_end_unknown(struct rmux *m, struct call *c, const char *why, struct call_list *ended)
{
	atomic_fetch_add_explicit(&m->unknown_outcomes, 1, memory_order_relaxed);
	err_set(&c->err, ERR_UNKNOWN_OUTCOME, "Redis: sent, and then: %s", why);
	call_end(c, ERR_UNKNOWN_OUTCOME, ended);
}

void call_end_unsent(struct rmux *m, struct call *c, int code, struct call_list *ended)
{
	if (c->touched) {
		call_end_unknown(m, c, "only some of its commands were executed", ended);
		return;
	}
	if (code == ERR_UNAVAILABLE)
		err_set(&c->err, code, "Redis is not connected, nothing was sent");
	else
		err_set(&c->err, code, "Redis: %s, nothing was sent", err_sentence(code));
	call_end(c, code, ended);
}

static void call_drop_replies(struct call *c)
{
	struct rreplies r = {c->items, c->commands};
	rreplies_release(&r);
	c->items = NULL;
}

static void finish_async(struct call *c)
{
	struct rreplies replies = {c->items, c->commands};
	if (c->rc == 0)
		c->done(c->arg, 0, &replies, NULL);
	else
		c->done(c->arg, c->rc, NULL, &c->err);
	call_drop_replies(c);
	buf_release(&c->owned);
	free(c);
}

void calls_finish(struct rmux *m, struct call_list *ended)
{
	bool batch = ended->head && m->o.on_batch;
	struct call *next;
	if (batch)
		m->o.on_batch(m->o.on_batch_arg, true);
	for (struct call *c = ended->head; c; c = next) {
		next = c->next;
		if (c->done)
			finish_async(c);
		else
			parker_wake(&c->parker); /* c may be gone from here on */
	}
	*ended = (struct call_list){0};
	if (batch)
		m->o.on_batch(m->o.on_batch_arg, false);
}

/* ---- handing in; mu is held ---- */

static int refuse(const struct rmux *m, const struct call *c, struct err *err)
{
	int64_t now = clock_mono_ms();
	if (m->stopping)
		return err_set(err, ERR_STOPPING, "Redis: %s, nothing was sent", err_sentence(ERR_STOPPING));
	if (now >= link_gives_up_at(m))
		return err_set(err, ERR_UNAVAILABLE, "Redis is not connected, nothing was sent");
	if (now >= c->deadline)
		return err_set(err, ERR_TIMEOUT, "Redis: %s, nothing was sent", err_sentence(ERR_TIMEOUT));
	if (m->pending_bytes + c->wire.n > m->o.max_pending_bytes)
		return err_set(err, ERR_UNAVAILABLE, "too much is waiting for Redis, nothing was sent");
	return 0;
}

bool rmux_needs_wake(struct rmux *m)
{
	bool wake = m->sleeping;
	m->sleeping = false;
	return wake;
}

/* `reads` is NULL where the caller goes on, else whether it is to read the reply. */
static int hand_in(struct rmux *m, struct call *c, bool *reads, struct err *err)
{
	bool wake = false;
	lock_take(&m->mu);
	int rc = refuse(m, c, err);
	if (rc == 0) {
		if (reads)
			*reads = io_read_begin(m);
		queue_add(m, c); /* from here on it may end at any time */
		wake = !io_write_now(m) && rmux_needs_wake(m);
	}
	lock_give(&m->mu);
	if (wake)
		rmux_wake(m);
	return rc;
}

/* ---- synchronous ---- */

/* The deadline has passed. false: the call has just ended, its waker is on the way. */
static bool give_up(struct rmux *m, struct call *c)
{
	lock_take(&m->mu);
	bool mine = c->phase != CALL_ENDED;
	if (c->phase == CALL_QUEUED) {
		queue_remove(m, c);
		call_end_unsent(m, c, ERR_TIMEOUT, NULL);
	} else if (c->phase == CALL_SENT) {
		flights_abandon(m, c);
		call_end_unknown(m, c, "no reply within the deadline", NULL);
	}
	lock_give(&m->mu);
	return mine;
}

static int check_command(const struct rcmd *c, struct err *err)
{
	bug_on(c->commands == 0);
	return c->wire.failed ? err_set(err, ERR_NOMEM, "Redis command: %s", err_sentence(ERR_NOMEM)) : 0;
}

static bool call_alloc_items(struct call *c)
{
	c->items = calloc(c->commands, sizeof(*c->items));
	return c->items != NULL;
}

int rmux_call(struct rmux *m, struct rcmd *cmd, int64_t deadline_mono_ms, struct rreplies *out, struct err *err)
{
	struct call c = {.wire = buf_str(&cmd->wire), .commands = cmd->commands, .deadline = deadline_mono_ms};
	bool reads = false;
	int rc = check_command(cmd, err);
	if (rc < 0)
		return rc;
	if (!call_alloc_items(&c))
		return err_set(err, ERR_NOMEM, "Redis replies: %s", err_sentence(ERR_NOMEM));
	rc = hand_in(m, &c, &reads, err);
	if (rc < 0) {
		call_drop_replies(&c);
		return rc;
	}
	if (reads)
		rmux_read(m, &c.parker);
	if (!parker_wait_until(&c.parker, deadline_mono_ms) && !give_up(m, &c))
		(void)parker_wait_until(&c.parker, PARKER_FOREVER);
	if (c.rc == 0) {
		*out = (struct rreplies){c.items, c.commands};
		return 0;
	}
	call_drop_replies(&c);
	return err_set(err, c.rc, "%s", c.err.text);
}

/* ---- asynchronous ---- */

static struct call *call_new(struct rcmd *cmd, int64_t deadline, rmux_done_fn *done, void *arg)
{
	struct call *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	*c = (struct call){.commands = cmd->commands, .deadline = deadline, .done = done, .arg = arg};
	if (!call_alloc_items(c)) {
		free(c);
		return NULL;
	}
	c->owned = cmd->wire;
	c->wire = buf_str(&c->owned);
	*cmd = RCMD_INIT;
	return c;
}

/* A call that was not taken in is ended by the I/O thread as well, so that done has one thread; here when there is none. */
static void end_refused(struct rmux *m, struct call *c, const struct err *why)
{
	struct call_list here = {0};
	c->err = *why;
	lock_take(&m->mu);
	call_end(c, why->code, m->gone ? &here : &m->refused);
	bool wake = !m->gone && rmux_needs_wake(m);
	lock_give(&m->mu);
	if (wake)
		rmux_wake(m);
	calls_finish(m, &here);
}

void rmux_send(struct rmux *m, struct rcmd *cmd, int64_t deadline_mono_ms, rmux_done_fn *done, void *arg)
{
	struct err err = {0};
	int rc = check_command(cmd, &err);
	struct call *c = rc == 0 ? call_new(cmd, deadline_mono_ms, done, arg) : NULL;
	if (!c) {
		rcmd_clear(cmd);
		err_set(&err, ERR_NOMEM, "Redis command: %s", err_sentence(ERR_NOMEM));
		done(arg, ERR_NOMEM, NULL, &err);
		return;
	}
	rc = hand_in(m, c, NULL, &err);
	if (rc < 0) /* only then is c still ours */
		end_refused(m, c, &err);
}
