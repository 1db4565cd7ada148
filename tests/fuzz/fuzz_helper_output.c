/* The reader of the helper's report: whatever a taken-over helper prints, what is accepted keeps to the bounds. */
#include "lib/base/panic.h"
#include "processors/document/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_string(struct str s, size_t max)
{
	bug_on(s.p && (s.n > max || !str_is_utf8(s)));
}

static void check_report(const struct helper_report *r)
{
	check_string(r->sandbox, 32);
	if (r->failure != FAILURE_NONE) {
		bug_on(failure_find(str_from(failure_name(r->failure))) != r->failure);
		check_string(r->detail, HELPER_MAX_FIELD);
		return;
	}
	const struct str fields[] = {r->detected, r->verdict, r->extension, r->metadata.title, r->metadata.author, r->metadata.created, r->metadata.producer, r->source};
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		check_string(fields[i], HELPER_MAX_FIELD);
	bug_on(!r->detected.p || !r->verdict.p || !r->source.p);
	bug_on(r->pages < 0 || r->text_bytes < 0 || r->security.embedded_files < 0);
	bug_on(r->warnings >> WARNING_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct helper_report r;
	arena_init(&a, (size_t)1 << 20);
	if (size <= HELPER_MAX_REPORT && helper_report_read((struct str){(const char *)data, size}, &a, &r, NULL) == 0)
		check_report(&r);
	arena_release(&a);
	return 0;
}
