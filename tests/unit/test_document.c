/* The document processor against real documents, through the real helper: every fixture ends in its code, and whatever it does to its reader,
 * nothing of it stays behind. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static void run_program(char *const argv[])
{
	pid_t pid;
	int status;
	assert_int_equal(posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void find_helper(struct world *w)
{
	char self[400];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	self[n] = '\0';
	for (int up = 0; up < 3; up++) /* build/tests/unit/test_document */
		*strrchr(self, '/') = '\0';
	snprintf(w->helper, sizeof(w->helper), "%s/sluice-helper", self);
}

static int make_world(void **state)
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

static int end_world(void **state)
{
	struct world *w = *state;
	docstore_close(w->store);
	place_remove_tree(w->folder);
	free(w);
	return 0;
}

static void read_fixture(const struct world *w, const char *name, struct buf *out)
{
	char path[600];
	snprintf(path, sizeof(path), "%s/%s", w->fixtures, name);
	assert_int_equal(fs_read_file(path, MAX_FIXTURE, out, NULL), 0);
}

/* Stores a fixture under its own name as the id. */
static int64_t upload(const struct world *w, const char *name)
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

static void replace_document(const struct document_task *t)
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

static void on_progress(void *arg, unsigned pct, const char *step)
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

static void begin_trial(struct trial *t, const struct world *w, const char *id, const char *filename, const char *type, int64_t size)
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

static void end_trial(struct trial *t)
{
	document_task_release(&t->task);
	arena_release(&t->arena);
	buf_release(&t->json);
	close(t->cancel_fd);
}

/* A value of the result by its path, as JSON text. */
static struct str result_of(struct trial *t, const char *object, const char *name)
{
	static struct jdoc doc;
	struct jdoc_fault fault;
	assert_int_equal(jdoc_parse(&doc, &t->arena, buf_str(&t->task.result), &JDOC_LIMITS, &fault), 0);
	uint32_t at = object ? jdoc_get(&doc, JDOC_ROOT, object) : JDOC_ROOT;
	return jdoc_raw(&doc, jdoc_get(&doc, at, name));
}

static void assert_result(struct trial *t, const char *object, const char *name, const char *json)
{
	struct str raw = result_of(t, object, name);
	char have[600];
	snprintf(have, sizeof(have), "%.*s", STR_ARG(raw));
	assert_string_equal(have, json);
}

static void derived(const struct world *w, const char *id, const char *kind, struct buf *out)
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

/* ---- every fixture and its end --------------------------------------------------------------------------------------------- */

struct fixture {
	const char *name, *type;
	enum failure failure;
	const char *pages;  /* of a success */
	const char *text;   /* that the stored text contains; NULL: not looked at */
	unsigned warnings;
};

#define W(name) (1u << WARNING_##name)
#define DOCX "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
#define PPTX "application/vnd.openxmlformats-officedocument.presentationml.presentation"
#define ODT "application/vnd.oasis.opendocument.text"
#define WESTERN "Z\xc3\xbcrich, 5 M\xc3\xa4rz: the caf\xc3\xa9"

