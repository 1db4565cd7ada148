#include "gateway/counts.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/lock.h"

struct slot {
	struct lock mu;
	struct cond answered;
	/* protected by mu */
	struct bq_counts counts;
	struct err err;           /* of the last asking; code 0: counts are good */
	int64_t asked_mono_ms;    /* when it was answered */
	uint64_t generation;      /* askings that have been answered */
	bool asking;
};

struct counts {
	/* set before start */
	struct bq *bq;
	/* any thread */
	struct slot *_Atomic slots[DECLARATIONS_MAX]; /* by the queues' index, each made when it is first asked for */
};

struct counts *counts_new(struct bq *bq)
{
	struct counts *c = calloc(1, sizeof(*c));

	if (c)
		c->bq = bq;
	return c;
}

static void slot_free(struct slot *s)
{
	if (!s)
		return;
	cond_release(&s->answered);
	lock_release(&s->mu);
	free(s);
}

void counts_free(struct counts *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < DECLARATIONS_MAX; i++)
		slot_free(c->slots[i]);
	free(c);
}

/* NULL: no memory. */
static struct slot *slot_of(struct counts *c, size_t index)
{
	struct slot *there = c->slots[index], *made;

	if (there || !(made = calloc(1, sizeof(*made))))
		return there;
	lock_init(&made->mu);
	cond_init(&made->answered);
	made->asked_mono_ms = INT64_MIN / 2;
	if (atomic_compare_exchange_strong(&c->slots[index], &there, made))
		return made;
	slot_free(made);
	return there;
}

static int answer(const struct slot *s, struct bq_counts *out, struct err *err)
{
	if (s->err.code < 0)
		return err_set(err, s->err.code, "%s", s->err.text);
	*out = s->counts;
	return 0;
}

/* Another request is asking: its answer is ours. mu is held. */
static int await_answer(struct slot *s, struct bq_counts *out, int64_t deadline_mono_ms, struct err *err)
{
	uint64_t before = s->generation;

	while (s->generation == before)
		if (!cond_wait_until(&s->answered, &s->mu, deadline_mono_ms) && s->generation == before)
			return err_set(err, ERR_TIMEOUT, "the counts were not answered in time");
	return answer(s, out, err);
}

/* mu is held, and given back while Redis is asked. */
static int ask(struct counts *c, struct slot *s, const struct bq_queue *q, struct bq_counts *out, int64_t deadline_mono_ms, struct err *err)
{
	struct bq_counts fresh = {0};
	struct err why = {0};

	s->asking = true;
	lock_give(&s->mu);
	int rc = bq_counts(c->bq, q, &fresh, deadline_mono_ms, &why);
	lock_take(&s->mu);
	s->asking = false;
	s->err = why;
	if (rc == 0) {
		s->counts = fresh;
		s->asked_mono_ms = clock_mono_ms();
	}
	s->generation++;
	cond_broadcast(&s->answered);
	return answer(s, out, err);
}

int counts_get(struct counts *c, const struct declaration *queue, struct bq_counts *out, int64_t deadline_mono_ms, struct err *err)
{
	struct slot *s = slot_of(c, queue->index);
	int rc = 0;

	if (!s)
		return err_set(err, ERR_NOMEM, "out of memory");
	lock_take(&s->mu);
	if (clock_mono_ms() - s->asked_mono_ms < (s->asking ? COUNTS_STALE_MS : COUNTS_FRESH_MS))
		*out = s->counts;
	else if (s->asking)
		rc = await_answer(s, out, deadline_mono_ms, err);
	else
		rc = ask(c, s, &queue->queue, out, deadline_mono_ms, err);
	lock_give(&s->mu);
	return rc;
}
