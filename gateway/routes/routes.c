#include "gateway/routes/handlers.h"

static const struct route rows[] = {
#define ROUTE(id, method, pattern, roles, rate, body, body_schema, response_schema, flags, summary, handler) \
	{#id, #method, pattern, roles, rate, body, body_schema, response_schema, flags, summary, handler},
#include "gateway/routes/routes.def"
#undef ROUTE
};

const struct route_table ROUTES = {rows, ARRAY_LEN(rows)};
