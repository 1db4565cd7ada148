/* The JSON Schemas of request and response bodies: schemas.json, embedded and compiled as they are needed, and the payload schemas of the declared
 * queues under the names "payload-<queue>".
 *
 *     struct schemas *s = schemas_new(&err);
 *     schemas_add(s, STR("payload-notifications"), declaration->payload, &err);
 *     deps.schema = schemas_find; deps.schemas = s;
 *
 * One thread adds and replaces, and asks for what was added; any thread finds. */
#ifndef SLUICE_GATEWAY_OPENAPI_SCHEMAS_H
#define SLUICE_GATEWAY_OPENAPI_SCHEMAS_H

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/json/jdoc.h"
#include "lib/schema/schema.h"

struct schemas;

struct schemas *schemas_new(struct err *err);
void schemas_free(struct schemas *s);
/* The schema stays the caller's and outlives the set. The name is copied. A name that is taken: ERR_EXISTS. */
int schemas_add(struct schemas *s, struct str name, const struct schema *schema, struct err *err) MUST_CHECK;
/* One that was added, or not yet: from now on it is this schema. The one before stays the caller's, too, and lives as long as somebody may have
 * found it. Any number of threads may be finding meanwhile. */
int schemas_replace(struct schemas *s, struct str name, const struct schema *schema, struct err *err) MUST_CHECK;
bool schemas_has(const struct schemas *s, const char *name);
/* Fits schema_lookup of server.h: `schemas` is a struct schemas. NULL: there is none, or no memory for it. */
const struct schema *schemas_find(const void *schemas, const char *name);

/* For the OpenAPI document (schemas.json also says which parameters and media types the operations have): the embedded file, and the added schemas one by one (NULL past the end). */
const struct jdoc *schemas_document(const struct schemas *s);
const struct schema *schemas_added(const struct schemas *s, unsigned i, struct str *name);

#endif
