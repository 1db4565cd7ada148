#include "gateway/realtime/view.h"

#include <stdlib.h>

#include "gateway/realtime/wording.h"
#include "lib/base/panic.h"

struct view {
	/* set when it is made */
	struct views *all;
	struct view_wish wish;   /* its texts in the arena, its queues forgotten */
	struct str *queues;      /* their names */
	struct arena arena;
	struct hub_listener listener;
	struct stream_channel *channel;
	/* protected by views.mu */
	unsigned members;
	struct view *next;       /* among those that others may join */
	/* protected by mu */
	struct lock mu;
	struct cursor at;
	struct buf text;
	bool over;               /* the one life */
};

struct views {
	struct hub *hub;         /* set when it is made */
	struct lock mu;
	struct view *first;      /* protected by mu */
};

struct views *views_new(struct hub *hub, struct err *err)
{
	struct views *all = calloc(1, sizeof(*all));

	if (!all) {
		err_set(err, ERR_NOMEM, "no memory for those who listen");
		return NULL;
	}
	all->hub = hub;
	lock_init(&all->mu);
	return all;
}

void views_free(struct views *all)
{
	if (!all)
		return;
	bug_on(all->first);
	lock_release(&all->mu);
	free(all);
}

bool view_wants(const struct view_wish *w, const struct event *e)
{
	if (w->types && !(w->types & (1u << e->type)))
		return false;
	return !w->job_id.p || str_eq(w->job_id, e->job_id);
}

/* ---- what happens: the hub's thread ---- */

/* Says what has been written to `text`. What cannot be told ends those who listen: they come again, and read it. mu is held. */
static void say(struct view *v)
{
	if (v->text.failed)
		stream_channel_end(v->channel, STREAM_SLOW);
	else
		stream_channel_say(v->channel, buf_str(&v->text));
	buf_clear(&v->text);
}

static void on_joined(void *arg, size_t index, struct event_id at, struct event_id end)
{
	struct view *v = arg;

	lock_take(&v->mu);
	v->at.at[index] = v->wish.one_life ? end : at; /* what the hub has yet to read is of the past, and maybe of another life */
	lock_give(&v->mu);
}

/* Retention, drain and clean remove jobs without a word: who is added after the job was seen is another of the same id. */
static bool is_another_life(const struct view *v, const struct event *e)
{
	return v->over || (v->wish.one_life && e->type == EVENT_ADDED && str_eq(v->wish.job_id, e->job_id));
}

static void note_life(struct view *v, const struct event *e)
{
	if (!v->wish.one_life || v->over || !str_eq(v->wish.job_id, e->job_id))
		return;
	v->over = e->type == EVENT_REMOVED || is_another_life(v, e);
	if (v->over)
		stream_channel_end(v->channel, STREAM_CHANGED);
}

static void on_event(void *arg, size_t index, const struct event *e)
{
	struct view *v = arg;

	lock_take(&v->mu);
	if (event_id_compare(e->id, v->at.at[index]) > 0) {
		v->at.at[index] = e->id;
		if (view_wants(&v->wish, e) && !is_another_life(v, e)) {
			wording_event(&v->text, v->wish.messages, &v->at, e);
			say(v);
		}
		note_life(v, e);
	}
	lock_give(&v->mu);
}

static void on_gap(void *arg, size_t index)
{
	struct view *v = arg;

	lock_take(&v->mu);
	wording_resync(&v->text, v->wish.messages, &v->at, v->queues[index]);
	say(v);
	lock_give(&v->mu);
}

/* ---- coming and going ---- */

static void view_free(struct view *v)
{
	stream_channel_free(v->channel);
	buf_release(&v->text);
	arena_release(&v->arena);
	lock_release(&v->mu);
	free(v);
}

static bool copy_wish(struct view *v, const struct view_wish *w)
{
	bool ok = true;

	v->wish = *w;
	v->wish.queues = NULL;
	v->wish.job_id = w->job_id.p ? arena_dup(&v->arena, w->job_id) : STR_NONE;
	v->queues = arena_array(&v->arena, w->n, sizeof(*v->queues));
	for (size_t i = 0; v->queues && i < w->n; i++) {
		v->queues[i] = arena_dup(&v->arena, w->queues[i]->name);
		ok = ok && v->queues[i].p;
	}
	return ok && v->queues && (v->wish.job_id.p || !w->job_id.p) && cursor_init(&v->at, v->queues, w->n, &v->arena) == 0;
}

