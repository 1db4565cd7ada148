#include <stdarg.h>

#include "lib/base/err.h"
#include "lib/base/id.h"
#include "lib/schema/keywords.h"
#include "lib/schema/pointer.h"
#include "lib/schema/run.h"

/* What one match may cost: a pattern that backtracks without end is cut off long before a second has passed. */
#define MATCH_LIMIT 100000u
#define MATCH_DEPTH_LIMIT 10000u
#define MATCH_HEAP_KIB 4096u

int compile_fail(struct compiler *c, uint32_t node, int code, const char *fmt, ...)
{
	char sentence[160];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);
	struct buf place = BUF_INIT;
	pointer_to(&place, &c->schema->doc, JDOC_ROOT, node, &c->schema->arena);
	(void)err_set(c->err, code, "#%s: %s", buf_str(&place).p, sentence);
	buf_release(&place);
	return code;
}

int compile_sub(struct compiler *c, uint32_t node, struct sub **out)
{
	struct schema *s = c->schema;
	enum jtype type = jdoc_type(&s->doc, node);
	if (type != J_OBJECT && type != J_TRUE && type != J_FALSE)
		return compile_fail(c, node, ERR_INVALID, "a schema is an object, true or false");
	*out = s->by_node[node];
	if (*out)
		return 0;
	struct sub *sub = arena_zalloc(&s->arena, sizeof(*sub));
	if (!sub)
		return compile_fail(c, node, ERR_NOMEM, "out of memory");
	*sub = (struct sub){.next = s->subs, .to_do = c->to_do, .node = node, .never = type == J_FALSE};
	s->subs = s->by_node[node] = c->to_do = *out = sub;
	return 0;
}

static int compile_keyword(struct compiler *c, struct sub *sub, uint32_t operand)
{
	struct str name = jdoc_key(&c->schema->doc, operand, &c->schema->arena);
	const struct keyword *kw = keyword_find(name);
	if (!kw)
		return compile_fail(c, operand, ERR_INVALID, "this keyword is not known here");
	return kw->compile(c, sub, kw, operand);
}

/* Checks were put at the front of the list: turns them into the order of the document. */
static void reverse_checks(struct sub *sub)
{
	struct check *reversed = NULL, *next;
	for (struct check *k = sub->checks; k; k = next) {
		next = k->next;
		k->next = reversed;
		reversed = k;
	}
	sub->checks = reversed;
}

static int compile_keywords(struct compiler *c, struct sub *sub)
{
	const struct jdoc *doc = &c->schema->doc;
	for (uint32_t n = jdoc_first(doc, sub->node); n != JDOC_NONE; n = jdoc_next(doc, sub->node, n)) {
		int rc = compile_keyword(c, sub, n);
		if (rc < 0)
			return rc;
	}
	reverse_checks(sub);
	return 0;
}

/* Adds `by` to the in-degree of all that sub applies in place; those that reach 0 are put on the list. */
static struct sub *count_edges(const struct sub *sub, int by, struct sub *list)
{
	for (const struct check *k = sub->checks; k; k = k->next)
		for (uint32_t i = 0; k->in_place && i < k->n_subs; i++) {
			struct sub *to = k->subs[i];
			to->in_degree += (unsigned)by;
			if (by < 0 && to->in_degree == 0) {
				to->to_do = list;
				list = to;
			}
		}
	return list;
}

/* A subschema that leads back to itself without stepping into the value would never end. What is left when everything that
 * nobody applies has been taken away, again and again, lies on such a circle or behind one (Kahn, 1962). */
static int refuse_circles(struct compiler *c)
{
	struct sub *list = NULL;
	for (struct sub *sub = c->schema->subs; sub; sub = sub->next)
		(void)count_edges(sub, 1, NULL);
	for (struct sub *sub = c->schema->subs; sub; sub = sub->next)
		if (sub->in_degree == 0) {
			sub->to_do = list;
			list = sub;
		}
	while (list) {
		const struct sub *sub = list;
		list = count_edges(sub, -1, sub->to_do);
	}
	for (const struct sub *sub = c->schema->subs; sub; sub = sub->next)
		if (sub->in_degree > 0)
			return compile_fail(c, sub->node, ERR_INVALID, "this schema refers to itself for the same value");
	return 0;
}

static int compile_all(struct compiler *c)
{
	int rc = compile_sub(c, JDOC_ROOT, &c->schema->root);
	while (rc == 0 && c->to_do) {
		struct sub *sub = c->to_do;
		c->to_do = sub->to_do;
		rc = compile_keywords(c, sub);
	}
	return rc < 0 ? rc : refuse_circles(c);
}

static int prepare(struct schema *s, struct str text, struct err *err)
{
	id_random(s->secret, sizeof(s->secret));
	s->text = arena_dup(&s->arena, text);
	s->match = pcre2_match_context_create(NULL);
	if (!s->text.p || !s->match)
		return err_set(err, ERR_NOMEM, "out of memory");
	(void)pcre2_set_match_limit(s->match, MATCH_LIMIT);
	(void)pcre2_set_depth_limit(s->match, MATCH_DEPTH_LIMIT);
	(void)pcre2_set_heap_limit(s->match, MATCH_HEAP_KIB);
	struct jdoc_fault fault;
	int rc = jdoc_parse(&s->doc, &s->arena, s->text, &JDOC_LIMITS, &fault);
	if (rc < 0)
		return err_set(err, rc, "byte %u: %s", fault.offset, fault.reason);
	s->by_node = arena_array(&s->arena, s->doc.n_nodes, sizeof(struct sub *));
	return s->by_node ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

struct schema *schema_compile(struct str text, struct err *err)
{
	struct schema *s = calloc(1, sizeof(*s));
	if (!s) {
		(void)err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	arena_init(&s->arena, 0);
	struct compiler c = {.schema = s, .err = err};
	if (prepare(s, text, err) < 0 || compile_all(&c) < 0) {
		schema_free(s);
		return NULL;
	}
	return s;
}

static void release_sub(struct sub *sub)
{
	for (const struct check *k = sub->checks; k; k = k->next)
		if (k->fn == check_pattern)
			pcre2_code_free(k->pattern);
	for (const struct pattern_sub *p = sub->patterns; p; p = p->next)
		pcre2_code_free(p->pattern);
	table_release(&sub->properties);
}

void schema_free(struct schema *s)
{
	if (!s)
		return;
	for (struct sub *sub = s->subs; sub; sub = sub->next)
		release_sub(sub);
	pcre2_match_context_free(s->match);
	arena_release(&s->arena);
	free(s);
}

struct str schema_text(const struct schema *s)
{
	return s->text;
}
