/* lib/redis/rchild: the embedded redis-server comes, stays, and goes with its parent. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/fs.h"
#include "lib/child/dirlock.h"
#include "lib/redis/rchild.h"
#include "lib/redis/rconn.h"
#include "tests/unit/place.h"
#include "tests/unit/redis_calls.h"

#define MAXMEMORY ((uint64_t)64 << 20)

static struct rchild *start(const struct place *p, struct err *err)
{
	struct rchild_options o = {.data_dir = p->data, .maxmemory_bytes = MAXMEMORY, .lock_wait_ms = 100};
	return rchild_start(&o, err);
}

static struct rchild *must_start(const struct place *p)
{
	struct err err = {0};
	struct rchild *c = start(p, &err);
	if (!c)
		fail_msg("%s", err.text);
	return c;
}

/* A server that has just started may still be loading its file. */
static void open_when_loaded(struct rconn *c)
{
	int64_t deadline = clock_mono_ms() + SOON;
	while (rconn_open(c, deadline, NULL) < 0)
		assert_true(clock_mono_ms() < deadline);
}

/* The text of the reply to "a b c". */
static void ask(struct raddr addr, const char *a, const char *b, const char *c, char out[256])
{
	struct rconn *conn = rconn_new(&addr, NULL, NULL);
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	open_when_loaded(conn);
	rcmd_begin(&cmd, c ? 3 : 2);
	rcmd_argz(&cmd, a);
	rcmd_argz(&cmd, b);
	if (c)
		rcmd_argz(&cmd, c);
	assert_int_equal(rconn_command(conn, &cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
	const redisReply *r = replies.items[0];
	struct str s = rreply_str(r->type == REDIS_REPLY_ARRAY ? rreply_at(r, 1) : r);
	snprintf(out, 256, "%.*s", (int)s.n, s.p ? s.p : "");
	rreplies_release(&replies);
	rcmd_release(&cmd);
	rconn_free(conn);
}

static void assert_config(struct raddr addr, const char *name, const char *value)
{
	char text[256];
	ask(addr, "CONFIG", "GET", name, text);
	assert_string_equal(text, value);
}

/* A process that has ended stays visible until its new parent has reaped it, which may take its time. */
static bool is_running(pid_t pid)
{
	char path[32];
	struct buf stat = BUF_INIT;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	bool running = fs_read_file(path, 4096, &stat, NULL) == 0 && !strstr(stat.p, ") Z ");
	buf_release(&stat);
	return running;
}

static void test_it_runs_as_promised_and_keeps_its_data(void **state)
{
	struct place *p = *state;
	struct raddr addr;
	struct stat st;
	char text[256], path[400];
	struct rchild *c = must_start(p);
	rchild_addr(c, &addr);
	assert_config(addr, "appendonly", "yes");
	assert_config(addr, "appendfsync", "always");
	assert_config(addr, "maxmemory-policy", "noeviction");
	assert_config(addr, "maxmemory", "67108864");
	assert_config(addr, "port", "0");
	assert_config(addr, "save", "");
	assert_config(addr, "enable-debug-command", "no");
	snprintf(path, sizeof(path), "%s/redis.conf", p->data);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	ask(addr, "SET", "kept", "value", text);
	pid_t pid = rchild_pid(c);
	rchild_stop(c);
	assert_int_equal(kill(pid, 0), -1);

	c = must_start(p);
	rchild_addr(c, &addr);
	ask(addr, "GET", "kept", NULL, text);
	assert_string_equal(text, "value");
	rchild_stop(c);
}

static void test_it_is_started_again_when_it_dies(void **state)
{
	struct place *p = *state;
	struct raddr addr;
	char text[256];
	struct rchild *c = must_start(p);
	rchild_addr(c, &addr);
	ask(addr, "SET", "kept", "value", text);
	struct rmux *m = start_connected_mux(addr, 0);
	pid_t first = rchild_pid(c);
	kill(first, SIGKILL);
	wait_down(m);
	assert_int_equal(rmux_wait_up(m, clock_mono_ms() + SOON), 0);
	assert_int_not_equal(rchild_pid(c), first);
	ask(addr, "GET", "kept", NULL, text);
	assert_string_equal(text, "value");
	end_mux(m);
	rchild_stop(c);
}

static void test_it_listens_with_a_password(void **state)
{
	struct place *p = *state;
	struct rchild_options o = {.data_dir = p->data, .maxmemory_bytes = MAXMEMORY, .listen = "127.0.0.1:0"};
	struct raddr addr;
	struct err err = {0};
	assert_null(rchild_start(&o, &err));
	assert_int_equal(err.code, ERR_INVALID);

	/* A port that is free now; another process may take it before redis-server does: then the next one. */
	struct rchild *c = NULL;
	for (int port = 20000 + getpid() % 20000; !c && port < 65000; port += 7) {
		char listen[32];
		snprintf(listen, sizeof(listen), "127.0.0.1:%d", port);
		o.listen = listen;
		o.password = NULL;
		assert_null(rchild_start(&o, &err));
		assert_int_equal(err.code, ERR_INVALID);
		o.password = "a\"b\\c'd";
		c = rchild_start(&o, &err);
		addr = (struct raddr){.host = "127.0.0.1", .port = port};
	}
	assert_non_null(c);
	struct rconn *conn = rconn_new(&addr, NULL, NULL);
	assert_int_equal(rconn_open(conn, clock_mono_ms() + SOON, NULL), ERR_UNAVAILABLE);
	rconn_free(conn);
	snprintf(addr.password, sizeof(addr.password), "%s", o.password);
	assert_config(addr, "appendonly", "yes");
	rchild_addr(c, &addr); /* the socket wants it too */
	assert_config(addr, "appendonly", "yes");
	rchild_stop(c);
}

static void test_a_long_path_gets_a_short_socket(void **state)
{
	struct place *p = *state;
	struct raddr addr;
	size_t n = strlen(p->data);
	memset(p->data + n, 'x', 120);
	p->data[n + 60] = '/';
	p->data[n + 120] = '\0';
	struct rchild *c = must_start(p);
	rchild_addr(c, &addr);
	assert_true(strlen(addr.unix_path) < 100);
	assert_config(addr, "appendonly", "yes");
	rchild_stop(c);
	char *slash = strrchr(addr.unix_path, '/');
	*slash = '\0';
	assert_int_equal(rmdir(addr.unix_path), 0); /* redis-server has removed its socket */
}

static void test_a_folder_in_use_is_refused_by_name(void **state)
{
	struct place *p = *state;
	struct err err = {0};
	char pid[32];
	struct rchild *c = must_start(p);
	assert_null(start(p, &err));
	assert_int_equal(err.code, ERR_TAKEN);
	snprintf(pid, sizeof(pid), "process %d", (int)getpid());
	assert_non_null(strstr(err.text, pid));
	rchild_stop(c);
	rchild_stop(must_start(p));
}

static void test_a_missing_program_says_what_to_install(void **state)
{
	struct place *p = *state;
	struct rchild_options o = {.data_dir = p->data, .program = "no-such-redis-server"};
	struct err err = {0};
	assert_null(rchild_start(&o, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "apt-get install redis-server"));
}

static void test_a_child_that_ends_at_once_says_why(void **state)
{
	struct place *p = *state;
	struct rchild_options o = {.data_dir = p->data, .listen = "203.0.113.1:6379", .password = "secret", .maxmemory_bytes = MAXMEMORY};
	struct err err = {0};
	assert_null(rchild_start(&o, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "exit code 1"));
	assert_non_null(strstr(err.text, "Failed listening"));
}

/* Another process with an embedded Redis: writes its child's pid to the pipe, and waits to be killed. */
static NORETURN void be_a_gateway(const struct place *p, int out)
{
	struct rchild *c = start(p, NULL);
	pid_t pid = c ? rchild_pid(c) : 0;
	if (write(out, &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
		_exit(1);
	for (;;)
		pause();
}

static void test_it_dies_with_a_killed_parent_and_the_next_one_takes_over(void **state)
{
	struct place *p = *state;
	struct raddr addr;
	char text[256];
	pid_t redis = 0;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t gateway = fork();
	if (gateway == 0)
		be_a_gateway(p, ends[1]);
	assert_int_equal(read(ends[0], &redis, sizeof(redis)), sizeof(redis));
	assert_true(redis > 0);
	addr = (struct raddr){0};
	snprintf(addr.unix_path, sizeof(addr.unix_path), "%s/var/redis.sock", p->dir);
	ask(addr, "SET", "acknowledged", "yes", text);
	assert_string_equal(text, "OK");
	kill(gateway, SIGKILL);
	assert_int_equal(waitpid(gateway, NULL, 0), gateway);

	struct rchild_options o = {.data_dir = p->data, .maxmemory_bytes = MAXMEMORY};
	struct err err = {0};
	struct rchild *c = rchild_start(&o, &err);
	if (!c)
		fail_msg("%s", err.text);
	ask(addr, "GET", "acknowledged", NULL, text);
	assert_string_equal(text, "yes");
	assert_false(is_running(redis));
	rchild_stop(c);
	close(ends[0]);
	close(ends[1]);
}

/* What the killed owner's child still holds, the next one waits for. */
static void test_the_lock_outlives_its_owner_with_its_children(void **state)
{
	struct place *p = *state;
	struct err err = {0};
	int gate[2], ready[2];
	char byte = 0;
	assert_int_equal(fs_make_dirs(p->data, 0700, NULL), 0);
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t owner = fork();
	if (owner == 0) {
		close(gate[1]);
		int fd = dirlock_take(p->data, 0, NULL);
		if (fd >= 0 && fork() == 0) { /* inherits the lock, and ends when the test closes the gate */
			if (write(ready[1], &byte, 1) != 1 || read(gate[0], &byte, 1) != 0)
				_exit(1);
			_exit(0);
		}
		_exit(fd < 0);
	}
	int status = 1;
	assert_int_equal(waitpid(owner, &status, 0), owner);
	assert_int_equal(status, 0);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(dirlock_take(p->data, 30, &err), ERR_TAKEN);
	assert_non_null(strstr(err.text, "now gone"));
	close(gate[1]);
	int fd = dirlock_take(p->data, SOON, &err);
	assert_true(fd >= 0);
	close(fd);
	close(gate[0]);
	close(ready[0]);
	close(ready[1]);
}

/* Redis 7.0 by itself would run the beginning at the second start, with what came next. */
static void test_a_write_that_a_kill_cut_short_never_happened(void **state)
{
	static const char script[] = "redis.call('incr', 'n') redis.call('incr', 'm')";
	static const char beginning[] = "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nincr\r\n$1\r\nn\r\n*2\r\n$4\r\nin";
	const struct place *p = *state;
	char text[256], path[400];
	snprintf(path, sizeof(path), "%s/redis/appendonlydir/appendonly.aof.1.incr.aof", p->data);
	for (int start = 0; start < 3; start++) {
		struct rchild *c = must_start(p);
		struct raddr addr;
		rchild_addr(c, &addr);
		ask(addr, "EVAL", script, "0", text);
		ask(addr, "GET", "n", NULL, text);
		assert_int_equal(text[0], '1' + start);
		rchild_stop(c);
		FILE *f = fopen(path, "a");
		assert_non_null(f);
		assert_int_equal(fwrite(beginning, 1, sizeof(beginning) - 1, f), sizeof(beginning) - 1);
		fclose(f);
	}
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_it_dies_with_a_killed_parent_and_the_next_one_takes_over),
		CASE(test_the_lock_outlives_its_owner_with_its_children),
		CASE(test_it_runs_as_promised_and_keeps_its_data),
		CASE(test_it_is_started_again_when_it_dies),
		CASE(test_a_write_that_a_kill_cut_short_never_happened),
		CASE(test_it_listens_with_a_password),
		CASE(test_a_long_path_gets_a_short_socket),
		CASE(test_a_folder_in_use_is_refused_by_name),
		CASE(test_a_missing_program_says_what_to_install),
		CASE(test_a_child_that_ends_at_once_says_why),
	};
	return cmocka_run_group_tests_name("redis child", tests, NULL, NULL);
}
