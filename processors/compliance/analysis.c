#include "processors/compliance/analysis.h"

#include "lib/base/digest.h"
#include "lib/json/jwrite.h"
#include "processors/compliance/redact.h"

#define HASH_HEX (2 * FINDING_HASH_BYTES + 1)
#define DISCLAIMER "Signals for review by a person. Not legal advice, and no statement that any requirement is met."

/* ---- judging ---- */

static int number_findings(struct analysis *a, struct arena *arena)
{
	uint32_t *numbers = arena_array(arena, a->found->n + 1, sizeof(*numbers));
	if (!numbers)
		return ERR_NOMEM;
	a->n_findings = 0;
	for (size_t i = 0; i < a->found->n; i++)
		if (a->found->items[i].entity != ENTITY_PHRASE)
			numbers[i] = (uint32_t)++a->n_findings;
	a->numbers = numbers;
	return 0;
}

static int by_value(const void *left, const void *right)
{
	const struct finding *const *a = left, *const *b = right;
	if ((*a)->entity != (*b)->entity)
		return (*a)->entity < (*b)->entity ? -1 : 1;
	return memcmp((*a)->hash, (*b)->hash, FINDING_HASH_BYTES);
}

static int count_distinct(struct analysis *a, struct arena *arena)
{
	const struct finding **sorted = arena_array(arena, a->found->n + 1, sizeof(const struct finding *));
	if (!sorted)
		return ERR_NOMEM;
	for (size_t i = 0; i < a->found->n; i++)
		sorted[i] = &a->found->items[i];
	qsort(sorted, a->found->n, sizeof(const struct finding *), by_value);
	for (size_t i = 0; i < a->found->n; i++)
		if (sorted[i]->entity != ENTITY_PHRASE && (i == 0 || by_value(&sorted[i - 1], &sorted[i]) != 0))
			a->distinct[sorted[i]->entity]++;
	return 0;
}

int analysis_judge(struct analysis *a, struct arena *arena)
{
	const struct world w = {a->text, a->found};
	int rc = number_findings(a, arena);
	if (rc == 0)
		rc = count_distinct(a, arena);
	for (size_t i = 0; rc == 0 && i < a->n_judged; i++) {
		struct judged *j = &a->judged[i];
		j->verdicts = arena_array(arena, j->framework->n_rules, sizeof(*j->verdicts));
		if (!j->verdicts)
			return ERR_NOMEM;
		rules_judge(j->framework, &w, j->verdicts);
		j->risk = rules_risk(j->framework, j->verdicts);
		j->level = rules_level(j->framework, j->verdicts);
	}
	return rc;
}

/* ---- telling ---- */

static void write_finding_id(struct jwrite *w, uint32_t number)
{
	char id[16];
	snprintf(id, sizeof(id), "f%u", number);
	jw_strz(w, id);
}

static void write_finding(const struct analysis *a, struct jwrite *w, size_t i)
{
	const struct finding *f = &a->found->items[i];
	char sample[SAMPLE_SIZE], hash[HASH_HEX];
	size_t n = finding_sample(f, a->text, sample);
	digest_hex(f->hash, sizeof(f->hash), hash);
	jw_open(w, '{');
	jw_key(w, "id");
	write_finding_id(w, a->numbers[i]);
	jw_kstrz(w, "entity", entity_infos[f->entity].name);
	jw_key(w, "score");
	jw_double(w, f->percent / 100.0);
	jw_kstr(w, "validated", str_from(f->validated));
	jw_kstr(w, "context", f->context);
	jw_kint(w, "page", f->page);
	jw_kint(w, "start", f->start);
	jw_kint(w, "end", f->end);
	jw_kbool(w, "masked", f->masked);
	jw_kstr(w, "sample", (struct str){sample, n});
	jw_kstrz(w, "hmac", hash);
	jw_close(w, '}');
}

static void write_findings(const struct analysis *a, struct jwrite *w, size_t most)
{
	jw_key(w, "findings");
	jw_open(w, '[');
	for (size_t i = 0; i < a->found->n; i++)
		if (a->numbers[i] && a->numbers[i] <= most)
			write_finding(a, w, i);
	jw_close(w, ']');
}