static const struct fixture fixtures[] = {
	{"sample.pdf", "application/pdf", FAILURE_NONE, "12", "Page 12, line 40: the harbour keeps", 0},
	{"small.pdf", "application/pdf; charset=binary", FAILURE_NONE, "3", "Page 1, line 1:", 0},
	{"small.pdf", "application/octet-stream", FAILURE_NONE, "3", NULL, 0},
	{"owner.pdf", "application/pdf", FAILURE_NONE, "3", "Page 3", 0},
	{"javascript.pdf", "application/pdf", FAILURE_NONE, "1", "Page 1", 0},
	{"spoof.pdf", "application/pdf", FAILURE_NONE, "1", "Page 1", 0},
	{"blank.pdf", "application/pdf", FAILURE_NONE, "1", NULL, W(NO_TEXT)},
	{"xref-loop.pdf", "application/pdf", FAILURE_NONE, "1", "Page 1", W(REPAIRED)},
	{"nested.pdf", "application/pdf", FAILURE_NONE, "1", "Page 1", W(REPAIRED)},
	{"truncated.pdf", "application/pdf", FAILURE_CORRUPT, NULL, NULL, 0},
	{"damaged.pdf", "application/pdf", FAILURE_CORRUPT, NULL, NULL, 0},
	{"page-count.pdf", "application/pdf", FAILURE_CORRUPT, NULL, NULL, 0},
	{"encrypted.pdf", "application/pdf", FAILURE_ENCRYPTED, NULL, NULL, 0},
	{"spin.pdf", "application/pdf", FAILURE_PARSE_TIMEOUT, NULL, NULL, 0},
	{"memory.pdf", "application/pdf", FAILURE_PARSE_RESOURCE_LIMIT, NULL, NULL, 0},
	{"elf.pdf", "application/pdf", FAILURE_FORBIDDEN_TYPE, NULL, NULL, 0},
	{"script.txt", "text/plain", FAILURE_FORBIDDEN_TYPE, NULL, NULL, 0},
	{"page.pdf", "application/pdf", FAILURE_FORBIDDEN_TYPE, NULL, NULL, 0},
	{"page.pdf", "text/html", FAILURE_UNSUPPORTED_TYPE, NULL, NULL, 0},
	{"noise.pdf", "application/pdf", FAILURE_MIME_MISMATCH, NULL, NULL, 0},
	{"utf8.txt", "application/pdf", FAILURE_MIME_MISMATCH, NULL, NULL, 0},
	{"small.pdf", "text/plain", FAILURE_MIME_MISMATCH, NULL, NULL, 0},
	{"plain.zip", "application/zip", FAILURE_UNSUPPORTED_TYPE, NULL, NULL, 0},
	{"empty.pdf", "application/pdf", FAILURE_EMPTY_FILE, NULL, NULL, 0},
	{"utf8.txt", "text/plain", FAILURE_NONE, "1", WESTERN, 0},
	{"utf8-mark.txt", "text/plain", FAILURE_NONE, "1", WESTERN, 0},
	{"utf16le.txt", "text/plain", FAILURE_NONE, "1", WESTERN, 0},
	{"utf16be.txt", "text/plain", FAILURE_NONE, "1", WESTERN, 0},
	{"utf16-bare.txt", "text/plain", FAILURE_NONE, "1", WESTERN, 0},
	{"latin1.txt", "text/csv", FAILURE_NONE, "1", WESTERN, 0},
	{"cp1252.txt", "text/plain", FAILURE_NONE, "1", "price: \xe2\x82\xac 5, caf\xc3\xa9", 0},
	{"broken-utf16.txt", "text/plain", FAILURE_NONE, "1", "ok \xef\xbf\xbd", W(BAD_CHARACTERS)},
	{"pages.txt", "text/plain", FAILURE_NONE, "3", "second of second", 0},
	{"letter.docx", DOCX, FAILURE_NONE, "1", "all is well & good.\n", 0},
	{"letter.docx", "application/zip", FAILURE_NONE, "1", "Dear reader,\n", 0},
	{"macros.docx", DOCX, FAILURE_NONE, "1", "with macros", W(MACROS)},
	{"deck.pptx", PPTX, FAILURE_NONE, "2", "one\n\ftwo\n", 0},
	{"letter.odt", ODT, FAILURE_NONE, "1", "Dear reader,\nTitle\n", 0},
	{"encrypted.odt", ODT, FAILURE_ENCRYPTED, NULL, NULL, 0},
	{"burst.docx", DOCX, FAILURE_ARCHIVE_BOMB, NULL, NULL, 0},
	{"doctype.docx", DOCX, FAILURE_CORRUPT, NULL, NULL, 0},
};

static void check_fixture(const struct world *w, const struct fixture *f)
{
	struct trial t;
	begin_trial(&t, w, f->name, f->name, f->type, upload(w, f->name));
	t.settings.timeout_ms = f->failure == FAILURE_PARSE_TIMEOUT ? SPIN_MS : PATIENCE_MS;
	document_task_run(&t.task);
	if (t.task.failure != f->failure)
		fail_msg("%s as %s: %s (%s), not %s", f->name, f->type, failure_name(t.task.failure), t.task.detail,
			 failure_name(f->failure));
	if (f->failure != FAILURE_NONE) {
		assert_true(strlen(t.task.detail) > 0);
		assert_null(strstr(t.task.detail, w->folder));
		end_trial(&t);
		return;
	}
	assert_int_equal(t.last_pct, 100);
	if (t.task.report.warnings != f->warnings)
		fail_msg("%s: warnings %x, not %x", f->name, t.task.report.warnings, f->warnings);
	assert_result(&t, NULL, "pages", f->pages);
	struct buf text = BUF_INIT;
	derived(w, f->name, "text", &text);
	assert_true(str_is_utf8(buf_str(&text)));
	if (f->text && !strstr(text.p ? text.p : "", f->text))
		fail_msg("%s: the text is '%.300s'", f->name, text.p);
	buf_release(&text);
	assert_null(memmem(t.task.result.p, t.task.result.n, w->folder, strlen(w->folder)));
	end_trial(&t);
}

