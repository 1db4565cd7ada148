/* One check of one value, and the check functions that compiled keywords point to. One thread. */
#ifndef SLUICE_SCHEMA_RUN_H
#define SLUICE_SCHEMA_RUN_H

#include "lib/schema/model.h"

struct run {
	const struct schema *schema;
	const struct jdoc *doc;
	uint32_t base; /* the node that pointers start from */
	struct str prefix;
	struct schema_report *report;
	bool quiet;                /* trying a form: nothing is reported and the first fault ends it */
	const struct jdoc *outer;  /* while a member's name is checked: the document it stands in (doc is then the name alone) */
	uint32_t name_of;          /* and the member */
	uint32_t depth, work;
	int64_t deadline_mono_ms;
	pcre2_match_data *match;
	int rc; /* ERR_LIMIT or ERR_NOMEM: the check is given up */
};

/* Is the node valid against the subschema? */
bool run_sub(struct run *r, const struct sub *sub, uint32_t node);

/* Reports a fault of the node, or of a member that it lacks; false always. */
bool run_reject(struct run *r, uint32_t node, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool run_reject_member(struct run *r, uint32_t node, struct str name, const char *sentence);

/* Gives the whole check up; false always. */
bool run_give_up(struct run *r, int rc);

/* True when going on would tell nothing more. */
bool run_enough(const struct run *r);

bool run_pattern(struct run *r, const pcre2_code *pattern, struct str subject);

check_fn check_type, check_enum, check_const, check_minimum, check_maximum, check_above, check_below, check_multiple, check_min_length,
	check_max_length, check_pattern, check_format, check_min_items, check_max_items, check_unique, check_min_members,
	check_max_members, check_required, check_all, check_any, check_one, check_not;

#endif
