/* Frameworks as files of rules: when a document touches a control.
 *
 *     struct rulebook *b = rulebook_new(dir, &err);                 the built-in files, and those of dir (NULL or "": none)
 *     struct scanner *s = scanner_new(…, rulebook_phrases(b), rulebook_phrases_count(b), &err);
 *     … scan, then for each framework:
 *     struct verdict *v = arena_array(a, f->n_rules, sizeof(*v));
 *     rules_judge(f, &(struct world){text, &found}, v);             one verdict for each rule
 *
 * A file is JSON that rules.schema.json describes; an unknown word anywhere in it is an error, and so is an unknown entity. A file
 * whose id is one of the built-in ones takes its place. A rulebook is immutable: any thread.
 *
 * Conditions: all, any, not; entity, category, term (phrases), each with minCount, minDistinct (values), minScore and form. `within`
 * stands in an `all` of such leaves: every other leaf near a match of the first one. */
#ifndef SLUICE_PROCESSORS_COMPLIANCE_RULES_H
#define SLUICE_PROCESSORS_COMPLIANCE_RULES_H

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "processors/compliance/scan.h"

enum rule_kind { RULE_VIOLATION, RULE_REVIEW, RULE_OBLIGATION, RULE_EVIDENCE, RULE_NOT_ASSESSABLE };
enum rule_severity { SEVERITY_NONE, SEVERITY_LOW, SEVERITY_MEDIUM, SEVERITY_HIGH, SEVERITY_CRITICAL };

enum rule_status {
	STATUS_NOT_TRIGGERED,
	STATUS_NOT_APPLICABLE,
	STATUS_NOT_ASSESSABLE,
	STATUS_EVIDENCE_FOUND,
	/* these count for the risk */
	STATUS_EVIDENCE_MISSING,
	STATUS_OBLIGATION,
	STATUS_NEEDS_REVIEW,
	STATUS_VIOLATION,
};

struct condition; /* rules_private.h */

struct check_item {
	struct str name;
	struct condition *when;
};

struct str_list {
	struct str *items;
	size_t n;
};

struct rule {
	struct str control, title;
	enum rule_kind kind;
	enum rule_severity severity;
	struct condition *applies, *when; /* NULL: always */
	struct check_item *checklist;
	size_t n_checklist;
	struct str_list yields;
	struct str remediate;      /* .p NULL: nothing */
	struct str_list hit, miss; /* texts that it must and must not answer to */
};

struct framework {
	struct str id, version, title;
	struct rule *rules;
	size_t n_rules;
};

struct rulebook;

struct rulebook *rulebook_new(const char *dir, struct err *err);
struct rulebook *rulebook_parse(const char *origin, struct str text, struct err *err); /* one file's text alone */
void rulebook_free(struct rulebook *b);
size_t rulebook_count(const struct rulebook *b);
const struct framework *rulebook_at(const struct rulebook *b, size_t i);
const struct framework *rulebook_find(const struct rulebook *b, struct str id); /* NULL: there is none */
const struct str *rulebook_phrases(const struct rulebook *b);
size_t rulebook_phrases_count(const struct rulebook *b);
const char *rulebook_digest(const struct rulebook *b); /* SHA-256 of all rules, hex */

/* Runs every rule's own examples; one line in `faults` for each that is answered wrongly. How many examples there were; negative
 * (enum err_code) when scanning fails. */
int rulebook_check(const struct rulebook *b, struct scanner *s, struct buf *faults, struct err *err) MUST_CHECK;

struct world {
	struct str text;
	const struct findings *found; /* with hashes and pages */
};

#define EVIDENCE_ITEMS 8

struct verdict {
	enum rule_status status;
	size_t count;                   /* findings that speak for it */
	unsigned percent;               /* the best of their scores */
	uint32_t items[EVIDENCE_ITEMS]; /* the first of them, by index */
	unsigned n_items;
	uint32_t missing;               /* of the checklist, a bit for each item */
};

void rules_judge(const struct framework *f, const struct world *w, struct verdict *verdicts);
const char *rule_status_word(enum rule_status s);
const char *rule_kind_word(enum rule_kind k);
const char *rule_severity_word(enum rule_severity s);

/* 0 to 100: 1 - product over the verdicts that count of (1 - weight(severity) * confidence * min(1, log2(1 + n) / 5)). */
unsigned rules_risk(const struct framework *f, const struct verdict *verdicts);
enum rule_severity rules_level(const struct framework *f, const struct verdict *verdicts); /* the worst that counts */

#endif
