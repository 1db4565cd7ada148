#include "gateway/realtime/feed.h"

#include "lib/base/clock.h"

#define PAST_COUNT 200       /* entries of the past in one reply */
#define PAST_TIMEOUT_MS 5000
#define PIECE_BYTES ((size_t)32 << 10)
#define KEPT_MAX (STREAM_PENDING_MAX / 2)
#define RETRY_MS "2000"      /* when a browser connects again */

/* ---- texts; mu is held, or nobody else knows the feed ---- */

static void write_lines(struct buf *b, const struct cursor *at, const char *type, struct str json)
{
	buf_addz(b, "id: ");
	cursor_write(at, b);
	if (type) {
		buf_addz(b, "\nevent: ");
		buf_addz(b, type);
		buf_addz(b, "\ndata: ");
		buf_adds(b, json);
	}
	buf_addz(b, "\n\n");
}

static void write_message(struct buf *b, const struct cursor *at, const char *type, struct str json)
{
	buf_addz(b, "{\"id\":\"");
	cursor_write(at, b);
	buf_addz(b, "\",\"type\":\"");
	buf_addz(b, type ? type : "cursor");
	buf_addz(b, "\",\"data\":");
	buf_adds(b, type ? json : STR("null"));
	buf_addz(b, "}\n");
}

/* An event with the cursor behind it; without a type, the cursor alone. */
static void write_text(const struct feed *f, struct buf *b, const struct cursor *at, const char *type, struct str json)
{
	(f->o.messages ? write_message : write_lines)(b, at, type, json);
}

static void write_event(const struct feed *f, struct buf *b, const struct cursor *at, const struct event *e)
{
	write_text(f, b, at, event_word(e->type), e->json);
}

/* A queue's name needs no escaping. */
static void write_resync(const struct feed *f, struct buf *b, const struct cursor *at, size_t index)
{
	char json[BQ_QUEUE_NAME_MAX + 16];
	int n = snprintf(json, sizeof(json), "{\"queue\":\"%.*s\"}", STR_ARG(f->o.queues[index]->name));

	write_text(f, b, at, "resync", (struct str){json, (size_t)n});
}

static bool wants(const struct feed *f, const struct event *e)
{
	if (f->o.types && !(f->o.types & (1u << e->type)))
		return false;
	return !f->o.job_id.p || str_eq(f->o.job_id, e->job_id);
}

/* ---- what happens now: the hub's thread ---- */

/* Says what has been written to `text`, or keeps it until the past has been told. */
static void say(struct feed *f)
{
	struct buf *kept = &f->kept;

	if (f->out && !f->text.failed)
		stream_say(f->out, buf_str(&f->text));
	else if (!f->out && !kept->failed && kept->n + f->text.n <= KEPT_MAX)
		buf_adds(kept, buf_str(&f->text));
	else
		kept->failed = true;
	if (f->out && f->text.failed)
		stream_end(f->out, STREAM_SLOW);
	buf_clear(&f->text);
}

static void joined(void *arg, size_t index, struct event_id at, struct event_id end)
{
	struct feed *f = arg;

	lock_take(&f->mu);
	if (f->o.one_life)
		at = end; /* what the hub has yet to read is of the past, and maybe of another life */
	if (f->resumes && event_id_compare(f->from.at[index], at) > 0)
		at = f->from.at[index]; /* another process was ahead of this one */
	f->at.at[index] = f->until[index] = at;
	lock_give(&f->mu);
}

/* Retention, drain and clean remove jobs without a word: who is added after the job was seen is another of the same id. */
static bool is_another_life(const struct feed *f, const struct event *e)
{
	return f->over || (f->o.one_life && e->type == EVENT_ADDED && str_eq(f->o.job_id, e->job_id));
}

static void note_life(struct feed *f, const struct event *e)
{
	if (!f->o.one_life || !str_eq(f->o.job_id, e->job_id))
		return;
	if (e->type == EVENT_REMOVED || is_another_life(f, e))
		f->over = true;
	if (f->over && f->out)
		stream_end(f->out, STREAM_CHANGED);
}

static void on_event(void *arg, size_t index, const struct event *e)
{
	struct feed *f = arg;

	lock_take(&f->mu);
	if (event_id_compare(e->id, f->at.at[index]) > 0) {
		f->at.at[index] = e->id;
		if (wants(f, e) && !is_another_life(f, e)) {
			write_event(f, &f->text, &f->at, e);
			say(f);
		}
		note_life(f, e);
	}
	lock_give(&f->mu);
}

static void on_gap(void *arg, size_t index)
{
	struct feed *f = arg;

	lock_take(&f->mu);
	write_resync(f, &f->text, &f->at, index);
	say(f);
	lock_give(&f->mu);
}

/* ---- what happened before: the connection's thread ---- */

