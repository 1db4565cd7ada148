/* The router on the program's own table: the input is a method, a blank and a raw path. */
#include <stdint.h>

#include "gateway/http/route.h"
#include "gateway/http/uri.h"
#include "lib/base/buf.h"
#include "lib/base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct look {
	enum route_match match;
	const struct route *route;
	struct str params[REQUEST_MAX_PARAMS];
	char allow[ROUTE_ALLOW_SIZE];
};

static struct look look(struct arena *a, struct str method, struct str path)
{
	static struct router router;
	struct look l = {0};
	bug_on(!router.table && router_init(&router, &ROUTES) < 0);
	l.match = route_find(&router, method, path, a, &l.route, l.params, l.allow, sizeof(l.allow));
	return l;
}

static void add_encoded(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_addf(out, "%%%02X", (unsigned char)s.p[i]);
}

/* The pattern with the values in its places, each byte of them encoded. */
static void fill(struct buf *path, const char *pattern, const struct str *params)
{
	struct str rest = str_from(pattern);
	size_t n = 0;
	(void)str_cut(&rest, '/');
	while (rest.p) {
		struct str segment = str_cut(&rest, '/');
		buf_addc(path, '/');
		if (str_starts(segment, STR("{")))
			add_encoded(path, params[n++]);
		else
			buf_adds(path, segment);
	}
}

/* What a path says is found again however it is written. */
static void check_found(struct arena *a, struct str method, const struct look *l)
{
	struct buf path = BUF_INIT;
	bug_on(!str_is(method, l->route->method) && !(str_is(method, "HEAD") && strcmp(l->route->method, "GET") == 0));
	fill(&path, l->route->pattern, l->params);
	struct look again = look(a, method, buf_str(&path));
	bug_on(again.match != ROUTE_FOUND || again.route != l->route);
	for (size_t i = 0; i < REQUEST_MAX_PARAMS; i++) {
		bug_on(!str_eq(again.params[i], l->params[i]));
		bug_on(l->params[i].p && (!l->params[i].n || memchr(l->params[i].p, '\0', l->params[i].n) || !str_is_utf8(l->params[i])));
	}
	buf_release(&path);
}

/* Each method that is named finds a row, no other does. */
static void check_methods(struct arena *a, struct str path, struct str allow)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		bool named = false;
		struct str rest = allow;
		while (rest.p && !named)
			named = str_is(str_trim(str_cut(&rest, ',')), methods[i]);
		bug_on((look(a, str_from(methods[i]), path).match == ROUTE_FOUND) != named);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str path = {(const char *)data, size};
	struct str method = size ? str_cut(&path, ' ') : STR_NONE;
	struct arena a;
	if (!path.p)
		return 0;
	arena_init(&a, 0);
	struct look l = look(&a, method, path);
	bug_on((l.match == ROUTE_BAD_PATH) != (uri_path_fault(path) != NULL));
	bug_on((l.match == ROUTE_FOUND) != (l.route != NULL));
	if (l.match == ROUTE_FOUND)
		check_found(&a, method, &l);
	if (l.match == ROUTE_NO_METHOD)
		check_methods(&a, path, str_from(l.allow));
	arena_release(&a);
	return 0;
}
