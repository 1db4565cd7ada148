/* A queue on a Redis of the test's own, and short words for what tests do with it. Header only: every unit test is one program of
 * one file. */
#ifndef SLUICE_TESTS_UNIT_BULLMQ_WORLD_H
#define SLUICE_TESTS_UNIT_BULLMQ_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bullmq/bq.h"
#include "tests/unit/redis_server.h"

#define DEADLINE (clock_mono_ms() + 10000)
#define LOCK_MS 30000

struct world {
	struct redis_server redis;
	struct rmux *mux;
	struct bq *bq;
	struct bq_queue queue;
	struct bq_worker worker;
	struct arena arena;
	struct err err;
};

static struct world world;

static inline redisReply *command(const char *const *argv)
{
	static struct rreplies last;
	struct rcmd cmd = RCMD_INIT;
	size_t n = 0;

	rreplies_release(&last);
	while (argv[n])
		n++;
	rcmd_begin(&cmd, n);
	for (size_t i = 0; i < n; i++)
		rcmd_argz(&cmd, argv[i]);
	assert_int_equal(rmux_call(world.mux, &cmd, DEADLINE, &last, &world.err), 0);
	rcmd_release(&cmd);
	return last.items[0];
}
#define REDIS(...) command((const char *const[]){__VA_ARGS__, NULL})

static inline int start(void **state)
{
	struct rmux_options options = {.connect_timeout_ms = 2000};

	*state = &world;
	redis_server_start(&world.redis, NULL);
	options.addr = redis_server_addr(&world.redis);
	world.mux = rmux_new(&options, &world.err);
	assert_non_null(world.mux);
	world.bq = bq_new(world.mux, &world.err);
	assert_non_null(world.bq);
	assert_ptr_equal(bq_mux(world.bq), world.mux);
	assert_int_equal(rmux_start(world.mux, &world.err), 0);
	assert_int_equal(rmux_wait_up(world.mux, DEADLINE), 0);
	assert_int_equal(bq_queue_init(&world.queue, STR("bull"), STR("orders"), &world.err), 0);
	world.worker = (struct bq_worker){.name = STR("tester"), .lock_ms = LOCK_MS};
	arena_init(&world.arena, 0);
	return 0;
}

static inline int stop(void **state)
{
	(void)state;
	REDIS("PING"); /* releases the last reply but one */
	arena_release(&world.arena);
	bq_queue_release(&world.queue);
	rmux_stop(world.mux, DEADLINE);
	bq_free(world.bq);
	rmux_free(world.mux);
	redis_server_stop(&world.redis);
	return 0;
}

static inline int clean(void **state)
{
	(void)state;
	REDIS("FLUSHALL");
	arena_reset(&world.arena);
	world.err = (struct err){0};
	return 0;
}

static inline struct bq_add a_job(void)
{
	struct bq_add job = {.name = STR("send"), .data = STR("{\"n\":[],\"x\":0.10000000000000000001}")};

	bq_opts_init(&job.opts);
	return job;
}

static inline struct bq_added add(const struct bq_add *job)
{
	struct bq_added added = {0};
	int rc = bq_add(world.bq, &world.queue, job, &world.arena, &added, DEADLINE, &world.err);

	if (rc < 0)
		fail_msg("bq_add: %s", world.err.text);
	return added;
}

static inline int add_rc(const struct bq_add *job)
{
	struct bq_added added;

	return bq_add(world.bq, &world.queue, job, &world.arena, &added, DEADLINE, &world.err);
}

static inline struct bq_job status(struct str id)
{
	struct bq_job job;

	assert_int_equal(bq_status(world.bq, &world.queue, id, true, &world.arena, &job, DEADLINE, &world.err), 0);
	return job;
}

static inline struct bq_job take(const char *token)
{
	struct bq_taken taken;
	struct bq_job job;

	assert_int_equal(bq_take(world.bq, &world.queue, &world.worker, str_from(token), &world.arena, &job, &taken, DEADLINE,
				 &world.err),
			 0);
	assert_true(taken.got);
	return job;
}

static inline bool nothing_to_take(void)
{
	struct bq_taken taken;
	struct bq_job job;

	assert_int_equal(bq_take(world.bq, &world.queue, &world.worker, STR("t"), &world.arena, &job, &taken, DEADLINE, &world.err), 0);
	return !taken.got;
}

static inline struct bq_counts counts(void)
{
	struct bq_counts c;

	assert_int_equal(bq_counts(world.bq, &world.queue, &c, DEADLINE, &world.err), 0);
	return c;
}

#define assert_str(s, literal) \
	do { \
		struct str got_ = (s); \
		assert_int_equal(got_.n, sizeof(literal) - 1); \
		assert_memory_equal(got_.p, literal, got_.n); \
	} while (0)

#define TEST(f) cmocka_unit_test_setup(f, clean)

#endif
