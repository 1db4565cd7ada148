/* How many jobs a second Redis adds when nobody stands between: the same script call that the gateway makes, GROUP jobs in each, CALLS of them
 * under way. With 16 Redis is kept busy; one is what a client does that waits for each answer.
 *
 *     adds SOCKET GROUP CALLS SECONDS
 *     {"jobs":123456,"seconds":1.002,"cpuSeconds":0.41}
 *
 * The jobs go to the queue "adds" of database 0. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/bench/store.h"

#define CALLS_MAX 16
#define GROUP_MAX 100
#define FIFTY "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm"
#define DATA "{\"userId\":\"user-4711\",\"type\":\"email\",\"subject\":\"Your order is on its way\",\"message\":\"" FIFTY FIFTY "mmmmmmmmmmmmm\"}"

struct call {
	struct arena arena;
	struct bq_add_result results[GROUP_MAX];
	struct bq_adding *adding;
};

struct world {
	struct store store;
	struct bq_queue queue;
	struct bq_add jobs[GROUP_MAX];
	size_t group, n_calls;
	struct call calls[CALLS_MAX];
	struct err err;
};

static void die(const struct world *w, const char *what)
{
	store_die("adds", what, &w->err);
}

static void prepare(struct world *w, const char *socket)
{
	store_open(&w->store, "adds", socket, NULL);
	if (bq_queue_init(&w->queue, STR("bull"), STR("adds"), &w->err) < 0)
		die(w, "the queue");
	for (size_t i = 0; i < w->group; i++) {
		struct bq_add *job = &w->jobs[i];
		*job = (struct bq_add){.name = STR("send-notification"), .data = STR(DATA)};
		bq_opts_init(&job->opts);
		job->opts.attempts = 5;
	}
	for (size_t i = 0; i < w->n_calls; i++)
		arena_init(&w->calls[i].arena, 0);
}

/* Ends the call, when one is under way: how many jobs it added. */
static size_t end(struct world *w, struct call *c)
{
	if (!c->adding)
		return 0;
	if (bq_add_many_end(c->adding, &w->err) < 0)
		die(w, "adding");
	c->adding = NULL;
	return w->group;
}

static void begin(struct world *w, struct call *c)
{
	arena_reset(&c->arena);
	c->adding = bq_add_many_begin(w->store.bq, &w->queue, w->jobs, w->group, &c->arena, c->results, clock_mono_ms() + STORE_PATIENCE_MS, &w->err);
	if (!c->adding)
		die(w, "adding");
}

static void finish(struct world *w)
{
	for (size_t i = 0; i < w->n_calls; i++)
		arena_release(&w->calls[i].arena);
	store_stop(&w->store);
	bq_queue_release(&w->queue);
	store_close(&w->store);
}

int main(int argc, char **argv)
{
	static struct world w;
	size_t jobs = 0;
	size_t turn = 0;

	w.group = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
	w.n_calls = argc == 5 ? strtoul(argv[3], NULL, 10) : 0;
	if (w.group < 1 || w.group > GROUP_MAX || w.n_calls < 1 || w.n_calls > CALLS_MAX) {
		fprintf(stderr, "usage: adds SOCKET GROUP CALLS SECONDS\n");
		return 2;
	}
	prepare(&w, argv[1]);
	int64_t began = clock_mono_us(), until = began + strtol(argv[4], NULL, 10) * 1000000;
	clock_t used = clock();
	for (; clock_mono_us() < until; turn = (turn + 1) % w.n_calls) {
		jobs += end(&w, &w.calls[turn]);
		begin(&w, &w.calls[turn]);
	}
	for (size_t i = 0; i < w.n_calls; i++)
		jobs += end(&w, &w.calls[i]);
	printf("{\"jobs\":%zu,\"seconds\":%.6f,\"cpuSeconds\":%.3f}\n", jobs, (double)(clock_mono_us() - began) / 1e6,
	       (double)(clock() - used) / CLOCKS_PER_SEC);
	finish(&w);
	return 0;
}
