/* Of bq_counts there is a stand-in here, whose answers carry the number of the call and wait for the test's leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/counts.h"
#include "lib/base/clock.h"
#include "lib/base/lock.h"

#define SOON 20000 /* ms; what should be done by then on any machine */
#define READERS 8

static struct {
	struct lock mu;
	struct cond changed;
	int64_t calls[2];  /* of each queue; protected by mu, as are: */
	bool held;         /* calls wait */
	int outcome;
} redis;

static const struct declaration queues[2] = {{.index = 0}, {.index = 1}};

int bq_counts(struct bq *bq, const struct bq_queue *q, struct bq_counts *out, int64_t deadline, struct err *err)
{
	(void)bq;
	lock_take(&redis.mu);
	int64_t number = ++redis.calls[q == &queues[1].queue];
	cond_broadcast(&redis.changed);
	bool in_time = true;
	while (redis.held && in_time)
		in_time = cond_wait_until(&redis.changed, &redis.mu, deadline);
	int rc = in_time ? redis.outcome : ERR_TIMEOUT;
	lock_give(&redis.mu);
	if (rc < 0)
		return err_set(err, rc, "call %lld was refused", (long long)number);
	*out = (struct bq_counts){.n = {number}};
	return 0;
}

static int64_t calls(size_t queue)
{
	lock_take(&redis.mu);
	int64_t n = redis.calls[queue];
	lock_give(&redis.mu);
	return n;
}

static void answer_calls(bool held, int outcome)
{
	lock_take(&redis.mu);
	redis.held = held;
	redis.outcome = outcome;
	cond_broadcast(&redis.changed);
	lock_give(&redis.mu);
}

static void await_call(size_t queue, int64_t number)
{
	int64_t deadline = clock_mono_ms() + SOON;
	lock_take(&redis.mu);
	while (redis.calls[queue] < number)
		assert_true(cond_wait_until(&redis.changed, &redis.mu, deadline));
	lock_give(&redis.mu);
}

struct reader {
	struct counts *counts;
	const struct declaration *queue;
	int64_t within_ms;
	struct thread thread;
	int rc;
	struct bq_counts got;
	struct err err;
};

static void read_counts(void *arg)
{
	struct reader *r = arg;
	r->rc = counts_get(r->counts, r->queue, &r->got, clock_mono_ms() + r->within_ms, &r->err);
}

static void begin(struct reader *r, struct counts *c, const struct declaration *queue, int64_t within_ms)
{
	*r = (struct reader){.counts = c, .queue = queue, .within_ms = within_ms};
	assert_int_equal(thread_start(&r->thread, "reader", read_counts, r), 0);
}

/* Which call's answer it is. */
static int64_t read_now(struct counts *c, const struct declaration *queue)
{
	struct reader r = {.counts = c, .queue = queue, .within_ms = SOON};
	read_counts(&r);
	assert_int_equal(r.rc, 0);
	return r.got.n[0];
}

static int begin_test(void **state)
{
	lock_init(&redis.mu);
	cond_init(&redis.changed);
	redis.calls[0] = redis.calls[1] = 0;
	redis.held = false;
	redis.outcome = 0;
	*state = counts_new(NULL);
	return *state ? 0 : -1;
}

static int end_test(void **state)
{
	counts_free(*state);
	cond_release(&redis.changed);
	lock_release(&redis.mu);
	return 0;
}

static void test_while_one_asks_the_others_do_not(void **state)
{
	struct reader asker, other, readers[READERS];

	answer_calls(true, 0);
	begin(&asker, *state, &queues[0], SOON);
	await_call(0, 1);
	for (size_t i = 0; i < READERS; i++)
		begin(&readers[i], *state, &queues[0], 20);
	for (size_t i = 0; i < READERS; i++) {
		thread_join(&readers[i].thread);
		assert_int_equal(readers[i].rc, ERR_TIMEOUT);
		assert_int_equal(readers[i].err.code, ERR_TIMEOUT);
	}
	assert_int_equal(calls(0), 1);
	begin(&other, *state, &queues[1], SOON);
	await_call(1, 1); /* another queue is asked for at once */
	answer_calls(false, 0);
	thread_join(&asker.thread);
	thread_join(&other.thread);
	assert_int_equal(asker.rc, 0);
	assert_int_equal(other.rc, 0);
	assert_int_equal(calls(0), 1);
}

