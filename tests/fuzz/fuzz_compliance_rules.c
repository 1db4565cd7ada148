/* The loader of rule files: what it accepts can be judged, whatever it says. */
#include "lib/base/panic.h"
#include "processors/compliance/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct framework *f, size_t n_phrases)
{
	struct finding items[3] = {
		{.start = 0, .end = 4, .entity = ENTITY_PAN, .percent = 90, .page = 1},
		{.start = 5, .end = 9, .entity = ENTITY_PHRASE, .percent = 100, .page = 1},
		{.start = 10, .end = 14, .entity = ENTITY_EMAIL, .percent = 60, .page = 2},
	};
	const struct findings found = {.items = items, .n = 3, .capacity = 3};
	struct verdict *verdicts = calloc(f->n_rules, sizeof(*verdicts));
	bug_on(!verdicts || n_phrases > UINT16_MAX);
	rules_judge(f, &(struct world){STR("card word mail."), &found}, verdicts);
	for (size_t i = 0; i < f->n_rules; i++) {
		bug_on(verdicts[i].n_items > EVIDENCE_ITEMS || verdicts[i].percent > 100);
		for (unsigned k = 0; k < verdicts[i].n_items; k++)
			bug_on(verdicts[i].items[k] >= found.n);
	}
	bug_on(rules_risk(f, verdicts) > 100);
	free(verdicts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = {0};
	struct rulebook *b = rulebook_parse("input", (struct str){(const char *)data, size}, &err);
	bug_on(!b && !err.text[0]);
	if (b)
		judge(rulebook_at(b, 0), rulebook_phrases_count(b));
	rulebook_free(b);
	return 0;
}
