#include <stdio.h>

#include "gateway/http/route.h"
#include "gateway/http/uri.h"
#include "lib/base/err.h"
#include "lib/base/panic.h"

struct path {
	struct str segments[ROUTE_SEGMENTS_MAX];
	unsigned n;
};

/* false: more segments than any pattern has. */
static bool split(struct str text, struct path *out)
{
	out->n = 0;
	struct str rest = str_sub(text, 1, text.n - 1);
	while (rest.p) {
		if (out->n == ROUTE_SEGMENTS_MAX)
			return false;
		out->segments[out->n++] = str_cut(&rest, '/');
	}
	return true;
}

static bool is_param(struct str segment)
{
	return segment.n > 2 && segment.p[0] == '{';
}

/* Does the path begin as the pattern does, up to its first parameter? Most rows fall out here, by one look: many begin alike, few have the
 * same byte in front of the parameter. */
static bool starts_alike(const char *pattern, size_t literal, struct str path)
{
	return path.n >= literal && path.p[literal - 1] == pattern[literal - 1] && memcmp(pattern, path.p, literal) == 0;
}

/* Does the path end as the pattern does, behind its last parameter? Many rows differ in nothing but their last word. */
static bool ends_alike(const char *pattern, struct str path)
{
	size_t n = strlen(pattern), i = 0;
	while (i < n && i < path.n && pattern[n - 1 - i] != '}' && pattern[n - 1 - i] == path.p[path.n - 1 - i])
		i++;
	return i == n || pattern[n - 1 - i] == '}';
}

/* 0: no match; else a number that is larger the earlier the literal segments stand. */
static unsigned match(const char *pattern, const struct path *p)
{
	unsigned score = 1;
	struct str rest = str_from(pattern + 1);
	for (unsigned i = 0; i < p->n; i++) {
		if (!rest.p)
			return 0;
		struct str want = str_cut(&rest, '/');
		bool literal = !is_param(want);
		if (literal ? !str_eq(want, p->segments[i]) : p->segments[i].n == 0)
			return 0;
		score = score << 1 | literal;
	}
	return rest.p ? 0 : score;
}

static bool serves(const struct route *r, struct str method)
{
	return str_is(method, r->method) || (str_is(method, "HEAD") && strcmp(r->method, "GET") == 0);
}

static bool take_params(const struct route *r, const struct path *p, struct arena *a, struct str params[REQUEST_MAX_PARAMS])
{
	struct str rest = str_from(r->pattern + 1);
	unsigned n = 0;
	for (unsigned i = 0; i < p->n && n < REQUEST_MAX_PARAMS; i++) {
		if (!is_param(str_cut(&rest, '/')))
			continue;
		params[n] = uri_decode(a, p->segments[i], false);
		if (!params[n++].p)
			return false;
	}
	return true;
}

/* Writes the methods of every row that fits the path, in alphabetical order, each once. */
static void list_methods(const struct route_table *t, const struct path *p, char *allow, size_t size)
{
	static const char *const methods[] = {"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"};
	size_t n = 0;
	for (unsigned m = 0; m < ARRAY_LEN(methods); m++) {
		bool found = false;
		for (unsigned i = 0; i < t->count && !found; i++)
			found = serves(&t->rows[i], str_from(methods[m])) && match(t->rows[i].pattern, p);
		if (!found || n >= size)
			continue;
		int wrote = snprintf(allow + n, size - n, "%s%s", n ? ", " : "", methods[m]);
		n += wrote > 0 ? (size_t)wrote : 0;
	}
}

static unsigned count_segments(const char *pattern)
{
	unsigned n = 0;
	bug_on(pattern[0] != '/');
	for (const char *p = pattern; *p; p++)
		n += *p == '/';
	return n;
}

int router_init(struct router *router, const struct route_table *t)
{
	unsigned found = 0;
	*router = (struct router){.table = t, .rows = calloc(t->count, sizeof(*router->rows))};
	if (!router->rows && t->count)
		return ERR_NOMEM;
	for (unsigned n = 0; n <= ROUTE_SEGMENTS_MAX; n++) {
		router->from[n] = found;
		for (unsigned i = 0; i < t->count; i++)
			if (count_segments(t->rows[i].pattern) == n)
				router->rows[found++] = (struct router_row){&t->rows[i], strcspn(t->rows[i].pattern, "{")};
	}
	router->from[ROUTE_SEGMENTS_MAX + 1] = found;
	bug_on(found != t->count);
	return 0;
}

void router_release(struct router *router)
{
	free(router->rows);
	*router = (struct router){0};
}

enum route_match route_find(const struct router *router, struct str method, struct str raw_path, struct arena *a, const struct route **out,
			    struct str params[REQUEST_MAX_PARAMS], char *allow, size_t allow_size)
{
	const struct route_table *t = router->table;
	struct path p;
	if (uri_path_fault(raw_path))
		return ROUTE_BAD_PATH;
	if (!split(raw_path, &p))
		return ROUTE_NO_PATH;
	unsigned best = 0;
	bool path_known = false;
	for (unsigned i = router->from[p.n]; i < router->from[p.n + 1]; i++) {
		const struct route *row = router->rows[i].route;
		bool alike = starts_alike(row->pattern, router->rows[i].literal, raw_path) && ends_alike(row->pattern, raw_path);
		unsigned score = alike ? match(row->pattern, &p) : 0;
		path_known |= score > 0;
		if (score > best && serves(row, method)) {
			best = score;
			*out = row;
		}
	}
	if (best)
		return take_params(*out, &p, a, params) ? ROUTE_FOUND : ROUTE_BAD_PATH;
	if (!path_known)
		return ROUTE_NO_PATH;
	list_methods(t, &p, allow, allow_size);
	return ROUTE_NO_METHOD;
}
