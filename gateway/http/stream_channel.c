/* What many streams are told alike: one log, and for each of them how far it has come in it. */
#include <stdlib.h>
#include <sys/eventfd.h>

#include "gateway/http/stream_state.h"

#define ALL_PENDING_MAX ((size_t)32 << 20)
#define FAIR_PENDING ((size_t)64 << 10) /* beyond ALL_PENDING_MAX those that have more than this end */
#define PORTION 16 /* streams that are written to, then a rest: about 0.1 ms, then others' turn */
#define REST_MS 2

size_t stream_keeps(const struct streams *all)
{
	return all->pending > ALL_PENDING_MAX ? FAIR_PENDING : STREAM_PENDING_MAX;
}

uint64_t stream_channel_said(const struct stream_channel *c)
{
	return c->begin + c->log.n;
}

/* ---- the log; mu is held ---- */

static void drop(struct stream_channel *c, size_t n)
{
	buf_drop(&c->log, n);
	c->begin += n;
	c->all->pending -= n;
	if (!c->log.n && c->log.cap > STREAM_BUFFER_KEPT)
		buf_release(&c->log);
}

/* Drops what nobody has yet to take, when that is worth moving the rest. */
static void trim(struct stream_channel *c)
{
	uint64_t needed = stream_channel_said(c);

	for (const struct stream_seat *s = c->first; s; s = s->next)
		if (!s->lost && s->at < needed)
			needed = s->at;
	size_t gone = (size_t)(needed - c->begin);
	if (gone >= c->log.n - gone)
		drop(c, gone);
}

static void lose_behind(struct stream_channel *c, uint64_t at)
{
	for (struct stream_seat *s = c->first; s; s = s->next)
		s->lost = s->lost || s->at < at;
	trim(c);
}

static void await_round(struct stream_channel *c)
{
	if (c->awaits_round)
		return;
	c->awaits_round = true;
	c->next = c->all->channels;
	c->all->channels = c;
	eventfd_write(c->all->wake_fd, 1);
}

static void forget_round(struct stream_channel *c)
{
	struct stream_channel **at = &c->all->channels;

	if (!c->awaits_round)
		return;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->awaits_round = c->in_round = false;
}

static bool has_gathered(const struct stream_channel *c)
{
	return stream_channel_said(c) - c->round_end >= STREAM_GATHER_BYTES;
}

static void say(struct stream_channel *c, struct str text)
{
	size_t before = c->log.n;
	bool had_gathered = has_gathered(c);

	stream_add_text(&c->log, c->messages, text);
	c->all->pending += c->log.n - before;
	uint64_t said = stream_channel_said(c);
	if (c->log.failed) {
		lose_behind(c, said);
		buf_clear(&c->log);
	} else if (c->log.n > stream_keeps(c->all)) {
		lose_behind(c, said - stream_keeps(c->all));
	}
	if (!had_gathered && has_gathered(c) && c->awaits_round)
		eventfd_write(c->all->wake_fd, 1);
	await_round(c);
}

/* ---- what anybody may do ---- */

struct stream_channel *stream_channel_new(const struct request *r, bool messages)
{
	struct stream_channel *c = calloc(1, sizeof(*c));

	if (c)
		*c = (struct stream_channel){.all = r->x_->worker->server->streams, .messages = messages};
	return c;
}

void stream_channel_free(struct stream_channel *c)
{
	if (!c)
		return;
	lock_take(&c->all->mu);
	forget_round(c);
	drop(c, c->log.n);
	lock_give(&c->all->mu);
	buf_release(&c->log);
	free(c);
}

void stream_channel_say(struct stream_channel *c, struct str text)
{
	lock_take(&c->all->mu);
	if (c->first)
		say(c, text);
	lock_give(&c->all->mu);
}

void stream_channel_end(struct stream_channel *c, enum stream_end why)
{
	lock_take(&c->all->mu);
	if (c->end == STREAM_GOES_ON) {
		c->end = why;
		await_round(c);
		eventfd_write(c->all->wake_fd, 1);
	}
	lock_give(&c->all->mu);
}

static void link_last(struct stream_seat *seat)
{
	struct stream_channel *c = seat->channel;

	seat->next = NULL;
	seat->prev = c->last;
	*(c->last ? &c->last->next : &c->first) = seat;
	c->last = seat;
}

