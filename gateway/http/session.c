#include "gateway/http/session.h"

#include "gateway/http/server.h"
#include "lib/config/config.h"

static bool is_https(const struct request *r)
{
	return str_starts(str_from(r->deps->config->public_url), STR("https://"));
}

static struct str cookie_name(const struct request *r)
{
	return is_https(r) ? STR("__Host-sluice-session") : STR("sluice-session");
}

static struct str bearer_token(const struct request *r)
{
	struct str value = request_header(r, "Authorization");
	if (!value.p || value.n < 8 || !str_ieq(str_sub(value, 0, 7), STR("Bearer ")))
		return STR_NONE;
	return str_trim(str_sub(value, 7, value.n - 7));
}

static struct str cookie_token(const struct request *r)
{
	struct str rest = request_header(r, "Cookie"), wanted = cookie_name(r);
	while (rest.p) {
		struct str value = str_trim(str_cut(&rest, ';'));
		struct str name = str_cut(&value, '=');
		if (value.n && str_eq(name, wanted))
			return value;
	}
	return STR_NONE;
}

struct str session_token(const struct request *r)
{
	struct str bearer = bearer_token(r);
	return bearer.p ? bearer : cookie_token(r);
}

/* A GET that asks for a WebSocket is not safe: what goes over it afterwards is not looked at again. */
static bool is_safe(const struct request *r)
{
	return str_is(r->method, "GET") && !request_header(r, "Upgrade").p;
}

/* "https://host:port" against the host that the request names, or against the address that browsers use. */
static bool is_our_origin(const struct request *r, struct str origin)
{
	struct str public = str_from(r->deps->config->public_url), host = request_header(r, "Host");
	if (public.n && str_starts(public, origin) && (public.n == origin.n || public.p[origin.n] == '/'))
		return true;
	const char *authority = origin.p ? memmem(origin.p, origin.n, "://", 3) : NULL;
	if (!authority || !host.p)
		return false;
	size_t before = (size_t)(authority + 3 - origin.p);
	return str_ieq(str_sub(origin, before, origin.n - before), host);
}

bool session_is_ours(const struct request *r)
{
	struct str site = request_header(r, "Sec-Fetch-Site");
	if (bearer_token(r).p || is_safe(r))
		return true;
	return site.p ? str_is(site, "same-origin") : is_our_origin(r, request_header(r, "Origin"));
}

void session_begin(const struct request *r, struct response *res, struct str token, int64_t seconds)
{
	response_headerf(res, "Set-Cookie", "%s=%.*s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Strict%s", cookie_name(r).p, STR_ARG(token),
			 (long long)seconds, is_https(r) ? "; Secure" : "");
}

void session_end(const struct request *r, struct response *res)
{
	session_begin(r, res, STR(""), 0);
}
