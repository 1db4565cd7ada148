/* The cage of the document processor's helper: what it refuses, and how runaways end. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/unit/document_world.h"

static enum failure probe(const struct world *w, const char *name, const char *option, int64_t timeout_ms, struct buf *report)
{
	const char *const argv[] = {"sluice-helper", "selftest", name, option, NULL};
	const struct helper_call call = {
		.path = w->helper, .argv = argv, .input_fd = -1, .deadline_mono_ms = clock_mono_ms() + timeout_ms, .cancel_fd = -1};
	struct helper_end end;
	helper_run(&call, &end);
	if (report)
		buf_adds(report, buf_str(&end.report));
	helper_end_release(&end);
	return end.failure;
}

static void the_cage_refuses(void **state)
{
	static const char *const probes[] = {"connect", "open-passwd", "write-tmp", "fork", "exec", "kill-parent", "alloc"};
	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		struct buf report = BUF_INIT;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
		if (strcmp(probes[i], "alloc") == 0) /* sanitizers need the address space */
			continue;
#endif
		enum failure f = probe(*state, probes[i], "--sandbox=strict", PATIENCE_MS, &report);
		if (f != FAILURE_NONE || !strstr(report.p ? report.p : "", "\"refused\":true"))
			fail_msg("%s: %s, %s", probes[i], failure_name(f), report.p ? report.p : "nothing");
		assert_non_null(strstr(report.p, "\"sandbox\":\"landlock"));
		buf_release(&report);
	}
}

static void runaways_are_ended(void **state)
{
	assert_int_equal(probe(*state, "spin", "--sandbox=strict", SPIN_MS, NULL), FAILURE_PARSE_TIMEOUT);
	assert_int_equal(probe(*state, "spin", "--cpu-s=1", PATIENCE_MS, NULL), FAILURE_PARSE_TIMEOUT);
	assert_int_equal(probe(*state, "flood", "--sandbox=strict", PATIENCE_MS, NULL), FAILURE_PARSE_RESOURCE_LIMIT);
	assert_int_equal(probe(*state, "no-such-probe", "--sandbox=strict", PATIENCE_MS, NULL), FAILURE_HELPER_FAILED);
}

static void a_missing_helper_is_named(void **state)
{
	struct world w = *(const struct world *)*state;
	snprintf(w.helper, sizeof(w.helper), "%s/nowhere", w.folder);
	assert_int_equal(probe(&w, "connect", "--sandbox=strict", PATIENCE_MS, NULL), FAILURE_TOOL_MISSING);
}

/* From here on this thread and what it starts live on a kernel without Landlock. */
static void hide_landlock(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {ARRAY_LEN(code), code};
	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void run_without_landlock(void *arg)
{
	const struct world *w = arg;
	static const char *const probes[] = {"connect", "fork", "kill-parent"};
	hide_landlock();
	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		struct buf report = BUF_INIT;
		assert_int_equal(probe(w, probes[i], "--sandbox=best-effort", PATIENCE_MS, &report), FAILURE_NONE);
		assert_non_null(strstr(report.p, "\"sandbox\":\"seccomp\",\"refused\":true"));
		buf_release(&report);
	}
	struct trial t;
	begin_trial(&t, w, "small.pdf", "small.pdf", "application/pdf", upload(w, "small.pdf"));
	t.settings.strict_sandbox = true;
	document_task_run(&t.task);
	assert_int_equal(t.task.failure, FAILURE_SANDBOX_FAILED);
	end_trial(&t);
}

static void strict_needs_every_wall(void **state)
{
	struct thread thread;
	assert_int_equal(thread_start(&thread, "no-landlock", run_without_landlock, *state), 0);
	thread_join(&thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cage_refuses),
		cmocka_unit_test(runaways_are_ended),
		cmocka_unit_test(strict_needs_every_wall),
		cmocka_unit_test(a_missing_helper_is_named),
	};
	return cmocka_run_group_tests(tests, make_world, end_world);
}
