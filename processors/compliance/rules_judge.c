#include <math.h>

#include "processors/compliance/rules_private.h"

#define MAX_DISTINCT 64 /* rules.schema.json has the same bound */
#define MAX_WORD_BYTES 16 /* words in a gap are not longer on average: no need to look further */

/* What speaks for a condition. */
struct evidence {
	size_t count;
	unsigned percent;
	uint32_t items[EVIDENCE_ITEMS];
	unsigned n_items;
};

static void note(struct evidence *e, const struct world *w, size_t i)
{
	const struct finding *f = &w->found->items[i];
	e->count++;
	if (f->percent > e->percent)
		e->percent = f->percent;
	if (f->entity == ENTITY_PHRASE)
		return; /* no finding that anybody is shown */
	for (unsigned k = 0; k < e->n_items; k++)
		if (e->items[k] == i)
			return;
	if (e->n_items < EVIDENCE_ITEMS)
		e->items[e->n_items++] = (uint32_t)i;
}

static void add(struct evidence *to, const struct evidence *from, const struct world *w)
{
	size_t count = to->count + from->count;
	unsigned percent = to->percent > from->percent ? to->percent : from->percent;
	for (unsigned k = 0; k < from->n_items; k++)
		note(to, w, from->items[k]);
	to->count = count;
	to->percent = percent;
}

/* ---- leaves ---- */

static bool names(const struct condition *c, const struct finding *f)
{
	if (c->kind == CONDITION_ENTITY)
		return f->entity == c->entity;
	if (c->kind == CONDITION_CATEGORY)
		return f->entity < ENTITY_COUNT && (entity_infos[f->entity].categories & c->categories);
	for (size_t i = 0; f->entity == ENTITY_PHRASE && i < c->n_phrases; i++)
		if (c->phrases[i] == f->phrase)
			return true;
	return false;
}

static bool fits(const struct condition *c, const struct finding *f)
{
	return names(c, f) && f->percent >= c->least_percent && (c->form == FORM_ANY || (c->form == FORM_MASKED) == f->masked);
}

static bool is_new(const struct world *w, const struct finding *f, const size_t *kept, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (memcmp(f->hash, w->found->items[kept[k]].hash, sizeof(f->hash)) == 0)
			return false;
	return true;
}

/* Are there that many different values? */
static bool enough_distinct(const struct condition *c, const struct world *w)
{
	size_t kept[MAX_DISTINCT], n = 0;
	for (size_t i = 0; i < w->found->n && n < c->least_distinct; i++)
		if (fits(c, &w->found->items[i]) && is_new(w, &w->found->items[i], kept, n))
			kept[n++] = i;
	return n >= c->least_distinct;
}

static bool judge_leaf(const struct condition *c, const struct world *w, struct evidence *e)
{
	for (size_t i = 0; i < w->found->n; i++)
		if (fits(c, &w->found->items[i]))
			note(e, w, i);
	return e->count >= c->least_count && e->count > 0 && (c->least_distinct <= 1 || enough_distinct(c, w));
}

/* ---- nearness ---- */

static bool few_words(const struct world *w, size_t from, size_t to, unsigned most)
{
	unsigned words = 0;
	bool inside = false;
	if (to <= from)
		return true;
	if (to - from > (size_t)(most + 1) * MAX_WORD_BYTES)
		return false;
	for (size_t i = from; i < to && words <= most; i++) {
		bool space = (unsigned char)w->text.p[i] <= ' ';
		words += !space && !inside;
		inside = !space;
	}
	return words <= most;
}

static bool close_enough(const struct condition *all, const struct world *w, const struct finding *a, const struct finding *b)
{
	const struct finding *first = a->start <= b->start ? a : b, *second = first == a ? b : a;
	if (all->reach == REACH_PAGE)
		return a->page == b->page;
	if (all->reach == REACH_CHARS)
		return second->start <= first->end || second->start - first->end <= all->distance;
	return few_words(w, first->end, second->start, all->distance);
}

