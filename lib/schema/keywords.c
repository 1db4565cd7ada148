#include "lib/schema/keywords.h"

#include "lib/base/err.h"
#include "lib/schema/format.h"
#include "lib/schema/pointer.h"
#include "lib/schema/run.h"
#include "lib/schema/valuehash.h"

static int out_of_memory(struct compiler *c, uint32_t node)
{
	return compile_fail(c, node, ERR_NOMEM, "out of memory");
}

static int expect(struct compiler *c, uint32_t node, enum jtype type, const char *what)
{
	if (jdoc_type(&c->schema->doc, node) == type)
		return 0;
	return compile_fail(c, node, ERR_INVALID, "must be %s", what);
}

static struct check *add_check(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	struct check *k = arena_zalloc(&c->schema->arena, sizeof(*k));
	if (!k) {
		(void)out_of_memory(c, operand);
		return NULL;
	}
	*k = (struct check){.fn = kw->check, .next = sub->checks, .types = kw->types, .operand = operand};
	sub->checks = k;
	return k;
}

/* ---- assertions ---- */

static int type_mask(struct compiler *c, uint32_t node, unsigned *mask)
{
	static const struct {
		const char *name;
		unsigned bits;
	} types[] = {
		{"null", TYPE_BIT(J_NULL)},     {"boolean", TYPE_BOOLEAN},      {"number", TYPE_BIT(J_NUMBER)}, {"integer", TYPE_INTEGER},
		{"string", TYPE_BIT(J_STRING)}, {"array", TYPE_BIT(J_ARRAY)}, {"object", TYPE_BIT(J_OBJECT)},
	};
	struct str name = jdoc_string(&c->schema->doc, node, &c->schema->arena);
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_is(name, types[i].name)) {
			*mask |= types[i].bits;
			return 0;
		}
	return compile_fail(c, node, ERR_INVALID, "this is no type");
}

static int compile_type(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	const struct jdoc *doc = &c->schema->doc;
	unsigned mask = 0;
	if (jdoc_type(doc, operand) != J_ARRAY && type_mask(c, operand, &mask) < 0)
		return ERR_INVALID;
	if (jdoc_type(doc, operand) == J_ARRAY)
		for (uint32_t n = jdoc_first(doc, operand); n != JDOC_NONE; n = jdoc_next(doc, operand, n))
			if (type_mask(c, n, &mask) < 0)
				return ERR_INVALID;
	if (mask == 0)
		return compile_fail(c, operand, ERR_INVALID, "must name a type");
	struct check *k = add_check(c, sub, kw, operand);
	if (!k)
		return ERR_NOMEM;
	k->count = mask;
	return 0;
}

static int compile_enum(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	struct schema *s = c->schema;
	int rc = expect(c, operand, J_ARRAY, "an array");
	if (rc < 0)
		return rc;
	struct check *k = add_check(c, sub, kw, operand);
	if (!k)
		return ERR_NOMEM;
	k->n_hashes = s->doc.nodes[operand].count;
	k->hashes = arena_alloc(&s->arena, k->n_hashes * sizeof(*k->hashes));
	if (!k->hashes || valuehash_items(&s->doc, operand, s->secret, &s->arena, k->hashes) < 0)
		return out_of_memory(c, operand);
	return 0;
}

static int compile_const(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	struct schema *s = c->schema;
	struct check *k = add_check(c, sub, kw, operand);
	if (!k)
		return ERR_NOMEM;
	k->n_hashes = 1;
	k->hashes = arena_alloc(&s->arena, sizeof(*k->hashes));
	if (!k->hashes || valuehash(&s->doc, operand, s->secret, &s->arena, k->hashes) < 0)
		return out_of_memory(c, operand);
	return 0;
}

static int compile_number(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	int rc = expect(c, operand, J_NUMBER, "a number");
	if (rc < 0)
		return rc;
	struct check *k = add_check(c, sub, kw, operand);
	if (!k)
		return ERR_NOMEM;
	k->number = jnum_read(jdoc_raw(&c->schema->doc, operand));
	return 0;
}

