/* The keywords and how each is compiled. */
#ifndef SLUICE_SCHEMA_KEYWORDS_H
#define SLUICE_SCHEMA_KEYWORDS_H

#include "lib/schema/model.h"

struct compiler {
	struct schema *schema;
	struct sub *to_do; /* subschemas whose keywords are not compiled yet */
	struct err *err;
};

struct keyword;
typedef int compile_fn(struct compiler *c, struct sub *sub, const struct keyword *kw, uint32_t operand);

struct keyword {
	const char *name;
	compile_fn *compile;
	check_fn *check;
	unsigned types; /* that the check is for */
};

/* NULL when the name is unknown. */
const struct keyword *keyword_find(struct str name);

/* Fills the error with the place of `node`; returns code. */
int compile_fail(struct compiler *c, uint32_t node, int code, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* The subschema at a node, made when it is first asked for. */
int compile_sub(struct compiler *c, uint32_t node, struct sub **out) MUST_CHECK;

#endif
