/* Rule files: every example of the built-in ones, the grammar with its refusals, and what conditions mean. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "processors/compliance/redact.h"
#include "processors/compliance/rules.h"
#include "tests/unit/place.h"

static void built_in_examples(void **state)
{
	struct err err = {0};
	struct buf faults = BUF_INIT;
	struct rulebook *b = rulebook_new(NULL, &err);
	(void)state;
	assert_string_equal(err.text, "");
	struct scanner *s = scanner_new(SCANNER_AUTO, rulebook_phrases(b), rulebook_phrases_count(b), &err);
	assert_string_equal(err.text, "");
	int examples = rulebook_check(b, s, &faults, &err);
	print_message("# %d examples of %zu frameworks, %zu phrases\n", examples, rulebook_count(b), rulebook_phrases_count(b));
	assert_true(examples > 50);
	if (faults.n)
		fail_msg("%s", faults.p);
	for (size_t i = 0; i < rulebook_count(b); i++)
		for (size_t k = 0; k < rulebook_at(b, i)->n_rules; k++) {
			const struct rule *r = &rulebook_at(b, i)->rules[k];
			assert_true(r->kind == RULE_NOT_ASSESSABLE || (r->hit.n > 0 && r->miss.n > 0));
		}
	buf_release(&faults);
	scanner_free(s);
	rulebook_free(b);
}

/* ---- files of others ---- */

static char folder[] = "/tmp/test-compliance-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int end_folder(void **state)
{
	(void)state;
	return place_remove_tree(folder);
}

static struct rulebook *load(const char *text, struct err *err)
{
	char path[sizeof(folder) + 16];
	snprintf(path, sizeof(path), "%s/own.json", folder);
	assert_int_equal(fs_write_file(path, str_from(text), 0600, NULL), 0);
	return rulebook_new(folder, err);
}

#define FILE_OF(rule) "{\"schema\":1,\"id\":\"OWN\",\"version\":\"1\",\"title\":\"Own\",\"rules\":[" rule "]}"
#define RULE_OF(more) FILE_OF("{\"control\":\"1\",\"title\":\"t\",\"kind\":\"violation\",\"severity\":\"high\"," more "}")
#define WHEN(condition) RULE_OF("\"when\":" condition)

