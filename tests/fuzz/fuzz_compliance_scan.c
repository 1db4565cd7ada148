/* The scanner over any bytes: both engines find the same, within the text, sorted, and what is told of it keeps to its bounds. */
#include "lib/base/panic.h"
#include "processors/compliance/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_INPUT ((size_t)1 << 16)

static struct scanner *scanner_of(enum scanner_engine engine)
{
	static struct scanner *made[3]; /* compiled once; reachable until the end */
	static const struct str phrases[] = {{"material weakness", 17}, {"subject:", 8}};
	if (!made[engine])
		made[engine] = scanner_new(engine, phrases, 2, NULL);
	bug_on(!made[engine]);
	return made[engine];
}

static void check(const struct findings *f, struct str text)
{
	char sample[SAMPLE_SIZE];
	for (size_t i = 0; i < f->n; i++) {
		const struct finding *one = &f->items[i];
		bug_on(one->start >= one->end || one->end > text.n);
		bug_on(i > 0 && f->items[i - 1].start > one->start);
		if (one->entity == ENTITY_PHRASE)
			continue;
		bug_on(one->percent < 50 || one->percent > 99 || one->page < 1);
		bug_on(finding_sample(one, text, sample) > SAMPLE_SIZE);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct scan_options o = {.least_percent = 50, .max_findings = 100000};
	const struct str text = {(const char *)data, size < MAX_INPUT ? size : MAX_INPUT};
	struct findings found[2];
	for (unsigned e = 0; e < 2; e++) {
		bug_on(scanner_run(scanner_of(e ? SCANNER_PCRE2 : SCANNER_AUTO), text, &o, &found[e], NULL) < 0);
		findings_hash(&found[e], text, STR("key"), STR("org"));
		findings_paginate(&found[e], text, NULL, 0);
		check(&found[e], text);
	}
	bug_on(found[0].n != found[1].n);
	for (size_t i = 0; i < found[0].n; i++) {
		const struct finding *a = &found[0].items[i], *b = &found[1].items[i];
		bug_on(a->start != b->start || a->end != b->end || a->entity != b->entity || a->percent != b->percent || a->page != b->page);
	}
	findings_release(&found[0]);
	findings_release(&found[1]);
	return 0;
}
