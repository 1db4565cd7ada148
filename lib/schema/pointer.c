#include "lib/schema/pointer.h"

void pointer_add(struct buf *out, struct str segment)
{
	buf_addc(out, '/');
	for (size_t i = 0; i < segment.n; i++) {
		if (segment.p[i] == '~')
			buf_addz(out, "~0");
		else if (segment.p[i] == '/')
			buf_addz(out, "~1");
		else
			buf_addc(out, segment.p[i]);
	}
}

void pointer_to(struct buf *out, const struct jdoc *doc, uint32_t from, uint32_t node, struct arena *a)
{
	while (from != node) {
		uint32_t child = jdoc_first(doc, from), position = 0;
		while (doc->nodes[child].end <= node) {
			child = doc->nodes[child].end;
			position++;
		}
		if (jdoc_type(doc, from) == J_OBJECT) {
			pointer_add(out, jdoc_key(doc, child, a));
		} else {
			buf_addc(out, '/');
			buf_addu(out, position);
		}
		from = child;
	}
}

/* "~1" is a slash and "~0" a tilde; STR_NONE when a tilde is followed by anything else. */
static struct str unescape(struct str segment, struct arena *a)
{
	char *out = arena_alloc(a, segment.n);
	size_t n = 0;
	for (size_t i = 0; out && i < segment.n; i++) {
		char c = segment.p[i];
		if (c == '~') {
			if (++i == segment.n || (segment.p[i] != '0' && segment.p[i] != '1'))
				return STR_NONE;
			c = segment.p[i] == '0' ? '~' : '/';
		}
		out[n++] = c;
	}
	return (struct str){out, n};
}

static uint32_t find_item(const struct jdoc *doc, uint32_t array, struct str digits)
{
	uint64_t position;
	if (str_to_u64(digits, &position) < 0 || (digits.n > 1 && digits.p[0] == '0'))
		return JDOC_NONE;
	uint32_t child = jdoc_first(doc, array);
	while (child != JDOC_NONE && position-- > 0)
		child = jdoc_next(doc, array, child);
	return child;
}

uint32_t pointer_find(const struct jdoc *doc, struct str pointer, struct arena *a)
{
	uint32_t node = JDOC_ROOT;
	if (pointer.n == 0)
		return node;
	if (str_cut(&pointer, '/').n != 0)
		return JDOC_NONE;
	while (pointer.p && node != JDOC_NONE) {
		struct str segment = unescape(str_cut(&pointer, '/'), a);
		if (!segment.p)
			return JDOC_NONE;
		node = jdoc_type(doc, node) == J_ARRAY ? find_item(doc, node, segment) : jdoc_find(doc, node, segment);
	}
	return node;
}