/* Readers that begin while the first call waits, which is let go a moment later: until all of them had begun by then. */
static void ask_together(struct counts *c, int outcome, struct reader *readers, int64_t moment_ms)
{
	int64_t first = calls(0) + 1;

	answer_calls(true, outcome);
	begin(&readers[0], c, &queues[0], SOON);
	await_call(0, first);
	for (size_t i = 1; i < READERS; i++)
		begin(&readers[i], c, &queues[0], SOON);
	clock_sleep_ms(moment_ms);
	answer_calls(false, outcome);
	for (size_t i = 0; i < READERS; i++)
		thread_join(&readers[i].thread);
}

static void test_who_waits_is_given_that_answer(void **state)
{
	static const int outcomes[] = {0, ERR_IO};
	int64_t deadline = clock_mono_ms() + SOON;

	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
		struct reader readers[READERS];
		int64_t before, moment_ms = 1;
		do {
			assert_true(clock_mono_ms() < deadline); /* also when nobody wakes them */
			clock_sleep_ms(COUNTS_STALE_MS + 1);
			before = calls(0);
			ask_together(*state, outcomes[i], readers, moment_ms);
			moment_ms *= 2;
		} while (calls(0) != before + 1);
		for (size_t n = 0; n < READERS; n++) {
			assert_int_equal(readers[n].rc, outcomes[i]);
			assert_int_equal(readers[n].err.code, outcomes[i]);
			if (outcomes[i] < 0)
				assert_string_equal(readers[n].err.text, readers[0].err.text);
			else
				assert_int_equal(readers[n].got.n[0], before + 1);
		}
	}
}

static void test_an_answer_is_kept_for_a_moment_only(void **state)
{
	int64_t began, answered, number, again, deadline = clock_mono_ms() + SOON;

	do {
		assert_true(clock_mono_ms() < deadline);
		began = clock_mono_ms();
		number = read_now(*state, &queues[0]);
		answered = clock_mono_ms();
		again = read_now(*state, &queues[0]);
	} while (clock_mono_ms() - began >= COUNTS_FRESH_MS); /* too late to tell */
	assert_int_equal(again, number);
	while (clock_mono_ms() - answered < COUNTS_FRESH_MS)
		clock_sleep_ms(1);
	assert_int_equal(read_now(*state, &queues[0]), number + 1);
}

static void test_while_one_asks_the_others_get_what_is_not_too_old(void **state)
{
	struct reader asker, early, late;
	int64_t began, answered, number, deadline = clock_mono_ms() + SOON;
	bool in_time;

	do {
		assert_true(clock_mono_ms() < deadline);
		began = clock_mono_ms();
		number = read_now(*state, &queues[0]);
		answered = clock_mono_ms();
		while (clock_mono_ms() - answered < COUNTS_FRESH_MS)
			clock_sleep_ms(1);
		answer_calls(true, 0);
		begin(&asker, *state, &queues[0], SOON);
		await_call(0, number + 1);
		begin(&early, *state, &queues[0], 20);
		thread_join(&early.thread);
		in_time = clock_mono_ms() - began < COUNTS_STALE_MS;
		while (clock_mono_ms() - answered < COUNTS_STALE_MS)
			clock_sleep_ms(1);
		begin(&late, *state, &queues[0], 20);
		thread_join(&late.thread);
		answer_calls(false, 0);
		thread_join(&asker.thread);
		assert_int_equal(late.rc, ERR_TIMEOUT);
		assert_int_equal(asker.got.n[0], number + 1);
	} while (!in_time);
	assert_int_equal(early.rc, 0);
	assert_int_equal(early.got.n[0], number);
}

static void test_after_a_refusal_it_is_asked_again(void **state)
{
	struct reader r = {.counts = *state, .queue = &queues[0], .within_ms = SOON};

	redis.outcome = ERR_IO;
	read_counts(&r);
	assert_int_equal(r.rc, ERR_IO);
	assert_string_equal(r.err.text, "call 1 was refused");
	redis.outcome = 0;
	assert_int_equal(read_now(*state, &queues[0]), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_while_one_asks_the_others_do_not),
		TEST(test_who_waits_is_given_that_answer),
		TEST(test_an_answer_is_kept_for_a_moment_only),
		TEST(test_while_one_asks_the_others_get_what_is_not_too_old),
		TEST(test_after_a_refusal_it_is_asked_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
