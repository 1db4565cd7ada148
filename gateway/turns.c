#include "gateway/turns.h"

#include <stdlib.h>

#include "lib/base/lock.h"
#include "lib/base/table.h"

struct subject {
	unsigned running, waiting;
};

struct turns {
	/* set before start */
	unsigned at_once, waiting;
	/* protected by mu */
	struct lock mu;
	struct cond given;
	struct table subjects; /* struct subject, of those that have or want a turn */
};

struct turns *turns_new(unsigned at_once, unsigned waiting)
{
	struct turns *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->at_once = at_once;
	t->waiting = waiting;
	lock_init(&t->mu);
	cond_init(&t->given);
	table_init(&t->subjects);
	return t;
}

void turns_free(struct turns *t)
{
	if (!t)
		return;
	for (struct table_iter it = {0}; table_next(&t->subjects, &it);)
		free(it.value);
	table_release(&t->subjects);
	cond_release(&t->given);
	lock_release(&t->mu);
	free(t);
}

static struct subject *subject_of(struct turns *t, struct str who)
{
	struct subject *s = table_get(&t->subjects, who);

	if (s || !(s = calloc(1, sizeof(*s))))
		return s;
	if (table_put(&t->subjects, who, s) == 0)
		return s;
	free(s);
	return NULL;
}

static void drop_if_idle(struct turns *t, struct str who, const struct subject *s)
{
	if (s->running == 0 && s->waiting == 0)
		free(table_remove(&t->subjects, who));
}

static int wait_for_turn(struct turns *t, struct subject *s, int64_t deadline_mono_ms)
{
	bool in_time = true;

	if (s->running < t->at_once)
		return 0;
	if (s->waiting == t->waiting)
		return ERR_LIMIT;
	s->waiting++;
	while (s->running >= t->at_once && in_time)
		in_time = cond_wait_until(&t->given, &t->mu, deadline_mono_ms);
	s->waiting--;
	return s->running < t->at_once ? 0 : ERR_LIMIT;
}

int turns_take(struct turns *t, struct str who, int64_t deadline_mono_ms)
{
	int rc = ERR_NOMEM;

	lock_take(&t->mu);
	struct subject *s = subject_of(t, who);
	if (s) {
		rc = wait_for_turn(t, s, deadline_mono_ms);
		s->running += rc == 0;
		drop_if_idle(t, who, s);
	}
	lock_give(&t->mu);
	return rc;
}

void turns_give(struct turns *t, struct str who)
{
	lock_take(&t->mu);
	struct subject *s = table_get(&t->subjects, who);
	s->running--;
	drop_if_idle(t, who, s);
	cond_broadcast(&t->given);
	lock_give(&t->mu);
}
