#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http/stream_state.h"
#include "lib/base/clock.h"

#define TICK_MS 1000
#define EVENTS_AT_ONCE 64
#define SEND_BUFFER_BYTES (128 << 10) /* the kernel's part of what a slow client costs */
#define ALL_PENDING_MAX ((size_t)32 << 20)
#define FAIR_PENDING ((size_t)64 << 10) /* beyond ALL_PENDING_MAX those that have more than this end */
#define ROOM_BYTES ((size_t)64 << 10)   /* less than this is little */
#define BUFFER_KEPT_BYTES ((size_t)8 << 10)

static const char *const END_WORDS[STREAM_END_COUNT] = {
#define X(id, word) [STREAM_##id] = word,
	STREAM_ENDS(X)
#undef X
};

const char *stream_end_word(enum stream_end why)
{
	return END_WORDS[why];
}

/* ---- what anybody may do; mu is held ---------------------------------------------------------------------------------------- */

void stream_wake(struct stream *s)
{
	struct streams *all = s->all;
	if (s->dirty)
		return;
	if (!all->dirty)
		eventfd_write(all->wake_fd, 1);
	s->dirty = true;
	s->next_dirty = all->dirty;
	all->dirty = s;
}

static void begin_end(struct stream *s, enum stream_end why)
{
	if (s->end != STREAM_GOES_ON)
		return;
	s->end = why;
	cond_signal(&s->room);
	stream_wake(s);
}

static bool is_too_slow(const struct stream *s, size_t more)
{
	return s->pending + more > STREAM_PENDING_MAX || (s->all->pending > ALL_PENDING_MAX && s->pending > FAIR_PENDING);
}

static void say(struct stream *s, struct str text)
{
	buf_adds(&s->out, text);
	if (s->out.failed) {
		begin_end(s, STREAM_SLOW);
		return;
	}
	s->pending += text.n;
	s->all->pending += text.n;
	stream_wake(s);
}

void stream_say(struct stream *s, struct str text)
{
	lock_take(&s->all->mu);
	if (s->end == STREAM_GOES_ON && is_too_slow(s, text.n))
		begin_end(s, STREAM_SLOW);
	if (s->end == STREAM_GOES_ON)
		say(s, text);
	lock_give(&s->all->mu);
}

bool stream_await_room(struct stream *s)
{
	lock_take(&s->all->mu);
	while (s->end == STREAM_GOES_ON && s->pending > ROOM_BYTES)
		cond_wait(&s->room, &s->all->mu);
	bool goes_on = s->end == STREAM_GOES_ON;
	lock_give(&s->all->mu);
	return goes_on;
}

void stream_end(struct stream *s, enum stream_end why)
{
	lock_take(&s->all->mu);
	begin_end(s, why);
	lock_give(&s->all->mu);
}

/* ---- the streams' thread ------------------------------------------------------------------------------------------------------ */

static void add_work(struct streams *all, struct stream *s)
{
	if (s->working)
		return;
	s->working = true;
	s->next_work = all->work;
	all->work = s;
}

static void poll_for(struct stream *s, int operation, bool room)
{
	struct epoll_event e = {.events = EPOLLRDHUP | (room ? EPOLLOUT : 0), .data.ptr = s};
	epoll_ctl(s->all->poll_fd, operation, s->fd, &e);
}

static void link_stream(struct stream *s)
{
	struct streams *all = s->all;
	s->next = all->first;
	if (s->next)
		s->next->prev = s;
	all->first = s;
	poll_for(s, EPOLL_CTL_ADD, false);
}

static bool is_linked(const struct stream *s)
{
	return s->prev || s->all->first == s;
}

static void unlink_stream(struct stream *s)
{
	*(s->prev ? &s->prev->next : &s->all->first) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	poll_for(s, EPOLL_CTL_DEL, false);
}

/* What was said while the last piece was being sent. */
static void fetch(struct stream *s)
{
	struct buf empty = s->sending;
	if (s->sent < s->sending.n)
		return;
	if (empty.cap > BUFFER_KEPT_BYTES)
		buf_release(&empty);
	buf_clear(&empty);
	lock_take(&s->all->mu);
	s->sending = s->out;
	s->out = empty;
	lock_give(&s->all->mu);
	s->sent = 0;
}

static void note_sent(struct stream *s, size_t n, int64_t now)
{
	s->sent += n;
	s->quiet_ms = now;
	s->stalled_ms = now;
	lock_take(&s->all->mu);
	s->pending -= n;
	s->all->pending -= n;
	if (s->pending <= ROOM_BYTES)
		cond_signal(&s->room);
	lock_give(&s->all->mu);
}

/* Sends what the socket takes. */
static void push(struct stream *s, int64_t now)
{
	for (;;) {
		fetch(s);
		size_t left = s->sending.n - s->sent, taken = 0;
		s->full = false;
		if (left == 0)
			return;
		int rc = stream_write(s, s->sending.p + s->sent, left, &taken);
		if (taken)
			note_sent(s, taken, now);
		s->full = rc > 0;
		if (rc < 0)
			s->gone = true;
		if (rc)
			return;
	}
}

/* Whoever does not take it at once has enough of the others still to read. */
static void say_farewell(struct stream *s, enum stream_end why, int64_t now)
{
	char room[STREAM_FAREWELL_SIZE];
	lock_take(&s->all->mu);
	say(s, stream_farewell(s, why, room));
	lock_give(&s->all->mu);
	push(s, now);
	if (s->websocket && !s->full && !s->gone)
		stream_write_close(s, why);
}

