/* Request targets: what passes the checks decodes to text, and the same text written otherwise is the same. */
#include <stdint.h>

#include "gateway/http/uri.h"
#include "lib/base/buf.h"
#include "lib/base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return str_is_utf8(s);
}

static void encode(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_addf(out, "%%%02x", (unsigned char)s.p[i]);
}

static void check_decoding(struct arena *a, struct str raw, bool form)
{
	struct str text = uri_decode(a, raw, form);
	struct buf coded = BUF_INIT;
	bug_on(!text.p || text.n > raw.n || !is_text(text));
	encode(&coded, text);
	bug_on(!str_eq(uri_decode(a, coded.p ? buf_str(&coded) : STR(""), form), text));
	buf_release(&coded);
}

static void check_path(struct arena *a, struct str path)
{
	bug_on(path.n == 0 || path.p[0] != '/');
	bug_on(memmem(path.p, path.n, "//", 2));
	check_decoding(a, path, false);
}

/* Each name finds its first value. */
static void check_query(struct arena *a, struct str query)
{
	struct str rest = query;
	check_decoding(a, query, true);
	while (rest.p) {
		struct str value = str_cut(&rest, '&');
		struct str name = str_cut(&value, '=');
		if (memchr(name.p, '%', name.n) || memchr(name.p, '+', name.n))
			continue;
		struct str found = uri_query_value(a, query, arena_dupz(a, name));
		bug_on(name.n && !found.p);
		bug_on(found.p && !is_text(found));
	}
	bug_on(uri_query_value(a, STR("b=1&a=2&a=3"), "a").p[0] != '2');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct str text = size ? (struct str){(const char *)data, size} : STR("");
	arena_init(&a, 0);
	if (!uri_path_fault(text))
		check_path(&a, text);
	if (!uri_query_fault(text))
		check_query(&a, text);
	arena_release(&a);
	return 0;
}
