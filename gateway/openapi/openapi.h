/* The OpenAPI 3.1 document, made from the route table, the schemas, the problems and the roles: nothing in it is written by hand twice. */
#ifndef SLUICE_GATEWAY_OPENAPI_OPENAPI_H
#define SLUICE_GATEWAY_OPENAPI_OPENAPI_H

#include "gateway/http/route.h"
#include "gateway/openapi/schemas.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

/* Appends the document. ERR_BUG when a row names a schema or a path parameter that schemas.json does not have. */
int openapi_write(const struct route_table *routes, const struct schemas *schemas, const char *version, struct buf *out, struct err *err)
	MUST_CHECK;

#endif