/* A view that hears the hub, and that nobody else knows. */
static int view_new(struct views *all, const struct request *r, const struct view_wish *w, struct view **out, struct err *err)
{
	struct view *v = calloc(1, sizeof(*v));

	if (!v)
		return err_set(err, ERR_NOMEM, "out of memory");
	v->all = all;
	v->listener = (struct hub_listener){.joined = on_joined, .event = on_event, .gap = on_gap, .arg = v};
	lock_init(&v->mu);
	arena_init(&v->arena, 0);
	v->channel = stream_channel_new(r, w->messages);
	int rc = v->channel && copy_wish(v, w) ? hub_listen(all->hub, &v->listener, w->queues, w->n, r->deadline_mono_ms, err)
					       : err_set(err, ERR_NOMEM, "out of memory");
	if (rc < 0)
		view_free(v);
	else
		*out = v;
	return rc;
}

static bool is_same(const struct view *v, const struct view_wish *w)
{
	bool same = v->wish.n == w->n && v->wish.types == w->types && v->wish.messages == w->messages && !v->wish.job_id.p == !w->job_id.p &&
		    (!w->job_id.p || str_eq(v->wish.job_id, w->job_id));

	for (size_t i = 0; same && i < w->n; i++)
		same = str_eq(v->queues[i], w->queues[i]->name);
	return same;
}

/* Has the listener been told by another process what this one has yet to read? */
static bool is_behind(const struct view *v, const struct cursor *from)
{
	for (size_t i = 0; from && i < from->n; i++)
		if (event_id_compare(from->at[i], v->at.at[i]) > 0)
			return true;
	return false;
}

/* views.mu and view.mu are held. */
static void enter(struct view *v, struct view_member *m)
{
	m->view = v;
	v->members++;
	memcpy(m->until, v->at.at, v->at.n * sizeof(*m->until));
	stream_seat_take(&m->seat, v->channel);
}

static bool join_shared(struct views *all, const struct view_wish *w, const struct cursor *from, struct view_member *m)
{
	bool joined = false;

	lock_take(&all->mu);
	for (struct view *v = all->first; v && !joined; v = v->next) {
		if (!is_same(v, w))
			continue;
		lock_take(&v->mu);
		joined = !is_behind(v, from);
		if (joined)
			enter(v, m);
		lock_give(&v->mu);
	}
	lock_give(&all->mu);
	return joined;
}

/* It skips what the listener has had already, so others cannot share it. view.mu is held. */
static void skip_to(struct view *v, const struct cursor *from)
{
	for (size_t i = 0; i < from->n; i++)
		if (event_id_compare(from->at[i], v->at.at[i]) > 0)
			v->at.at[i] = from->at[i];
}

int views_join(struct views *all, const struct request *r, const struct view_wish *w, const struct cursor *from, struct view_member *m,
	       struct err *err)
{
	if (!w->one_life && join_shared(all, w, from, m))
		return 0;
	struct view *v = NULL;
	int rc = view_new(all, r, w, &v, err);
	if (rc < 0)
		return rc;
	lock_take(&all->mu);
	lock_take(&v->mu);
	bool own = w->one_life || is_behind(v, from);
	if (from && own)
		skip_to(v, from);
	enter(v, m);
	lock_give(&v->mu);
	if (!own) {
		v->next = all->first;
		all->first = v;
	}
	lock_give(&all->mu);
	return 0;
}

/* Nobody is there any more. views.mu is held. */
static bool forget(struct view *v)
{
	struct view **at = &v->all->first;

	if (--v->members)
		return false;
	while (*at && *at != v)
		at = &(*at)->next;
	if (*at)
		*at = v->next;
	return true;
}

void view_leave(struct view_member *m)
{
	struct view *v = m->view;

	lock_take(&v->all->mu);
	stream_seat_leave(&m->seat);
	bool last = forget(v);
	lock_give(&v->all->mu);
	if (!last)
		return;
	hub_unlisten(v->all->hub, &v->listener);
	view_free(v);
}

void view_say_cursor(struct view_member *m, struct stream *s)
{
	struct view *v = m->view;

	lock_take(&v->mu);
	if (!v->wish.messages)
		buf_addz(&v->text, ": still here\n");
	wording_write(&v->text, v->wish.messages, &v->at, NULL, STR_NONE);
	if (!v->text.failed)
		stream_say(s, buf_str(&v->text));
	buf_clear(&v->text);
	lock_give(&v->mu);
}
