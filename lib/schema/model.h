/* A compiled schema, as the files of this folder see it. Everything hangs off struct schema's arena, except patterns and
 * property tables. */
#ifndef SLUICE_SCHEMA_MODEL_H
#define SLUICE_SCHEMA_MODEL_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "lib/base/table.h"
#include "lib/json/jnum.h"
#include "lib/schema/schema.h"

struct run;
struct check;
struct sub;

/* The bits of a type mask: one per enum jtype, and one for numbers without a fraction. */
#define TYPE_BIT(type) (1u << (type))
#define TYPE_INTEGER (1u << 7)
#define TYPE_BOOLEAN (TYPE_BIT(J_TRUE) | TYPE_BIT(J_FALSE))
#define TYPE_ANY 0x7fu

/* Checks a value of a type that the keyword is for. False: it is not valid, and that has been reported. */
typedef bool check_fn(struct run *r, const struct check *k, uint32_t node);

/* One keyword of one subschema that checks something. */
struct check {
	check_fn *fn;
	struct check *next;
	unsigned types;   /* other values pass */
	bool in_place;    /* it applies `subs` to the same value */
	uint32_t operand; /* in the schema's document */
	union {
		struct jnum number;
		uint64_t count;
		pcre2_code *pattern;
		const struct format *format;
		struct {
			uint64_t *hashes;
			uint32_t n_hashes;
		};
		struct {
			struct str *names;
			uint32_t n_names;
		};
		struct {
			struct sub **subs;
			uint32_t n_subs;
		};
	};
};

struct pattern_sub {
	struct pattern_sub *next;
	pcre2_code *pattern;
	struct sub *sub;
};

/* One schema object or boolean. */
struct sub {
	struct sub *next;    /* all of one schema */
	struct sub *to_do;   /* while compiling: the next one whose keywords wait */
	unsigned in_degree;  /* while compiling: how many apply this one in place */
	uint32_t node;       /* in the schema's document */
	bool never;          /* the schema `false` */
	struct sub *alias;   /* nothing but a $ref: its target */
	struct check *checks;
	struct table properties; /* name -> struct sub */
	struct pattern_sub *patterns;
	struct sub *additional, *names; /* additionalProperties, propertyNames */
	struct sub **prefix;            /* prefixItems */
	uint32_t n_prefix;
	struct sub *items;
};

struct schema {
	struct arena arena;
	struct str text;
	struct jdoc doc;
	struct sub *root;
	struct sub *subs;      /* all */
	struct sub **by_node;  /* per node of doc */
	unsigned char secret[16]; /* keys the hashes of enum and const */
	pcre2_match_context *match;
};

#endif
