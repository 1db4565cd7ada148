/* What the keywords assert: each function checks one keyword on one value of a type that the keyword is for. */
#include <inttypes.h>

#include "lib/base/err.h"
#include "lib/base/id.h"
#include "lib/schema/format.h"
#include "lib/schema/run.h"
#include "lib/schema/valuehash.h"

#define QUOTE_MAX 200 /* bytes of a value or a list that a sentence repeats */

/* A part of a document for a sentence, cut at a whole character. */
static struct str quoted(const struct jdoc *doc, uint32_t node)
{
	struct str raw = jdoc_raw(doc, node);
	if (raw.n <= QUOTE_MAX)
		return raw;
	raw.n = QUOTE_MAX;
	while (((unsigned char)raw.p[raw.n] & 0xc0) == 0x80)
		raw.n--;
	return raw;
}

static struct str operand_text(const struct run *r, const struct check *k)
{
	return quoted(&r->schema->doc, k->operand);
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static bool reject_count(struct run *r, const struct check *k, uint32_t node, const char *bound, const char *noun, uint64_t has)
{
	return run_reject(r, node, "must be at %s %" PRIu64 " %s%s, has %" PRIu64, bound, k->count, noun, plural(k->count), has);
}

/* ---- any type ---- */

static const struct {
	unsigned bits;
	const char *noun;
} type_nouns[] = {
	{TYPE_BIT(J_STRING), "a string"},   {TYPE_BIT(J_NUMBER), "a number"}, {TYPE_INTEGER, "an integer"},   {TYPE_BOOLEAN, "true or false"},
	{TYPE_BIT(J_OBJECT), "an object"}, {TYPE_BIT(J_ARRAY), "an array"},  {TYPE_BIT(J_NULL), "null"},
};

bool check_type(struct run *r, const struct check *k, uint32_t node)
{
	enum jtype type = jdoc_type(r->doc, node);
	if (k->count & TYPE_BIT(type))
		return true;
	if (type == J_NUMBER && (k->count & TYPE_INTEGER) && jdoc_is_integer(r->doc, node))
		return true;
	char nouns[128] = "";
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(type_nouns); i++)
		if (k->count & type_nouns[i].bits)
			n += (size_t)snprintf(nouns + n, sizeof(nouns) - n, "%s%s", n ? " or " : "", type_nouns[i].noun);
	return run_reject(r, node, "must be %s", nouns);
}

static bool is_one_of_values(struct run *r, const struct check *k, uint32_t node)
{
	uint64_t hash;
	if (valuehash(r->doc, node, r->schema->secret, r->report->arena, &hash) < 0)
		return run_give_up(r, ERR_NOMEM);
	for (uint32_t i = 0; i < k->n_hashes; i++)
		if (k->hashes[i] == hash)
			return true;
	return false;
}

bool check_enum(struct run *r, const struct check *k, uint32_t node)
{
	if (is_one_of_values(r, k, node))
		return true;
	struct str list = operand_text(r, k);
	if (list.n < QUOTE_MAX)
		list = str_sub(list, 1, list.n - 2);
	return run_reject(r, node, "must be one of %.*s", STR_ARG(list));
}

bool check_const(struct run *r, const struct check *k, uint32_t node)
{
	return is_one_of_values(r, k, node) || run_reject(r, node, "must be %.*s", STR_ARG(operand_text(r, k)));
}

/* ---- numbers ---- */

static int compare(const struct run *r, const struct check *k, uint32_t node)
{
	struct jnum n = jnum_read(jdoc_raw(r->doc, node));
	return jnum_compare(&n, &k->number);
}

static bool reject_number(struct run *r, const struct check *k, uint32_t node, const char *relation)
{
	return run_reject(r, node, "must be %s %.*s, is %.*s", relation, STR_ARG(operand_text(r, k)), STR_ARG(quoted(r->doc, node)));
}

bool check_minimum(struct run *r, const struct check *k, uint32_t node)
{
	return compare(r, k, node) >= 0 || reject_number(r, k, node, "at least");
}

bool check_maximum(struct run *r, const struct check *k, uint32_t node)
{
	return compare(r, k, node) <= 0 || reject_number(r, k, node, "at most");
}

bool check_above(struct run *r, const struct check *k, uint32_t node)
{
	return compare(r, k, node) > 0 || reject_number(r, k, node, "more than");
}

bool check_below(struct run *r, const struct check *k, uint32_t node)
{
	return compare(r, k, node) < 0 || reject_number(r, k, node, "less than");
}

bool check_multiple(struct run *r, const struct check *k, uint32_t node)
{
	struct jnum n = jnum_read(jdoc_raw(r->doc, node));
	return jnum_is_multiple(&n, &k->number) || reject_number(r, k, node, "a multiple of");
}

/* ---- strings ---- */

static bool read_string(struct run *r, uint32_t node, struct str *out)
{
	*out = jdoc_string(r->doc, node, r->report->arena);
	return out->p || run_give_up(r, ERR_NOMEM);
}

