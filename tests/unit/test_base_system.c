/* lib/base: what stands on the operating system: files, threads, conditions. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/fs.h"
#include "lib/base/lock.h"
#include "lib/base/stack.h"
#include "lib/base/str.h"

/* ---- fs ---- */

struct folder {
	char path[32];
};

static int folder_make(void **state)
{
	static struct folder f;
	memcpy(f.path, "/tmp/test_base.XXXXXX", sizeof("/tmp/test_base.XXXXXX"));
	*state = &f;
	return mkdtemp(f.path) ? 0 : -1;
}

static int folder_remove(void **state)
{
	const struct folder *f = *state;
	static const char *const left[] = {"/file", "/a/b/c", "/a/b", "/a", ""};
	char path[64];
	for (size_t i = 0; i < ARRAY_LEN(left); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", f->path, left[i]);
		if (remove(path) < 0 && errno != ENOENT)
			return -1;
	}
	return 0;
}

static void test_fs_writes_whole_files(void **state)
{
	const struct folder *f = *state;
	char path[64];
	struct err err = {0};
	struct buf b = BUF_INIT;
	(void)snprintf(path, sizeof(path), "%s/file", f->path);
	assert_int_equal(fs_read_file(path, 100, &b, &err), ERR_NOT_FOUND);
	assert_int_equal(fs_write_file(path, STR("one"), 0600, &err), 0);
	assert_int_equal(fs_write_file(path, STR("two\0!"), 0600, &err), 0);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fs_read_file(path, 5, &b, &err), 0);
	assert_true(str_eq(buf_str(&b), STR("two\0!")));
	assert_int_equal(fs_read_file(path, 4, &b, &err), ERR_LIMIT);
	assert_int_equal(fs_read_file(f->path, 100, &b, &err), ERR_IO);
	buf_release(&b);
	(void)snprintf(path, sizeof(path), "%s/none/file", f->path);
	assert_int_equal(fs_write_file(path, STR("x"), 0600, &err), ERR_IO);
	assert_non_null(strstr(err.text, "none/file"));
}

static void test_fs_makes_folders(void **state)
{
	const struct folder *f = *state;
	char path[64];
	struct err err = {0};
	(void)snprintf(path, sizeof(path), "%s/a//b/c/", f->path);
	assert_int_equal(fs_make_dirs(path, 0700, &err), 0);
	assert_int_equal(fs_make_dirs(path, 0700, &err), 0);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	(void)snprintf(path, sizeof(path), "%s/file", f->path);
	assert_int_equal(fs_write_file(path, STR("x"), 0600, &err), 0);
	(void)snprintf(path, sizeof(path), "%s/file/d", f->path);
	assert_int_equal(fs_make_dirs(path, 0700, &err), ERR_IO);
}

/* ---- lock ---- */

struct meeting {
	struct lock lock;
	struct cond changed;
	int arrived;  /* protected by lock */
	bool open;    /* protected by lock */
	char name[16];
	bool signals_blocked, faults_open;
};

static void attend(void *arg)
{
	struct meeting *m = arg;
	sigset_t mask;
	(void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
	lock_take(&m->lock);
	(void)pthread_getname_np(pthread_self(), m->name, sizeof(m->name));
	m->signals_blocked = sigismember(&mask, SIGTERM) && sigismember(&mask, SIGUSR1);
	m->faults_open = !sigismember(&mask, SIGSEGV);
	m->arrived++;
	cond_broadcast(&m->changed);
	while (!m->open)
		cond_wait(&m->changed, &m->lock);
	lock_give(&m->lock);
}

static void test_threads_meet(void **state)
{
	(void)state;
	struct meeting m = {0};
	lock_init(&m.lock);
	cond_init(&m.changed);
	struct thread threads[4] = {0};
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(thread_start(&threads[i], "a-name-that-is-too-long", attend, &m), 0);
	lock_take(&m.lock);
	while (m.arrived < (int)ARRAY_LEN(threads))
		cond_wait(&m.changed, &m.lock);
	m.open = true;
	cond_broadcast(&m.changed);
	assert_string_equal(m.name, "a-name-that-is-");
	assert_true(m.signals_blocked);
	assert_true(m.faults_open);
	lock_give(&m.lock);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		thread_join(&threads[i]);
		assert_false(threads[i].running);
		thread_join(&threads[i]);
	}
	sigset_t mine;
	(void)pthread_sigmask(SIG_BLOCK, NULL, &mine);
	assert_false(sigismember(&mine, SIGTERM));
	cond_release(&m.changed);
	lock_release(&m.lock);
}

static void test_cond_wait_ends_at_its_deadline(void **state)
{
	(void)state;
	struct lock lock;
	struct cond cond;
	lock_init(&lock);
	cond_init(&cond);
	lock_take(&lock);
	int64_t deadline = clock_mono_ms() + 20;
	while (cond_wait_until(&cond, &lock, deadline))
		;
	assert_true(clock_mono_ms() >= deadline);
	assert_false(cond_wait_until(&cond, &lock, -5));
	lock_give(&lock);
	cond_release(&cond);
	lock_release(&lock);
}

/* ---- stacks ---- */

#define DEEP_BYTES (128 << 10)

/* Touches much of the stack; the address of a page in the middle of it. */
__attribute__((noinline)) static uintptr_t go_deep(void)
{
	volatile char much[DEEP_BYTES];
	for (size_t i = 0; i < sizeof(much); i += 512)
		much[i] = 1;
	return (uintptr_t)&much[DEEP_BYTES / 2] & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
}

static bool is_resident(uintptr_t page)
{
	unsigned char there = 0;
	assert_int_equal(mincore((void *)page, 1, &there), 0);
	return there & 1;
}

static void rest(void *arg)
{
	bool *seen = arg;
	struct stack s;
	stack_note(&s);
	uintptr_t page = go_deep();
	seen[0] = is_resident(page);
	stack_give_back(&s);
	seen[1] = is_resident(page);
	(void)go_deep(); /* it is there again */
	seen[2] = is_resident(page);
}

static void test_a_stack_is_given_back(void **state)
{
	(void)state;
	bool seen[3] = {false};
	struct thread t = {0};
	assert_int_equal(thread_start(&t, "rest", rest, seen), 0);
	thread_join(&t);
	assert_true(seen[0]);
	assert_false(seen[1]);
	assert_true(seen[2]);
	stack_give_back(&(struct stack){0}); /* one that is not known */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fs_writes_whole_files, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(test_fs_makes_folders, folder_make, folder_remove),
		cmocka_unit_test(test_threads_meet),
		cmocka_unit_test(test_cond_wait_ends_at_its_deadline),
		cmocka_unit_test(test_a_stack_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
