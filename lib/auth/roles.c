#include "lib/auth/auth.h"
#include "lib/json/jwrite.h"

static const struct {
	const char *word, *may;
} roles[ROLE_COUNT] = {
#define X(id, word, what) {word, what},
#include "lib/auth/roles.def"
#undef X
};

role_set role_parse(struct str word)
{
	for (unsigned i = 0; i < ROLE_COUNT; i++)
		if (str_is(word, roles[i].word))
			return 1u << i;
	return 0;
}

const char *role_word(unsigned index)
{
	return index < ROLE_COUNT ? roles[index].word : NULL;
}

void role_dump(struct buf *out)
{
	struct jwrite w = jwrite_into(out);
	jw_open(&w, '[');
	for (unsigned i = 0; i < ROLE_COUNT; i++) {
		jw_open(&w, '{');
		jw_kstrz(&w, "role", roles[i].word);
		jw_kstrz(&w, "may", roles[i].may);
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
}