void analysis_write_findings(const struct analysis *a, struct buf *out)
{
	struct jwrite w = jwrite_into(out);
	jw_open(&w, '{');
	jw_kint(&w, "schema", 1);
	jw_kstr(&w, "documentId", a->document_id);
	jw_kstrz(&w, "unit", "byte");
	jw_kbool(&w, "findingsTruncated", a->found->truncated);
	write_findings(a, &w, SIZE_MAX);
	jw_close(&w, '}');
}

static void write_entities(const struct analysis *a, struct jwrite *w)
{
	size_t counts[ENTITY_COUNT] = {0};
	unsigned best[ENTITY_COUNT] = {0};
	for (size_t i = 0; i < a->found->n; i++) {
		const struct finding *f = &a->found->items[i];
		if (f->entity == ENTITY_PHRASE)
			continue;
		counts[f->entity]++;
		if (f->percent > best[f->entity])
			best[f->entity] = f->percent;
	}
	jw_key(w, "entities");
	jw_open(w, '{');
	for (int e = 0; e < ENTITY_COUNT; e++) {
		if (!counts[e])
			continue;
		jw_key(w, entity_infos[e].name);
		jw_open(w, '{');
		jw_kint(w, "count", (int64_t)counts[e]);
		jw_kint(w, "distinct", (int64_t)a->distinct[e]);
		jw_key(w, "maxScore");
		jw_double(w, best[e] / 100.0);
		jw_close(w, '}');
	}
	jw_close(w, '}');
}

static void write_summary(const struct analysis *a, struct jwrite *w)
{
	unsigned risk = 0;
	enum rule_severity level = SEVERITY_NONE;
	for (size_t i = 0; i < a->n_judged; i++) {
		risk = a->judged[i].risk > risk ? a->judged[i].risk : risk;
		level = a->judged[i].level > level ? a->judged[i].level : level;
	}
	jw_key(w, "summary");
	jw_open(w, '{');
	jw_kint(w, "risk", risk);
	jw_kstrz(w, "level", rule_severity_word(level));
	jw_kint(w, "findings", (int64_t)a->n_findings);
	write_entities(a, w);
	jw_close(w, '}');
}

static void write_list(struct jwrite *w, const char *name, const struct str_list *list)
{
	if (list->n == 0)
		return;
	jw_key(w, name);
	jw_open(w, '[');
	for (size_t i = 0; i < list->n; i++)
		jw_str(w, list->items[i]);
	jw_close(w, ']');
}

static void write_missing(struct jwrite *w, const struct rule *r, const struct verdict *v)
{
	jw_key(w, "missing");
	jw_open(w, '[');
	for (size_t i = 0; i < r->n_checklist; i++)
		if (v->missing & 1u << i)
			jw_str(w, r->checklist[i].name);
	jw_close(w, ']');
}

static void write_control(const struct analysis *a, struct jwrite *w, const struct rule *r, const struct verdict *v)
{
	bool counts = v->status >= STATUS_EVIDENCE_MISSING;
	jw_open(w, '{');
	jw_kstr(w, "control", r->control);
	jw_kstr(w, "title", r->title);
	jw_kstrz(w, "kind", rule_kind_word(r->kind));
	jw_kstrz(w, "status", rule_status_word(v->status));
	if (r->severity != SEVERITY_NONE)
		jw_kstrz(w, "severity", rule_severity_word(r->severity));
	if (counts) {
		jw_kint(w, "count", (int64_t)v->count);
		jw_key(w, "findingIds");
		jw_open(w, '[');
		for (unsigned i = 0; i < v->n_items; i++)
			write_finding_id(w, a->numbers[v->items[i]]);
		jw_close(w, ']');
		write_list(w, "yields", &r->yields);
		if (r->remediate.p)
			jw_kstr(w, "remediate", r->remediate);
	}
	if (v->missing)
		write_missing(w, r, v);
	jw_close(w, '}');
}

