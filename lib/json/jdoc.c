#include "lib/json/jdoc.h"

#include "lib/base/err.h"
#include "lib/json/jnum.h"
#include "lib/json/jtext.h"

uint32_t jdoc_first(const struct jdoc *doc, uint32_t parent)
{
	if (parent >= doc->n_nodes || doc->nodes[parent].count == 0)
		return JDOC_NONE;
	return parent + 1;
}

uint32_t jdoc_next(const struct jdoc *doc, uint32_t parent, uint32_t child)
{
	uint32_t next = doc->nodes[child].end;
	return next < doc->nodes[parent].end ? next : JDOC_NONE;
}

static struct str raw_key(const struct jdoc *doc, uint32_t node)
{
	return (struct str){doc->text.p + doc->nodes[node].key_off, doc->nodes[node].key_len};
}

uint32_t jdoc_find(const struct jdoc *doc, uint32_t obj, struct str name)
{
	if (obj >= doc->n_nodes || doc->nodes[obj].type != J_OBJECT)
		return JDOC_NONE;
	for (uint32_t c = jdoc_first(doc, obj); c != JDOC_NONE; c = jdoc_next(doc, obj, c)) {
		struct str key = raw_key(doc, c);
		if (doc->nodes[c].key_escaped ? jtext_equal(key, name) : str_eq(key, name))
			return c;
	}
	return JDOC_NONE;
}

uint32_t jdoc_get(const struct jdoc *doc, uint32_t obj, const char *name)
{
	return jdoc_find(doc, obj, str_from(name));
}

enum jtype jdoc_type(const struct jdoc *doc, uint32_t node)
{
	return node < doc->n_nodes ? (enum jtype)doc->nodes[node].type : J_NULL;
}

struct str jdoc_raw(const struct jdoc *doc, uint32_t node)
{
	if (node >= doc->n_nodes)
		return STR("");
	return (struct str){doc->text.p + doc->nodes[node].off, doc->nodes[node].len};
}

static struct str decode(struct str raw, bool escaped, struct arena *a)
{
	if (!escaped)
		return raw;
	char *out = arena_alloc(a, raw.n);
	return out ? (struct str){out, jtext_unescape(raw, out)} : STR_NONE;
}

struct str jdoc_string(const struct jdoc *doc, uint32_t node, struct arena *a)
{
	if (node >= doc->n_nodes || doc->nodes[node].type != J_STRING)
		return STR_NONE;
	const struct jnode *n = &doc->nodes[node];
	return decode((struct str){doc->text.p + n->off + 1, n->len - 2}, n->escaped, a);
}

struct str jdoc_key(const struct jdoc *doc, uint32_t node, struct arena *a)
{
	if (node >= doc->n_nodes)
		return STR_NONE;
	return decode(raw_key(doc, node), doc->nodes[node].key_escaped, a);
}

static int read_number(const struct jdoc *doc, uint32_t node, struct jnum *out)
{
	if (node >= doc->n_nodes || doc->nodes[node].type != J_NUMBER)
		return ERR_INVALID;
	*out = jnum_read(jdoc_raw(doc, node));
	return 0;
}

int jdoc_int(const struct jdoc *doc, uint32_t node, int64_t *out)
{
	struct jnum n;
	return read_number(doc, node, &n) < 0 ? ERR_INVALID : jnum_int(&n, out);
}

int jdoc_double(const struct jdoc *doc, uint32_t node, double *out)
{
	struct jnum n;
	if (read_number(doc, node, &n) < 0)
		return ERR_INVALID;
	*out = jnum_double(&n);
	return 0;
}

bool jdoc_is_integer(const struct jdoc *doc, uint32_t node)
{
	struct jnum n;
	return read_number(doc, node, &n) == 0 && jnum_is_integer(&n);
}