static void each_fixture_ends_in_its_code(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(fixtures); i++)
		check_fixture(*state, &fixtures[i]);
}

static void result_tells_what_was_found(void **state)
{
	const struct world *w = *state;
	struct trial t;
	begin_trial(&t, w, "sample.pdf", "sample.pdf", "application/pdf", upload(w, "sample.pdf"));
	document_task_run(&t.task);
	assert_int_equal(t.task.failure, FAILURE_NONE);
	assert_result(&t, NULL, "schema", "1");
	assert_result(&t, NULL, "documentId", "\"sample.pdf\"");
	assert_result(&t, NULL, "status", "\"processed\"");
	assert_result(&t, NULL, "size", "1024000");
	assert_result(&t, NULL, "words", "5280");
	assert_result(&t, "mime", "verdict", "\"match\"");
	assert_result(&t, "mime", "extension", "\"pdf\"");
	assert_result(&t, "metadata", "title", "\"Sample\"");
	assert_result(&t, "metadata", "created", "\"2024-05-01T10:00:00Z\"");
	assert_result(&t, "text", "href", "\"/api/documents/sample.pdf/text\"");
	assert_result(&t, "text", "source", "\"pdftotext\"");
	assert_result(&t, "security", "javascript", "false");
	assert_int_equal(result_of(&t, NULL, "sha256").n, 66);
	assert_true(t.n_steps >= 10);
	end_trial(&t);

	begin_trial(&t, w, "javascript.pdf", "js.txt", "application/pdf", upload(w, "javascript.pdf"));
	document_task_run(&t.task);
	assert_int_equal(t.task.failure, FAILURE_NONE);
	assert_result(&t, "security", "javascript", "true");
	assert_result(&t, "security", "embeddedFiles", "2");
	assert_int_equal(t.task.report.warnings, W(EXTENSION_MISMATCH));
	end_trial(&t);
}

static void page_offsets_cite_pages(void **state)
{
	const struct world *w = *state;
	struct trial t;
	struct buf text = BUF_INIT, offsets = BUF_INIT;
	begin_trial(&t, w, "pages.txt", "pages.txt", "text/plain", upload(w, "pages.txt"));
	document_task_run(&t.task);
	assert_int_equal(t.task.failure, FAILURE_NONE);
	derived(w, "pages.txt", "pages.json", &offsets);
	assert_string_equal(offsets.p, "{\"schema\":1,\"unit\":\"byte\",\"offsets\":[0,11,44]}");
	derived(w, "pages.txt", "text", &text);
	assert_int_equal(strncmp(text.p + 44, "third", 5), 0);
	buf_release(&text);
	buf_release(&offsets);
	end_trial(&t);
}

static void text_is_cut_at_its_limit(void **state)
{
	const struct world *w = *state;
	struct trial t;
	begin_trial(&t, w, "small.pdf", "small.pdf", "application/pdf", upload(w, "small.pdf"));
	t.settings.max_text_bytes = 1000;
	t.settings.max_pages = 2;
	document_task_run(&t.task);
	assert_int_equal(t.task.failure, FAILURE_NONE);
	assert_result(&t, "text", "bytes", "1000");
	assert_result(&t, "text", "truncated", "true");
	assert_int_equal(t.task.report.warnings, W(TEXT_TRUNCATED) | W(PAGES_TRUNCATED));
	end_trial(&t);
}

/* ---- before the helper ------------------------------------------------------------------------------------------------------ */

static enum failure try_size(const struct world *w, const char *id, int64_t size, int64_t max)
{
	struct trial t;
	begin_trial(&t, w, id, "a.txt", "text/plain", size);
	t.settings.max_bytes = max;
	document_task_run(&t.task);
	enum failure f = t.task.failure;
	end_trial(&t);
	return f;
}

static void store_and_declaration_must_agree(void **state)
{
	const struct world *w = *state;
	int64_t n = upload(w, "utf8.txt");
	assert_int_equal(try_size(w, "utf8.txt", n, n), FAILURE_NONE);
	assert_int_equal(try_size(w, "utf8.txt", n + 1, 1000), FAILURE_SIZE_MISMATCH);
	assert_int_equal(try_size(w, "utf8.txt", n, n - 1), FAILURE_TOO_LARGE);
	assert_int_equal(try_size(w, "not-there", 5, 1000), FAILURE_NOT_FOUND);
	assert_int_equal(try_size(w, "../escape", 5, 1000), FAILURE_INVALID_PATH);
	assert_int_equal(try_size(w, "utf8.txt", -1, 1000), FAILURE_INVALID_PAYLOAD);
}