/* all: also the controls that nothing speaks for. */
static void write_framework(const struct analysis *a, struct jwrite *w, const struct judged *j, bool all)
{
	const struct framework *f = j->framework;
	jw_open(w, '{');
	jw_kstr(w, "id", f->id);
	jw_kstr(w, "version", f->version);
	jw_kint(w, "risk", j->risk);
	jw_kstrz(w, "level", rule_severity_word(j->level));
	jw_key(w, "controls");
	jw_open(w, '[');
	for (size_t i = 0; i < f->n_rules; i++)
		if (all || j->verdicts[i].status >= STATUS_EVIDENCE_MISSING)
			write_control(a, w, &f->rules[i], &j->verdicts[i]);
	jw_close(w, ']');
	jw_close(w, '}');
}

static void write_coverage(struct jwrite *w)
{
	static const char *const weak[] = {"PERSON", "ADDRESS", "GEO"};
	jw_key(w, "coverage");
	jw_open(w, '{');
	jw_kint(w, "entities", ENTITY_COUNT);
	jw_key(w, "languages");
	jw_open(w, '[');
	jw_strz(w, "en");
	jw_close(w, ']');
	jw_key(w, "weak");
	jw_open(w, '[');
	for (size_t i = 0; i < ARRAY_LEN(weak); i++)
		jw_strz(w, weak[i]);
	jw_close(w, ']');
	jw_close(w, '}');
}

static void write_text(const struct analysis *a, struct jwrite *w)
{
	jw_key(w, "text");
	jw_open(w, '{');
	jw_kint(w, "chars", a->stats.chars);
	jw_kint(w, "pages", a->stats.pages);
	jw_kstrz(w, "source", a->text_origin);
	jw_kbool(w, "truncated", a->text_truncated);
	jw_close(w, '}');
}

static void write_timings(const struct analysis *a, struct jwrite *w)
{
	jw_key(w, "timingsMs");
	jw_open(w, '{');
	jw_kint(w, "load", a->load_ms);
	jw_kint(w, "scan", a->scan_ms);
	jw_kint(w, "controls", a->judge_ms);
	jw_close(w, '}');
}

static void write_all(const struct analysis *a, size_t most, bool all_controls, struct buf *out)
{
	struct buf words = BUF_INIT;
	struct jwrite w = jwrite_into(out);
	jw_open(&w, '{');
	jw_kint(&w, "schema", 1);
	jw_kstr(&w, "documentId", a->document_id);
	jw_kstrz(&w, "status", "analyzed");
	buf_addf(&words, "sha256:%s", a->rules_digest);
	jw_kstr(&w, "rulesVersion", buf_str(&words));
	buf_clear(&words);
	buf_addf(&words, "%s %s", a->engine, a->engine_version);
	jw_kstr(&w, "engine", buf_str(&words));
	write_text(a, &w);
	write_summary(a, &w);
	jw_key(&w, "frameworks");
	jw_open(&w, '[');
	for (size_t i = 0; i < a->n_judged; i++)
		write_framework(a, &w, &a->judged[i], all_controls);
	jw_close(&w, ']');
	jw_kbool(&w, "controlsTruncated", !all_controls);
	write_findings(a, &w, most);
	jw_kbool(&w, "findingsTruncated", a->found->truncated || most < a->n_findings);
	buf_clear(&words);
	buf_addf(&words, "/api/documents/%.*s/findings", STR_ARG(a->document_id));
	jw_kstr(&w, "findingsRef", buf_str(&words));
	write_coverage(&w);
	jw_kstrz(&w, "disclaimer", DISCLAIMER);
	write_timings(a, &w);
	jw_close(&w, '}');
	out->failed |= words.failed;
	buf_release(&words);
}

void analysis_write(const struct analysis *a, size_t max_findings, size_t max_bytes, struct buf *out)
{
	size_t most = max_findings < a->n_findings ? max_findings : a->n_findings;
	write_all(a, most, true, out);
	while (!out->failed && out->n > max_bytes && most > 0) {
		most /= 2;
		buf_clear(out);
		write_all(a, most, true, out);
	}
	if (!out->failed && out->n > max_bytes) {
		buf_clear(out);
		write_all(a, 0, false, out);
	}
}
