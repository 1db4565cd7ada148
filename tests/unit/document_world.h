/* The document processor's world for tests: a store, the fixtures, the real helper, and a task without a job. Header only: every unit test is
 * one program of one file. */
#ifndef SLUICE_TESTS_UNIT_DOCUMENT_WORLD_H
#define SLUICE_TESTS_UNIT_DOCUMENT_WORLD_H

#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/lock.h"
#include "lib/json/jwrite.h"
#include "processors/document/helper.h"
#include "processors/document/task.h"
#include "tests/unit/place.h"

#define MAX_FIXTURE ((size_t)8 << 20)
/* Long enough for a busy machine; documents that never end get less. */
#define PATIENCE_MS 30000
#define SPIN_MS 1500

struct world {
	char folder[256]; /* of everything here */
	char fixtures[300], documents[300], helper[512];
	struct docstore *store;
};

static const struct document_settings usual = {
	.max_bytes = 2 << 20,
	.max_text_bytes = 1 << 20,
	.max_pages = 100,
	.timeout_ms = PATIENCE_MS,
	.cpu_ms = 20000,
	.memory_bytes = 512 << 20,
	.not_found_grace_ms = 60000,
};

/* ---- the world ---------------------------------------------------------------------------------------------------------- */

static inline void run_program(char *const argv[])
{
	pid_t pid;
	int status;
	assert_int_equal(posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static inline void find_helper(struct world *w)
{
	char self[400];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	self[n] = '\0';
	for (int up = 0; up < 3; up++) /* build/tests/unit/test_document */
		*strrchr(self, '/') = '\0';
	snprintf(w->helper, sizeof(w->helper), "%s/sluice-helper", self);
}

static inline int make_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *tmp = getenv("TMPDIR");
	struct err err = {0};
	assert_non_null(w);
	snprintf(w->folder, sizeof(w->folder), "%s/test-document-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->fixtures, sizeof(w->fixtures), "%s/fixtures", w->folder);
	snprintf(w->documents, sizeof(w->documents), "%s/documents", w->folder);
	find_helper(w);
	char node[] = "node", script[] = "tests/fixtures/make-fixtures.mjs";
	run_program((char *[]){node, script, w->fixtures, NULL});
	const struct docstore_options o = {.dir = w->documents, .max_bytes = (int64_t)MAX_FIXTURE};
	w->store = docstore_open(&o, &err);
	assert_string_equal(err.text, "");
	assert_non_null(w->store);
	*state = w;
	return 0;
}

static inline int end_world(void **state)
{
	struct world *w = *state;
	docstore_close(w->store);
	place_remove_tree(w->folder);
	free(w);
	return 0;
}

static inline void read_fixture(const struct world *w, const char *name, struct buf *out)
{
	char path[600];
	snprintf(path, sizeof(path), "%s/%s", w->fixtures, name);
	assert_int_equal(fs_read_file(path, MAX_FIXTURE, out, NULL), 0);
}

/* Stores a fixture under its own name as the id. */
static inline int64_t upload(const struct world *w, const char *name)
{
	struct buf bytes = BUF_INIT;
	struct docinfo info;
	bool created;
	struct err err = {0};
	read_fixture(w, name, &bytes);
	struct docwrite *d = docwrite_begin(w->store, STR("default"), str_from(name), &err);
	assert_non_null(d);
	assert_int_equal(docwrite_add(d, bytes.p ? bytes.p : "", bytes.n, &err), 0);
	assert_int_equal(docwrite_commit(d, NULL, &info, &created, &err), 0);
	int64_t n = (int64_t)bytes.n;
	buf_release(&bytes);
	return n;
}

/* ---- a task without a job ------------------------------------------------------------------------------------------------- */

struct trial {
	struct document_task task;
	struct document_settings settings;
	struct arena arena;
	struct jdoc data;
	struct buf json;
	unsigned last_pct;
	unsigned n_steps;
	int cancel_at; /* percent; -1: never */
	bool replacing; /* other bytes come under the same id when the document has been opened */
	int cancel_fd;
};

static inline void replace_document(const struct document_task *t)
{
	struct err err = {0};
	struct docinfo info;
	bool created;
	struct docwrite *d = docwrite_begin(t->store, t->org, t->payload.id, &err);
	assert_non_null(d);
	assert_int_equal(docwrite_add(d, "a later version", 15, &err), 0);
	assert_int_equal(docwrite_commit(d, t->info.sha256, &info, &created, &err), 0);
	assert_true(created);
}

static inline void on_progress(void *arg, unsigned pct, const char *step)
{
	struct trial *t = arg;
	assert_non_null(step);
	assert_true(pct >= t->last_pct);
	t->last_pct = pct;
	t->n_steps++;
	if (t->replacing && t->task.document_fd >= 0) {
		t->replacing = false;
		replace_document(&t->task);
	}
	if (t->cancel_at >= 0 && pct >= (unsigned)t->cancel_at)
		assert_int_equal(eventfd_write(t->cancel_fd, 1), 0);
}

static inline void begin_trial(struct trial *t, const struct world *w, const char *id, const char *filename, const char *type, int64_t size)
{
	struct jdoc_fault fault;
	memset(t, 0, sizeof(*t));
	t->settings = usual;
	t->cancel_at = -1;
	t->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	arena_init(&t->arena, (size_t)4 << 20);
	struct jwrite j = jwrite_into(&t->json);
	jw_open(&j, '{');
	jw_kstrz(&j, "documentId", id);
	jw_kstrz(&j, "userId", "u1");
	jw_kstrz(&j, "filename", filename);
	jw_kstrz(&j, "mimeType", type);
	jw_kint(&j, "fileSize", size);
	jw_close(&j, '}');
	assert_int_equal(jdoc_parse(&t->data, &t->arena, buf_str(&t->json), &JDOC_LIMITS, &fault), 0);
	t->task = (struct document_task){
		.settings = &t->settings,
		.store = w->store,
		.helper_path = w->helper,
		.arena = &t->arena,
		.org = STR("default"),
		.data = &t->data,
		.deadline_mono_ms = clock_mono_ms() + 60000,
		.cancel_fd = t->cancel_fd,
		.progress = on_progress,
		.progress_arg = t,
	};
}

static inline void end_trial(struct trial *t)
{
	document_task_release(&t->task);
	arena_release(&t->arena);
	buf_release(&t->json);
	close(t->cancel_fd);
}

/* A value of the result by its path, as JSON text. */
static inline struct str result_of(struct trial *t, const char *object, const char *name)
{
	static struct jdoc doc;
	struct jdoc_fault fault;
	assert_int_equal(jdoc_parse(&doc, &t->arena, buf_str(&t->task.result), &JDOC_LIMITS, &fault), 0);
	uint32_t at = object ? jdoc_get(&doc, JDOC_ROOT, object) : JDOC_ROOT;
	return jdoc_raw(&doc, jdoc_get(&doc, at, name));
}

static inline void assert_result(struct trial *t, const char *object, const char *name, const char *json)
{
	struct str raw = result_of(t, object, name);
	char have[600];
	snprintf(have, sizeof(have), "%.*s", STR_ARG(raw));
	assert_string_equal(have, json);
}

static inline void derived(const struct world *w, const char *id, const char *kind, struct buf *out)
{
	int fd;
	int64_t bytes;
	char block[4096];
	ssize_t n;
	assert_int_equal(docstore_get_derived(w->store, STR("default"), str_from(id), kind, &fd, &bytes, NULL), 0);
	while ((n = read(fd, block, sizeof(block))) > 0)
		buf_add(out, block, (size_t)n);
	close(fd);
	assert_int_equal(out->n, bytes);
}

#endif
