/* Cross-origin calls (the Fetch standard's CORS protocol), for the configured origins only. */
#include "gateway/http/server_state.h"
#include "lib/config/config.h"

static bool is_allowed(const struct config_list *origins, struct str origin)
{
	for (size_t i = 0; i < origins->n; i++)
		if (str_is(origin, origins->items[i]) || strcmp(origins->items[i], "*") == 0)
			return true;
	return false;
}

bool cors_apply(const struct request *r, struct response *res)
{
	struct str origin = request_header(r, "Origin");
	if (r->deps->config->cors_origins.n == 0)
		return false;
	response_header(res, "Vary", STR("Origin"));
	if (!origin.p || !is_allowed(&r->deps->config->cors_origins, origin))
		return false;
	response_header(res, "Access-Control-Allow-Origin", origin);
	bool preflight = str_is(r->method, "OPTIONS") && request_header(r, "Access-Control-Request-Method").p;
	if (!preflight) {
		response_header(res, "Access-Control-Expose-Headers",
				STR("ETag, Location, Retry-After, X-Request-Id, Idempotent-Replayed, RateLimit, RateLimit-Policy"));
		return false;
	}
	response_header(res, "Access-Control-Allow-Methods", str_from(r->x_->allow));
	response_header(res, "Access-Control-Allow-Headers",
			STR("Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, X-Request-Id"));
	response_header(res, "Access-Control-Max-Age", STR("600"));
	res->status = 204;
	return true;
}
