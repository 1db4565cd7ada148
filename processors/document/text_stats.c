#include "processors/document/text_stats.h"

#include "lib/json/jwrite.h"

static bool is_space(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct text_stats count(struct str text, int64_t max_pages, struct jwrite *w)
{
	struct text_stats s = {0};
	bool in_word = false, page_due = true;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool space = is_space(c);
		if (page_due && ++s.pages <= max_pages)
			jw_int(w, (int64_t)i);
		page_due = c == '\f';
		s.chars += (c & 0xc0) != 0x80; /* all but the continuation bytes */
		s.words += !space && !in_word;
		in_word = !space;
	}
	return s;
}

struct text_stats text_stats(struct str text, int64_t max_pages, struct buf *offsets)
{
	struct jwrite w = jwrite_into(offsets);
	jw_open(&w, '{');
	jw_kint(&w, "schema", 1);
	jw_kstrz(&w, "unit", "byte");
	jw_key(&w, "offsets");
	jw_open(&w, '[');
	struct text_stats s = count(text, max_pages, &w);
	jw_close(&w, ']');
	jw_close(&w, '}');
	return s;
}
