/* The handlers that routes.def names. */
#ifndef SLUICE_GATEWAY_ROUTES_HANDLERS_H
#define SLUICE_GATEWAY_ROUTES_HANDLERS_H

#include "gateway/http/route.h"

#define ROUTE(id, method, pattern, roles, rate, body, body_schema, response_schema, flags, summary, handler) handler_fn handler;
#include "gateway/routes/routes.def"
#undef ROUTE

#endif
