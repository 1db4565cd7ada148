/* The route table: one row of gateway/routes/routes.def per operation. Router, authorization, rate limits, body reading, validation, OpenAPI, the
 * audit check and the tests all read it.
 *
 * ROUTE(id, METHOD, "/path/{param}", roles, rate, body, body_schema, response_schema, flags, "summary", handler)
 *     roles            a role_set, or ROUTE_PUBLIC
 *     rate             RATE_READ, RATE_WRITE or RATE_NONE
 *     body             BODY_NONE, BODY_JSON (read whole, at most SLUICE_MAX_BODY_BYTES), BODY_STREAM (handler reads)
 *     body_schema      name of a schema in gateway/openapi/schemas.json, or NULL
 *     response_schema  the success body's schema, or NULL (no JSON)
 *     flags            ROUTE_CHANGES (writes one audit line), ROUTE_WAITS (Prefer: wait), ROUTE_QUIET (not in the access log),
 *                      ROUTE_METRICS (its roles count with SLUICE_METRICS_AUTH=1 only), ROUTE_PROBE (served in role worker and
 *                      while shutting down, too), ROUTE_DEV (exists with DEV_LOGIN=1 only), ROUTE_LINES (a BODY_JSON that may also come as
 *                      application/x-ndjson, which the handler reads by request_line),
 *                      ROUTE_WEBSOCKET (answers with response_websocket) */
#ifndef SLUICE_GATEWAY_HTTP_ROUTE_H
#define SLUICE_GATEWAY_HTTP_ROUTE_H

#include "gateway/http/request.h"

enum rate_class { RATE_NONE, RATE_READ, RATE_WRITE };
enum body_kind { BODY_NONE, BODY_JSON, BODY_STREAM };
#define ROUTE_PUBLIC ((role_set)0)
/* Sets of roles that rows name. ROLES_EVERY_ORG is auth.h's. */
#define PRODUCERS ((role_set)(ROLE_ADMIN | ROLE_PRODUCER))
#define ADDERS ((role_set)(ROLE_ADMIN | ROLE_OPERATOR | ROLE_PRODUCER))
#define READERS ((role_set)(ROLES_EVERY_ORG | ROLE_PRODUCER))
#define ADMINS ((role_set)ROLE_ADMIN)
#define OPERATORS ((role_set)(ROLE_ADMIN | ROLE_OPERATOR))
#define WORKERS ((role_set)(ROLE_ADMIN | ROLE_OPERATOR | ROLE_WORKER))
#define ANYBODY ((role_set)(READERS | ROLE_WORKER))
#define ROUTE_CHANGES 1u
#define ROUTE_WAITS 2u
#define ROUTE_QUIET 4u
#define ROUTE_METRICS 8u
#define ROUTE_PROBE 16u
#define ROUTE_DEV 32u
#define ROUTE_LINES 64u
#define ROUTE_WEBSOCKET 128u

struct route {
	const char *id, *method, *pattern;
	role_set roles;
	enum rate_class rate;
	enum body_kind body;
	const char *body_schema, *response_schema;
	unsigned flags;
	const char *summary;
	handler_fn *handler;
};

/* A table of rows, not changed while a server runs on it. */
struct route_table {
	const struct route *rows;
	unsigned count;
};

extern const struct route_table ROUTES; /* gateway/routes/routes.def */

#define ROUTE_SEGMENTS_MAX 16 /* of a pattern; a path of more fits none */

/* The table with what makes finding quick: its rows by the number of their segments. */
struct router {
	const struct route_table *table;
	struct router_row {
		const struct route *route;
		size_t literal; /* bytes ahead of its first parameter */
	} *rows;
	unsigned from[ROUTE_SEGMENTS_MAX + 2]; /* those of n segments are rows[from[n]] to rows[from[n + 1] - 1], in the table's order */
};

/* The table must outlive it. 0 or ERR_NOMEM; after success router_release. */
int router_init(struct router *router, const struct route_table *t) MUST_CHECK;
void router_release(struct router *router);

enum route_match { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD, ROUTE_BAD_PATH };

#define ROUTE_ALLOW_SIZE 64

/* Matches the raw path segment by segment; a decoded "%2F" is data inside its segment; "%00", control characters, "." and ".." segments,
 * empty segments and bad escapes are ROUTE_BAD_PATH. Where two patterns fit, the one whose first difference is a literal segment
 * wins. HEAD finds GET's row. On ROUTE_NO_METHOD `allow` gets "GET, HEAD, POST". Any thread. */
enum route_match route_find(const struct router *router, struct str method, struct str raw_path, struct arena *a, const struct route **out,
			    struct str params[REQUEST_MAX_PARAMS], char *allow, size_t allow_size);

#endif
