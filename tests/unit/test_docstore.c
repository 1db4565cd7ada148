#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/lock.h"
#include "lib/docstore/docstore.h"
#include "tests/unit/place.h"

#define MAX_BYTES 100000
#define WRITERS 8
#define ORG STR("acme")
#define ID STR("doc-1")
#define HASH_OF_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static char dir[] = "/tmp/test_docstore.XXXXXX";
static struct docstore *store;
static struct docinfo info;
static bool created;
static struct err err;

static struct docstore *open_store(int64_t max_age_s)
{
	struct docstore_options o = {.dir = dir, .max_bytes = MAX_BYTES, .max_age_s = max_age_s};
	struct docstore *d = docstore_open(&o, &err);
	if (!d)
		fail_msg("%s", err.text);
	return d;
}

static int set_up(void **state)
{
	(void)state;
	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	if (!mkdtemp(dir))
		return -1;
	err = (struct err){0};
	store = open_store(0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	docstore_close(store);
	return place_remove_tree(dir);
}

static const char *path_of(const char *name)
{
	static char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int put(struct str org, struct str id, struct str content, const char *if_match)
{
	struct docwrite *w = docwrite_begin(store, org, id, &err);
	if (!w)
		return err.code;
	int rc = docwrite_add(w, content.p, content.n, &err);
	assert_int_equal(rc, 0);
	return docwrite_commit(w, if_match, &info, &created, &err);
}

static void assert_content(int fd, const char *expected)
{
	char text[64];
	ssize_t n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
	assert_int_equal(close(fd), 0);
}

static void assert_document(const char *expected)
{
	int fd = -1;
	assert_int_equal(docstore_get(store, ORG, ID, &fd, &info, &err), 0);
	assert_int_equal(info.bytes, strlen(expected));
	assert_content(fd, expected);
}

static unsigned entries_in(const char *name)
{
	unsigned n = 0;
	DIR *d = opendir(path_of(name));
	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static void knows_good_ids(void **state)
{
	(void)state;
	char longest[129];
	memset(longest, 'a', sizeof(longest));
	static const char *const good[] = {"a", "0", "A.b_c-9", "x..y"};
	static const char *const bad[] = {"", ".", "..", ".a", "-a", "_a", "a/b", "/a", "a b", "a\n", "\xc3\xa9", "a:b", "../a"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(docstore_id_ok(str_from(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int fd;
		assert_false(docstore_id_ok(str_from(bad[i])));
		assert_int_equal(put(ORG, str_from(bad[i]), STR("x"), NULL), ERR_INVALID);
		assert_int_equal(put(str_from(bad[i]), ID, STR("x"), NULL), ERR_INVALID);
		assert_int_equal(docstore_get(store, ORG, str_from(bad[i]), &fd, &info, &err), ERR_INVALID);
		assert_int_equal(docstore_delete(store, str_from(bad[i]), ID, &err), ERR_INVALID);
		assert_int_equal(docstore_put_derived(store, ORG, ID, HASH_OF_ABC, bad[i], STR("x"), &err), ERR_INVALID);
	}
	assert_true(docstore_id_ok((struct str){longest, 128}));
	assert_false(docstore_id_ok((struct str){longest, 129}));
	assert_false(docstore_id_ok((struct str){"a\0b", 3}));
}

static void keeps_what_is_written(void **state)
{
	(void)state;
	struct docwrite *w = docwrite_begin(store, ORG, ID, &err);
	assert_non_null(w);
	assert_int_equal(docwrite_add(w, "a", 1, &err), 0);
	assert_int_equal(docwrite_add(w, "", 0, &err), 0);
	assert_int_equal(docwrite_add(w, "bc", 2, &err), 0);
	assert_int_equal(docstore_stat(store, ORG, ID, &info, &err), ERR_NOT_FOUND);
	err = (struct err){0};
	assert_int_equal(docwrite_commit(w, NULL, &info, &created, &err), 0);
	assert_int_equal(err.code, 0);
	assert_string_equal(err.text, "");
	assert_true(created);
	assert_string_equal(info.sha256, HASH_OF_ABC);
	struct docinfo written = info;
	assert_document("abc");
	assert_string_equal(info.sha256, HASH_OF_ABC);
	assert_int_equal(info.modified_wall_ms, written.modified_wall_ms);
	assert_int_equal(docstore_stat(store, STR("other"), ID, &info, &err), ERR_NOT_FOUND);
	assert_int_equal(entries_in("acme/.part"), 0);
}

static void refuses_other_bytes_unless_meant(void **state)
{
	(void)state;
	assert_int_equal(put(ORG, ID, STR("abc"), NULL), 0);
	assert_int_equal(put(ORG, ID, STR("abc"), NULL), 0);
	assert_false(created);
	assert_string_equal(info.sha256, HASH_OF_ABC);
	assert_int_equal(put(ORG, ID, STR("other"), NULL), ERR_EXISTS);
	char wrong[] = HASH_OF_ABC;
	wrong[0] = '0';
	assert_int_equal(put(ORG, ID, STR("other"), wrong), ERR_MISMATCH);
	assert_int_equal(put(ORG, STR("none"), STR("other"), HASH_OF_ABC), ERR_MISMATCH);
	assert_document("abc");
	assert_int_equal(docstore_put_derived(store, ORG, ID, HASH_OF_ABC, "text", STR("of the old bytes"), &err), 0);
	assert_int_equal(put(ORG, ID, STR("other"), HASH_OF_ABC), 0);
	assert_true(created);
	assert_document("other");
	int fd;
	int64_t bytes;
	assert_int_equal(docstore_get_derived(store, ORG, ID, "text", &fd, &bytes, &err), ERR_NOT_FOUND);
	/* Whoever began with the old bytes comes too late. */
	assert_int_equal(docstore_put_derived(store, ORG, ID, HASH_OF_ABC, "text", STR("of the old bytes"), &err), ERR_MISMATCH);
	assert_int_equal(docstore_get_derived(store, ORG, ID, "text", &fd, &bytes, &err), ERR_NOT_FOUND);
	assert_int_equal(docstore_put_derived(store, ORG, ID, info.sha256, "text", STR("of the new bytes"), &err), 0);
	assert_int_equal(entries_in("acme/.part"), 0);
}

static void limits_the_size(void **state)
{
	(void)state;
	static char block[MAX_BYTES];
	struct docwrite *w = docwrite_begin(store, ORG, ID, &err);
	assert_int_equal(docwrite_add(w, block, sizeof(block), &err), 0);
	assert_int_equal(docwrite_add(w, block, 1, &err), ERR_LIMIT);
	assert_true(docwrite_commit(w, NULL, &info, &created, &err) < 0);
	assert_int_equal(docstore_stat(store, ORG, ID, &info, &err), ERR_NOT_FOUND);
	w = docwrite_begin(store, ORG, ID, &err);
	assert_int_equal(docwrite_add(w, block, SIZE_MAX, &err), ERR_LIMIT);
	docwrite_abort(w);
	docwrite_abort(NULL);
	assert_int_equal(entries_in("acme/.part"), 0);
}

static void deletes_with_all_that_belongs_to_it(void **state)
{
	(void)state;
	assert_int_equal(put(ORG, ID, STR("abc"), NULL), 0);
	assert_int_equal(docstore_put_derived(store, ORG, ID, HASH_OF_ABC, "text", STR("t"), &err), 0);
	assert_int_equal(docstore_put_derived(store, ORG, ID, HASH_OF_ABC, "pages.json", STR("[]"), &err), 0);
	assert_int_equal(docstore_delete(store, STR("other"), ID, &err), ERR_NOT_FOUND);
	assert_int_equal(docstore_delete(store, ORG, ID, &err), 0);
	assert_int_equal(docstore_delete(store, ORG, ID, &err), ERR_NOT_FOUND);
	assert_int_equal(docstore_stat(store, ORG, ID, &info, &err), ERR_NOT_FOUND);
	assert_int_equal(entries_in("acme/.derived"), 0);
	assert_int_equal(entries_in("acme/.hash"), 0);
	assert_int_equal(docstore_put_derived(store, ORG, ID, HASH_OF_ABC, "text", STR("late"), &err), ERR_NOT_FOUND);
}

static void replaces_derived_files_whole(void **state)
{
	(void)state;
	int fd;
	int64_t bytes;
	assert_int_equal(put(ORG, ID, STR("abc"), NULL), 0);
	assert_int_equal(docstore_get_derived(store, ORG, ID, "text", &fd, &bytes, &err), ERR_NOT_FOUND);
	assert_int_equal(docstore_put_derived(store, ORG, ID, HASH_OF_ABC, "text", STR("first and long"), &err), 0);
	assert_int_equal(docstore_put_derived(store, ORG, ID, HASH_OF_ABC, "text", STR("second"), &err), 0);
	assert_int_equal(docstore_get_derived(store, ORG, ID, "text", &fd, &bytes, &err), 0);
	assert_int_equal(bytes, 6);
	assert_content(fd, "second");
}

/* ---- the hash beside the bytes ---- */

static void overwrite(const char *name, const char *content)
{
	int fd = open(path_of(name), O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	assert_int_equal(close(fd), 0);
}

static void believes_a_hash_only_for_its_own_file(void **state)
{
	(void)state;
	assert_int_equal(put(ORG, ID, STR("abc"), NULL), 0);
	static const char *const damaged[] = {"", "short", HASH_OF_ABC, HASH_OF_ABC " 1 3 1\n",
					      "00000000000000000000000000000000000000000000000000000000000000000000 1 3 1\n"};
	for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
		overwrite("acme/.hash/doc-1", damaged[i]);
		assert_document("abc");
		assert_string_equal(info.sha256, HASH_OF_ABC);
	}
	assert_int_equal(unlink(path_of("acme/.hash/doc-1")), 0);
	assert_document("abc");
	assert_string_equal(info.sha256, HASH_OF_ABC);
	assert_int_equal(entries_in("acme/.hash"), 1); /* kept again */
	overwrite("acme/doc-1", "changed by hand");
	assert_document("changed by hand");
	assert_string_not_equal(info.sha256, HASH_OF_ABC);
}

/* ---- what others may have planted ---- */

static void plant_link(const char *target, const char *name)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(symlink(target, path), 0);
}

static void follows_no_links(void **state)
{
	(void)state;
	int fd;
	int64_t bytes;
	assert_int_equal(put(ORG, ID, STR("abc"), NULL), 0);
	plant_link("/etc/passwd", "acme/absolute");
	plant_link("doc-1", "acme/inside");
	plant_link("/etc", "evil");
	plant_link("acme", "alias");
	assert_int_equal(docstore_get(store, ORG, STR("absolute"), &fd, &info, &err), ERR_IO);
	assert_non_null(strstr(err.text, "link"));
	assert_int_equal(docstore_get(store, ORG, STR("inside"), &fd, &info, &err), ERR_IO);
	assert_int_equal(docstore_get(store, STR("evil"), STR("passwd"), &fd, &info, &err), ERR_IO);
	assert_int_equal(docstore_get(store, STR("alias"), ID, &fd, &info, &err), ERR_IO);
	assert_int_equal(put(STR("alias"), STR("new"), STR("x"), NULL), ERR_IO);
	assert_int_equal(put(ORG, STR("inside"), STR("x"), NULL), ERR_IO);
	assert_int_equal(put(ORG, STR("inside"), STR("x"), HASH_OF_ABC), ERR_IO);
	assert_int_equal(docstore_put_derived(store, STR("evil"), STR("passwd"), HASH_OF_ABC, "text", STR("x"), &err), ERR_IO);
	assert_document("abc");

	assert_int_equal(mkdir(path_of("acme/.derived"), 0700), 0);
	plant_link("/tmp", "acme/.derived/doc-1");
	assert_int_equal(docstore_put_derived(store, ORG, ID, HASH_OF_ABC, "text", STR("x"), &err), ERR_IO);
	assert_int_equal(docstore_get_derived(store, ORG, ID, "text", &fd, &bytes, &err), ERR_IO);
	assert_int_equal(docstore_delete(store, ORG, STR("inside"), &err), 0); /* the link goes, not what it points to */
	assert_document("abc");
}

static void opens_plain_files_only(void **state)
{
	(void)state;
	int fd;
	assert_int_equal(put(ORG, ID, STR("abc"), NULL), 0);
	assert_int_equal(mkfifo(path_of("acme/pipe"), 0600), 0);
	assert_int_equal(mkdir(path_of("acme/folder"), 0700), 0);
	assert_int_equal(docstore_get(store, ORG, STR("pipe"), &fd, &info, &err), ERR_IO);
	assert_int_equal(docstore_get(store, ORG, STR("folder"), &fd, &info, &err), ERR_IO);
	assert_int_equal(put(ORG, STR("folder"), STR("x"), NULL), ERR_IO);
}

/* ---- several at once ---- */

struct writer {
	struct thread thread;
	struct docwrite *w;
	const char *if_match;
	int rc;
	bool created;
};

static void run_writer(void *arg)
{
	struct writer *w = arg;
	struct docinfo ignored;
	w->rc = docwrite_commit(w->w, w->if_match, &ignored, &w->created, NULL);
}

/* Commits WRITERS documents under one id at the same time: how many made it, how many found the same bytes, how many got `refusal`. */
static void race(bool same_bytes, const char *if_match, int refusal, unsigned counts[3])
{
	struct writer writers[WRITERS] = {0};
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i].w = docwrite_begin(store, ORG, ID, &err);
		writers[i].if_match = if_match;
		assert_int_equal(docwrite_add(writers[i].w, same_bytes ? "same" : "0123456789" + i, 4 - (same_bytes ? 0 : 3), &err), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(thread_start(&writers[i].thread, "writer", run_writer, &writers[i]), 0);
	counts[0] = counts[1] = counts[2] = 0;
	for (unsigned i = 0; i < WRITERS; i++) {
		thread_join(&writers[i].thread);
		counts[0] += writers[i].rc == 0 && writers[i].created;
		counts[1] += writers[i].rc == 0 && !writers[i].created;
		counts[2] += writers[i].rc == refusal;
	}
}

static void lets_one_writer_win(void **state)
{
	(void)state;
	unsigned counts[3];
	race(false, NULL, ERR_EXISTS, counts);
	assert_int_equal(counts[0], 1);
	assert_int_equal(counts[2], WRITERS - 1);
	assert_int_equal(docstore_stat(store, ORG, ID, &info, &err), 0);
	struct docinfo before = info;
	assert_int_equal(docstore_delete(store, ORG, ID, &err), 0);
	race(true, NULL, ERR_EXISTS, counts);
	assert_int_equal(counts[0], 1);
	assert_int_equal(counts[1], WRITERS - 1);
	assert_int_equal(docstore_stat(store, ORG, ID, &info, &err), 0);
	assert_string_not_equal(info.sha256, before.sha256);
	before = info;
	race(false, before.sha256, ERR_MISMATCH, counts);
	assert_int_equal(counts[0], 1);
	assert_int_equal(counts[2], WRITERS - 1);
	assert_int_equal(entries_in("acme/.part"), 0);
}

/* ---- the marker, the age, the space ---- */

static void shares_one_marker(void **state)
{
	(void)state;
	struct docstore *worker = open_store(0);
	assert_string_equal(docstore_marker(store), docstore_marker(worker));
	assert_int_equal(strlen(docstore_marker(store)), 36);
	assert_int_equal(docstore_check(worker, &err), 0);
	overwrite(".sluice-store", "00000000-0000-7000-8000-000000000000");
	assert_int_equal(docstore_check(worker, &err), ERR_MISMATCH);
	overwrite(".sluice-store", "damaged");
	assert_int_equal(docstore_check(worker, &err), ERR_IO);
	assert_int_equal(unlink(path_of(".sluice-store")), 0);
	assert_int_equal(docstore_check(worker, &err), ERR_NOT_FOUND);
	docstore_close(worker);
	struct docstore_options o = {.dir = "/proc/none", .max_bytes = 1};
	assert_null(docstore_open(&o, &err));
	docstore_close(NULL);
}

static void age(const char *name, time_t seconds)
{
	struct timespec times[2] = {{.tv_sec = time(NULL) - seconds}, {.tv_sec = time(NULL) - seconds}};
	assert_int_equal(utimensat(AT_FDCWD, path_of(name), times, 0), 0);
}

static void sweeps_what_is_old(void **state)
{
	(void)state;
	struct docstore *hourly = open_store(3600);
	static const char *const ids[] = {"old-1", "old-2", "old-3", "new"};
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		assert_int_equal(put(ORG, str_from(ids[i]), STR("x"), NULL), 0);
	age("acme/old-1", 4000);
	age("acme/old-2", 4000);
	age("acme/old-3", 4000);
	age("acme/new", 3000);
	overwrite("acme/new", "y");
	assert_int_equal(docstore_sweep(store, 100), 0); /* it has no age limit */
	assert_int_equal(docstore_sweep(hourly, 2), 2);
	assert_int_equal(docstore_sweep(hourly, 100), 1);
	assert_int_equal(docstore_sweep(hourly, 100), 0);
	assert_int_equal(docstore_stat(hourly, ORG, STR("new"), &info, &err), 0);
	assert_int_equal(entries_in("acme/.hash"), 1);

	struct docwrite *running = docwrite_begin(hourly, ORG, ID, &err);
	int fd = open(path_of("acme/.part/left"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	age("acme/.part/left", 2 * 86400);
	assert_int_equal(docstore_sweep(hourly, 100), 0);
	assert_int_equal(entries_in("acme/.part"), 1); /* what a crash left is gone, what is being written is not */
	docwrite_abort(running);
	docstore_close(hourly);
}

/* In a process of its own, with a file system of 64 KiB mounted over the folder: 0 when it behaved, 77 where mounting is not allowed. */
static int fill_small_disk(void)
{
	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return 77;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("none", dir, "tmpfs", 0, "size=64k") < 0)
		return 77;
	static char block[90000];
	struct docstore_options o = {.dir = dir, .max_bytes = MAX_BYTES};
	struct docstore *d = docstore_open(&o, NULL);
	struct docwrite *w = d ? docwrite_begin(d, ORG, ID, NULL) : NULL;
	if (!w || docwrite_add(w, block, sizeof(block), NULL) != ERR_FULL)
		return 1;
	if (docwrite_commit(w, NULL, &info, &created, NULL) == 0 || docstore_stat(d, ORG, ID, &info, NULL) != ERR_NOT_FOUND)
		return 2;
	w = docwrite_begin(d, ORG, ID, NULL); /* what failed has given its space back */
	if (!w || docwrite_add(w, block, 30000, NULL) < 0 || docwrite_commit(w, NULL, &info, &created, NULL) < 0)
		return 3;
	docstore_close(d);
	return 0;
}

static void says_when_the_disk_is_full(void **state)
{
	(void)state;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(fill_small_disk());
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(knows_good_ids),
		TEST(keeps_what_is_written),
		TEST(refuses_other_bytes_unless_meant),
		TEST(limits_the_size),
		TEST(deletes_with_all_that_belongs_to_it),
		TEST(replaces_derived_files_whole),
		TEST(believes_a_hash_only_for_its_own_file),
		TEST(follows_no_links),
		TEST(opens_plain_files_only),
		TEST(lets_one_writer_win),
		TEST(shares_one_marker),
		TEST(sweeps_what_is_old),
		TEST(says_when_the_disk_is_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
