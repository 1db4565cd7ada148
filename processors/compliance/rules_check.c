#include "processors/compliance/redact.h"
#include "processors/compliance/rules.h"

#define LEAST_PERCENT 50
#define MAX_FINDINGS 1000

/* Does the rule answer to its example? */
static int answers(const struct framework *f, size_t rule, struct scanner *s, struct str text, bool *yes, struct err *err)
{
	const struct scan_options o = {.least_percent = LEAST_PERCENT, .max_findings = MAX_FINDINGS};
	struct findings found;
	struct verdict *verdicts = calloc(f->n_rules, sizeof(*verdicts));
	if (!verdicts)
		return err_set(err, ERR_NOMEM, "no memory for verdicts");
	int rc = scanner_run(s, text, &o, &found, err);
	if (rc == 0) {
		findings_hash(&found, text, STR("examples"), STR("examples"));
		findings_paginate(&found, text, NULL, 0);
		rules_judge(f, &(struct world){text, &found}, verdicts);
		*yes = verdicts[rule].status > STATUS_NOT_ASSESSABLE && verdicts[rule].status != STATUS_EVIDENCE_MISSING;
		findings_release(&found);
	}
	free(verdicts);
	return rc;
}

static int check_list(const struct framework *f, size_t rule, struct scanner *s, const struct str_list *texts, bool wanted, struct buf *faults,
		      struct err *err)
{
	const struct rule *r = &f->rules[rule];
	for (size_t i = 0; i < texts->n; i++) {
		bool yes = false;
		int rc = answers(f, rule, s, texts->items[i], &yes, err);
		if (rc < 0)
			return rc;
		if (yes != wanted)
			buf_addf(faults, "%.*s %.*s: %s example %zu is answered with %s\n", STR_ARG(f->id), STR_ARG(r->control), wanted ? "hit" : "miss", i + 1,
				 yes ? "yes" : "no");
	}
	return (int)texts->n;
}

int rulebook_check(const struct rulebook *b, struct scanner *s, struct buf *faults, struct err *err)
{
	int examples = 0;
	for (size_t i = 0; i < rulebook_count(b); i++) {
		const struct framework *f = rulebook_at(b, i);
		for (size_t k = 0; k < f->n_rules; k++) {
			int hits = check_list(f, k, s, &f->rules[k].hit, true, faults, err);
			int misses = hits < 0 ? hits : check_list(f, k, s, &f->rules[k].miss, false, faults, err);
			if (misses < 0)
				return misses;
			examples += hits + misses;
		}
	}
	return examples;
}
