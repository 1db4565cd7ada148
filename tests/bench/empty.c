/* How many jobs a second the runtime takes, runs and completes when the processor does nothing.
 *
 *     empty SOCKET CONCURRENCY JOBS [outbox]
 *     {"jobs":100000,"ms":2010,"perSecond":49751,"cpuSeconds":0.612,"redisCpuSeconds":1.904}
 *
 * Empties database 0 of the Redis on that Unix socket, adds the jobs and only then starts to work on them. The clock runs
 * from the start of the workers to the completion of the last job as Redis has it. With "outbox" each end is also written there,
 * as for the records; nobody reads it. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/bullmq/outbox.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "processors/runtime/runtime.h"
#include "processors/runtime/tally.h"
#include "tests/bench/store.h"

#define PER_CALL 500
#define PATIENCE_MS 120000
#define DEADLINE (clock_mono_ms() + PATIENCE_MS)

static _Atomic int64_t started;

struct world {
	struct store store;
	struct log *log;
	struct metrics *metrics;
	struct tallies *tallies;
	struct declarations queues;
	const struct declaration *queue;
	struct err err;
};

static void die(const struct world *w, const char *what)
{
	store_die("empty", what, &w->err);
}

static enum outcome run_nothing(void *state, struct job_context *ctx)
{
	(void)state;
	(void)ctx;
	atomic_fetch_add_explicit(&started, 1, memory_order_relaxed);
	return OUTCOME_DONE;
}

static const struct processor NOTHING = {.name = "nothing", .log_name = "Nothing", .run = run_nothing};

static const struct processor *lookup(struct str name)
{
	(void)name; /* also those of the built-in queues */
	return &NOTHING;
}

static void declare(struct world *w, unsigned concurrency)
{
	char file[] = "/tmp/sluice-empty-XXXXXX", text[256];
	int fd = mkstemp(file);

	snprintf(text, sizeof(text), "{\"queues\":[{\"name\":\"empty\",\"processor\":\"nothing\",\"concurrency\":%u}]}", concurrency);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
	    declarations_load(&w->queues, STR("bull"), file, STR_NONE, 0, lookup, &w->err) < 0)
		die(w, "the declaration");
	close(fd);
	unlink(file);
	w->queue = declarations_find(&w->queues, STR("empty"));
}

static void ignore(void *arg UNUSED)
{
}

static void give_outbox(struct world *w)
{
	static struct bq_outbox outbox = {.data_cap = 65536, .result_cap = 65536, .wake = ignore};

	for (size_t i = 0; i < w->queues.count; i++)
		if (w->queues.items[i] == w->queue)
			w->queues.items[i]->queue.outbox = &outbox;
}

static void empty_database(struct world *w)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	rcmd_begin(&cmd, 1);
	rcmd_argz(&cmd, "FLUSHDB");
	if (rmux_call(w->store.mux, &cmd, DEADLINE, &replies, &w->err) < 0)
		die(w, "FLUSHDB");
	rreplies_release(&replies);
	rcmd_release(&cmd);
}

static double field_of(struct str text, const char *name)
{
	const char *at = memmem(text.p, text.n, name, strlen(name));

	return at ? strtod(at + strlen(name), NULL) : 0;
}

/* Seconds of processor that Redis has used, all told. */
static double redis_cpu(struct world *w)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, "INFO");
	rcmd_argz(&cmd, "cpu");
	if (rmux_call(w->store.mux, &cmd, DEADLINE, &replies, &w->err) < 0)
		die(w, "INFO");
	struct str text = rreply_str(replies.items[0]);
	double seconds = field_of(text, "used_cpu_sys:") + field_of(text, "used_cpu_user:");
	rreplies_release(&replies);
	rcmd_release(&cmd);
	return seconds;
}

static void preload(struct world *w, int64_t jobs)
{
	struct bq_add add[PER_CALL];
	struct bq_add_result results[PER_CALL];
	struct arena a;

	for (size_t i = 0; i < PER_CALL; i++) {
		add[i] = (struct bq_add){.name = STR("empty"), .data = STR("{\"to\":\"someone@example.org\",\"n\":1}")};
		bq_opts_init(&add[i].opts);
	}
	arena_init(&a, 0);
	for (int64_t n = 0; n < jobs; n += PER_CALL) {
		size_t some = jobs - n < PER_CALL ? (size_t)(jobs - n) : PER_CALL;
		if (bq_add_many(w->store.bq, &w->queue->queue, add, some, &a, results, DEADLINE, &w->err) < 0)
			die(w, "adding");
		arena_reset(&a);
	}
	arena_release(&a);
}

static void until_completed(struct world *w, int64_t jobs)
{
	struct bq_counts counts = {0};

	for (int64_t deadline = DEADLINE; counts.n[BQ_COMPLETED] < jobs; clock_sleep_ms(1)) {
		if (atomic_load(&started) < jobs)
			continue; /* Redis is not asked until it is nearly over */
		if (bq_counts(w->store.bq, &w->queue->queue, &counts, deadline, &w->err) < 0 || clock_mono_ms() > deadline)
			die(w, "the jobs were not completed");
	}
}

int main(int argc, char **argv)
{
	struct world w = {0};

	if (argc != 4 && !(argc == 5 && strcmp(argv[4], "outbox") == 0)) {
		fprintf(stderr, "usage: empty SOCKET CONCURRENCY JOBS [outbox]\n");
		return 2;
	}
	int64_t jobs = strtol(argv[3], NULL, 10);
	declare(&w, (unsigned)strtoul(argv[2], NULL, 10));
	if (argc == 5)
		give_outbox(&w);
	w.log = log_new(STDERR_FILENO, LOG_ERROR, LOG_FORMAT_TEXT);
	w.metrics = metrics_new();
	w.tallies = tallies_new(w.metrics, &w.queues);
	store_open(&w.store, "empty", argv[1], w.log);
	empty_database(&w);
	preload(&w, jobs);
	const struct runtime_options ro = {
		.bq = w.store.bq, .redis = &w.store.addr, .queues = &w.queues, .tallies = w.tallies, .run_jobs = true, .env = {.log = w.log, .metrics = w.metrics}};
	struct runtime *rt = runtime_new(&ro, &w.err);
	double redis = redis_cpu(&w);
	clock_t used = clock();
	int64_t began = clock_mono_ms();
	if (!rt || runtime_start(rt, &w.err) < 0)
		die(&w, "the runtime");
	until_completed(&w, jobs);
	int64_t ms = clock_mono_ms() - began;
	printf("{\"jobs\":%lld,\"ms\":%lld,\"perSecond\":%lld,\"cpuSeconds\":%.3f,\"redisCpuSeconds\":%.3f}\n", (long long)jobs, (long long)ms,
	       (long long)(jobs * 1000 / (ms > 0 ? ms : 1)), (double)(clock() - used) / CLOCKS_PER_SEC, redis_cpu(&w) - redis);
	runtime_stop(rt);
	store_stop(&w.store);
	runtime_free(rt);
	store_close(&w.store);
	tallies_free(w.tallies);
	declarations_release(&w.queues);
	metrics_free(w.metrics);
	log_free(w.log);
	return 0;
}