static int compile_multiple(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	int rc = compile_number(c, sub, kw, operand);
	if (rc < 0)
		return rc;
	const struct jnum *n = &sub->checks->number;
	if (n->n_digits == 0 || n->negative || n->n_digits > JNUM_DIVISOR_DIGITS)
		return compile_fail(c, operand, ERR_INVALID, "must be above 0, with at most %d digits", JNUM_DIVISOR_DIGITS);
	return 0;
}

static int compile_count(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	int64_t count;
	if (jdoc_int(&c->schema->doc, operand, &count) < 0 || count < 0)
		return compile_fail(c, operand, ERR_INVALID, "must be an integer that is not negative");
	struct check *k = add_check(c, sub, kw, operand);
	if (!k)
		return ERR_NOMEM;
	k->count = (uint64_t)count;
	return 0;
}

static int compile_flag(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	enum jtype type = jdoc_type(&c->schema->doc, operand);
	if (type != J_TRUE && type != J_FALSE)
		return compile_fail(c, operand, ERR_INVALID, "must be true or false");
	return type == J_FALSE || add_check(c, sub, kw, operand) ? 0 : ERR_NOMEM;
}

/* ECMA 262's reading where PCRE differs and can follow: $ only at the very end, \uXXXX is a character. */
static int compile_regex(struct compiler *c, uint32_t node, struct str text, pcre2_code **out)
{
	const uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX;
	int code;
	PCRE2_SIZE offset;
	*out = text.p ? pcre2_compile((PCRE2_SPTR)text.p, text.n, options, &code, &offset, NULL) : NULL;
	if (*out)
		return 0;
	if (!text.p || code == PCRE2_ERROR_NOMEMORY)
		return out_of_memory(c, node);
	PCRE2_UCHAR why[120];
	(void)pcre2_get_error_message(code, why, sizeof(why));
	return compile_fail(c, node, ERR_INVALID, "the pattern is wrong at its byte %zu: %s", offset, (const char *)why);
}

static int compile_pattern(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	int rc = expect(c, operand, J_STRING, "a pattern");
	if (rc < 0)
		return rc;
	struct check *k = add_check(c, sub, kw, operand);
	if (!k)
		return ERR_NOMEM;
	return compile_regex(c, operand, jdoc_string(&c->schema->doc, operand, &c->schema->arena), &k->pattern);
}

static int compile_format(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	const struct format *f = format_find(jdoc_string(&c->schema->doc, operand, &c->schema->arena));
	if (!f)
		return compile_fail(c, operand, ERR_INVALID, "this format is not known here");
	struct check *k = add_check(c, sub, kw, operand);
	if (!k)
		return ERR_NOMEM;
	k->format = f;
	return 0;
}

static int compile_required(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	struct schema *s = c->schema;
	int rc = expect(c, operand, J_ARRAY, "an array of names");
	if (rc < 0)
		return rc;
	struct check *k = add_check(c, sub, kw, operand);
	if (!k)
		return ERR_NOMEM;
	k->names = arena_array(&s->arena, s->doc.nodes[operand].count, sizeof(*k->names));
	if (!k->names)
		return out_of_memory(c, operand);
	for (uint32_t n = jdoc_first(&s->doc, operand); n != JDOC_NONE; n = jdoc_next(&s->doc, operand, n)) {
		if ((rc = expect(c, n, J_STRING, "a name")) < 0)
			return rc;
		k->names[k->n_names] = jdoc_string(&s->doc, n, &s->arena);
		if (!k->names[k->n_names++].p)
			return out_of_memory(c, n);
	}
	return 0;
}

/* ---- applicators ---- */

