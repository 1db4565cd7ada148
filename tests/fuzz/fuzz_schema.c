/* The schema compiler and checker: the input's first line is a schema, the rest a document. */
#include "lib/base/panic.h"
#include "lib/schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct schema *s, struct str text)
{
	struct arena a;
	arena_init(&a, (size_t)64 << 20);
	struct jdoc doc;
	struct schema_report report = {.arena = &a};
	if (jdoc_parse(&doc, &a, text, &JDOC_LIMITS, NULL) == 0) {
		int rc = schema_check(s, &doc, JDOC_ROOT, STR("/data"), &report);
		bug_on(rc == 0 && report.count > 0);
		bug_on(rc == ERR_INVALID && report.count == 0);
		for (const struct schema_issue *i = report.first; i; i = i->next)
			bug_on(!str_starts(i->pointer, STR("/data")) || i->detail.n == 0);
	}
	arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str document = {(const char *)data, size};
	struct str text = size ? str_cut(&document, '\n') : STR("");
	struct err err = {0};
	struct schema *s = schema_compile(text, &err);
	bug_on(!s && err.code == 0);
	if (s && document.p)
		check(s, document);
	schema_free(s);
	return 0;
}
