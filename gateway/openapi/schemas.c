#include "gateway/openapi/schemas.h"

#include "lib/base/embed.h"
#include "lib/base/table.h"

EMBED_FILE(schemas_json, "gateway/openapi/schemas.json");

struct added {
	struct str name;
	const struct schema *schema;
	struct added *next;
};

struct schemas {
	struct arena arena;
	struct jdoc document;
	struct table by_name; /* const struct schema * */
	struct added *added;  /* in the order of adding */
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

/* References among the schemas are written "#/$defs/name", so each is compiled beside all the others. */
static int compile(struct schemas *s, struct str name, struct str all, struct err *err)
{
	struct buf text = BUF_INIT;
	buf_addf(&text, "{\"$ref\":\"#/$defs/%.*s\",\"$defs\":", STR_ARG(name));
	buf_adds(&text, all);
	buf_addc(&text, '}');
	struct schema *schema = text.failed ? NULL : schema_compile(buf_str(&text), err);
	buf_release(&text);
	if (!schema)
		return ERR_INVALID;
	if (arena_defer(&s->arena, free_schema, schema) < 0)
		return err_set(err, ERR_NOMEM, "no memory for the schemas");
	return put(s, name, schema, err);
}

static int compile_all(struct schemas *s, struct err *err)
{
	struct jdoc_fault fault = {0};
	struct str text = EMBEDDED(schemas_json);
	if (jdoc_parse(&s->document, &s->arena, text, &JDOC_LIMITS, &fault) < 0)
		return err_set(err, ERR_BUG, "schemas.json, byte %u: %s", fault.offset, fault.reason);
	uint32_t all = jdoc_get(&s->document, JDOC_ROOT, "schemas");
	for (uint32_t c = jdoc_first(&s->document, all); c != JDOC_NONE; c = jdoc_next(&s->document, all, c)) {
		int rc = compile(s, jdoc_key(&s->document, c, &s->arena), jdoc_raw(&s->document, all), err);
		if (rc < 0)
			return rc;
	}
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
	table_init(&s->by_name);
	if (compile_all(s, err) < 0) {
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
	arena_release(&s->arena);
	free(s);
}

int schemas_add(struct schemas *s, struct str name, const struct schema *schema, struct err *err)
{
	struct added *a = arena_zalloc(&s->arena, sizeof(*a));
	if (table_get(&s->by_name, name))
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

const struct schema *schemas_find(const void *schemas, const char *name)
{
	const struct schemas *s = schemas;
	return table_get(&s->by_name, str_from(name));
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