/* May something that begins so far away still be near? Findings are sorted by where they begin; keys and tokens are the longest. */
static bool out_of_reach(const struct condition *all, const struct finding *a, const struct finding *b)
{
	size_t apart = a->start > b->start ? a->start - b->start : b->start - a->start;
	if (all->reach == REACH_PAGE)
		return a->page != b->page;
	return apart > 8192 + (size_t)(all->reach == REACH_CHARS ? all->distance : all->distance * MAX_WORD_BYTES);
}

/* The finding nearest in order that fits `other` and is close to finding i; SIZE_MAX without. */
static size_t neighbour(const struct condition *all, const struct condition *other, const struct world *w, size_t i)
{
	const struct finding *items = w->found->items;
	for (size_t k = i + 1; k < w->found->n && !out_of_reach(all, &items[i], &items[k]); k++)
		if (fits(other, &items[k])) {
			if (close_enough(all, w, &items[i], &items[k]))
				return k;
			break; /* the next ones are further away */
		}
	for (size_t k = i; k-- > 0 && !out_of_reach(all, &items[i], &items[k]);)
		if (fits(other, &items[k]) && close_enough(all, w, &items[i], &items[k]))
			return k;
	return SIZE_MAX;
}

static bool judge_near(const struct condition *c, const struct world *w, struct evidence *e)
{
	size_t anchors = 0;
	for (size_t k = 0; k < c->n_children; k++)
		if (!judge_leaf(&c->children[k], w, &(struct evidence){0}))
			return false;
	for (size_t i = 0; i < w->found->n; i++) {
		size_t found[32], n = 0;
		if (!fits(&c->children[0], &w->found->items[i]))
			continue;
		for (size_t k = 1; k < c->n_children && k <= ARRAY_LEN(found); k++) {
			size_t at = neighbour(c, &c->children[k], w, i);
			if (at == SIZE_MAX)
				break;
			found[n++] = at;
		}
		if (n + 1 < c->n_children)
			continue;
		anchors++;
		note(e, w, i);
		for (size_t k = 0; k < n; k++)
			note(e, w, found[k]);
	}
	e->count = anchors;
	return anchors >= c->children[0].least_count;
}

/* ---- conditions ---- */

static bool judge(const struct condition *c, const struct world *w, struct evidence *e);

static bool judge_all(const struct condition *c, const struct world *w, struct evidence *e)
{
	if (c->reach != REACH_DOCUMENT)
		return judge_near(c, w, e);
	for (size_t i = 0; i < c->n_children; i++) {
		struct evidence one = {0};
		if (!judge(&c->children[i], w, &one))
			return false;
		add(e, &one, w);
	}
	return true;
}

static bool judge_any(const struct condition *c, const struct world *w, struct evidence *e)
{
	bool any = false;
	for (size_t i = 0; i < c->n_children; i++) {
		struct evidence one = {0};
		if (!judge(&c->children[i], w, &one))
			continue;
		add(e, &one, w);
		any = true;
	}
	return any;
}

static bool judge_not(const struct condition *c, const struct world *w, struct evidence *e)
{
	(void)e;
	return !judge(&c->children[0], w, &(struct evidence){0});
}

static bool judge(const struct condition *c, const struct world *w, struct evidence *e)
{
	static bool (*const by_kind[])(const struct condition *, const struct world *, struct evidence *) = {
		[CONDITION_ALL] = judge_all,       [CONDITION_ANY] = judge_any,           [CONDITION_NOT] = judge_not,
		[CONDITION_ENTITY] = judge_leaf,   [CONDITION_CATEGORY] = judge_leaf,     [CONDITION_TERM] = judge_leaf,
	};
	return by_kind[c->kind](c, w, e);
}

/* ---- rules ---- */

