/* JSON Schema: a stated subset of 2020-12, compiled once, checked against a scanned document.
 *
 * Keywords: type, enum, const, minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, minLength, maxLength,
 * pattern (pcre2, with match limits), format (uuid, date-time, email, uri), items, prefixItems, minItems, maxItems, uniqueItems,
 * properties, required, additionalProperties, patternProperties, propertyNames, minProperties, maxProperties, allOf,
 * anyOf, oneOf, not, $ref and $defs (local), and the annotations title, description, default, examples, $schema, $id,
 * $comment, deprecated. Any other keyword is refused when compiling, so that nobody believes in a check that is not made.
 *
 * Patterns are written as ECMA 262 has them: \u202a, not \x{202a}; $ is the very end of the text. Numbers are compared exactly, as
 * decimals. A schema applies to at most 64 levels of subschemas within subschemas.
 *
 * A compiled schema is immutable: any thread may check with it. */
#ifndef SLUICE_SCHEMA_SCHEMA_H
#define SLUICE_SCHEMA_SCHEMA_H

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/json/jdoc.h"

struct schema;

/* Compiles a schema document. The text is copied. NULL on failure, with the JSON Pointer of the offending place in err. */
struct schema *schema_compile(struct str text, struct err *err);
void schema_free(struct schema *s);
struct str schema_text(const struct schema *s); /* as compiled, valid while the schema is */

/* One thing that is wrong: pointer (RFC 6901, into the checked value) and a sentence. */
struct schema_issue {
	struct str pointer;
	struct str detail;
	struct schema_issue *next;
};

#define SCHEMA_MAX_ISSUES 50

struct schema_report {
	struct arena *arena; /* set by the caller; issues are allocated here */
	struct schema_issue *first, *last;
	unsigned count; /* stops growing at SCHEMA_MAX_ISSUES */
};

/* Adds one issue (for checks that a schema cannot express). */
void schema_report_add(struct schema_report *r, struct str pointer, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Checks doc's node (a whole document: JDOC_ROOT); `prefix` is put before every pointer. All faults are reported, not
 * only the first. 0 when valid, ERR_INVALID with the report filled, ERR_LIMIT when a pattern or the
 * nesting runs away, ERR_NOMEM when the report's arena is full. */
int schema_check(const struct schema *s, const struct jdoc *doc, uint32_t node, struct str prefix, struct schema_report *r)
	MUST_CHECK;

#endif