static void refusals(void **state)
{
	static const struct {
		const char *text, *says;
	} wrong[] = {
		{"{", "byte"},
		{FILE_OF("{\"control\":\"1\",\"title\":\"t\",\"kind\":\"violation\",\"wehn\":{}}"), "/rules/0"},
		{WHEN("{\"entity\":\"PANN\"}"), "no such entity"},
		{WHEN("{\"category\":\"privat\"}"), "no such category"},
		{WHEN("{\"entity\":\"PAN\",\"term\":[\"card\"]}"), "exactly one"},
		{WHEN("{\"minCount\":2}"), "exactly one"},
		{WHEN("{\"entity\":\"PAN\",\"minScore\":2}"), "minScore"},
		{WHEN("{\"entity\":\"PAN\",\"within\":{\"chars\":5}}"), "within"},
		{WHEN("{\"all\":[{\"entity\":\"PAN\"},{\"any\":[{\"entity\":\"CVV\"}]}],\"within\":{\"chars\":5}}"), "within"},
		{WHEN("{\"all\":[{\"entity\":\"PAN\"}],\"minCount\":3}"), "minCount"},
		{WHEN("{\"term\":[\"Upper Case\"]}"), "/rules/0"},
		{FILE_OF("{\"control\":\"1\",\"title\":\"t\",\"kind\":\"violation\",\"when\":{\"entity\":\"PAN\"}}"), "severity"},
		{RULE_OF("\"checklist\":[{\"item\":\"a\",\"when\":{\"entity\":\"PAN\"}}]"), "checklist"},
		{FILE_OF("{\"control\":\"1\",\"title\":\"t\",\"kind\":\"not_assessable\",\"when\":{\"entity\":\"PAN\"}}"), "no conditions"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err err = {0};
		struct rulebook *b = load(wrong[i].text, &err);
		if (b || !strstr(err.text, wrong[i].says) || !strstr(err.text, "own.json"))
			fail_msg("%s\nis answered with: %s", wrong[i].text, b ? "(taken)" : err.text);
	}
}

/* The status of the first rule of a file for a text. */
static enum rule_status status_of(const char *file, const char *text)
{
	const struct scan_options o = {.least_percent = 50, .max_findings = 1000};
	struct err err = {0};
	struct findings found;
	struct verdict verdicts[4];
	struct rulebook *b = load(file, &err);
	assert_string_equal(err.text, "");
	struct scanner *s = scanner_new(SCANNER_PCRE2, rulebook_phrases(b), rulebook_phrases_count(b), &err);
	assert_non_null(s);
	const struct framework *f = rulebook_find(b, STR("OWN"));
	assert_non_null(f);
	assert_int_equal(scanner_run(s, str_from(text), &o, &found, &err), 0);
	findings_hash(&found, str_from(text), STR("k"), STR("o"));
	findings_paginate(&found, str_from(text), NULL, 0);
	rules_judge(f, &(struct world){str_from(text), &found}, verdicts);
	enum rule_status status = verdicts[0].status;
	findings_release(&found);
	scanner_free(s);
	rulebook_free(b);
	return status;
}

#define PAN_ "4111111111111111"

static void meanings(void **state)
{
	static const struct {
		const char *file, *text;
		bool yes;
	} cases[] = {
		{WHEN("{\"entity\":\"PAN\",\"minCount\":2}"), PAN_ " " PAN_, true},
		{WHEN("{\"entity\":\"PAN\",\"minDistinct\":2}"), PAN_ " 4111-1111-1111-1111", false},
		{WHEN("{\"entity\":\"PAN\",\"minDistinct\":2}"), PAN_ " 5555555555554444", true},
		{WHEN("{\"entity\":\"PAN\",\"form\":\"masked\"}"), "411111******1111", true},
		{WHEN("{\"entity\":\"PAN\",\"form\":\"unmasked\"}"), "411111******1111", false},
		{WHEN("{\"not\":{\"entity\":\"PAN\"}}"), "nothing", true},
		{WHEN("{\"any\":[{\"entity\":\"IBAN\"},{\"entity\":\"PAN\"}]}"), PAN_, true},
		{WHEN("{\"all\":[{\"entity\":\"IBAN\"},{\"entity\":\"PAN\"}]}"), PAN_, false},
		{WHEN("{\"term\":[\"red flag\"]}"), "a Red\n flag", true},
		{WHEN("{\"term\":[\"red flag\"]}"), "a red flagship", false},
		{WHEN("{\"all\":[{\"entity\":\"PAN\"},{\"term\":[\"flag\"]}],\"within\":{\"chars\":10}}"), PAN_ " a flag", true},
		{WHEN("{\"all\":[{\"entity\":\"PAN\"},{\"term\":[\"flag\"]}],\"within\":{\"chars\":10}}"), "flag is far away " PAN_, false},
		{WHEN("{\"all\":[{\"entity\":\"PAN\"},{\"term\":[\"flag\"]}],\"within\":{\"words\":2}}"), "flag of a " PAN_, true},
		{WHEN("{\"all\":[{\"entity\":\"PAN\"},{\"term\":[\"flag\"]}],\"within\":{\"words\":2}}"), "flag one two three " PAN_, false},
		{WHEN("{\"all\":[{\"entity\":\"PAN\"},{\"term\":[\"flag\"]}],\"within\":{\"page\":true}}"), "flag\f" PAN_, false},
		{WHEN("{\"all\":[{\"entity\":\"PAN\"},{\"term\":[\"flag\"]}],\"within\":{\"page\":true}}"), "x\fflag " PAN_, true},
		{WHEN("{\"category\":\"payment\",\"minScore\":0.99}"), "number " PAN_, false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool yes = status_of(cases[i].file, cases[i].text) == STATUS_VIOLATION;
		if (yes != cases[i].yes)
			fail_msg("%s\non \"%s\" says %s", cases[i].file, cases[i].text, yes ? "yes" : "no");
	}
}

static void risk_grows(void **state)
{
	struct rule rules[] = {{.severity = SEVERITY_CRITICAL}, {.severity = SEVERITY_LOW}};
	const struct framework f = {.rules = rules, .n_rules = 2};
	struct verdict none[2] = {{.status = STATUS_NOT_TRIGGERED}, {.status = STATUS_NOT_ASSESSABLE}};
	struct verdict one[2] = {{.status = STATUS_VIOLATION, .count = 1, .percent = 100}, {.status = STATUS_EVIDENCE_FOUND}};
	struct verdict many[2] = {{.status = STATUS_VIOLATION, .count = 31, .percent = 100}, {.status = STATUS_OBLIGATION, .count = 31, .percent = 100}};
	(void)state;
	assert_int_equal(rules_risk(&f, none), 0);
	assert_int_equal(rules_risk(&f, one), 12);  /* 0.6 * log2(2) / 5 */
	assert_int_equal(rules_risk(&f, many), 62); /* 1 - 0.4 * 0.95 */
	assert_int_equal(rules_level(&f, none), SEVERITY_NONE);
	assert_int_equal(rules_level(&f, many), SEVERITY_CRITICAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(built_in_examples),
		cmocka_unit_test(refusals),
		cmocka_unit_test(meanings),
		cmocka_unit_test(risk_grows),
	};
	return cmocka_run_group_tests(tests, make_folder, end_folder);
}