/* The entries from where the listener left off, which it has, to `until`. Where it had none, Redis is asked behind that what the stream is. */
static int read_past(const struct feed *f, size_t index, struct rreplies *out)
{
	struct str key = f->o.queues[index]->keys[BQ_KEY_EVENTS];
	struct rcmd cmd = RCMD_INIT;
	char room[2][EVENT_ID_SIZE];

	rcmd_begin(&cmd, 6);
	rcmd_argz(&cmd, "XRANGE");
	rcmd_arg(&cmd, key);
	rcmd_arg(&cmd, event_id_text(f->from.at[index], room[0]));
	rcmd_arg(&cmd, event_id_text(f->until[index], room[1]));
	rcmd_argz(&cmd, "COUNT");
	rcmd_argi(&cmd, PAST_COUNT);
	if (event_id_is_none(f->from.at[index]))
		event_stream_ask(&cmd, key);
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
		if (!event_read(er, f->o.queues[index]->name, rreply_at(entries, i), &e))
			continue;
		f->from.at[index] = e.id;
		n++;
		if (wants(f, &e))
			write_event(f, text, &f->from, &e);
		if (text->n >= PIECE_BYTES && !say_past(s, text))
			break;
	}
	return n;
}

/* false: the stream has ended. */
static bool tell_past_of(struct feed *f, size_t index, struct stream *s, struct event_reader *er, struct buf *text)
{
	struct rreplies replies;
	int64_t told = 1;

	if (event_id_is_none(f->until[index]))
		return true;
	while (told > 0) {
		told = -1;
		if (read_past(f, index, &replies) == 0) {
			told = tell_entries(f, index, &replies, s, er, text);
			rreplies_release(&replies);
		}
		if (told < 0) {
			f->from.at[index] = f->until[index];
			write_resync(f, text, &f->from, index);
		}
		if (!say_past(s, text))
			return false;
	}
	f->from.at[index] = f->until[index];
	return true;
}

static void tell_past(struct feed *f, struct stream *s)
{
	struct event_reader er;
	struct buf text = BUF_INIT;
	bool goes_on = true;

	event_reader_init(&er);
	for (size_t i = 0; goes_on && i < f->o.n; i++)
		goes_on = tell_past_of(f, i, s, &er, &text);
	event_reader_release(&er);
	buf_release(&text);
}

/* The cursor was none, or of other queues. */
static void tell_lost(const struct feed *f, struct stream *s)
{
	struct buf text = BUF_INIT;

	for (size_t i = 0; i < f->o.n; i++)
		write_resync(f, &text, &f->from, i);
	(void)say_past(s, &text);
	buf_release(&text);
}

/* ---- the stream's side ---- */

/* From here on what happens is said as it comes. */
static void go_live(struct feed *f, struct stream *s)
{
	lock_take(&f->mu);
	f->out = s;
	if (f->kept.failed)
		stream_end(s, STREAM_SLOW);
	else if (f->kept.n)
		stream_say(s, buf_str(&f->kept));
	if (f->over)
		stream_end(s, STREAM_CHANGED);
	buf_release(&f->kept);
	lock_give(&f->mu);
}

/* The first word tells a client that hears nothing else from where to go on. */
static void begin(void *arg, struct stream *s)
{
	struct feed *f = arg;
	struct buf hello = BUF_INIT;

	if (!f->resumes)
		memcpy(f->from.at, f->until, f->o.n * sizeof(*f->until));
	if (!f->o.messages)
		buf_addz(&hello, "retry: " RETRY_MS "\n");
	write_text(f, &hello, &f->from, NULL, STR_NONE);
	(void)say_past(s, &hello);
	buf_release(&hello);
	if (f->lost)
		tell_lost(f, s);
	else if (f->resumes)
		tell_past(f, s);
	go_live(f, s);
}

/* A word with the cursor, which goes on also with events that are not wanted. */
static void idle(void *arg, struct stream *s)
{
	struct feed *f = arg;

	lock_take(&f->mu);
	if (f->out) {
		if (!f->o.messages)
			buf_addz(&f->text, ": still here\n");
		write_text(f, &f->text, &f->at, NULL, STR_NONE);
		stream_say(s, buf_str(&f->text));
		buf_clear(&f->text);
	}
	lock_give(&f->mu);
}

static void end(void *arg, struct stream *s UNUSED)
{
	feed_close(arg);
}

int feed_open(struct feed *f, const struct feed_options *o, struct arena *a, int64_t deadline, struct err *err)
{
	struct str *names = arena_array(a, o->n, sizeof(*names));

	*f = (struct feed){.o = *o, .listener = {.joined = joined, .event = on_event, .gap = on_gap, .arg = f},
			   .stream = {.begin = begin, .idle = idle, .end = end, .arg = f}};
	f->until = arena_array(a, o->n, sizeof(*f->until));
	for (size_t i = 0; names && i < o->n; i++)
		names[i] = o->queues[i]->name;
	if (!names || !f->until || cursor_init(&f->from, names, o->n, a) < 0 || cursor_copy(&f->at, &f->from, a) < 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	f->lost = o->last_id.n && (o->one_life || cursor_read(&f->from, o->last_id) < 0);
	f->resumes = o->last_id.n && !f->lost;
	lock_init(&f->mu);
	int rc = hub_listen(o->hub, &f->listener, o->queues, o->n, deadline, err);
	if (rc < 0)
		lock_release(&f->mu);
	return rc;
}

void feed_close(struct feed *f)
{
	hub_unlisten(f->o.hub, &f->listener);
	buf_release(&f->kept);
	buf_release(&f->text);
	lock_release(&f->mu);
}