static void finish(struct stream *s, enum stream_end why, int64_t now)
{
	struct str reason[] = {str_from(END_WORDS[why])};
	if (why != STREAM_GONE && why != STREAM_SLOW && why != STREAM_LEFT)
		say_farewell(s, why, now);
	else if (why == STREAM_LEFT && !s->gone)
		stream_write_close(s, why);
	unlink_stream(s);
	if (why == STREAM_SLOW || s->websocket) /* civetweb reads on until it hears the end */
		shutdown(s->fd, SHUT_RDWR);
	metrics_add(s->all->metrics, M_HTTP_STREAMS_ENDED, 1, reason);
	lock_take(&s->all->mu);
	if (s->dirty) { /* by its own last word */
		struct stream **at = &s->all->dirty;
		while (*at != s)
			at = &(*at)->next_dirty;
		*at = s->next_dirty;
	}
	s->all->pending -= s->pending;
	lock_give(&s->all->mu);
	atomic_fetch_sub(&s->all->count, 1);
	parker_wake(&s->over); /* s is its connection's */
}

static enum stream_end why_over(struct stream *s, int64_t now)
{
	lock_take(&s->all->mu);
	if (s->gone)
		begin_end(s, STREAM_GONE);
	else if (s->full && now - s->stalled_ms >= STREAM_STALL_MS)
		begin_end(s, STREAM_SLOW);
	else if (clock_wall_ms() >= s->expires_wall_ms)
		begin_end(s, STREAM_EXPIRED);
	else if (s->all->draining)
		begin_end(s, STREAM_DRAINING);
	enum stream_end why = s->end;
	lock_give(&s->all->mu);
	return why;
}

static void look_at(struct stream *s, int64_t now)
{
	bool was_full = s->full;
	if (!is_linked(s))
		link_stream(s);
	if (now - s->quiet_ms >= STREAM_IDLE_MS && !s->full) {
		s->quiet_ms = now;
		stream_write_ping(s);
		s->feed.idle(s->feed.arg, s);
	}
	stream_write_pong(s);
	push(s, now);
	enum stream_end why = why_over(s, now);
	if (why != STREAM_GOES_ON)
		finish(s, why, now);
	else if (s->full != was_full)
		poll_for(s, EPOLL_CTL_MOD, s->full);
}

static bool take_dirty(struct streams *all)
{
	lock_take(&all->mu);
	for (struct stream *s = all->dirty; s; s = s->next_dirty) {
		s->dirty = false;
		add_work(all, s);
	}
	all->dirty = NULL;
	bool stopping = all->stopping, draining = all->draining;
	lock_give(&all->mu);
	if (draining && !all->drained)
		all->ticked_ms = 0;
	all->drained = draining;
	return !stopping;
}

static void take_events(struct streams *all, const struct epoll_event *events, int n)
{
	eventfd_t count;
	for (int i = 0; i < n; i++) {
		struct stream *s = events[i].data.ptr;
		if (!s) {
			eventfd_read(all->wake_fd, &count);
			continue;
		}
		if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			s->gone = true;
		add_work(all, s);
	}
}

static void take_all(struct streams *all, int64_t now)
{
	if (now - all->ticked_ms < TICK_MS)
		return;
	all->ticked_ms = now;
	for (struct stream *s = all->first; s; s = s->next)
		add_work(all, s);
}

static void run(void *arg)
{
	struct streams *all = arg;
	struct epoll_event events[EVENTS_AT_ONCE];
	do {
		int64_t now = clock_mono_ms();
		take_all(all, now);
		for (struct stream *s = all->work, *next; s; s = next) {
			next = s->next_work;
			s->working = false;
			look_at(s, now);
		}
		all->work = NULL;
		int n = epoll_wait(all->poll_fd, events, EVENTS_AT_ONCE, TICK_MS);
		take_events(all, events, n);
	} while (take_dirty(all));
}

struct streams *streams_start(struct metrics *m, struct err *err)
{
	struct streams *all = calloc(1, sizeof(*all));
	struct epoll_event wake = {.events = EPOLLIN};
	if (!all) {
		err_set(err, ERR_NOMEM, "no memory for streams");
		return NULL;
	}
	lock_init(&all->mu);
	all->metrics = m;
	all->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	all->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (all->wake_fd >= 0 && all->poll_fd >= 0 && epoll_ctl(all->poll_fd, EPOLL_CTL_ADD, all->wake_fd, &wake) == 0 &&
	    thread_start(&all->thread, "streams", run, all) == 0)
		return all;
	err_set(err, ERR_NOMEM, "no descriptor or thread for streams");
	streams_stop(all);
	return NULL;
}

void streams_drain(struct streams *all)
{
	lock_take(&all->mu);
	all->draining = true;
	lock_give(&all->mu);
	eventfd_write(all->wake_fd, 1);
}

void streams_stop(struct streams *all)
{
	if (!all)
		return;
	lock_take(&all->mu);
	all->stopping = true;
	lock_give(&all->mu);
	if (all->thread.running)
		eventfd_write(all->wake_fd, 1);
	thread_join(&all->thread);
	if (all->wake_fd >= 0)
		close(all->wake_fd);
	if (all->poll_fd >= 0)
		close(all->poll_fd);
	lock_release(&all->mu);
	free(all);
}

int streams_count(struct streams *all)
{
	return atomic_load(&all->count);
}

/* ---- joining -------------------------------------------------------------------------------------------------------------------- */

void stream_join(struct stream *s)
{
	int bytes = SEND_BUFFER_BYTES;
	unsigned silent_ms = STREAM_STALL_MS;
	setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof(silent_ms)); /* a client whose machine is gone says nothing */
	s->joined = true;
	s->stalled_ms = s->quiet_ms = clock_mono_ms();
	atomic_fetch_add(&s->all->count, 1);
	lock_take(&s->all->mu);
	stream_wake(s);
	lock_give(&s->all->mu);
}
