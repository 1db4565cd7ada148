#include "processors/compliance/entity.h"

#define PERSONAL CATEGORY_PERSONAL
#define FINANCIAL CATEGORY_FINANCIAL
#define PAYMENT CATEGORY_PAYMENT
#define AUTHENTICATION CATEGORY_AUTHENTICATION
#define HEALTH CATEGORY_HEALTH
#define SPECIAL CATEGORY_SPECIAL
#define SECRET CATEGORY_SECRET

const struct entity_info entity_infos[ENTITY_COUNT] = {
#define X(name, categories, base, head, tail, context, unlikely) {#name, categories, base, head, tail, context, unlikely},
#include "processors/compliance/entities.def"
#undef X
};

int entity_find(struct str name)
{
	for (int i = 0; i < ENTITY_COUNT; i++)
		if (str_is(name, entity_infos[i].name))
			return i;
	return -1;
}

unsigned category_find(struct str word)
{
	static const char *const words[] = {
#define X(name, text) text,
#include "processors/compliance/categories.def"
#undef X
	};
	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		if (str_is(word, words[i]))
			return 1u << i;
	return 0;
}
