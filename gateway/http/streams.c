#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http/stream_state.h"
#include "gateway/http/wire.h"
#include "lib/base/clock.h"

#define TICK_MS 1000
#define EVENTS_AT_ONCE 64
#define SEND_BUFFER_BYTES (128 << 10) /* the kernel's part of what a slow client costs */
#define NICE 5 /* whoever waits for an answer goes before */
#define ROOM_BYTES ((size_t)64 << 10)   /* less than this is little */

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

/* Something was added to what there is for it alone, which was `before` bytes long. */
static void note_said(struct stream *s, size_t before)
{
	size_t more = s->out.n - before;

	if (s->out.failed) {
		begin_end(s, STREAM_SLOW);
		return;
	}
	if (more == 0)
		return;
	s->out_behind = s->seat ? stream_channel_said(s->seat->channel) : 0;
	s->pending += more;
	s->all->pending += more;
	stream_wake(s);
}

void stream_say(struct stream *s, struct str text)
{
	lock_take(&s->all->mu);
	size_t before = s->out.n;
	if (s->end == STREAM_GOES_ON && s->pending + text.n > stream_keeps(s->all))
		begin_end(s, STREAM_SLOW);
	if (s->end == STREAM_GOES_ON) {
		stream_add_text(&s->out, s->websocket, text);
		note_said(s, before);
	}
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

void stream_add_work(struct stream *s)
{
	if (s->working)
		return;
	s->working = true;
	s->next_work = s->all->work;
	s->all->work = s;
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

/* Swaps what was said to it alone with what has been sent of that. mu is held. */
static void fetch(struct stream *s)
{
	struct buf empty = s->sending;
	if (empty.cap > STREAM_BUFFER_KEPT)
		buf_release(&empty);
	buf_clear(&empty);
	s->sending = s->out;
	s->out = empty;
	s->sent = 0;
}

static struct str sending(const struct stream *s)
{
	return (struct str){buf_str(&s->sending).p + s->sent, s->sending.n - s->sent};
}

/* What the channel has for it, up to what was said to it alone meanwhile. mu is held. */
static struct str next_of_channel(struct stream *s)
{
	struct stream_seat *seat = s->seat;
	uint64_t up_to = s->out.n ? s->out_behind : seat ? stream_channel_said(seat->channel) : 0;
	if (!seat || (!s->turn && !s->out.n))
		return STR_NONE;
	if (seat->lost) {
		begin_end(s, STREAM_SLOW);
		return STR_NONE;
	}
	if (seat->at < up_to)
		return stream_channel_piece(s, up_to);
	s->turn = s->turn && s->out.n;
	return STR_NONE;
}

/* What it is to be told next: the rest of what is being sent; of the channel; what was said to it alone. .n 0: nothing. */
static struct str next_piece(struct stream *s, bool *of_channel)
{
	*of_channel = false;
	if (s->sent < s->sending.n)
		return sending(s);
	lock_take(&s->all->mu);
	struct str piece = next_of_channel(s);
	*of_channel = piece.n > 0;
	if (!piece.n && s->end != STREAM_SLOW) {
		fetch(s);
		piece = sending(s);
	}
	lock_give(&s->all->mu);
	return piece;
}

static void note_sent(struct stream *s, size_t n, bool of_channel, int64_t now)
{
	s->quiet_ms = now;
	s->stalled_ms = now;
	if (!of_channel)
		s->sent += n;
	lock_take(&s->all->mu);
	if (of_channel) {
		stream_channel_took(s, n);
	} else {
		s->pending -= n;
		s->all->pending -= n;
	}
	if (s->pending <= ROOM_BYTES)
		cond_signal(&s->room);
	lock_give(&s->all->mu);
}

/* Sends what the socket takes. */
static void push(struct stream *s, int64_t now)
{
	bool of_channel;
	struct str piece;
	s->full = false;
	while (!s->full && !s->gone && (piece = next_piece(s, &of_channel)).n) {
		struct iovec part = {(void *)(uintptr_t)piece.p, piece.n}, *rest = &part;
		int parts = 1, rc = wire_push(s->fd, &rest, &parts);
		size_t taken = rc < 0 ? 0 : rc ? piece.n - part.iov_len : piece.n;
		if (taken)
			note_sent(s, taken, of_channel, now);
		s->full = rc > 0;
		s->gone = rc < 0;
	}
}

/* The last words. Whoever does not take them at once has enough of the others still to read. */
static void say_farewell(struct stream *s, enum stream_end why, int64_t now)
{
	lock_take(&s->all->mu);
	size_t before = s->out.n;
	(why == STREAM_LEFT ? stream_add_close : stream_add_farewell)(s, &s->out, why);
	note_said(s, before);
	lock_give(&s->all->mu);
	push(s, now);
}

static void finish(struct stream *s, enum stream_end why, int64_t now)
{
	struct str reason[] = {str_from(END_WORDS[why])};
	if (why != STREAM_GONE && why != STREAM_SLOW)
		say_farewell(s, why, now);
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
	if (s->seat)
		s->seat->stream = NULL;
	s->all->pending -= s->pending;
	lock_give(&s->all->mu);
	atomic_fetch_sub(&s->all->count[s->websocket], 1);
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
	else if (s->seat && s->seat->channel->end != STREAM_GOES_ON && !s->full)
		begin_end(s, s->seat->channel->end);
	enum stream_end why = s->end;
	lock_give(&s->all->mu);
	return why;
}

/* What a WebSocket is to be told besides. */
static void add_frames(struct stream *s, bool ping)
{
	if (!s->websocket)
		return;
	lock_take(&s->all->mu);
	size_t before = s->out.n;
	stream_add_pong(s, &s->out);
	if (ping)
		stream_add_ping(s, &s->out);
	note_said(s, before);
	lock_give(&s->all->mu);
}

static void look_at(struct stream *s, int64_t now)
{
	bool was_full = s->full;
	if (!is_linked(s))
		link_stream(s);
	if (now - s->quiet_ms >= STREAM_IDLE_MS && !s->full) {
		s->quiet_ms = now;
		add_frames(s, true);
		s->feed.idle(s->feed.arg, s);
	} else {
		add_frames(s, false);
	}
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
		stream_add_work(s);
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
		stream_add_work(s);
	}
}

static void take_all(struct streams *all, int64_t now)
{
	if (now - all->ticked_ms < TICK_MS)
		return;
	all->ticked_ms = now;
	for (struct stream *s = all->first; s; s = s->next)
		stream_add_work(s);
}

static void run(void *arg)
{
	struct streams *all = arg;
	struct epoll_event events[EVENTS_AT_ONCE];
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	do {
		int64_t now = clock_mono_ms();
		take_all(all, now);
		int rest_ms = stream_channels_turn(all, now, TICK_MS);
		for (struct stream *s = all->work, *next; s; s = next) {
			next = s->next_work;
			s->working = false;
			look_at(s, now);
		}
		all->work = NULL;
		int n = epoll_wait(all->poll_fd, events, EVENTS_AT_ONCE, rest_ms);
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

int streams_count(const struct streams *all, bool websocket)
{
	return atomic_load(&all->count[websocket]);
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
	atomic_fetch_add(&s->all->count[s->websocket], 1);
	lock_take(&s->all->mu);
	stream_wake(s);
	lock_give(&s->all->mu);
}
