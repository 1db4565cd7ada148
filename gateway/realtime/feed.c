#include "gateway/realtime/feed.h"

#include "gateway/realtime/portion.h"
#include "gateway/realtime/wording.h"
#include "lib/base/clock.h"

#define PAST_COUNT 200       /* entries of the past in one reply, at most */
#define PAST_TIMEOUT_MS 5000
#define PIECE_BYTES ((size_t)32 << 10)
#define RETRY_MS "2000"      /* when a browser connects again */

/* ---- what happened before: the connection's thread ---- */

/* The entries from where the listener left off, which it has, to `until`. Where it had none, Redis is asked behind that what the stream is. */
static int read_past(const struct feed *f, size_t index, size_t count, bool sized, struct rreplies *out)
{
	struct str key = f->o.wish.queues[index]->keys[BQ_KEY_EVENTS];
	struct rcmd cmd = RCMD_INIT;
	char room[2][EVENT_ID_SIZE];

	rcmd_begin(&cmd, 6);
	rcmd_argz(&cmd, "XRANGE");
	rcmd_arg(&cmd, key);
	rcmd_arg(&cmd, event_id_text(f->from.at[index], room[0]));
	rcmd_arg(&cmd, event_id_text(f->member.until[index], room[1]));
	rcmd_argz(&cmd, "COUNT");
	rcmd_argi(&cmd, (int64_t)count);
	if (event_id_is_none(f->from.at[index]))
		event_stream_ask(&cmd, key);
	if (sized)
		portion_ask_size(&cmd, key);
	int rc = rmux_call(bq_mux(f->o.bq), &cmd, clock_mono_ms() + PAST_TIMEOUT_MS, out, NULL);
	rcmd_release(&cmd);
	return rc;
}

/* Is nothing missing between what the listener has and what follows? The first entry is then the last one that it has. */
static bool follows(const struct feed *f, size_t index, const struct rreplies *replies)
{
	struct event e;

	if (event_id_is_none(f->from.at[index]))
		return event_stream_is_whole(replies->items[1]);
	return event_head(rreply_at(replies->items[0], 0), &e) && event_id_compare(e.id, f->from.at[index]) == 0;
}

/* Says what was written, when the client has taken what was said before. false: the stream has ended. */
static bool say_past(struct stream *s, struct buf *text)
{
	if (!stream_await_room(s) || text->failed)
		return false;
	stream_say(s, buf_str(text));
	buf_clear(text);
	return true;
}

/* How many entries were new; -1: some may be missing. */
static int64_t tell_entries(struct feed *f, size_t index, const struct rreplies *replies, struct stream *s, struct event_reader *er, struct buf *text)
{
	const redisReply *entries = replies->items[0];
	struct event e;
	int64_t n = 0;

	if (!follows(f, index, replies))
		return -1;
	for (size_t i = event_id_is_none(f->from.at[index]) ? 0 : 1; rreply_at(entries, i); i++) {
		if (!event_read(er, f->o.wish.queues[index]->name, rreply_at(entries, i), &e))
			continue;
		f->from.at[index] = e.id;
		n++;
		if (view_wants(&f->o.wish, &e))
			wording_event(text, f->o.wish.messages, &f->from, &e);
		if (text->n >= PIECE_BYTES && !say_past(s, text))
			break;
	}
	return n;
}

/* The next of them. false: there are no more, or some may be missing, which is said. */
static bool tell_portion(struct feed *f, size_t index, struct portion *p, struct stream *s, struct event_reader *er, struct buf *text)
{
	size_t asked = portion_count(p) + 1, n = 0; /* the first is the last that the listener has */
	bool sized = portion_wants_size(p);
	struct rreplies replies;
	int64_t told = -1;

	if (read_past(f, index, asked, sized, &replies) == 0) {
		if (sized)
			portion_note_size(p, replies.items[replies.count - 2], replies.items[replies.count - 1]);
		size_t bytes = portion_weigh(replies.items[0], &n);
		portion_note(p, n, bytes);
		told = tell_entries(f, index, &replies, s, er, text);
		rreplies_release(&replies);
	}
	if (told < 0) {
		f->from.at[index] = f->member.until[index];
		wording_resync(text, f->o.wish.messages, &f->from, f->o.wish.queues[index]->name);
	}
	return told > 0 && n == asked;
}

