#include "lib/redis/raddr.h"

#include <stdio.h>

#define DEFAULT_PORT 6379
#define MAX_DB 65535

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX into out; refuses a broken escape, a NUL and what does not fit. The value itself is never shown. */
static int decode(char *out, size_t size, struct str in, const char *what, struct err *err)
{
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (c == '%') {
			int high = i + 2 < in.n ? hex_value(in.p[i + 1]) : -1;
			int low = i + 2 < in.n ? hex_value(in.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				return err_set(err, ERR_INVALID, "Redis URL: bad %%-escape in the %s", what);
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (c == '\0')
			return err_set(err, ERR_INVALID, "Redis URL: a NUL in the %s", what);
		if (n + 1 >= size)
			return err_set(err, ERR_INVALID, "Redis URL: the %s is too long", what);
		out[n++] = c;
	}
	out[n] = '\0';
	return 0;
}

static int parse_number(int *out, struct str in, uint64_t min, uint64_t max, const char *what, struct err *err)
{
	uint64_t v;
	if (str_to_u64(in, &v) < 0 || v < min || v > max)
		return err_set(err, ERR_INVALID, "Redis URL: the %s is not a number from %u to %u", what, (unsigned)min,
		               (unsigned)max);
	*out = (int)v;
	return 0;
}

static int parse_db(struct raddr *a, struct str v, struct err *err)
{
	return parse_number(&a->db, v, 0, MAX_DB, "database", err);
}

static int parse_verify(struct raddr *a, struct str v, struct err *err)
{
	a->tls_skip_name = str_is(v, "ca");
	if (!a->tls_skip_name && !str_is(v, "full"))
		return err_set(err, ERR_INVALID, "Redis URL: verify is \"full\" or \"ca\"");
	return 0;
}

static int parse_ca(struct raddr *a, struct str v, struct err *err)
{
	return decode(a->tls_ca_file, sizeof(a->tls_ca_file), v, "ca", err);
}

static int parse_cert(struct raddr *a, struct str v, struct err *err)
{
	return decode(a->tls_cert_file, sizeof(a->tls_cert_file), v, "cert", err);
}

static int parse_key(struct raddr *a, struct str v, struct err *err)
{
	return decode(a->tls_key_file, sizeof(a->tls_key_file), v, "key", err);
}

static const struct query_name {
	const char *name;
	bool tls_only;
	int (*parse)(struct raddr *a, struct str v, struct err *err);
} query_names[] = {
	{"db", false, parse_db},      {"verify", true, parse_verify}, {"ca", true, parse_ca},
	{"cert", true, parse_cert}, {"key", true, parse_key},
};

static int parse_query_item(struct raddr *a, struct str item, struct err *err)
{
	struct str value = item;
	struct str name = str_cut(&value, '=');
	if (!value.p)
		return err_set(err, ERR_INVALID, "Redis URL: a query name without a value");
	for (size_t i = 0; i < ARRAY_LEN(query_names); i++) {
		const struct query_name *q = &query_names[i];
		if (!str_is(name, q->name))
			continue;
		if (q->tls_only && !a->tls)
			return err_set(err, ERR_INVALID, "Redis URL: %s needs rediss://", q->name);
		return q->parse(a, value, err);
	}
	return err_set(err, ERR_INVALID, "Redis URL: unknown query name");
}

static int parse_query(struct raddr *a, struct str query, struct err *err)
{
	while (query.p && query.n) {
		int rc = parse_query_item(a, str_cut(&query, '&'), err);
		if (rc < 0)
			return rc;
	}
	if (!a->tls_cert_file[0] != !a->tls_key_file[0])
		return err_set(err, ERR_INVALID, "Redis URL: cert and key go together");
	return 0;
}

/* Where the last '@' of the authority is, or in.n: a password that was not escaped may hold one. */
static size_t last_at(struct str in)
{
	for (size_t i = in.n; i > 0; i--)
		if (in.p[i - 1] == '@')
			return i - 1;
	return in.n;
}

/* Takes "user:password@" off the front. "secret@" alone is refused: it is more often a slip than a user. */
static int parse_userinfo(struct raddr *a, struct str *rest, struct err *err)
{
	size_t at = last_at(*rest);
	if (at == rest->n)
		return 0;
	struct str password = {rest->p, at};
	struct str user = str_cut(&password, ':');
	*rest = str_sub(*rest, at + 1, rest->n - at - 1);
	if (!password.p)
		return err_set(err, ERR_INVALID, "Redis URL: \"user:password@\" or \":password@\" is expected");
	int rc = decode(a->user, sizeof(a->user), user, "user", err);
	return rc < 0 ? rc : decode(a->password, sizeof(a->password), password, "password", err);
}

static bool is_host_byte(char c, bool v6)
{
	bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
	return alnum || c == '.' || c == '-' || c == '_' || (v6 && (c == ':' || c == '%'));
}

static int parse_host(struct raddr *a, struct str host, bool v6, struct err *err)
{
	if (host.n == 0 || host.n >= sizeof(a->host))
		return err_set(err, ERR_INVALID, "Redis URL: the host is missing or too long");
	if (v6 && !memchr(host.p, ':', host.n))
		return err_set(err, ERR_INVALID, "Redis URL: only an IPv6 address stands in brackets");
	for (size_t i = 0; i < host.n; i++)
		if (!is_host_byte(host.p[i], v6))
			return err_set(err, ERR_INVALID, "Redis URL: a character in the host that cannot be there");
	memcpy(a->host, host.p, host.n);
	a->host[host.n] = '\0';
	return 0;
}

static int parse_host_port(struct raddr *a, struct str in, struct err *err)
{
	struct str host, port;
	bool v6 = in.n && in.p[0] == '[';
	if (v6) {
		port = str_sub(in, 1, in.n - 1);
		host = str_cut(&port, ']');
		if (!port.p || (port.n && port.p[0] != ':'))
			return err_set(err, ERR_INVALID, "Redis URL: a broken [IPv6] host");
		port = port.n ? str_sub(port, 1, port.n - 1) : STR_NONE;
	} else {
		port = in;
		host = str_cut(&port, ':');
	}
	int rc = parse_host(a, host, v6, err);
	a->port = DEFAULT_PORT;
	return rc < 0 || !port.p ? rc : parse_number(&a->port, port, 1, 65535, "port", err);
}

/* authority[/db], the query already cut off. */
static int parse_net(struct raddr *a, struct str in, struct err *err)
{
	struct str db = in;
	struct str authority = str_cut(&db, '/');
	/* A '/' inside an unescaped password would have cut too early: what is left then has the '@'. */
	if (db.p && last_at(db) != db.n)
		return err_set(err, ERR_INVALID, "Redis URL: write '/' in a password as %%2F");
	int rc = parse_userinfo(a, &authority, err);
	if (rc == 0)
		rc = parse_host_port(a, authority, err);
	return rc < 0 || !db.n ? rc : parse_db(a, db, err);
}

static int parse_unix(struct raddr *a, struct str in, struct err *err)
{
	int rc = parse_userinfo(a, &in, err);
	if (rc < 0)
		return rc;
	if (!in.n || in.p[0] != '/')
		return err_set(err, ERR_INVALID, "Redis URL: unix:// needs an absolute path");
	return decode(a->unix_path, sizeof(a->unix_path), in, "socket path", err);
}

static const struct scheme {
	struct str prefix;
	bool tls;
	int (*parse)(struct raddr *a, struct str in, struct err *err);
} schemes[] = {
	{{"redis://", 8}, false, parse_net},
	{{"rediss://", 9}, true, parse_net},
	{{"unix://", 7}, false, parse_unix},
};

static int parse_with(const struct scheme *s, struct raddr *a, struct str url, struct err *err)
{
	struct str query = str_sub(url, s->prefix.n, url.n - s->prefix.n);
	struct str rest = str_cut(&query, '?');
	a->tls = s->tls;
	int rc = s->parse(a, rest, err);
	return rc < 0 ? rc : parse_query(a, query, err);
}

int raddr_parse(struct raddr *out, struct str url, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (!str_starts(url, schemes[i].prefix))
			continue;
		struct raddr a = {0};
		int rc = parse_with(&schemes[i], &a, url, err);
		if (rc == 0)
			*out = a;
		return rc;
	}
	return err_set(err, ERR_INVALID, "Redis URL: begins with redis://, rediss:// or unix://");
}

void raddr_show(const struct raddr *a, char out[RADDR_SHOW_SIZE])
{
	bool v6 = strchr(a->host, ':') != NULL;
	if (a->unix_path[0])
		snprintf(out, RADDR_SHOW_SIZE, "unix://%s?db=%d", a->unix_path, a->db);
	else if (a->master && !a->host[0])
		snprintf(out, RADDR_SHOW_SIZE, "%s://%s/%d", a->tls ? "rediss" : "redis", rmaster_name(a->master), a->db);
	else
		snprintf(out, RADDR_SHOW_SIZE, "%s://%s%s%s:%d/%d", a->tls ? "rediss" : "redis", v6 ? "[" : "", a->host,
		         v6 ? "]" : "", a->port, a->db);
}
