#include "processors/helper/extract.h"

#include <unistd.h>

#include "lib/base/clock.h"

struct reader {
	bool (*check)(struct extract *x);
	bool (*take)(struct extract *x);
};

static const struct reader readers[] = {
	[DOC_TEXT] = {plain_check, plain_take},
	[DOC_PDF] = {pdf_check, pdf_take},
	[DOC_OFFICE] = {office_check, office_take},
};

bool extract_fail(struct extract *x, enum failure f, const char *detail)
{
	x->report.failure = f;
	x->report.detail = detail;
	return false;
}

static const char *ended(const struct tool *t, struct arena *a)
{
	static const char *const words[] = {
		[TOOL_TIMEOUT] = "ran out of time",
		[TOOL_ENOUGH] = "wrote too much",
		[TOOL_MISSING] = "is not installed",
		[TOOL_UNCAGED] = "could not be started within its limits",
	};
	const char *slash = strrchr(t->argv[0], '/');
	const char *name = slash ? slash + 1 : t->argv[0];
	if (t->end == TOOL_EXITED)
		return arena_printf(a, "%s ended with status %d", name, t->code);
	if (t->end == TOOL_SIGNALLED)
		return arena_printf(a, "%s was ended by signal %d", name, t->code);
	return arena_printf(a, "%s %s", name, words[t->end]);
}

bool extract_fail_tool(struct extract *x, const struct tool *t, enum failure otherwise)
{
	enum failure f = tool_failure(t, otherwise);
	const char *how = ended(t, x->arena);
	return extract_fail(x, f, how ? arena_printf(x->arena, "%s (%s)", failure_sentence(f), how) : NULL);
}

bool extract_tool(struct extract *x, struct tool *t)
{
	struct err err = {0};
	t->deadline_mono_ms = x->deadline_mono_ms;
	t->memory_bytes = x->memory_bytes;
	if (tool_run(t, &err) == 0)
		return true;
	return extract_fail(x, FAILURE_HELPER_FAILED, arena_dupz(x->arena, str_from(err.text)));
}

/* Told to the gateway for the job's progress; nobody listening is no reason to stop. */
static void tell(enum step step)
{
	unsigned char byte = (unsigned char)step;
	ssize_t n = write(HELPER_FD_STEPS, &byte, 1);
	(void)n;
}

/* Runs one step and adds its duration. */
static bool timed(struct extract *x, bool (*step)(struct extract *), int64_t *ms)
{
	int64_t begin = clock_mono_ms();
	bool ok = step(x);
	*ms = clock_mono_ms() - begin;
	return ok;
}

static bool finish_text(struct extract *x)
{
	int rc = text_out_finish(&x->text);
	if (rc < 0)
		return extract_fail(x, rc == ERR_FULL ? FAILURE_NO_SPACE : FAILURE_HELPER_FAILED, "the text could not be written");
	const struct {
		bool is;
		enum warning warning;
	} remarks[] = {
		{x->text.truncated, WARNING_TEXT_TRUNCATED},
		{x->text.replaced, WARNING_BAD_CHARACTERS},
		{!x->text.visible, WARNING_NO_TEXT},
	};
	for (size_t i = 0; i < ARRAY_LEN(remarks); i++)
		if (remarks[i].is)
			x->report.warnings |= 1u << remarks[i].warning;
	return true;
}

void extract_run(struct extract *x)
{
	struct report *r = &x->report;
	if (!timed(x, sniff, &r->sniff_ms))
		return;
	tell(STEP_TYPE_CHECKED);
	const struct reader *reader = &readers[doctype_find(r->detected)->kind];
	if (!timed(x, reader->check, &r->check_ms))
		return;
	tell(STEP_CONTAINER_CHECKED);
	tell(STEP_EXTRACTING);
	if (!timed(x, reader->take, &r->extract_ms) || !finish_text(x))
		return;
	tell(STEP_EXTRACTED);
}