/* false: the stream has ended. */
static bool tell_past_of(struct feed *f, size_t index, struct stream *s, struct event_reader *er, struct buf *text)
{
	struct portion p = portion_of(PAST_COUNT);
	bool more = !event_id_is_none(f->member.until[index]);

	if (!more)
		return true;
	while (more) {
		more = tell_portion(f, index, &p, s, er, text);
		if (!say_past(s, text))
			return false;
	}
	f->from.at[index] = f->member.until[index];
	return true;
}

static void tell_past(struct feed *f, struct stream *s)
{
	struct event_reader er;
	struct buf text = BUF_INIT;
	bool goes_on = true;

	event_reader_init(&er);
	for (size_t i = 0; goes_on && i < f->o.wish.n; i++)
		goes_on = tell_past_of(f, i, s, &er, &text);
	event_reader_release(&er);
	buf_release(&text);
}

/* The cursor was none, or of other queues. */
static void tell_lost(const struct feed *f, struct stream *s)
{
	struct buf text = BUF_INIT;

	for (size_t i = 0; i < f->o.wish.n; i++)
		wording_resync(&text, f->o.wish.messages, &f->from, f->o.wish.queues[i]->name);
	(void)say_past(s, &text);
	buf_release(&text);
}

/* ---- the stream's side ---- */

/* The first word tells a client that hears nothing else from where to go on. Behind the past what happens is said as it comes. */
static void begin(void *arg, struct stream *s)
{
	struct feed *f = arg;
	struct buf hello = BUF_INIT;

	if (!f->resumes)
		memcpy(f->from.at, f->member.until, f->o.wish.n * sizeof(*f->from.at));
	if (!f->o.wish.messages)
		buf_addz(&hello, "retry: " RETRY_MS "\n");
	wording_write(&hello, f->o.wish.messages, &f->from, NULL, STR_NONE);
	(void)say_past(s, &hello);
	buf_release(&hello);
	if (f->lost)
		tell_lost(f, s);
	else if (f->resumes)
		tell_past(f, s);
	stream_follow(s, &f->member.seat);
}

/* The view's cursor is ahead of a listener that is still told the past: it would come back from there, and miss the rest. */
static void idle(void *arg, struct stream *s)
{
	struct feed *f = arg;

	if (stream_follows(s))
		view_say_cursor(&f->member, s);
	else if (!f->o.wish.messages)
		stream_say(s, STR(": still here\n"));
}

static void end(void *arg, struct stream *s UNUSED)
{
	feed_close(arg);
}

int feed_open(struct feed *f, const struct feed_options *o, const struct request *r, struct err *err)
{
	size_t n = o->wish.n;
	struct str *names = arena_array(r->arena, n, sizeof(*names));

	*f = (struct feed){.o = *o, .stream = {.begin = begin, .idle = idle, .end = end, .arg = f}};
	f->member.until = arena_array(r->arena, n, sizeof(*f->member.until));
	for (size_t i = 0; names && i < n; i++)
		names[i] = o->wish.queues[i]->name;
	if (!names || !f->member.until || cursor_init(&f->from, names, n, r->arena) < 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	f->lost = o->last_id.n && (o->wish.one_life || cursor_read(&f->from, o->last_id) < 0);
	f->resumes = o->last_id.n && !f->lost;
	return views_join(o->views, r, &o->wish, f->resumes ? &f->from : NULL, &f->member, err);
}

void feed_close(struct feed *f)
{
	view_leave(&f->member);
}