static int compile_list(struct compiler *c, uint32_t operand, struct sub ***subs, uint32_t *n_subs)
{
	const struct jdoc *doc = &c->schema->doc;
	if (jdoc_first(doc, operand) == JDOC_NONE || jdoc_type(doc, operand) != J_ARRAY)
		return compile_fail(c, operand, ERR_INVALID, "must be an array of schemas");
	*subs = arena_array(&c->schema->arena, doc->nodes[operand].count, sizeof(struct sub *));
	if (!*subs)
		return out_of_memory(c, operand);
	for (uint32_t n = jdoc_first(doc, operand); n != JDOC_NONE; n = jdoc_next(doc, operand, n)) {
		int rc = compile_sub(c, n, &(*subs)[(*n_subs)++]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int compile_forms(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	struct check *k = add_check(c, sub, kw, operand);
	if (!k)
		return ERR_NOMEM;
	k->in_place = true;
	return compile_list(c, operand, &k->subs, &k->n_subs);
}

/* `not`, and a $ref once its target is found: one subschema that applies to the same value. */
static int compile_form(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t node)
{
	struct check *k = add_check(c, sub, kw, node);
	if (!k)
		return ERR_NOMEM;
	k->subs = arena_array(&c->schema->arena, 1, sizeof(struct sub *));
	if (!k->subs)
		return out_of_memory(c, node);
	k->in_place = true;
	k->n_subs = 1;
	return compile_sub(c, node, &k->subs[0]);
}

static int compile_ref(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	struct schema *s = c->schema;
	struct str ref = jdoc_string(&s->doc, operand, &s->arena);
	if (!ref.p || !str_starts(ref, STR("#")) || memchr(ref.p, '%', ref.n))
		return compile_fail(c, operand, ERR_INVALID, "must point into this document, such as #/$defs/name");
	uint32_t target = pointer_find(&s->doc, str_sub(ref, 1, ref.n - 1), &s->arena);
	if (target == JDOC_NONE)
		return compile_fail(c, operand, ERR_INVALID, "points to nothing");
	int rc = compile_form(c, sub, kw, target);
	if (rc == 0 && s->doc.nodes[sub->node].count == 1)
		sub->alias = sub->checks->subs[0];
	return rc;
}

static int compile_defs(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	(void)sub;
	(void)kw;
	const struct jdoc *doc = &c->schema->doc;
	int rc = expect(c, operand, J_OBJECT, "an object of schemas");
	struct sub *def;
	for (uint32_t n = jdoc_first(doc, operand); rc == 0 && n != JDOC_NONE; n = jdoc_next(doc, operand, n))
		rc = compile_sub(c, n, &def);
	return rc;
}

static int compile_properties(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	(void)kw;
	struct schema *s = c->schema;
	int rc = expect(c, operand, J_OBJECT, "an object of schemas");
	if (rc < 0)
		return rc;
	table_init(&sub->properties);
	for (uint32_t n = jdoc_first(&s->doc, operand); n != JDOC_NONE; n = jdoc_next(&s->doc, operand, n)) {
		struct sub *property;
		if ((rc = compile_sub(c, n, &property)) < 0)
			return rc;
		struct str name = jdoc_key(&s->doc, n, &s->arena);
		if (!name.p || table_put(&sub->properties, name, property) < 0)
			return out_of_memory(c, n);
	}
	return 0;
}

static int compile_pattern_properties(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	(void)kw;
	struct schema *s = c->schema;
	int rc = expect(c, operand, J_OBJECT, "an object of schemas");
	if (rc < 0)
		return rc;
	for (uint32_t n = jdoc_first(&s->doc, operand); n != JDOC_NONE; n = jdoc_next(&s->doc, operand, n)) {
		struct pattern_sub *p = arena_zalloc(&s->arena, sizeof(*p));
		if (!p)
			return out_of_memory(c, n);
		p->next = sub->patterns;
		sub->patterns = p;
		rc = compile_regex(c, n, jdoc_key(&s->doc, n, &s->arena), &p->pattern);
		if (rc < 0 || (rc = compile_sub(c, n, &p->sub)) < 0)
			return rc;
	}
	return 0;
}

static int compile_additional(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	(void)kw;
	return compile_sub(c, operand, &sub->additional);
}

static int compile_names(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	(void)kw;
	return compile_sub(c, operand, &sub->names);
}

static int compile_items(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	(void)kw;
	return compile_sub(c, operand, &sub->items);
}

static int compile_prefix(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	(void)kw;
	return compile_list(c, operand, &sub->prefix, &sub->n_prefix);
}

/* ---- annotations ---- */

static int compile_nothing(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	(void)c;
	(void)sub;
	(void)kw;
	(void)operand;
	return 0;
}

static int compile_dialect(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	(void)sub;
	(void)kw;
	struct str uri = jdoc_string(&c->schema->doc, operand, &c->schema->arena);
	if (!str_is(uri, "https://json-schema.org/draft/2020-12/schema"))
		return compile_fail(c, operand, ERR_INVALID, "only the dialect 2020-12 is known here");
	return 0;
}

/* Below the root an $id would change what a $ref means. */
static int compile_id(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand)
{
	(void)kw;
	if (sub->node != JDOC_ROOT)
		return compile_fail(c, operand, ERR_INVALID, "may stand at the root only");
	return expect(c, operand, J_STRING, "a URI");
}

#define NUMBER TYPE_BIT(J_NUMBER)
#define STRING TYPE_BIT(J_STRING)
#define ARRAY TYPE_BIT(J_ARRAY)
#define OBJECT TYPE_BIT(J_OBJECT)

static const struct keyword keywords[] = {
	{"type", compile_type, check_type, TYPE_ANY},
	{"enum", compile_enum, check_enum, TYPE_ANY},
	{"const", compile_const, check_const, TYPE_ANY},
	{"minimum", compile_number, check_minimum, NUMBER},
	{"maximum", compile_number, check_maximum, NUMBER},
	{"exclusiveMinimum", compile_number, check_above, NUMBER},
	{"exclusiveMaximum", compile_number, check_below, NUMBER},
	{"multipleOf", compile_multiple, check_multiple, NUMBER},
	{"minLength", compile_count, check_min_length, STRING},
	{"maxLength", compile_count, check_max_length, STRING},
	{"pattern", compile_pattern, check_pattern, STRING},
	{"format", compile_format, check_format, STRING},
	{"items", compile_items, NULL, ARRAY},
	{"prefixItems", compile_prefix, NULL, ARRAY},
	{"minItems", compile_count, check_min_items, ARRAY},
	{"maxItems", compile_count, check_max_items, ARRAY},
	{"uniqueItems", compile_flag, check_unique, ARRAY},
	{"properties", compile_properties, NULL, OBJECT},
	{"required", compile_required, check_required, OBJECT},
	{"additionalProperties", compile_additional, NULL, OBJECT},
	{"patternProperties", compile_pattern_properties, NULL, OBJECT},
	{"propertyNames", compile_names, NULL, OBJECT},
	{"minProperties", compile_count, check_min_members, OBJECT},
	{"maxProperties", compile_count, check_max_members, OBJECT},
	{"allOf", compile_forms, check_all, TYPE_ANY},
	{"anyOf", compile_forms, check_any, TYPE_ANY},
	{"oneOf", compile_forms, check_one, TYPE_ANY},
	{"not", compile_form, check_not, TYPE_ANY},
	{"$ref", compile_ref, check_all, TYPE_ANY},
	{"$defs", compile_defs, NULL, TYPE_ANY},
	{"$schema", compile_dialect, NULL, TYPE_ANY},
	{"$id", compile_id, NULL, TYPE_ANY},
	{"$comment", compile_nothing, NULL, TYPE_ANY},
	{"title", compile_nothing, NULL, TYPE_ANY},
	{"description", compile_nothing, NULL, TYPE_ANY},
	{"default", compile_nothing, NULL, TYPE_ANY},
	{"examples", compile_nothing, NULL, TYPE_ANY},
	{"deprecated", compile_nothing, NULL, TYPE_ANY},
};

const struct keyword *keyword_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
		if (str_is(name, keywords[i].name))
			return &keywords[i];
	return NULL;
}
