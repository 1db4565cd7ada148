#include "gateway/realtime/lessees.h"

#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/base/table.h"

struct entry {
	struct buf text;       /* the key: queue, worker, org, sub, each followed by a NUL */
	struct lessee l;       /* points into it */
	int64_t seen_mono_ms;
	struct entry *next_old; /* while old ones are removed */
};

struct lessees {
	struct lock mu;
	struct table entries;  /* protected by mu: struct entry by its key */
	int64_t swept_mono_ms; /* protected by mu */
};

struct lessees *lessees_new(void)
{
	struct lessees *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	lock_init(&l->mu);
	table_init(&l->entries);
	return l;
}

static void entry_free(struct entry *e)
{
	buf_release(&e->text);
	free(e);
}

void lessees_free(struct lessees *l)
{
	if (!l)
		return;
	for (struct table_iter it = {0}; table_next(&l->entries, &it);)
		entry_free(it.value);
	table_release(&l->entries);
	lock_release(&l->mu);
	free(l);
}

static bool is_recent(const struct entry *e, int64_t now)
{
	return now - e->seen_mono_ms <= LESSEES_MEMORY_MS;
}

/* Forgets who has not asked for long; mu is held. */
static void sweep(struct lessees *l, int64_t now)
{
	struct entry *old = NULL, *next;

	if (now - l->swept_mono_ms < LESSEES_MEMORY_MS)
		return;
	l->swept_mono_ms = now;
	for (struct table_iter it = {0}; table_next(&l->entries, &it);) {
		struct entry *e = it.value;

		if (!is_recent(e, now)) {
			e->next_old = old;
			old = e;
		}
	}
	for (; old; old = next) {
		next = old->next_old;
		table_remove(&l->entries, buf_str(&old->text));
		entry_free(old);
	}
}

static void point_into(struct entry *e)
{
	struct str rest = buf_str(&e->text);

	e->l.queue = str_cut(&rest, '\0');
	e->l.worker_id = str_cut(&rest, '\0');
	e->l.org = str_cut(&rest, '\0');
	e->l.sub = str_cut(&rest, '\0');
}

/* The entry of that key, a new one when there is none; mu is held. The text is taken over. */
static struct entry *entry_of(struct lessees *l, struct buf *text)
{
	struct entry *e = table_get(&l->entries, buf_str(text));

	if (e || l->entries.count >= LESSEES_MAX || !(e = calloc(1, sizeof(*e)))) {
		buf_release(text);
		return e;
	}
	e->text = *text;
	point_into(e);
	e->l.first_ms = clock_wall_ms();
	if (table_put(&l->entries, buf_str(&e->text), e) < 0) {
		entry_free(e);
		return NULL;
	}
	return e;
}

void lessees_note(struct lessees *l, struct str queue, struct str worker_id, struct str org, struct str sub, size_t taken)
{
	struct str parts[] = {queue, worker_id, org, sub};
	struct buf text = BUF_INIT;
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		buf_adds(&text, parts[i]);
		buf_addc(&text, '\0');
	}
	if (text.failed) {
		buf_release(&text);
		return;
	}
	lock_take(&l->mu);
	sweep(l, now);
	struct entry *e = entry_of(l, &text);
	if (e) {
		e->seen_mono_ms = now;
		e->l.last_ms = clock_wall_ms();
		e->l.taken += (int64_t)taken;
	}
	lock_give(&l->mu);
}

static bool copy(struct lessee *to, const struct lessee *from, struct arena *a)
{
	*to = *from;
	to->queue = arena_dup(a, from->queue);
	to->worker_id = arena_dup(a, from->worker_id);
	to->org = arena_dup(a, from->org);
	to->sub = arena_dup(a, from->sub);
	return to->queue.p && to->worker_id.p && to->org.p && to->sub.p;
}

int lessees_list(struct lessees *l, struct str queue, struct arena *a, struct lessee **out, size_t *n, struct err *err)
{
	int64_t now = clock_mono_ms();
	bool ok = true;

	*n = 0;
	lock_take(&l->mu);
	*out = arena_array(a, l->entries.count + 1, sizeof(**out));
	for (struct table_iter it = {0}; *out && ok && table_next(&l->entries, &it);) {
		const struct entry *e = it.value;
		if (str_eq(e->l.queue, queue) && is_recent(e, now))
			ok = copy(&(*out)[(*n)++], &e->l, a);
	}
	lock_give(&l->mu);
	return *out && ok ? 0 : err_set(err, ERR_NOMEM, "no memory for the workers");
}

size_t lessees_count(struct lessees *l, struct str queue)
{
	int64_t now = clock_mono_ms();
	size_t n = 0;

	lock_take(&l->mu);
	for (struct table_iter it = {0}; table_next(&l->entries, &it);) {
		const struct entry *e = it.value;
		n += str_eq(e->l.queue, queue) && is_recent(e, now);
	}
	lock_give(&l->mu);
	return n;
}
