#include <stdarg.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/schema/pointer.h"
#include "lib/schema/run.h"

#define DEPTH_MAX 64u        /* subschemas within subschemas: what the stack has to hold */
#define WORK_MAX 2000000u    /* subschemas applied in one check */
#define PATTERN_MAX_MS 2000 /* of one check in which patterns are matched */
#define DETAIL_SIZE 512

void schema_report_add(struct schema_report *r, struct str pointer, const char *fmt, ...)
{
	if (r->count >= SCHEMA_MAX_ISSUES)
		return;
	char detail[DETAIL_SIZE];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	struct schema_issue *issue = arena_zalloc(r->arena, sizeof(*issue));
	if (!issue)
		return;
	issue->pointer = arena_dup(r->arena, pointer);
	issue->detail = arena_dup(r->arena, str_from(detail));
	if (!issue->pointer.p || !issue->detail.p)
		return;
	if (r->last)
		r->last->next = issue;
	else
		r->first = issue;
	r->last = issue;
	r->count++;
}

/* The pointer to a node of the checked document, and one segment more when `member` is given. */
static void report(struct run *r, uint32_t node, const struct str *member, const char *sentence)
{
	struct buf place = BUF_INIT;
	buf_adds(&place, r->prefix);
	pointer_to(&place, r->outer ? r->outer : r->doc, r->base, r->outer ? r->name_of : node, r->report->arena);
	if (member)
		pointer_add(&place, *member);
	schema_report_add(r->report, buf_str(&place), "%s%s", r->outer ? "the name " : "", sentence);
	buf_release(&place);
}

bool run_reject(struct run *r, uint32_t node, const char *fmt, ...)
{
	if (r->quiet || r->rc < 0)
		return false;
	char sentence[DETAIL_SIZE];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);
	report(r, node, NULL, sentence);
	return false;
}

bool run_reject_member(struct run *r, uint32_t node, struct str name, const char *sentence)
{
	if (!r->quiet && r->rc == 0)
		report(r, node, &name, sentence);
	return false;
}

bool run_give_up(struct run *r, int rc)
{
	if (r->rc == 0)
		r->rc = rc;
	return false;
}

bool run_enough(const struct run *r)
{
	return r->quiet || r->rc < 0 || r->report->count >= SCHEMA_MAX_ISSUES;
}

bool run_pattern(struct run *r, const pcre2_code *pattern, struct str subject)
{
	if (!r->match) {
		r->match = pcre2_match_data_create(1, NULL);
		r->deadline_mono_ms = clock_mono_ms() + PATTERN_MAX_MS;
	}
	if (!r->match)
		return run_give_up(r, ERR_NOMEM);
	int rc = pcre2_match(pattern, (PCRE2_SPTR)subject.p, subject.n, 0, PCRE2_NO_UTF_CHECK, r->match, r->schema->match);
	if (rc == PCRE2_ERROR_NOMEMORY)
		return run_give_up(r, ERR_NOMEM);
	if ((rc < 0 && rc != PCRE2_ERROR_NOMATCH) || clock_mono_ms() > r->deadline_mono_ms)
		return run_give_up(r, ERR_LIMIT);
	return rc >= 0;
}

/* ---- members and items ---- */

/* Checks a member's name as if it were a string of its own. */
static bool check_name(struct run *r, const struct sub *names, uint32_t member)
{
	const struct jdoc *outer = r->doc;
	const struct jnode *n = &outer->nodes[member];
	struct jnode name = {
		.off = n->key_off - 1, .len = n->key_len + 2, .end = 1, .type = J_STRING, .escaped = n->key_escaped,
	};
	struct jdoc doc = {.text = outer->text, .nodes = &name, .n_nodes = 1};
	r->outer = outer;
	r->name_of = member;
	r->doc = &doc;
	bool ok = run_sub(r, names, JDOC_ROOT);
	r->doc = outer;
	r->outer = NULL;
	return ok;
}

static bool check_member(struct run *r, const struct sub *sub, uint32_t member)
{
	struct str name = jdoc_key(r->doc, member, r->report->arena);
	if (!name.p)
		return run_give_up(r, ERR_NOMEM);
	const struct sub *property = table_get(&sub->properties, name);
	bool ok = true, known = property;
	if (property)
		ok = run_sub(r, property, member);
	for (const struct pattern_sub *p = sub->patterns; p && (ok || !run_enough(r)); p = p->next)
		if (run_pattern(r, p->pattern, name)) {
			known = true;
			ok &= run_sub(r, p->sub, member);
		}
	if (!known && sub->additional)
		ok = sub->additional->never ? run_reject(r, member, "is not known here") : run_sub(r, sub->additional, member);
	if (sub->names && (ok || !run_enough(r)))
		ok &= check_name(r, sub->names, member);
	return ok;
}

static bool check_members(struct run *r, const struct sub *sub, uint32_t node)
{
	bool ok = true;
	for (uint32_t c = jdoc_first(r->doc, node); c != JDOC_NONE && (ok || !run_enough(r)); c = jdoc_next(r->doc, node, c))
		ok &= check_member(r, sub, c);
	return ok;
}

static bool check_items(struct run *r, const struct sub *sub, uint32_t node)
{
	bool ok = true;
	uint32_t position = 0;
	for (uint32_t c = jdoc_first(r->doc, node); c != JDOC_NONE && (ok || !run_enough(r)); c = jdoc_next(r->doc, node, c)) {
		const struct sub *item = position < sub->n_prefix ? sub->prefix[position] : sub->items;
		position++;
		if (item)
			ok &= run_sub(r, item, c);
	}
	return ok;
}

/* ---- one subschema ---- */

static bool check_all_of(struct run *r, const struct sub *sub, uint32_t node)
{
	enum jtype type = jdoc_type(r->doc, node);
	bool ok = true;
	for (const struct check *k = sub->checks; k && (ok || !run_enough(r)); k = k->next)
		if (k->types & TYPE_BIT(type))
			ok &= k->fn(r, k, node);
	if (!ok && run_enough(r))
		return false;
	if (type == J_OBJECT && (sub->properties.count || sub->patterns || sub->additional || sub->names))
		ok &= check_members(r, sub, node);
	if (type == J_ARRAY && (sub->items || sub->n_prefix))
		ok &= check_items(r, sub, node);
	return ok;
}

bool run_sub(struct run *r, const struct sub *sub, uint32_t node)
{
	while (sub->alias)
		sub = sub->alias;
	if (sub->never)
		return run_reject(r, node, "is not allowed");
	if (r->rc < 0 || ++r->work > WORK_MAX || r->depth == DEPTH_MAX)
		return run_give_up(r, ERR_LIMIT);
	r->depth++;
	bool ok = check_all_of(r, sub, node);
	r->depth--;
	return ok && r->rc == 0;
}

int schema_check(const struct schema *s, const struct jdoc *doc, uint32_t node, struct str prefix, struct schema_report *report_to)
{
	struct run r = {.schema = s, .doc = doc, .base = node, .prefix = prefix, .report = report_to};
	bool ok = run_sub(&r, s->root, node);
	pcre2_match_data_free(r.match);
	if (r.rc == ERR_LIMIT)
		schema_report_add(report_to, prefix, "is too deep or too costly to check");
	return r.rc < 0 ? r.rc : ok ? 0 : ERR_INVALID;
}
