/* What can be found in a text: entities.def and categories.def as enums and a table. Any thread. */
#ifndef SLUICE_PROCESSORS_COMPLIANCE_ENTITY_H
#define SLUICE_PROCESSORS_COMPLIANCE_ENTITY_H

#include "lib/base/str.h"

enum entity {
#define X(name, categories, base, head, tail, context, unlikely) ENTITY_##name,
#include "processors/compliance/entities.def"
#undef X
	ENTITY_COUNT,
	ENTITY_PHRASE = ENTITY_COUNT, /* a phrase that a rule asks for: no data, so never reported */
};

enum category_index {
#define X(name, word) CATEGORY_INDEX_##name,
#include "processors/compliance/categories.def"
#undef X
	CATEGORY_COUNT
};

enum category {
#define X(name, word) CATEGORY_##name = 1 << CATEGORY_INDEX_##name,
#include "processors/compliance/categories.def"
#undef X
};

struct entity_info {
	const char *name;
	unsigned categories; /* of enum category */
	int base;            /* percent */
	unsigned head, tail;
	const char *context, *unlikely; /* words, divided by '|' */
};

extern const struct entity_info entity_infos[ENTITY_COUNT];

int entity_find(struct str name);        /* -1: there is none */
unsigned category_find(struct str word); /* 0: there is none */

#endif
