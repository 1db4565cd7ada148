/* Holding jobs from elsewhere: tokens, heartbeats, the wish to cancel, removal, markers. */
#include "lib/bullmq/admin.h"
#include "lib/bullmq/marker.h"
#include "tests/unit/bullmq_world.h"

static struct bq_held held[8];
static size_t got;

static struct bq_taken take_many(size_t n)
{
	struct bq_taken last;
	char token[BQ_TOKEN_SIZE];

	bq_token(token);
	assert_int_equal(bq_take_many(world.bq, &world.queue, &world.worker, str_from(token), &world.arena, held, n, &got, &last, DEADLINE, &world.err),
			 0);
	return last;
}

static void tokens_are_ours_and_differ(void **state)
{
	char a[BQ_TOKEN_SIZE], b[BQ_TOKEN_SIZE];

	(void)state;
	bq_token(a);
	bq_token(b);
	assert_true(strlen(a) + BQ_TOKEN_SUFFIX < BQ_TOKEN_SIZE);
	assert_true(bq_token_is_ours(str_from(a)));
	assert_string_not_equal(a, b);
	assert_false(bq_token_is_ours(STR("9a5c3a8e-7f0e-4c4e-b6a6-000000000000:0")));
}

static void takes_what_there_is(void **state)
{
	const struct bq_add job = a_job();

	(void)state;
	for (int i = 0; i < 3; i++)
		add(&job);
	take_many(2);
	assert_int_equal(got, 2);
	assert_str(held[0].job.id, "1");
	assert_str(held[1].job.id, "2");
	take_many(8);
	assert_int_equal(got, 1);
	assert_str(held[0].job.id, "3");
	struct str token;
	assert_int_equal(bq_holder(world.bq, &world.queue, STR("3"), &world.arena, &token, DEADLINE, &world.err), 0);
	assert_true(str_is(token, held[0].token));
	take_many(8);
	assert_int_equal(got, 0);
}

static void nothing_but_a_delayed_job_says_when(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	job.opts.delay_ms = 60000;
	add(&job);
	struct bq_taken last = take_many(4);
	assert_int_equal(got, 0);
	assert_true(last.next_delayed_ms > clock_wall_ms() + 30000);
}

static int beat(const char *token, bool *cancel)
{
	return bq_heartbeat(world.bq, &world.queue, STR("1"), str_from(token), 5000, cancel, DEADLINE, &world.err);
}

static void a_heartbeat_renews_and_tells_the_wish(void **state)
{
	const struct bq_add job = a_job();
	bool cancel = true, asked = false;

	(void)state;
	add(&job);
	take_many(1);
	assert_int_equal(beat(held[0].token, &cancel), 0);
	assert_false(cancel);
	assert_true(REDIS("PTTL", "bull:orders:1:lock")->integer <= 5000);
	assert_int_equal(beat("somebody-else", &cancel), ERR_LOCK_LOST);

	assert_int_equal(bq_cancel_ask(world.bq, &world.queue, &held[0].job, 60000, DEADLINE, &world.err), 0);
	assert_int_equal(beat(held[0].token, &cancel), 0);
	assert_true(cancel);
	assert_int_equal(bq_cancel_asked(world.bq, &world.queue, &held[0].job.id, &held[0].job.timestamp, 1, &asked, DEADLINE, &world.err), 0);
	assert_true(asked);
	assert_int_equal(bq_cancel_forget(world.bq, &world.queue, &held[0].job.id, 1, DEADLINE, &world.err), 0);
	assert_int_equal(beat(held[0].token, &cancel), 0);
	assert_false(cancel);
	REDIS("DEL", "bull:orders:1:lock");
	assert_int_equal(beat(held[0].token, &cancel), ERR_LOCK_LOST);
}

static void heartbeats_of_many_are_answered_one_by_one(void **state)
{
	const struct bq_add job = a_job();
	struct bq_beat beats[5];

	(void)state;
	for (int i = 0; i < 3; i++)
		add(&job);
	take_many(3);
	for (size_t i = 0; i < 3; i++)
		beats[i] = (struct bq_beat){.id = held[i].job.id, .token = str_from(held[i].token)};
	beats[3] = (struct bq_beat){.id = held[0].job.id, .token = str_from(held[1].token)};
	beats[4] = (struct bq_beat){.id = STR("none"), .token = str_from(held[0].token)};
	assert_int_equal(bq_cancel_ask(world.bq, &world.queue, &held[1].job, 60000, DEADLINE, &world.err), 0);
	REDIS("DEL", "bull:orders:3:lock");
	REDIS("RPUSH", "bull:orders:3:lock", "no text");
	assert_int_equal(bq_heartbeats(world.bq, &world.queue, beats, 5, 5000, DEADLINE, &world.err), 0);
	const struct {
		int code;
		bool cancel;
	} expected[] = {{0, false}, {0, true}, {ERR_BROKEN, false}, {ERR_LOCK_LOST, false}, {ERR_LOCK_LOST, false}};
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		assert_int_equal(beats[i].err.code, expected[i].code);
		assert_int_equal(beats[i].cancel, expected[i].cancel);
	}
	assert_true(REDIS("PTTL", "bull:orders:1:lock")->integer <= 5000);
	assert_int_equal(bq_heartbeats(world.bq, &world.queue, beats, 0, 5000, DEADLINE, &world.err), 0);
}

