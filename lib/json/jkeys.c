#include "lib/json/jkeys.h"

#include "lib/base/err.h"
#include "lib/base/id.h"
#include "lib/base/siphash.h"
#include "lib/json/jtext.h"

#define PAIRWISE_MAX 16u /* up to here, comparing each with each is the fastest */

static struct str raw_key(const struct jdoc *doc, uint32_t node)
{
	return (struct str){doc->text.p + doc->nodes[node].key_off, doc->nodes[node].key_len};
}

/* The bytes that decoding the object's keys can take at most. */
static size_t escaped_bytes(const struct jdoc *doc, uint32_t object)
{
	size_t bytes = 0;
	for (uint32_t c = jdoc_first(doc, object); c != JDOC_NONE; c = jdoc_next(doc, object, c))
		if (doc->nodes[c].key_escaped)
			bytes += doc->nodes[c].key_len;
	return bytes;
}

/* The decoded keys in order; those with escapes are decoded into `room`. */
static void decode_keys(const struct jdoc *doc, uint32_t object, struct str *keys, char *room)
{
	for (uint32_t c = jdoc_first(doc, object); c != JDOC_NONE; c = jdoc_next(doc, object, c)) {
		struct str raw = raw_key(doc, c);
		if (doc->nodes[c].key_escaped) {
			*keys = (struct str){room, jtext_unescape(raw, room)};
			room += keys->n;
		} else {
			*keys = raw;
		}
		keys++;
	}
}

/* The position of the first key that repeats an earlier one; n when none does. */
static uint32_t compare_pairs(const struct str *keys, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		for (uint32_t j = 0; j < i; j++)
			if (str_eq(keys[i], keys[j]))
				return i;
	return n;
}

/* The same through a hash table, an array of positions plus one (0 is free) at most half full. */
static uint32_t compare_hashes(const struct str *keys, uint32_t n, uint32_t *slots, size_t n_slots)
{
	unsigned char secret[16];
	id_random(secret, sizeof(secret));
	for (uint32_t i = 0; i < n; i++) {
		size_t at = siphash(secret, keys[i]) & (n_slots - 1);
		while (slots[at] && !str_eq(keys[slots[at] - 1], keys[i]))
			at = (at + 1) & (n_slots - 1);
		if (slots[at])
			return i;
		slots[at] = i + 1;
	}
	return n;
}

static uint32_t nth_child(const struct jdoc *doc, uint32_t object, uint32_t n)
{
	uint32_t child = jdoc_first(doc, object);
	while (n-- > 0)
		child = jdoc_next(doc, object, child);
	return child;
}

static int find_by_hash(const struct jdoc *doc, uint32_t object, size_t escaped, uint32_t *position)
{
	uint32_t count = doc->nodes[object].count;
	size_t n_slots = (size_t)PAIRWISE_MAX * 2;
	while (n_slots < (size_t)count * 2)
		n_slots *= 2;
	struct str *keys = malloc(count * sizeof(*keys) + escaped);
	uint32_t *slots = calloc(n_slots, sizeof(*slots));
	int rc = keys && slots ? 0 : ERR_NOMEM;
	if (rc == 0) {
		decode_keys(doc, object, keys, (char *)(keys + count));
		*position = compare_hashes(keys, count, slots, n_slots);
	}
	free(slots);
	free(keys);
	return rc;
}

int jkeys_find_duplicate(const struct jdoc *doc, uint32_t object, uint32_t *duplicate)
{
	uint32_t count = doc->nodes[object].count, position = count;
	size_t escaped = escaped_bytes(doc, object);
	if (count <= PAIRWISE_MAX && escaped == 0) {
		struct str keys[PAIRWISE_MAX];
		decode_keys(doc, object, keys, NULL);
		position = compare_pairs(keys, count);
	} else {
		int rc = find_by_hash(doc, object, escaped, &position);
		if (rc < 0)
			return rc;
	}
	if (position < count)
		*duplicate = nth_child(doc, object, position);
	return 0;
}
