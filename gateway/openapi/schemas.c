#include "gateway/openapi/schemas.h"

#include <string.h>

#include "lib/base/embed.h"
#include "lib/base/lock.h"
#include "lib/base/table.h"

EMBED_FILE(schemas_json, "gateway/openapi/schemas.json");

struct added {
	struct str name;
	const struct schema *schema;
	struct added *next;
};

struct schemas {
	/* set before the first request */
	struct arena arena;
	struct jdoc document;
	uint32_t all;         /* the object of schemas in it */
	struct added *added;  /* in the order of adding */
	/* protected by mu */
	struct lock mu;
	struct table by_name; /* what is compiled or added: const struct schema * */
	struct arena compiled;
};

static int put(struct schemas *s, struct str name, const struct schema *schema, struct err *err)
{
	if (table_put(&s->by_name, name, (void *)(uintptr_t)schema) < 0)
		return err_set(err, ERR_NOMEM, "no memory for the schemas");
	return 0;
}

static void free_schema(void *schema)
{
	schema_free(schema);
}

/* ---- compiling one: it and those that it refers to, however far ---- */

#define REFERENCE "\"#/$defs/"

struct closure {
	const struct schemas *s;
	struct table names; /* of those that are in the text */
	struct buf text;
	unsigned count;
	bool failed;
};

static void include(struct closure *c, struct str name);

static void include_references(struct closure *c, struct str text)
{
	const char *end = text.p + text.n;
	for (const char *at = text.p; (at = memmem(at, (size_t)(end - at), REFERENCE, sizeof(REFERENCE) - 1));) {
		at += sizeof(REFERENCE) - 1;
		const char *close = memchr(at, '"', (size_t)(end - at));
		if (!close)
			return;
		include(c, (struct str){at, (size_t)(close - at)});
		at = close;
	}
}

static void include(struct closure *c, struct str name)
{
	uint32_t node = jdoc_find(&c->s->document, c->s->all, name);
	if (node == JDOC_NONE || table_get(&c->names, name))
		return; /* one that is nowhere is for the compiler to refuse */
	struct str text = jdoc_raw(&c->s->document, node);
	c->failed |= table_put(&c->names, name, c) < 0;
	buf_addf(&c->text, "%s\"%.*s\":", c->count++ ? "," : "", STR_ARG(name));
	buf_adds(&c->text, text);
	if (!c->failed)
		include_references(c, text);
}

static struct schema *compile_closure(const struct schemas *s, struct str name, struct err *err)
{
	struct closure c = {.s = s, .text = BUF_INIT};
	table_init(&c.names);
	buf_addf(&c.text, "{\"$ref\":\"#/$defs/%.*s\",\"$defs\":{", STR_ARG(name));
	include(&c, name);
	buf_addz(&c.text, "}}");
	struct schema *schema = NULL;
	if (c.failed || c.text.failed)
		err_set(err, ERR_NOMEM, "no memory for the schemas");
	else
		schema = schema_compile(buf_str(&c.text), err);
	buf_release(&c.text);
	table_release(&c.names);
	return schema;
}

/* When a schema is first asked for (the server asks for every route's at its start): many are only shown by the OpenAPI document. */
static int compile(struct schemas *s, struct str name, struct err *err)
{
	struct schema *schema = compile_closure(s, name, err);
	if (!schema)
		return ERR_INVALID;
	if (arena_defer(&s->compiled, free_schema, schema) < 0)
		return err_set(err, ERR_NOMEM, "no memory for the schemas");
	return put(s, name, schema, err);
}

static int read_document(struct schemas *s, struct err *err)
{
	struct jdoc_fault fault = {0};
	if (jdoc_parse(&s->document, &s->arena, EMBEDDED(schemas_json), &JDOC_LIMITS, &fault) < 0)
		return err_set(err, ERR_BUG, "schemas.json, byte %u: %s", fault.offset, fault.reason);
	s->all = jdoc_get(&s->document, JDOC_ROOT, "schemas");
	return 0;
}

struct schemas *schemas_new(struct err *err)
{
	struct schemas *s = calloc(1, sizeof(*s));
	if (!s) {
		err_set(err, ERR_NOMEM, "no memory for the schemas");
		return NULL;
	}
	arena_init(&s->arena, 0);
	arena_init(&s->compiled, 0);
	lock_init(&s->mu);
	table_init(&s->by_name);
	if (read_document(s, err) < 0) {
		schemas_free(s);
		return NULL;
	}
	return s;
}

void schemas_free(struct schemas *s)
{
	if (!s)
		return;
	table_release(&s->by_name);
	lock_release(&s->mu);
	arena_release(&s->compiled);
	arena_release(&s->arena);
	free(s);
}

int schemas_add(struct schemas *s, struct str name, const struct schema *schema, struct err *err)
{
	struct added *a = arena_zalloc(&s->arena, sizeof(*a));
	if (table_get(&s->by_name, name) || jdoc_find(&s->document, s->all, name) != JDOC_NONE)
		return err_set(err, ERR_EXISTS, "there are two schemas named %.*s", STR_ARG(name));
	if (!a || !(a->name = arena_dup(&s->arena, name)).p)
		return err_set(err, ERR_NOMEM, "no memory for the schemas");
	a->schema = schema;
	struct added **end = &s->added;
	while (*end)
		end = &(*end)->next;
	*end = a;
	return put(s, name, schema, err);
}

int schemas_replace(struct schemas *s, struct str name, const struct schema *schema, struct err *err)
{
	lock_take(&s->mu);
	for (struct added *a = s->added; a; a = a->next)
		if (str_eq(a->name, name)) {
			int rc = put(s, name, schema, err);
			a->schema = rc == 0 ? schema : a->schema;
			lock_give(&s->mu);
			return rc;
		}
	int rc = schemas_add(s, name, schema, err);
	lock_give(&s->mu);
	return rc;
}

bool schemas_has(const struct schemas *s, const char *name)
{
	return table_get(&s->by_name, str_from(name)) || jdoc_get(&s->document, s->all, name) != JDOC_NONE;
}

const struct schema *schemas_find(const void *schemas, const char *name)
{
	struct schemas *s = (struct schemas *)(uintptr_t)schemas;
	struct str key = str_from(name);
	lock_take(&s->mu);
	const struct schema *found = table_get(&s->by_name, key);
	if (!found && jdoc_get(&s->document, s->all, name) != JDOC_NONE && compile(s, key, NULL) == 0)
		found = table_get(&s->by_name, key);
	lock_give(&s->mu);
	return found;
}

const struct jdoc *schemas_document(const struct schemas *s)
{
	return &s->document;
}

const struct schema *schemas_added(const struct schemas *s, unsigned i, struct str *name)
{
	const struct added *a = s->added;
	while (a && i--)
		a = a->next;
	if (!a)
		return NULL;
	*name = a->name;
	return a->schema;
}