/* A job that is added later under the same id was not meant. */
static void a_wish_is_for_one_job(void **state)
{
	const struct bq_add job = a_job();
	bool asked = true;

	(void)state;
	add(&job);
	take_many(1);
	assert_int_equal(bq_cancel_ask(world.bq, &world.queue, &held[0].job, 60000, DEADLINE, &world.err), 0);
	int64_t later = held[0].job.timestamp + 1;
	assert_int_equal(bq_cancel_asked(world.bq, &world.queue, &held[0].job.id, &later, 1, &asked, DEADLINE, &world.err), 0);
	assert_false(asked);
}

static void removes_what_nobody_holds(void **state)
{
	const struct bq_add job = a_job();
	bool removed = false;

	(void)state;
	add(&job);
	assert_int_equal(bq_remove(world.bq, &world.queue, STR("1"), &removed, DEADLINE, &world.err), 0);
	assert_true(removed);
	assert_int_equal(REDIS("EXISTS", "bull:orders:1")->integer, 0);
	add(&job);
	take_many(1);
	assert_int_equal(bq_remove(world.bq, &world.queue, STR("2"), &removed, DEADLINE, &world.err), 0);
	assert_false(removed);
	assert_int_equal(REDIS("EXISTS", "bull:orders:2")->integer, 1);
}

/* As one that was failed when it was looked at, and has been tried again since. */
static void removes_from_a_state_only_what_is_still_there(void **state)
{
	struct bq_add job = a_job();
	int codes[2];

	(void)state;
	const struct str waiting = add(&job).id;
	job.opts.delay_ms = 60000;
	const struct str ids[] = {waiting, add(&job).id};
	assert_int_equal(bq_act(world.bq, &world.queue, BQ_REMOVE_FROM, BQ_DELAYED, ids, 2, codes, DEADLINE, &world.err), 0);
	assert_int_equal(codes[0], ERR_WRONG_STATE);
	assert_int_equal(codes[1], 0);
	assert_int_equal(REDIS("LLEN", "bull:orders:wait")->integer, 1);
	assert_int_equal(REDIS("ZCARD", "bull:orders:delayed")->integer, 0);
	assert_int_equal(bq_act(world.bq, &world.queue, BQ_REMOVE, BQ_DELAYED, ids, 1, codes, DEADLINE, &world.err), 0);
	assert_int_equal(codes[0], 0);
	assert_int_equal(REDIS("LLEN", "bull:orders:wait")->integer, 0);
}

/* ---- markers ---- */

static struct bq_marker pop(struct rreplies *replies)
{
	struct rcmd cmd = RCMD_INIT;
	struct bq_marker marker;

	bq_marker_wait(&cmd, 2);
	rcmd_argz(&cmd, "bull:other:marker");
	rcmd_arg(&cmd, world.queue.keys[BQ_KEY_MARKER]);
	bq_marker_wait_end(&cmd, 20);
	assert_int_equal(rmux_call(world.mux, &cmd, DEADLINE, replies, &world.err), 0);
	rcmd_release(&cmd);
	if (!bq_marker_read(replies->items[0], &marker))
		marker.key = STR_NONE;
	return marker;
}

static void markers_say_now_or_when(void **state)
{
	struct rreplies replies;
	struct bq_add job = a_job();

	(void)state;
	assert_null(pop(&replies).key.p);
	rreplies_release(&replies);

	add(&job);
	struct bq_marker now = pop(&replies);
	assert_str(now.key, "bull:orders:marker");
	assert_int_equal(now.due_wall_ms, 0);
	bq_marker_put_back(world.bq, &now, DEADLINE);
	rreplies_release(&replies);
	assert_str(pop(&replies).key, "bull:orders:marker");
	rreplies_release(&replies);

	job.opts.delay_ms = 60000;
	add(&job);
	struct bq_marker due = pop(&replies);
	assert_true(due.due_wall_ms > clock_wall_ms() + 30000);
	bq_marker_put_back(world.bq, &due, DEADLINE);
	rreplies_release(&replies);
	struct bq_marker again = pop(&replies);
	assert_int_equal(again.due_wall_ms, due.due_wall_ms);
	rreplies_release(&replies);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tokens_are_ours_and_differ),
		TEST(takes_what_there_is),
		TEST(nothing_but_a_delayed_job_says_when),
		TEST(a_heartbeat_renews_and_tells_the_wish),
		TEST(heartbeats_of_many_are_answered_one_by_one),
		TEST(a_wish_is_for_one_job),
		TEST(removes_what_nobody_holds),
		TEST(removes_from_a_state_only_what_is_still_there),
		TEST(markers_say_now_or_when),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
