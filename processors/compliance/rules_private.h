/* Conditions, between the loader and the judge. */
#ifndef SLUICE_PROCESSORS_COMPLIANCE_RULES_PRIVATE_H
#define SLUICE_PROCESSORS_COMPLIANCE_RULES_PRIVATE_H

#include "processors/compliance/rules.h"

enum condition_kind { CONDITION_ALL, CONDITION_ANY, CONDITION_NOT, CONDITION_ENTITY, CONDITION_CATEGORY, CONDITION_TERM };
enum reach { REACH_DOCUMENT, REACH_CHARS, REACH_WORDS, REACH_PAGE };
enum form { FORM_ANY, FORM_MASKED, FORM_UNMASKED };

struct condition {
	enum condition_kind kind;
	struct condition *children; /* of all, any, not */
	size_t n_children;
	enum reach reach; /* of all */
	unsigned distance;
	/* of a leaf */
	int entity;
	unsigned categories;
	uint16_t *phrases;
	size_t n_phrases;
	unsigned least_percent;
	size_t least_count, least_distinct;
	enum form form;
};

#endif
