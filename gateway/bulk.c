#include "gateway/bulk.h"

#include "lib/base/clock.h"

/* Jobs that one call acts on: it takes Redis 1 to 3 ms. */
#define AT_ONCE 50
#define WAITING_AT_ONCE 100 /* they share a walk along their list */
#define CLEAN_AT_ONCE 100

static const char *const WORDS[] = {
	[BULK_COUNT] = "count", [BULK_RETRY] = "retry", [BULK_REMOVE] = "remove", [BULK_PROMOTE] = "promote", [BULK_CLEAN] = "clean"};

const char *bulk_action_word(enum bulk_action a)
{
	return WORDS[a];
}

bool bulk_action_of(struct str word, enum bulk_action *out)
{
	for (unsigned a = 0; a < ARRAY_LEN(WORDS); a++)
		if (str_is(word, WORDS[a])) {
			*out = (enum bulk_action)a;
			return true;
		}
	return false;
}

void bulk_init(struct bulk *b, const struct bulk_spec *spec)
{
	*b = (struct bulk){.spec = *spec, .began_ms = clock_wall_ms(), .most = -1, .clean = {.state = spec->state}};
}

void bulk_release(struct bulk *b)
{
	buf_release(&b->last_id);
}

static bool fits(const struct bulk *b, const struct bq_brief *job)
{
	const struct bulk_spec *s = &b->spec;
	int64_t when = job->finished_on >= 0 ? job->finished_on : job->timestamp;

	if (!job->name.p || when > b->began_ms - s->older_than_ms)
		return false;
	if (s->name.p && !str_eq(s->name, job->name))
		return false;
	return !s->error.p || (job->failed_reason.n && memmem(job->failed_reason.p, job->failed_reason.n, s->error.p, s->error.n));
}

/* Jobs that go back to wait do so in the order in which they came; from lists, what is removed must not move what is still to be met. */
static bool from_oldest(const struct bulk_spec *s)
{
	return s->action == BULK_RETRY || s->action == BULK_PROMOTE;
}

static enum bq_action action_of(enum bulk_action action)
{
	static const enum bq_action actions[] = {[BULK_RETRY] = BQ_RETRY, [BULK_REMOVE] = BQ_REMOVE_FROM, [BULK_PROMOTE] = BQ_PROMOTE};

	return actions[action];
}

/* So many of the first jobs go into one call. */
static size_t share(const struct bulk *b, const struct bq_place *places, size_t n)
{
	size_t most = b->spec.state == BQ_WAITING ? WAITING_AT_ONCE : AT_ONCE, i = 1;

	while (i < n && i < most && places[i].part == places[0].part)
		i++;
	return i;
}

static int act_on(struct bq *bq, const struct bulk *b, const struct bq_place *places, size_t n, int *codes, int64_t deadline, struct err *err)
{
	struct str ids[AT_ONCE];

	if (b->spec.state == BQ_WAITING)
		return bq_remove_waiting(bq, b->spec.queue, places, n, codes, deadline, err);
	for (size_t i = 0; i < n; i++)
		ids[i] = places[i].id;
	return bq_act(bq, b->spec.queue, action_of(b->spec.action), b->spec.state, ids, n, codes, deadline, err);
}

static int act(struct bq *bq, struct bulk *b, const struct bq_place *places, size_t n, int64_t deadline, struct err *err)
{
	int codes[WAITING_AT_ONCE], rc = 0;

	for (size_t i = 0, count; rc == 0 && i < n; i += count) {
		count = share(b, places + i, n - i);
		rc = act_on(bq, b, places + i, count, codes, deadline, err);
		if (rc == 0)
			b->counts.matched += (int64_t)count;
		for (size_t c = 0; rc == 0 && c < count; c++)
			codes[c] == 0 ? b->counts.changed++ : b->counts.skipped++;
	}
	return rc;
}

/* How many jobs there are when it begins. */
static int begin(struct bq *bq, struct bulk *b, int64_t deadline, struct err *err)
{
	struct bq_counts counts;
	int rc = bq_counts(bq, b->spec.queue, &counts, deadline, err);

	if (rc == 0)
		b->most = counts.n[b->spec.state];
	return rc;
}

/* What ended, or was added, after it began stays. */
static int clean_step(struct bq *bq, struct bulk *b, int64_t deadline, struct err *err)
{
	int rc = b->most < 0 ? begin(bq, b, deadline, err) : 0;

	b->clean.older_than_ms = b->spec.older_than_ms + clock_wall_ms() - b->began_ms;
	if (rc == 0)
		rc = bq_clean_some(bq, b->spec.queue, &b->clean, CLEAN_AT_ONCE, deadline, err);
	if (rc < 0)
		return rc;
	b->counts.scanned = b->clean.seen;
	b->counts.matched = b->counts.changed = b->clean.removed;
	b->done = b->clean.done;
	return 0;
}

/* The cursor outlives the step's arena. */
static int keep_cursor(struct bulk *b, struct err *err)
{
	struct str id = b->at.last.id;

	if (!id.p || id.p == b->last_id.p)
		return 0;
	buf_clear(&b->last_id);
	buf_adds(&b->last_id, id);
	b->at.last.id = buf_str(&b->last_id);
	return b->last_id.failed ? err_set(err, ERR_NOMEM, "no memory for a step") : 0;
}

/* Looks at the next jobs one by one. */
static int page_step(struct bq *bq, struct bulk *b, struct arena *a, int64_t deadline, struct err *err)
{
	struct bq_place *places = arena_array(a, BULK_STEP, sizeof(*places));
	struct bq_brief *briefs = arena_array(a, BULK_STEP, sizeof(*briefs));
	const struct bq_cursor before = b->at;
	size_t n = 0, matched = 0;
	int rc = b->most < 0 ? begin(bq, b, deadline, err) : 0;

	if (!places || !briefs)
		return err_set(err, ERR_NOMEM, "no memory for a step");
	if (rc == 0)
		rc = bq_page(bq, b->spec.queue, b->spec.state, from_oldest(&b->spec), &b->at, BULK_STEP, a, places, &n, deadline, err);
	if (rc == 0)
		rc = bq_briefs(bq, b->spec.queue, places, n, a, briefs, deadline, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (fits(b, &briefs[i]))
			places[matched++] = places[i];
	if (rc == 0 && b->spec.action == BULK_COUNT)
		b->counts.matched += (int64_t)matched;
	else if (rc == 0)
		rc = act(bq, b, places, matched, deadline, err);
	if (rc < 0) { /* the step can be tried again */
		b->at = before;
		return rc;
	}
	b->counts.scanned += (int64_t)n;
	/* What comes while it works may make it meet more than there were, but not for ever. */
	b->done = b->at.done || b->counts.scanned > 2 * b->most + BQ_PAGE_MAX;
	return keep_cursor(b, err);
}

int bulk_step(struct bq *bq, struct bulk *b, struct arena *a, int64_t deadline, struct err *err)
{
	return b->spec.action == BULK_CLEAN ? clean_step(bq, b, deadline, err) : page_step(bq, b, a, deadline, err);
}
