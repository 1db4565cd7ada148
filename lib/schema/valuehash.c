#include "lib/schema/valuehash.h"

#include "lib/base/err.h"
#include "lib/base/siphash.h"
#include "lib/json/jnum.h"

struct hasher {
	const struct jdoc *doc;
	const unsigned char *secret;
	struct arena *arena;
	uint32_t first;   /* the node that hashes[0] belongs to */
	uint64_t *hashes;
	bool failed;
};

static uint64_t mix(const struct hasher *h, uint64_t a, uint64_t b)
{
	uint64_t pair[] = {a, b};
	return siphash(h->secret, (struct str){(const char *)pair, sizeof(pair)});
}

static uint64_t hash_bytes(struct hasher *h, struct str s)
{
	if (!s.p)
		h->failed = true;
	return s.p ? siphash(h->secret, s) : 0;
}

static uint64_t hash_word(struct hasher *h, uint32_t node)
{
	(void)node;
	(void)h;
	return 0;
}

static uint64_t hash_string(struct hasher *h, uint32_t node)
{
	return hash_bytes(h, jdoc_string(h->doc, node, h->arena));
}

static uint64_t hash_number(struct hasher *h, uint32_t node)
{
	struct jnum n = jnum_read(jdoc_raw(h->doc, node));
	if (n.n_digits == 0)
		return 0;
	char few[32];
	char *digits = n.n_digits <= (int64_t)sizeof(few) ? few : arena_alloc(h->arena, (size_t)n.n_digits);
	if (!digits)
		return hash_bytes(h, STR_NONE);
	jnum_digits(&n, digits);
	uint64_t shape = mix(h, (uint64_t)n.power, n.negative);
	return mix(h, shape, hash_bytes(h, (struct str){digits, (size_t)n.n_digits}));
}

static uint64_t hash_array(struct hasher *h, uint32_t node)
{
	uint64_t hash = 0;
	for (uint32_t c = jdoc_first(h->doc, node); c != JDOC_NONE; c = jdoc_next(h->doc, node, c))
		hash = mix(h, hash, h->hashes[c - h->first]);
	return hash;
}

/* A sum, so that the order of the members does not count. */
static uint64_t hash_object(struct hasher *h, uint32_t node)
{
	uint64_t hash = 0;
	for (uint32_t c = jdoc_first(h->doc, node); c != JDOC_NONE; c = jdoc_next(h->doc, node, c))
		hash += mix(h, hash_bytes(h, jdoc_key(h->doc, c, h->arena)), h->hashes[c - h->first]);
	return hash;
}

/* Children come after their parent, so going backwards finds them done. */
static int hash_range(struct hasher *h, uint32_t end)
{
	static uint64_t (*const by_type[])(struct hasher *, uint32_t) = {
		[J_NULL] = hash_word,     [J_FALSE] = hash_word,   [J_TRUE] = hash_word,     [J_NUMBER] = hash_number,
		[J_STRING] = hash_string, [J_ARRAY] = hash_array, [J_OBJECT] = hash_object,
	};
	for (uint32_t i = end; i-- > h->first;) {
		enum jtype type = jdoc_type(h->doc, i);
		uint64_t content = by_type[type](h, i);
		h->hashes[i - h->first] = mix(h, type, content);
	}
	return h->failed ? ERR_NOMEM : 0;
}

int valuehash(const struct jdoc *doc, uint32_t node, const unsigned char secret[16], struct arena *a, uint64_t *out)
{
	uint32_t end = doc->nodes[node].end;
	struct hasher h = {.doc = doc, .secret = secret, .arena = a, .first = node, .hashes = out};
	if (end - node > 1)
		h.hashes = arena_alloc(a, (end - node) * sizeof(*h.hashes));
	if (!h.hashes || hash_range(&h, end) < 0)
		return ERR_NOMEM;
	*out = h.hashes[0];
	return 0;
}

int valuehash_items(const struct jdoc *doc, uint32_t array, const unsigned char secret[16], struct arena *a, uint64_t *out)
{
	uint32_t end = doc->nodes[array].end;
	struct hasher h = {.doc = doc, .secret = secret, .arena = a, .first = array + 1};
	h.hashes = arena_alloc(a, (end - array) * sizeof(*h.hashes));
	if (!h.hashes || hash_range(&h, end) < 0)
		return ERR_NOMEM;
	for (uint32_t c = jdoc_first(doc, array); c != JDOC_NONE; c = jdoc_next(doc, array, c))
		*out++ = h.hashes[c - h.first];
	return 0;
}
