/* How the gateway ends its helper, with shell scripts in the helper's place: one that lies, floods, crashes, hangs or leaves children behind
 * must come to its code, and nothing of it may stay. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "processors/document/helper.h"

#define PATIENCE_MS 30000
#define HANG_MS 500

struct ending {
	const char *script;
	int64_t timeout_ms;
	enum failure failure;
};

static const struct ending endings[] = {
	{"exit 0", PATIENCE_MS, FAILURE_NONE},
	{"exit 3", PATIENCE_MS, FAILURE_HELPER_FAILED},
	{"kill -SEGV $$", PATIENCE_MS, FAILURE_CORRUPT},
	{"kill -ABRT $$", PATIENCE_MS, FAILURE_CORRUPT},
	{"kill -SYS $$", PATIENCE_MS, FAILURE_SANDBOX_VIOLATION},
	{"kill -XCPU $$", PATIENCE_MS, FAILURE_PARSE_TIMEOUT},
	{"kill -XFSZ $$", PATIENCE_MS, FAILURE_PARSE_RESOURCE_LIMIT},
	{"kill -KILL $$", PATIENCE_MS, FAILURE_PARSE_RESOURCE_LIMIT},
	{"trap '' TERM INT HUP; while :; do :; done", HANG_MS, FAILURE_PARSE_TIMEOUT},
	{"exec sleep 1000", HANG_MS, FAILURE_PARSE_TIMEOUT},
	{"exec >&- 2>&- 5>&-; exec sleep 1000", HANG_MS, FAILURE_PARSE_TIMEOUT},
	{"exec cat /dev/zero", PATIENCE_MS, FAILURE_PARSE_RESOURCE_LIMIT},
	{"exec cat /dev/zero >&2", HANG_MS, FAILURE_PARSE_TIMEOUT},
	{"exec cat /dev/zero >&5", HANG_MS, FAILURE_PARSE_TIMEOUT},
	{"sleep 1000 & sleep 1000 & exit 0", PATIENCE_MS, FAILURE_NONE},
};

struct steps {
	unsigned n;
	unsigned seen[8];
};

static void note_step(void *arg, enum step step)
{
	struct steps *s = arg;
	assert_true((unsigned)step < STEP_COUNT);
	if (s->n < ARRAY_LEN(s->seen))
		s->seen[s->n] = step;
	s->n++;
}

static void run_script(const char *script, int64_t timeout_ms, int cancel_fd, struct steps *steps, struct helper_end *end)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	const struct helper_call call = {
		.path = "/bin/sh",
		.argv = argv,
		.input_fd = -1,
		.deadline_mono_ms = clock_mono_ms() + timeout_ms,
		.cancel_fd = cancel_fd,
		.on_step = note_step,
		.on_step_arg = steps,
	};
	helper_run(&call, end);
}

static unsigned count_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* This process adopts orphans: when it has no children left, none are left at all. */
static void assert_no_children(void)
{
	while (waitpid(-1, NULL, 0) >= 0 || errno == EINTR)
		;
	assert_int_equal(errno, ECHILD);
}

static void each_end_has_its_code(void **state)
{
	unsigned fds = count_fds();
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		const struct ending *e = &endings[i];
		struct steps steps = {0};
		struct helper_end end;
		int64_t begin = clock_mono_ms();
		run_script(e->script, e->timeout_ms, -1, &steps, &end);
		if (end.failure != e->failure)
			fail_msg("%s: %s, not %s", e->script, failure_name(end.failure), failure_name(e->failure));
		assert_true((end.text_fd >= 0) == (end.failure == FAILURE_NONE));
		assert_true(clock_mono_ms() - begin < PATIENCE_MS);
		helper_end_release(&end);
		assert_no_children();
	}
	assert_int_equal(count_fds(), fds);
}

static void words_and_steps_arrive(void **state)
{
	struct steps steps = {0};
	struct helper_end end;
	(void)state;
	run_script("printf report; printf remark >&2; printf '\\000\\001\\377\\003' >&5; printf text >&4; cat", PATIENCE_MS, -1, &steps, &end);
	assert_int_equal(end.failure, FAILURE_NONE);
	assert_string_equal(end.report.p, "report");
	assert_string_equal(end.remarks.p, "remark");
	assert_int_equal(steps.n, 3); /* 255 is no step */
	assert_int_equal(steps.seen[0], STEP_TYPE_CHECKED);
	assert_int_equal(steps.seen[2], STEP_EXTRACTED);
	char text[8] = "";
	assert_int_equal(pread(end.text_fd, text, sizeof(text), 0), 4);
	assert_string_equal(text, "text");
	assert_int_equal(ftruncate(end.text_fd, 0), -1); /* sealed */
	assert_int_equal(pwrite(end.text_fd, "x", 1, 0), -1);
	helper_end_release(&end);
}

static void nothing_else_is_inherited(void **state)
{
	struct steps steps = {0};
	struct helper_end end;
	(void)state;
	int leak = fcntl(STDIN_FILENO, F_DUPFD, 50); /* as careless libraries do, without O_CLOEXEC */
	assert_int_equal(setenv("SLUICE_TEST_SECRET", "x", 1), 0);
	run_script("for fd in /proc/$$/fd/*; do printf '%s ' ${fd##*/}; done; env | cut -d= -f1 | sort | tr '\\n' ' '", PATIENCE_MS, -1, &steps, &end);
	assert_int_equal(end.failure, FAILURE_NONE);
	assert_string_equal(end.report.p, "0 1 2 3 4 5 6 LC_ALL PATH PWD "); /* 6: the shell looking into the folder */
	helper_end_release(&end);
	close(leak);
}

static void signals_begin_afresh(void **state)
{
	struct steps steps = {0};
	struct helper_end end;
	sigset_t all, before;
	(void)state;
	sigfillset(&all);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &all, &before), 0); /* as processor threads have it */
	run_script("kill -TERM $$; exit 0", PATIENCE_MS, -1, &steps, &end);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
	assert_int_equal(end.failure, FAILURE_CORRUPT); /* it died of the signal, which was not blocked */
	helper_end_release(&end);
}

static void cancelling_ends_it_at_once(void **state)
{
	struct steps steps = {0};
	struct helper_end end;
	(void)state;
	int cancel_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	int64_t begin = clock_mono_ms();
	run_script("sleep 1000 & exec sleep 1000", PATIENCE_MS, cancel_fd, &steps, &end);
	assert_int_equal(end.failure, FAILURE_CANCELLED);
	assert_true(clock_mono_ms() - begin < PATIENCE_MS);
	helper_end_release(&end);
	assert_no_children();
	close(cancel_fd);
}

static int adopt_orphans(void **state)
{
	(void)state;
	return prctl(PR_SET_CHILD_SUBREAPER, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_end_has_its_code),
		cmocka_unit_test(words_and_steps_arrive),
		cmocka_unit_test(nothing_else_is_inherited),
		cmocka_unit_test(signals_begin_afresh),
		cmocka_unit_test(cancelling_ends_it_at_once),
	};
	return cmocka_run_group_tests(tests, adopt_orphans, NULL);
}