/* Characters, not bytes: all but the continuation bytes count. */
static uint64_t count_characters(struct str s)
{
	uint64_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

/* Only a string near its bound is counted: a character has one byte at least, and four at most. */
bool check_min_length(struct run *r, const struct check *k, uint32_t node)
{
	struct str s;
	if (!read_string(r, node, &s))
		return false;
	if (s.n / 4 >= k->count)
		return true;
	uint64_t n = count_characters(s);
	return n >= k->count || reject_count(r, k, node, "least", "character", n);
}

bool check_max_length(struct run *r, const struct check *k, uint32_t node)
{
	struct str s;
	if (!read_string(r, node, &s))
		return false;
	if (s.n <= k->count)
		return true;
	uint64_t n = count_characters(s);
	return n <= k->count || reject_count(r, k, node, "most", "character", n);
}

bool check_pattern(struct run *r, const struct check *k, uint32_t node)
{
	struct str s;
	if (!read_string(r, node, &s))
		return false;
	if (run_pattern(r, k->pattern, s) || r->rc < 0)
		return r->rc == 0;
	return run_reject(r, node, "must match the pattern %.*s", STR_ARG(operand_text(r, k)));
}

bool check_format(struct run *r, const struct check *k, uint32_t node)
{
	struct str s;
	if (!read_string(r, node, &s))
		return false;
	return k->format->ok(s) || run_reject(r, node, "must be %s", k->format->noun);
}

/* ---- arrays ---- */

static uint32_t children(const struct run *r, uint32_t node)
{
	return r->doc->nodes[node].count;
}

bool check_min_items(struct run *r, const struct check *k, uint32_t node)
{
	uint32_t n = children(r, node);
	return n >= k->count || reject_count(r, k, node, "least", "item", n);
}

bool check_max_items(struct run *r, const struct check *k, uint32_t node)
{
	uint32_t n = children(r, node);
	return n <= k->count || reject_count(r, k, node, "most", "item", n);
}

static int order_hashes(const void *a, const void *b)
{
	uint64_t ha, hb;
	memcpy(&ha, a, sizeof(ha));
	memcpy(&hb, b, sizeof(hb));
	return (ha > hb) - (ha < hb);
}

bool check_unique(struct run *r, const struct check *k, uint32_t node)
{
	(void)k;
	uint32_t n = children(r, node);
	if (n < 2)
		return true;
	uint64_t *hashes = arena_alloc(r->report->arena, n * sizeof(*hashes));
	if (!hashes || valuehash_items(r->doc, node, r->schema->secret, r->report->arena, hashes) < 0)
		return run_give_up(r, ERR_NOMEM);
	qsort(hashes, n, sizeof(*hashes), order_hashes);
	for (uint32_t i = 1; i < n; i++)
		if (hashes[i] == hashes[i - 1])
			return run_reject(r, node, "must not hold the same item twice");
	return true;
}

/* ---- objects ---- */

bool check_min_members(struct run *r, const struct check *k, uint32_t node)
{
	uint32_t n = children(r, node);
	return n >= k->count || reject_count(r, k, node, "least", "field", n);
}

bool check_max_members(struct run *r, const struct check *k, uint32_t node)
{
	uint32_t n = children(r, node);
	return n <= k->count || reject_count(r, k, node, "most", "field", n);
}

bool check_required(struct run *r, const struct check *k, uint32_t node)
{
	bool ok = true;
	for (uint32_t i = 0; i < k->n_names && (ok || !run_enough(r)); i++)
		if (jdoc_find(r->doc, node, k->names[i]) == JDOC_NONE)
			ok = run_reject_member(r, node, k->names[i], "is required");
	return ok;
}

/* ---- other forms of the same value ---- */

/* allOf and $ref. */
bool check_all(struct run *r, const struct check *k, uint32_t node)
{
	bool ok = true;
	for (uint32_t i = 0; i < k->n_subs && (ok || !run_enough(r)); i++)
		ok &= run_sub(r, k->subs[i], node);
	return ok;
}

/* How many of the forms fit, counting no further than `enough`. */
static uint32_t count_fitting(struct run *r, const struct check *k, uint32_t node, uint32_t enough)
{
	bool was_quiet = r->quiet;
	uint32_t fitting = 0;
	r->quiet = true;
	for (uint32_t i = 0; i < k->n_subs && fitting < enough; i++)
		fitting += run_sub(r, k->subs[i], node);
	r->quiet = was_quiet;
	return fitting;
}

bool check_any(struct run *r, const struct check *k, uint32_t node)
{
	if (count_fitting(r, k, node, 1) == 1)
		return true;
	return run_reject(r, node, "must have at least one of the %u forms allowed here", k->n_subs);
}

bool check_one(struct run *r, const struct check *k, uint32_t node)
{
	uint32_t fitting = count_fitting(r, k, node, 2);
	if (fitting == 1)
		return true;
	return run_reject(r, node, "must have exactly one of the %u forms allowed here, has %s", k->n_subs, fitting ? "more" : "none");
}

bool check_not(struct run *r, const struct check *k, uint32_t node)
{
	if (count_fitting(r, k, node, 1) == 0)
		return true;
	return run_reject(r, node, "has a form that is not allowed here");
}
