#include "gateway/http/answer.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http/server_state.h"
#include "gateway/http/wire.h"
#include "lib/base/clock.h"
#include "lib/base/panic.h"

#define IN_ONE_PIECE_BYTES 2048 /* a body up to this is cheaper copied behind its head */

struct lateness {
	/* set before start */
	int wake_fd;
	struct thread thread;
	struct worker **writing; /* the thread's, as all that follows */
	struct pollfd *polls;    /* the first is wake_fd's, then those of writing[] */
	unsigned n;
	/* protected by mu */
	struct lock mu;
	struct worker *added;
	bool stopping;
};

/* ---- the end of a detached answer ---------------------------------------------------------------------------------------- */

/* The connection's thread sleeps in civetweb, in front of its next request: the end of the input sends it home. */
static void end_answer(struct worker *w, int rc)
{
	w->over = rc < 0 || w->response.close;
	if (w->over)
		shutdown(w->fd, rc < 0 ? SHUT_RDWR : SHUT_RD);
	exchange_leave(w);
	parker_wake(&w->answered); /* w is its connection's again */
}

static void add_late(struct lateness *l, struct worker *w)
{
	lock_take(&l->mu);
	w->late.next = l->added;
	l->added = w;
	lock_give(&l->mu);
	eventfd_write(l->wake_fd, 1);
}

static void send_detached(struct worker *w)
{
	struct late_answer *late = &w->late;
	int rc = w->head.failed ? ERR_NOMEM : wire_push(w->fd, &late->rest, &late->n);
	if (rc <= 0)
		end_answer(w, rc);
	else
		add_late(w->server->lateness, w);
}

/* Answers of this thread that wait for the end of what makes them: their log lines go first. */
static _Thread_local struct {
	unsigned depth;
	struct worker *first, **end;
} together;

void server_answers_begin(void)
{
	if (together.depth++ > 0)
		return;
	together.first = NULL;
	together.end = &together.first;
}

void server_answers_end(void)
{
	if (--together.depth > 0)
		return;
	for (struct worker *w = together.first, *next; w; w = next) {
		next = w->late.next;
		send_detached(w);
	}
}

/* Everything that reads the request comes before the last byte is sent: then the client may ask again, and its thread should not have to
 * wait for us. */
static void write_detached(struct request *r, struct response *res)
{
	struct worker *w = r->x_->worker;
	struct late_answer *late = &w->late;
	response_prepare(r, res);
	middleware_finish(r, res);
	bool with_body = response_has_body(r, res), small = with_body && res->body.n <= IN_ONE_PIECE_BYTES;
	if (small)
		buf_adds(&w->head, buf_str(&res->body));
	*late = (struct late_answer){.parts = {{w->head.p, w->head.n}, {res->body.p, res->body.n}}, .n = with_body && !small ? 2 : 1,
				     .deadline_mono_ms = response_deadline_ms(res)};
	late->rest = late->parts;
	exchange_clean(w);
	if (together.depth == 0) {
		send_detached(w);
		return;
	}
	*together.end = w;
	together.end = &late->next;
}

/* ---- handlers' and connections' side ---------------------------------------------------------------------------------------- */

/* Does the connection go on, and is nothing of this request left to be read? */
static bool may_detach(const struct request *r)
{
	const struct exchange *x = r->x_;
	return x->facts.keep_alive && !x->facts.http10 && !r->head_only && !x->facts.chunked && x->body_read == x->facts.content_length &&
	       !x->continue_due && !request_draining(r);
}

struct parker *response_defer(struct request *r)
{
	struct exchange *x = r->x_;
	bug_on(x->way != ANSWER_HERE);
	x->way = may_detach(r) ? ANSWER_DETACHED : ANSWER_AWAITED;
	parker_close(&x->worker->answered);
	return &x->worker->answered;
}

void response_ready(struct request *r, struct response *res)
{
	struct exchange *x = r->x_;
	bug_on(x->way == ANSWER_HERE || res->file_fd >= 0);
	if (x->way == ANSWER_AWAITED) {
		parker_wake(&x->worker->answered);
		return;
	}
	exchange_conclude(r, res);
	write_detached(r, res);
}

void answer_await(struct worker *w)
{
	if (!parker_is_open(&w->answered))
		(void)parker_wait_until(&w->answered, PARKER_FOREVER);
}

/* ---- late answers ------------------------------------------------------------------------------------------------------------- */

/* false: the end. */
static bool take_added(struct lateness *l)
{
	lock_take(&l->mu);
	for (; l->added; l->added = l->added->late.next)
		l->writing[l->n++] = l->added;
	bool stopping = l->stopping;
	lock_give(&l->mu);
	return !stopping;
}

static int fill_polls(struct lateness *l)
{
	int64_t now = clock_mono_ms(), until = now + 60000;
	l->polls[0] = (struct pollfd){.fd = l->wake_fd, .events = POLLIN};
	for (unsigned i = 0; i < l->n; i++) {
		const struct worker *w = l->writing[i];
		l->polls[i + 1] = (struct pollfd){.fd = w->fd, .events = POLLOUT};
		if (w->late.deadline_mono_ms < until)
			until = w->late.deadline_mono_ms;
	}
	return until > now ? (int)(until - now) : 0;
}

static void go_on(struct lateness *l)
{
	int64_t now = clock_mono_ms();
	for (unsigned i = l->n; i-- > 0;) {
		struct worker *w = l->writing[i];
		int rc = 1;
		if (l->polls[i + 1].revents)
			rc = wire_push(w->fd, &w->late.rest, &w->late.n);
		if (rc > 0 && now >= w->late.deadline_mono_ms)
			rc = ERR_TIMEOUT;
		if (rc > 0)
			continue;
		l->writing[i] = l->writing[--l->n];
		end_answer(w, rc);
	}
}

static void run(void *arg)
{
	struct lateness *l = arg;
	eventfd_t count;
	while (take_added(l)) {
		int rc = poll(l->polls, l->n + 1, fill_polls(l));
		if (rc > 0 && l->polls[0].revents)
			eventfd_read(l->wake_fd, &count);
		if (rc >= 0)
			go_on(l);
	}
	bug_on(l->n > 0);
}

struct lateness *lateness_start(unsigned connections, struct err *err)
{
	struct lateness *l = calloc(1, sizeof(*l));
	if (!l) {
		err_set(err, ERR_NOMEM, "no memory for late answers");
		return NULL;
	}
	lock_init(&l->mu);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->writing = calloc(connections, sizeof(struct worker *));
	l->polls = calloc((size_t)connections + 1, sizeof(*l->polls));
	if (l->wake_fd >= 0 && l->writing && l->polls && thread_start(&l->thread, "late-answers", run, l) == 0)
		return l;
	err_set(err, ERR_NOMEM, "no memory, descriptor or thread for late answers");
	lateness_stop(l);
	return NULL;
}

void lateness_stop(struct lateness *l)
{
	if (!l)
		return;
	lock_take(&l->mu);
	l->stopping = true;
	lock_give(&l->mu);
	if (l->thread.running)
		eventfd_write(l->wake_fd, 1);
	thread_join(&l->thread);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	lock_release(&l->mu);
	free(l->writing);
	free(l->polls);
	free(l);
}
