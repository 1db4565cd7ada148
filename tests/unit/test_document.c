/* The document processor against real documents, through the real helper: every fixture ends in its code, and whatever it does to its reader,
 * nothing of it stays behind. */
#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>

#include "tests/unit/document_world.h"

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

/* ---- nothing stays behind -------------------------------------------------------------------------------------------------------- */

static unsigned count_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* This process adopts orphans: when it has no children left, none are left at all. One that was not killed would spin for 20 s. */
static void assert_no_children(void)
{
	int64_t begin = clock_mono_ms();
	while (waitpid(-1, NULL, 0) >= 0 || errno == EINTR)
		;
	assert_int_equal(errno, ECHILD);
	assert_true(clock_mono_ms() - begin < 15000);
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
	assert_true(clock_mono_ms() - begin < 15000);
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
