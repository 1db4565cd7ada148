/* Signing in. In development anybody may make themselves a token; elsewhere the route does not exist. */
#include "gateway/http/audit.h"
#include "gateway/routes/access.h"
#include "gateway/routes/handlers.h"
#include "lib/base/clock.h"
#include "lib/config/config.h"

static void copy_text(char *out, size_t size, struct str s)
{
	snprintf(out, size, "%.*s", STR_ARG(s));
}

/* The claims that are asked for; the body has passed its schema. */
static struct principal read_claims(struct request *r)
{
	struct principal who = {.org = AUTH_ORG_DEFAULT};
	struct str org = jdoc_string(&r->json, jdoc_get(&r->json, JDOC_ROOT, "org"), r->arena);
	uint32_t roles = jdoc_get(&r->json, JDOC_ROOT, "roles");

	copy_text(who.sub, sizeof(who.sub), jdoc_string(&r->json, jdoc_get(&r->json, JDOC_ROOT, "sub"), r->arena));
	if (org.p)
		copy_text(who.org, sizeof(who.org), org);
	for (uint32_t c = jdoc_first(&r->json, roles); c != JDOC_NONE; c = jdoc_next(&r->json, roles, c))
		who.roles |= role_parse(jdoc_string(&r->json, c, r->arena));
	return who;
}

void login_dev_token(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct principal who = read_claims(r);
	struct buf token = BUF_INIT;
	struct err err = {0};
	int64_t expires_ms = clock_wall_ms() + s->config->jwt_expires_in_ms;

	if (auth_issue(s->auth, &who, s->config->jwt_expires_in_ms / 1000, &token, &err) < 0) {
		response_error(r, res, &err);
		return;
	}
	audit_note(r, "token.issue", str_from(who.sub), STR_NONE, jdoc_raw(&r->json, JDOC_ROOT));
	struct jwrite w = response_json(res, 201);
	jw_open(&w, '{');
	jw_kstr(&w, "token", buf_str(&token));
	jw_kint(&w, "expiresAt", expires_ms);
	jw_close(&w, '}');
	buf_release(&token);
}