static void unlink_seat(struct stream_seat *seat)
{
	struct stream_channel *c = seat->channel;

	*(seat->prev ? &seat->prev->next : &c->first) = seat->next;
	*(seat->next ? &seat->next->prev : &c->last) = seat->prev;
}

void stream_seat_take(struct stream_seat *seat, struct stream_channel *c)
{
	lock_take(&c->all->mu);
	*seat = (struct stream_seat){.channel = c, .at = stream_channel_said(c), .round = c->round};
	link_last(seat);
	lock_give(&c->all->mu);
}

void stream_seat_leave(struct stream_seat *seat)
{
	struct stream_channel *c = seat->channel;

	if (!c)
		return;
	lock_take(&c->all->mu);
	unlink_seat(seat);
	trim(c);
	lock_give(&c->all->mu);
	seat->channel = NULL;
}

void stream_follow(struct stream *s, struct stream_seat *seat)
{
	lock_take(&s->all->mu);
	if (s->end == STREAM_GOES_ON) { /* else the streams' thread may know it no more */
		seat->stream = s;
		s->seat = seat;
		s->turn = true; /* what was kept for it */
		stream_wake(s);
	}
	lock_give(&s->all->mu);
}

bool stream_follows(struct stream *s)
{
	lock_take(&s->all->mu);
	bool follows = s->seat != NULL;
	lock_give(&s->all->mu);
	return follows;
}

/* ---- the streams' thread ---- */

void stream_channel_took(struct stream *s, size_t n)
{
	struct stream_channel *c = s->seat->channel;

	s->seat->at += n;
	if (!c->awaits_round && c->log.n > STREAM_BUFFER_KEPT && s->seat->at == stream_channel_said(c))
		trim(c); /* it was the slowest */
}

struct str stream_channel_piece(const struct stream *s, uint64_t up_to)
{
	const struct stream_channel *c = s->seat->channel;
	size_t from = (size_t)(s->seat->at - c->begin), left = (size_t)(up_to - s->seat->at);
	size_t n = left < STREAM_PIECE_BYTES ? left : STREAM_PIECE_BYTES;

	return (struct str){memcpy(s->all->piece, c->log.p + from, n), n};
}

/* Is everybody's turn over? */
static bool is_round_over(const struct stream_channel *c)
{
	return !c->first || c->first->round == c->round;
}

static void take_turns(struct stream_channel *c, unsigned *left)
{
	while (*left && !is_round_over(c)) {
		struct stream_seat *seat = c->first;

		unlink_seat(seat);
		link_last(seat);
		seat->round = c->round;
		if (!seat->stream)
			continue;
		seat->stream->turn = true;
		stream_add_work(seat->stream);
		(*left)--;
	}
}

static void begin_round(struct stream_channel *c, int64_t now)
{
	c->in_round = true;
	c->round++;
	c->round_ms = now;
	c->round_end = stream_channel_said(c);
}

/* ms until its next round, 0: now. */
static int64_t round_due(const struct stream_channel *c, int64_t now)
{
	int64_t due = c->round_ms + STREAM_GATHER_MS;

	return c->in_round || c->end != STREAM_GOES_ON || has_gathered(c) || due <= now ? 0 : due - now;
}

/* The channel's part of what there is to do; ms until it has more, at most so many. */
static int64_t turn(struct stream_channel *c, int64_t now, unsigned *left, int64_t most_ms)
{
	int64_t due = round_due(c, now);

	if (due > 0)
		return due;
	if (!c->in_round)
		begin_round(c, now);
	if (!is_round_over(c)) {
		take_turns(c, left);
		return REST_MS;
	}
	c->in_round = false; /* all have been written to */
	trim(c);
	if (stream_channel_said(c) > c->round_end)
		return round_due(c, now);
	forget_round(c);
	return most_ms;
}

int stream_channels_turn(struct streams *all, int64_t now, int most_ms)
{
	unsigned left = PORTION;
	int64_t wait = most_ms;

	lock_take(&all->mu);
	for (struct stream_channel *c = all->channels, *next; c && left; c = next) {
		next = c->next;
		int64_t due = turn(c, now, &left, most_ms);
		wait = due < wait ? due : wait;
	}
	lock_give(&all->mu);
	return (int)(left ? wait : REST_MS);
}
