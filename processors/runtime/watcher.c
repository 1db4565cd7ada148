/* The watcher: waits for markers as BullMQ's workers do, for all queues of this process on one connection.
 *
 * It waits only for queues that have an idle worker; a marker that it cannot use goes back at once, so that a Node worker
 * beside a busy Sluice is woken in its stead. When a queue gets an idle worker again while the watcher blocks without it,
 * rblock_refresh makes it look anew. */
#include "lib/bullmq/marker.h"
#include "processors/runtime/private.h"

const struct rblock_kind WATCHER_KIND = {"sluice:watcher", "zset"};

void watcher_refresh(struct runtime *rt)
{
	rblock_refresh(&rt->watch);
	cond_broadcast(&rt->watch_wake);
}

static void look_everywhere(struct runtime *rt)
{
	for (size_t i = 0; i < rt->n_queues; i++)
		if (rt->queues[i].runs)
			exchange_look(&rt->queues[i]);
}

/* As BullMQ does: looks now and then without a marker, however many there are of other queues; how long until the next time. */
static int64_t look_when_due(struct runtime *rt, int64_t *look_mono_ms)
{
	int64_t now = clock_mono_ms();

	if (*look_mono_ms <= now) {
		*look_mono_ms = now + RBLOCK_MS;
		look_everywhere(rt);
	}
	return *look_mono_ms - now;
}

/* Begins BZPOPMIN over the queues with an idle worker, starting behind the one served last; false when there is none. */
static bool choose(struct runtime *rt, struct rcmd *cmd, size_t first, int64_t block_ms)
{
	size_t n = 0;

	rcmd_clear(cmd);
	lock_take(&rt->mu);
	rblock_choose(&rt->watch);
	for (size_t i = 0; i < rt->n_queues; i++) {
		struct rqueue *q = &rt->queues[i];
		q->watched = q->runs && q->n_idle > 0 && rblock_takes(&rt->watch, q->decl->queue.keys[BQ_KEY_MARKER]);
		n += q->watched;
	}
	if (n) {
		bq_marker_wait(cmd, n);
		for (size_t i = 0; i < rt->n_queues; i++) {
			const struct rqueue *q = &rt->queues[(first + i) % rt->n_queues];
			if (q->watched)
				rcmd_arg(cmd, q->decl->queue.keys[BQ_KEY_MARKER]);
		}
		bq_marker_wait_end(cmd, block_ms);
	}
	lock_give(&rt->mu);
	return n > 0;
}

static struct rqueue *queue_of_marker(struct runtime *rt, struct str key)
{
	for (size_t i = 0; i < rt->n_queues; i++)
		if (str_eq(rt->queues[i].decl->queue.keys[BQ_KEY_MARKER], key))
			return &rt->queues[i];
	return NULL;
}

void watcher_put_back(const struct rqueue *q)
{
	const struct bq_marker now = {.key = q->decl->queue.keys[BQ_KEY_MARKER]};

	bq_marker_put_back(q->rt->bq, &now, runtime_deadline(q->rt));
}

/* A due time is for promotion, a marker for now for an idle worker. */
static void use_marker(struct runtime *rt, const struct bq_marker *marker, size_t *first)
{
	struct rqueue *q = queue_of_marker(rt, marker->key);

	if (!q)
		return;
	*first = (size_t)(q - rt->queues) + 1;
	if (marker->due_wall_ms)
		upkeep_hint(rt, marker->due_wall_ms);
	else if (!exchange_look(q))
		watcher_put_back(q);
}

static void watch(struct runtime *rt, struct rcmd *cmd, size_t *first, int64_t block_ms)
{
	struct rreplies replies;
	struct bq_marker marker;

	if (!rblock_call(&rt->watch, cmd, block_ms, &replies))
		return;
	if (bq_marker_read(replies.items[0], &marker))
		use_marker(rt, &marker, first);
	rreplies_release(&replies);
}

static bool ensure_open(struct runtime *rt, int64_t *look_mono_ms)
{
	bool anew;

	if (!rblock_open(&rt->watch, &anew))
		return false;
	if (anew)
		*look_mono_ms = 0; /* markers may have come and gone meanwhile */
	return true;
}

/* No queue has an idle worker, or none may take a job any more. */
static void pause_until_needed(struct runtime *rt)
{
	lock_take(&rt->mu);
	if (atomic_load(&rt->draining))
		rblock_choose(&rt->watch);
	if (!atomic_load(&rt->stopping) && !rblock_is_stale(&rt->watch))
		cond_wait_until(&rt->watch_wake, &rt->mu, clock_mono_ms() + RBLOCK_MS);
	lock_give(&rt->mu);
}

void watcher_main(void *arg)
{
	struct runtime *rt = arg;
	struct rcmd cmd = RCMD_INIT;
	size_t first = 0;
	int64_t look_mono_ms = 0;

	while (!atomic_load(&rt->stopping)) {
		if (!ensure_open(rt, &look_mono_ms))
			continue;
		int64_t block_ms = look_when_due(rt, &look_mono_ms);
		if (atomic_load(&rt->draining) || !choose(rt, &cmd, first, block_ms))
			pause_until_needed(rt);
		else
			watch(rt, &cmd, &first, block_ms);
	}
	rcmd_release(&cmd);
	rblock_close(&rt->watch);
}
