/* When what was said to a channel goes out, to how many streams at a time, and who is too far behind. The clock is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/http/stream_state.h"

#define MANY 100
#define NOW 1000000
#define LONG_MS 1000

struct world {
	struct streams all;
	struct stream_channel channel;
	struct stream streams[MANY];
	struct stream_seat seats[MANY];
};

static int open_world(void **state)
{
	struct world *w = test_calloc(1, sizeof(*w));
	lock_init(&w->all.mu);
	w->all.wake_fd = eventfd(0, EFD_NONBLOCK);
	w->channel.all = &w->all;
	*state = w;
	return 0;
}

static int close_world(void **state)
{
	struct world *w = *state;
	buf_release(&w->channel.log);
	lock_release(&w->all.mu);
	close(w->all.wake_fd);
	test_free(w);
	return 0;
}

/* They follow, and have had what was kept for them. */
static void follow(struct world *w, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		w->streams[i].all = &w->all;
		stream_seat_take(&w->seats[i], &w->channel);
		w->seats[i].stream = &w->streams[i];
		w->streams[i].seat = &w->seats[i];
	}
}

static void say(struct world *w, size_t bytes)
{
	static char text[STREAM_PENDING_MAX];
	memset(text, 'x', bytes);
	stream_channel_say(&w->channel, (struct str){text, bytes});
}

static bool was_woken(struct world *w)
{
	eventfd_t n;
	return eventfd_read(w->all.wake_fd, &n) == 0;
}

/* What the streams' thread does with those who have work: how many there were. */
static size_t write_to_all(struct world *w)
{
	size_t n = 0;
	for (struct stream *s = w->all.work; s; s = s->next_work, n++) {
		assert_true(s->turn);
		while (!s->seat->lost && s->seat->at < stream_channel_said(&w->channel))
			stream_channel_took(s, stream_channel_piece(s, stream_channel_said(&w->channel)).n);
		s->turn = s->working = false;
	}
	w->all.work = NULL;
	return n;
}

/* Until there is nothing to do for LONG_MS, or for now; how many were written to. */
static size_t turn(struct world *w, int64_t now, int *wait)
{
	size_t n = 0, more;
	do {
		*wait = stream_channels_turn(&w->all, now, LONG_MS);
		more = write_to_all(w);
		n += more;
	} while (more);
	*wait = stream_channels_turn(&w->all, now, LONG_MS);
	return n;
}

static void test_first_word_at_once_then_gathered(void **state)
{
	struct world *w = *state;
	int wait;
	follow(w, 1);
	say(w, 10);
	assert_true(was_woken(w));
	assert_int_equal(turn(w, NOW, &wait), 1);
	assert_int_equal(wait, LONG_MS); /* nothing is left to do */
	say(w, 10);
	assert_true(was_woken(w)); /* to learn how long it is to wait */
	for (int i = 0; i < 100; i++)
		say(w, 10);
	assert_false(was_woken(w)); /* a burst is one wake-up */
	assert_int_equal(turn(w, NOW + 30, &wait), 0);
	assert_int_equal(wait, STREAM_GATHER_MS - 30);
	assert_int_equal(turn(w, NOW + STREAM_GATHER_MS, &wait), 1);
	assert_int_equal(w->seats[0].at, 10 + 101 * 10);
	assert_int_equal(w->channel.log.n, 0);
	say(w, 10); /* after silence */
	assert_int_equal(turn(w, NOW + 2 * STREAM_GATHER_MS, &wait), 1);
}

static void test_much_does_not_wait(void **state)
{
	struct world *w = *state;
	int wait;
	follow(w, 2);
	say(w, 10);
	assert_int_equal(turn(w, NOW, &wait), 2);
	say(w, STREAM_GATHER_BYTES - 1);
	assert_true(was_woken(w));
	assert_int_equal(turn(w, NOW + 1, &wait), 0);
	say(w, 1);
	assert_true(was_woken(w));
	assert_int_equal(turn(w, NOW + 2, &wait), 2);
}

