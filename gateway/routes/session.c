/* A browser's session: signing in with a token or a one-time link, signing out, and who it is that is signed in. */
#include "gateway/http/audit.h"
#include "gateway/http/server.h"
#include "gateway/http/session.h"
#include "gateway/login_codes.h"
#include "gateway/routes/access.h"
#include "gateway/routes/handlers.h"
#include "gateway/ui/ui.h"
#include "gateway/version.h"
#include "lib/base/clock.h"
#include "lib/config/config.h"

static void write_roles(struct jwrite *w, role_set roles)
{
	jw_key(w, "roles");
	jw_open(w, '[');
	for (unsigned i = 0; i < ROLE_COUNT; i++)
		if (roles & (1u << i))
			jw_strz(w, role_word(i));
	jw_close(w, ']');
}

/* The operations that the caller's roles are enough for, so that a page shows nothing else. */
static void write_operations(const struct request *r, struct jwrite *w, role_set roles)
{
	const struct route_table *t = r->deps->routes;
	jw_key(w, "may");
	jw_open(w, '[');
	for (unsigned i = 0; i < t->count; i++)
		if (t->rows[i].roles & roles)
			jw_strz(w, t->rows[i].id);
	jw_close(w, ']');
}

/* who NULL: nobody is signed in. */
static void write_session(const struct request *r, struct response *res, const struct principal *who)
{
	const struct services *s = app_services(r->app);
	struct jwrite w = response_json(res, 200);
	jw_open(&w, '{');
	jw_kstrz(&w, "sub", who ? who->sub : NULL);
	jw_kstrz(&w, "org", who ? who->org : NULL);
	write_roles(&w, who ? who->roles : 0);
	write_operations(r, &w, who ? who->roles : 0);
	write_time(&w, "expiresAt", who ? who->expires_s * 1000 : -1);
	jw_kbool(&w, "devLogin", s->config->dev_login);
	jw_kbool(&w, "records", s->records != NULL);
	jw_kstrz(&w, "version", SLUICE_VERSION);
	jw_close(&w, '}');
}

void session_get(struct request *r, struct response *res)
{
	struct str token = session_token(r);
	struct err err = {0};
	int rc = token.p ? auth_verify(app_services(r->app)->auth, token, &r->who, &err) : ERR_DENIED;
	if (rc == ERR_NOMEM)
		response_error(r, res, &err);
	else
		write_session(r, res, rc == 0 ? &r->who : NULL);
}

/* Makes the caller whom the token names the session's; the audit line tells of it. */
static void enter(struct request *r, struct response *res, struct str token)
{
	session_begin(r, res, token, r->who.expires_s - clock_wall_ms() / 1000);
	audit_note(r, "session.begin", str_from(r->who.sub), STR_NONE, STR_NONE);
}

void session_create(struct request *r, struct response *res)
{
	struct str token = jdoc_string(&r->json, jdoc_get(&r->json, JDOC_ROOT, "token"), r->arena);
	struct err err = {0};
	if (!session_is_ours(r)) {
		response_problem(r, res, PROBLEM_FORBIDDEN, "Only a page of this server may begin a session.");
		return;
	}
	int rc = auth_verify(app_services(r->app)->auth, str_trim(token), &r->who, &err);
	if (rc == ERR_DENIED) {
		response_problem(r, res, PROBLEM_UNAUTHORIZED, "%s", err.text);
		return;
	}
	if (rc < 0) {
		response_error(r, res, &err);
		return;
	}
	write_session(r, res, &r->who);
	enter(r, res, str_trim(token));
}

void session_delete(struct request *r, struct response *res)
{
	if (!session_is_ours(r)) {
		response_problem(r, res, PROBLEM_FORBIDDEN, "Only a page of this server may end a session.");
		return;
	}
	struct err err = {0};
	struct str token = session_token(r);
	bool known = token.p && auth_verify(app_services(r->app)->auth, token, &r->who, &err) == 0;
	audit_note(r, "session.end", known ? str_from(r->who.sub) : STR(""), STR_NONE, STR_NONE);
	session_end(r, res);
	res->status = 204;
}

/* The link of `make run`: the code is used up, and the address that stays in the browser's history has none. */
void session_link(struct request *r, struct response *res)
{
	const struct services *s = app_services(r->app);
	struct str code = request_query(r, "code");
	struct buf token = BUF_INIT;
	struct err err = {0};
	if (!code.p || r->head_only) { /* a preview of the link must not use it up */
		ui_page(r, res);
		return;
	}
	res->status = 303;
	if (!login_codes_take(s->logins, code, clock_mono_ms(), &r->who)) {
		response_header(res, "Location", STR("/login?used"));
		return;
	}
	r->who.expires_s = (clock_wall_ms() + s->config->jwt_expires_in_ms) / 1000;
	if (auth_issue(s->auth, &r->who, s->config->jwt_expires_in_ms / 1000, &token, &err) < 0) {
		response_error(r, res, &err);
	} else {
		response_header(res, "Location", STR("/"));
		enter(r, res, buf_str(&token));
	}
	buf_release(&token);
}
