#include "processors/document/task.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/config/config.h"
#include "processors/document/helper.h"

/* The helper keeps its own time, and says more about what ran out of it than its death would. */
#define HELPER_GRACE_MS 1000

struct document_settings document_settings_of(const struct config *c)
{
	return (struct document_settings){
		.max_bytes = c->doc_max_bytes,
		.max_text_bytes = c->doc_max_text_bytes,
		.max_pages = c->doc_max_pages,
		.timeout_ms = c->doc_tool_timeout_ms,
		.cpu_ms = c->doc_tool_cpu_ms,
		.memory_bytes = c->doc_tool_memory_bytes,
		.not_found_grace_ms = c->doc_not_found_grace_ms,
		.strict_sandbox = c->doc_sandbox == CONFIG_SANDBOX_STRICT,
	};
}

static bool fail(struct document_task *t, enum failure f, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Notes the failure; fmt NULL: its own sentence. Returns false, so that a step can end with it. */
static bool fail(struct document_task *t, enum failure f, const char *fmt, ...)
{
	t->failure = f;
	if (!fmt) {
		snprintf(t->detail, sizeof(t->detail), "%s", failure_sentence(f));
		return false;
	}
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(t->detail, sizeof(t->detail), fmt, ap);
	va_end(ap);
	return false;
}

static struct str member(const struct document_task *t, const char *name)
{
	uint32_t node = jdoc_get(t->data, JDOC_ROOT, name);
	return node == JDOC_NONE ? STR_NONE : jdoc_string(t->data, node, t->arena);
}

/* Jobs of other clients have not passed the schema. */
static bool read_payload(struct document_task *t)
{
	struct document_payload *p = &t->payload;
	uint32_t size = jdoc_get(t->data, JDOC_ROOT, "fileSize");
	*p = (struct document_payload){member(t, "documentId"), member(t, "filename"), member(t, "mimeType"), -1};
	if (!p->id.p || !p->filename.p || !p->mime_type.p || size == JDOC_NONE || jdoc_int(t->data, size, &p->size) < 0 || p->size < 0)
		return fail(t, FAILURE_INVALID_PAYLOAD, "documentId, filename, mimeType and fileSize are needed");
	if (!docstore_id_ok(p->id))
		return fail(t, FAILURE_INVALID_PATH, NULL);
	return true;
}

static bool check_size(struct document_task *t)
{
	int64_t have = t->info.bytes, declared = t->payload.size;
	if (have > t->settings->max_bytes)
		return fail(t, FAILURE_TOO_LARGE, "the document has %" PRId64 " bytes; %" PRId64 " are allowed", have, t->settings->max_bytes);
	if (have == 0)
		return fail(t, FAILURE_EMPTY_FILE, NULL);
	if (have != declared)
		return fail(t, FAILURE_SIZE_MISMATCH, "declared with %" PRId64 " bytes, but %" PRId64 " are stored", declared, have);
	return true;
}

static bool open_document(struct document_task *t)
{
	struct err err = {0};
	int rc = docstore_get(t->store, t->org, t->payload.id, &t->document_fd, &t->info, &err);
	if (rc == ERR_NOT_FOUND)
		return fail(t, FAILURE_NOT_FOUND, NULL);
	if (rc == ERR_INVALID)
		return fail(t, FAILURE_INVALID_PATH, NULL);
	if (rc < 0)
		return fail(t, FAILURE_STORE_UNAVAILABLE, "the document cannot be opened");
	t->progress(t->progress_arg, 5, "opened");
	if (!check_size(t))
		return false;
	t->progress(t->progress_arg, 10, "hashed"); /* the store keeps the hash beside the bytes */
	return true;
}

static void on_step(void *arg, enum step step)
{
	struct document_task *t = arg;
	t->progress(t->progress_arg, step_infos[step].pct, step_infos[step].name);
}

/* The extension of the file name if it is one that any type could have. */
static const char *extension_of(struct document_task *t)
{
	struct str name = t->payload.filename;
	size_t i = name.n;
	while (i > 0 && name.p[i - 1] != '.')
		i--;
	struct str ext = str_sub(name, i, name.n - i);
	bool usable = i > 1 && ext.n > 0 && ext.n <= 16;
	return usable ? arena_dupz(t->arena, ext) : "";
}

static const char *option(struct document_task *t, const char *name, int64_t value)
{
	return arena_printf(t->arena, "--%s=%" PRId64, name, value);
}

/* The command line, NULL-terminated; false without memory. */
static bool command_line(struct document_task *t, const char *argv[], size_t n, int64_t timeout_ms)
{
	const struct document_settings *s = t->settings;
	const char *const line[] = {
		"sluice-helper",
		"document",
		option(t, "parent", getpid()),
		arena_printf(t->arena, "--declared=%.*s", STR_ARG(t->payload.mime_type)),
		arena_printf(t->arena, "--extension=%s", extension_of(t)),
		option(t, "timeout-ms", timeout_ms),
		option(t, "max-text", s->max_text_bytes),
		option(t, "max-pages", s->max_pages),
		option(t, "memory", s->memory_bytes),
		option(t, "cpu-s", (s->cpu_ms + 999) / 1000),
		s->strict_sandbox ? "--sandbox=strict" : "--sandbox=best-effort",
	};
	bug_on(n <= ARRAY_LEN(line));
	for (size_t i = 0; i < ARRAY_LEN(line); i++) {
		argv[i] = line[i];
		if (!line[i])
			return fail(t, FAILURE_PARSE_RESOURCE_LIMIT, NULL);
	}
	argv[ARRAY_LEN(line)] = NULL;
	return true;
}

/* What the helper says counts only if all of it holds. */
static bool accept(struct document_task *t, const struct helper_end *end)
{
	struct err err = {0};
	struct str copy = arena_dup(t->arena, buf_str(&end->report));
	if (!copy.p || helper_report_read(copy, t->arena, &t->report, &err) < 0)
		return fail(t, FAILURE_HELPER_FAILED, "%s", copy.p ? err.text : "no memory for its report");
	if (t->report.failure != FAILURE_NONE)
		return fail(t, t->report.failure, "%.*s", STR_ARG(t->report.detail));
	return true;
}

/* Maps the text, which is sealed, until the arena's end. */
static bool map_text(struct document_task *t, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_size != t->report.text_bytes || st.st_size > t->settings->max_text_bytes)
		return fail(t, FAILURE_HELPER_FAILED, "its text is not as long as it says");
	t->text = STR("");
	if (st.st_size == 0)
		return true;
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return fail(t, FAILURE_PARSE_RESOURCE_LIMIT, "the text does not fit into memory");
	t->text = (struct str){p, (size_t)st.st_size};
	if (!str_is_utf8(t->text))
		return fail(t, FAILURE_HELPER_FAILED, "its text is not UTF-8");
	return true;
}