static void test_small_portions_with_rests(void **state)
{
	struct world *w = *state;
	size_t largest = 0, rounds = 0, told = 0;
	bool again = false;
	follow(w, MANY);
	say(w, 10);
	for (int wait = 0; wait < STREAM_GATHER_MS; rounds++) {
		wait = stream_channels_turn(&w->all, NOW, LONG_MS);
		size_t n = write_to_all(w);
		largest = n > largest ? n : largest;
		told += n;
		if (!again && told >= MANY / 2)
			say(w, 10); /* in the middle of it */
		again = told >= MANY / 2;
		assert_true(n == 0 || wait > 0);
	}
	assert_int_equal(told, MANY); /* each once */
	assert_true(largest <= 20);
	assert_true(rounds >= 5);
}

static void test_who_takes_nothing_is_lost_alone(void **state)
{
	struct world *w = *state;
	int wait;
	follow(w, 2);
	w->seats[1].stream = NULL; /* does not follow yet, so nothing goes to it */
	for (size_t said = 0; said < 2 * STREAM_PENDING_MAX; said += 100000) {
		assert_false(w->seats[0].lost);
		say(w, 100000);
		(void)turn(w, NOW, &wait);
		assert_true(w->channel.log.n <= 2 * STREAM_PENDING_MAX);
	}
	assert_true(w->seats[1].lost);
	say(w, 10);
	(void)turn(w, NOW + STREAM_GATHER_MS, &wait);
	assert_int_equal(w->channel.log.n, 0); /* nobody waits for it */
	assert_int_equal(w->all.pending, 0);
}

static void test_end_goes_before_gathering(void **state)
{
	struct world *w = *state;
	int wait;
	follow(w, 1);
	say(w, 10);
	assert_int_equal(turn(w, NOW, &wait), 1);
	say(w, 10);
	(void)was_woken(w);
	stream_channel_end(&w->channel, STREAM_CHANGED);
	assert_true(was_woken(w));
	assert_int_equal(turn(w, NOW + 1, &wait), 1);
	assert_int_equal(wait, LONG_MS);
}

/* It may end while it is still told the past. Then the streams' thread may have let go of it already. */
static void test_stream_that_ended_does_not_follow(void **state)
{
	struct world *w = *state;
	int wait;
	for (size_t i = 0; i < 2; i++) {
		w->streams[i].all = &w->all;
		stream_seat_take(&w->seats[i], &w->channel);
	}
	w->streams[1].end = STREAM_GONE;
	stream_follow(&w->streams[0], &w->seats[0]);
	stream_follow(&w->streams[1], &w->seats[1]);
	assert_ptr_equal(w->all.dirty, &w->streams[0]);
	assert_null(w->streams[0].next_dirty);
	assert_true(stream_follows(&w->streams[0]));
	assert_false(stream_follows(&w->streams[1]));
	assert_false(w->streams[1].dirty);
	say(w, 10);
	assert_int_equal(turn(w, NOW, &wait), 1);
}

static void test_messages_are_framed_once(void **state)
{
	struct world *w = *state;
	follow(w, 1);
	w->channel.messages = true;
	static char line[70001];
	memset(line, 'y', sizeof(line) - 1);
	line[300] = line[310] = line[70000] = '\n';
	stream_channel_say(&w->channel, (struct str){line, sizeof(line)});
	const unsigned char *p = (const unsigned char *)w->channel.log.p;
	assert_memory_equal(p, "\x81\x7e\x01\x2c", 4); /* 300 */
	assert_memory_equal(p + 304, "\x81\x09", 2);
	assert_memory_equal(p + 315, "\x81\x7f\0\0\0\0\0\x01\x10\x39", 10); /* 69689 */
	assert_int_equal(w->channel.log.n, 304 + 11 + 10 + 69689);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first_word_at_once_then_gathered), TEST(test_much_does_not_wait), TEST(test_small_portions_with_rests),
		TEST(test_who_takes_nothing_is_lost_alone), TEST(test_end_goes_before_gathering), TEST(test_messages_are_framed_once),
		TEST(test_stream_that_ended_does_not_follow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