/* ---- the cage ------------------------------------------------------------------------------------------------------------------ */

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

/* ---- nothing stays behind -------------------------------------------------------------------------------------------------------- */

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
	int64_t begin = clock_mono_ms();
	while (waitpid(-1, NULL, 0) >= 0 || errno == EINTR)
		;
	assert_int_equal(errno, ECHILD);
	assert_true(clock_mono_ms() - begin < 2000);
}

static void text_of_a_replaced_document_is_not_kept(void **state)
{
	const struct world *w = *state;
	struct trial t;
	int fd;
	int64_t bytes;
	begin_trial(&t, w, "utf8.txt", "utf8.txt", "text/plain", upload(w, "utf8.txt"));
	t.replacing = true;
	document_task_run(&t.task);
	assert_false(t.replacing);
	assert_int_equal(t.task.failure, FAILURE_REPLACED);
	assert_true(failure_may_retry(t.task.failure, 9, 0, 0));
	assert_int_equal(docstore_get_derived(w->store, STR("default"), STR("utf8.txt"), "text", &fd, &bytes, NULL), ERR_NOT_FOUND);
	assert_int_equal(docstore_delete(w->store, STR("default"), STR("utf8.txt"), NULL), 0); /* others upload it anew */
	end_trial(&t);
}

static void cancelling_kills_the_readers(void **state)
{
	const struct world *w = *state;
	struct trial t;
	unsigned fds = count_fds();
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	begin_trial(&t, w, "spin.pdf", "spin.pdf", "application/pdf", upload(w, "spin.pdf"));
	t.settings.timeout_ms = 60000;
	t.cancel_at = 50; /* pdftotext has begun, or is about to */
	int64_t begin = clock_mono_ms();
	document_task_run(&t.task);
	assert_int_equal(t.task.failure, FAILURE_CANCELLED);
	assert_true(clock_mono_ms() - begin < 5000);
	end_trial(&t);
	assert_no_children();
	assert_int_equal(count_fds(), fds);
}

struct parallel {
	const struct world *world;
	const struct fixture *fixture;
	struct thread thread;
	enum failure failure;
	int64_t size;
};

static void run_parallel(void *arg)
{
	struct parallel *p = arg;
	struct trial t;
	begin_trial(&t, p->world, p->fixture->name, p->fixture->name, p->fixture->type, p->size);
	t.settings.timeout_ms = p->fixture->failure == FAILURE_PARSE_TIMEOUT ? SPIN_MS : PATIENCE_MS;
	document_task_run(&t.task);
	p->failure = t.task.failure;
	end_trial(&t);
}

static const struct fixture *find_fixture(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(fixtures); i++)
		if (strcmp(fixtures[i].name, name) == 0)
			return &fixtures[i];
	fail_msg("no fixture %s", name);
	return NULL;
}

static void parallel_tasks_do_not_disturb_each_other(void **state)
{
	static const char *const names[] = {"sample.pdf", "spin.pdf", "memory.pdf", "letter.docx", "truncated.pdf", "small.pdf"};
	struct parallel runs[ARRAY_LEN(names)];
	unsigned fds = count_fds();
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		runs[i] = (struct parallel){.world = *state, .fixture = find_fixture(names[i]), .size = upload(*state, names[i])};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(thread_start(&runs[i].thread, "document", run_parallel, &runs[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		thread_join(&runs[i].thread);
		assert_int_equal(runs[i].failure, runs[i].fixture->failure);
	}
	assert_no_children();
	assert_int_equal(count_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cage_refuses),
		cmocka_unit_test(runaways_are_ended),
		cmocka_unit_test(strict_needs_every_wall),
		cmocka_unit_test(a_missing_helper_is_named),
		cmocka_unit_test(store_and_declaration_must_agree),
		cmocka_unit_test(each_fixture_ends_in_its_code),
		cmocka_unit_test(result_tells_what_was_found),
		cmocka_unit_test(page_offsets_cite_pages),
		cmocka_unit_test(text_is_cut_at_its_limit),
		cmocka_unit_test(text_of_a_replaced_document_is_not_kept),
		cmocka_unit_test(cancelling_kills_the_readers),
		cmocka_unit_test(parallel_tasks_do_not_disturb_each_other),
	};
	return cmocka_run_group_tests(tests, make_world, end_world);
}