static bool ask_helper(struct document_task *t)
{
	const char *argv[16];
	int64_t now = clock_mono_ms(), left = t->deadline_mono_ms - now;
	int64_t timeout_ms = t->settings->timeout_ms < left ? t->settings->timeout_ms : left;
	if (!command_line(t, argv, ARRAY_LEN(argv), timeout_ms))
		return false;
	const struct helper_call call = {
		.path = t->helper_path,
		.argv = argv,
		.input_fd = t->document_fd,
		.deadline_mono_ms = now + timeout_ms + HELPER_GRACE_MS,
		.cancel_fd = t->cancel_fd,
		.on_step = on_step,
		.on_step_arg = t,
	};
	struct helper_end end;
	helper_run(&call, &end);
	bool ok = end.failure == FAILURE_NONE ? accept(t, &end) && map_text(t, end.text_fd) : fail(t, end.failure, NULL);
	if (end.detail)
		snprintf(t->detail, sizeof(t->detail), "%s", end.detail);
	if (end.remarks.n > 0)
		LOG(t->log, LOG_WARN, "document_helper_remarks", log_str("org", t->org), log_str("documentId", t->payload.id),
		    log_str("remarks", buf_str(&end.remarks)));
	helper_end_release(&end);
	return ok;
}

static bool put(struct document_task *t, const char *kind, struct str content)
{
	struct err err = {0};
	int rc = docstore_put_derived(t->store, t->org, t->payload.id, t->info.sha256, kind, content, &err);
	if (rc == 0)
		return true;
	if (rc == ERR_NOT_FOUND)
		return fail(t, FAILURE_NOT_FOUND, "the document was deleted while it was read");
	if (rc == ERR_MISMATCH)
		return fail(t, FAILURE_REPLACED, NULL);
	return fail(t, rc == ERR_FULL ? FAILURE_NO_SPACE : FAILURE_STORE_UNAVAILABLE, NULL);
}

static bool store_text(struct document_task *t)
{
	struct buf offsets = BUF_INIT;
	t->stats = text_stats(t->text, t->settings->max_pages, &offsets);
	t->progress(t->progress_arg, 88, "metadata");
	bool ok = offsets.failed ? fail(t, FAILURE_PARSE_RESOURCE_LIMIT, NULL)
				 : put(t, "text", t->text) && put(t, "pages.json", buf_str(&offsets));
	buf_release(&offsets);
	if (ok)
		t->progress(t->progress_arg, 98, "stored");
	return ok;
}

static bool write_result(struct document_task *t)
{
	document_result_write(t);
	if (t->result.failed)
		return fail(t, FAILURE_PARSE_RESOURCE_LIMIT, NULL);
	t->progress(t->progress_arg, 100, "done");
	return true;
}

void document_task_run(struct document_task *t)
{
	static bool (*const steps[])(struct document_task *) = {read_payload, open_document, ask_helper, store_text, write_result};
	t->failure = FAILURE_NONE;
	t->document_fd = -1;
	t->begin_mono_ms = clock_mono_ms();
	t->progress(t->progress_arg, 0, "received");
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (!steps[i](t))
			break;
}

void document_task_release(struct document_task *t)
{
	if (t->document_fd >= 0)
		close(t->document_fd);
	if (t->text.n > 0)
		munmap((void *)(uintptr_t)t->text.p, t->text.n);
	buf_release(&t->result);
	t->document_fd = -1;
	t->text = STR_NONE;
}

bool failure_may_retry(enum failure f, unsigned attempt, int64_t age_ms, int64_t grace_ms)
{
	switch (failure_class(f)) {
	case FAILURE_CLASS_RETRY:
		return true;
	case FAILURE_CLASS_ONCE:
		return attempt <= 1;
	case FAILURE_CLASS_GRACE:
		return age_ms < grace_ms;
	case FAILURE_CLASS_PERMANENT:
		break;
	}
	return false;
}