static void judge_checklist(const struct rule *r, const struct world *w, struct verdict *v)
{
	for (size_t i = 0; i < r->n_checklist; i++)
		if (!judge(r->checklist[i].when, w, &(struct evidence){0}))
			v->missing |= 1u << i;
	v->status = v->missing ? STATUS_EVIDENCE_MISSING : STATUS_EVIDENCE_FOUND;
	v->count = (size_t)__builtin_popcount(v->missing);
	v->percent = 100;
}

static void judge_rule(const struct rule *r, const struct world *w, struct verdict *v)
{
	static const enum rule_status when_true[] = {
		[RULE_VIOLATION] = STATUS_VIOLATION,
		[RULE_REVIEW] = STATUS_NEEDS_REVIEW,
		[RULE_OBLIGATION] = STATUS_OBLIGATION,
		[RULE_EVIDENCE] = STATUS_EVIDENCE_FOUND,
	};
	struct evidence e = {0};
	*v = (struct verdict){.status = STATUS_NOT_ASSESSABLE};
	if (r->kind == RULE_NOT_ASSESSABLE)
		return;
	v->status = STATUS_NOT_APPLICABLE;
	if (r->applies && !judge(r->applies, w, &e))
		return;
	if (r->checklist) {
		judge_checklist(r, w, v);
		return;
	}
	e = (struct evidence){0};
	bool yes = judge(r->when, w, &e);
	v->status = yes ? when_true[r->kind] : r->kind == RULE_EVIDENCE ? STATUS_EVIDENCE_MISSING : STATUS_NOT_TRIGGERED;
	v->count = yes ? e.count : 1;
	v->percent = yes && e.percent ? e.percent : 100;
	v->n_items = yes ? e.n_items : 0;
	memcpy(v->items, e.items, sizeof(v->items));
}

void rules_judge(const struct framework *f, const struct world *w, struct verdict *verdicts)
{
	for (size_t i = 0; i < f->n_rules; i++)
		judge_rule(&f->rules[i], w, &verdicts[i]);
}

const char *rule_status_word(enum rule_status s)
{
	static const char *const words[] = {
		[STATUS_NOT_TRIGGERED] = "not_triggered",       [STATUS_NOT_APPLICABLE] = "not_applicable",
		[STATUS_NOT_ASSESSABLE] = "not_assessable",     [STATUS_EVIDENCE_FOUND] = "evidence_found",
		[STATUS_EVIDENCE_MISSING] = "evidence_missing", [STATUS_OBLIGATION] = "obligation",
		[STATUS_NEEDS_REVIEW] = "needs_review",         [STATUS_VIOLATION] = "violation",
	};
	return words[s];
}

const char *rule_kind_word(enum rule_kind k)
{
	static const char *const words[] = {"violation", "review", "obligation", "evidence", "not_assessable"};
	return words[k];
}

const char *rule_severity_word(enum rule_severity s)
{
	static const char *const words[] = {"none", "low", "medium", "high", "critical"};
	return words[s];
}

unsigned rules_risk(const struct framework *f, const struct verdict *verdicts)
{
	static const double weights[] = {0, 0.05, 0.15, 0.35, 0.6};
	double spared = 1;
	for (size_t i = 0; i < f->n_rules; i++) {
		const struct verdict *v = &verdicts[i];
		if (v->status < STATUS_EVIDENCE_MISSING)
			continue;
		double volume = log2(1 + (double)v->count) / 5;
		spared *= 1 - weights[f->rules[i].severity] * (v->percent / 100.0) * (volume < 1 ? volume : 1);
	}
	return (unsigned)lround(100 * (1 - spared));
}

enum rule_severity rules_level(const struct framework *f, const struct verdict *verdicts)
{
	enum rule_severity worst = SEVERITY_NONE;
	for (size_t i = 0; i < f->n_rules; i++)
		if (verdicts[i].status >= STATUS_EVIDENCE_MISSING && f->rules[i].severity > worst)
			worst = f->rules[i].severity;
	return worst;
}
