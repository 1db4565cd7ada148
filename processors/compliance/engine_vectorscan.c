#include <hs/hs.h>
#include <malloc.h>

#include "processors/compliance/engine.h"

struct engine {
	hs_database_t *database;
	hs_scratch_t *scratch; /* the one that others are cloned from */
};

struct run {
	engine_hit_fn *hit;
	void *arg;
};

static bool usable(void)
{
	return hs_valid_platform() == HS_SUCCESS;
}

static const char *version(void)
{
	return hs_version();
}

static void release(void *p)
{
	struct engine *e = p;
	hs_free_scratch(e->scratch);
	hs_free_database(e->database);
	free(e);
}

static int compile_all(struct engine *e, const struct engine_pattern *patterns, unsigned n, struct err *err)
{
	const char **regexes = calloc(n, sizeof(*regexes));
	unsigned *numbers = calloc(n, 2 * sizeof(*numbers)); /* ids, then flags */
	hs_compile_error_t *why = NULL;
	int rc = 0;
	for (unsigned i = 0; regexes && numbers && i < n; i++) {
		regexes[i] = patterns[i].regex;
		numbers[i] = i;
		numbers[n + i] = patterns[i].caseless ? HS_FLAG_CASELESS : 0;
	}
	if (!regexes || !numbers)
		rc = err_set(err, ERR_NOMEM, "no memory for the patterns");
	else if (hs_compile_multi(regexes, numbers + n, numbers, n, HS_MODE_BLOCK, NULL, &e->database, &why) != HS_SUCCESS)
		rc = err_set(err, ERR_INVALID, "pattern %d: %s", why ? why->expression : -1, why ? why->message : "not compiled");
	else if (hs_alloc_scratch(e->database, &e->scratch) != HS_SUCCESS)
		rc = err_set(err, ERR_NOMEM, "no memory for scanning");
	hs_free_compile_error(why);
	malloc_trim(0); /* compiling takes many times what is left of it */
	free(regexes);
	free(numbers);
	return rc;
}

static void *compile(const struct engine_pattern *patterns, unsigned n, struct err *err)
{
	struct engine *e = calloc(1, sizeof(*e));
	if (!e) {
		err_set(err, ERR_NOMEM, "no memory for an engine");
		return NULL;
	}
	if (compile_all(e, patterns, n, err) < 0) {
		release(e);
		return NULL;
	}
	return e;
}

static void *scratch_new(void *engine)
{
	const struct engine *e = engine;
	hs_scratch_t *scratch = NULL;
	return hs_clone_scratch(e->scratch, &scratch) == HS_SUCCESS ? scratch : NULL;
}

static void scratch_free(void *scratch)
{
	hs_free_scratch(scratch);
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *arg)
{
	const struct run *r = arg;
	(void)from, (void)flags; /* only ends are known */
	return r->hit(r->arg, id, (size_t)to) ? 0 : 1;
}

static int run(void *engine, void *scratch, struct str text, engine_hit_fn *hit, void *arg, struct err *err)
{
	const struct engine *e = engine;
	struct run r = {hit, arg};
	if (text.n > UINT32_MAX)
		return err_set(err, ERR_LIMIT, "the text is too long");
	hs_error_t rc = hs_scan(e->database, text.p, (unsigned)text.n, 0, scratch, on_match, &r);
	return rc == HS_SUCCESS || rc == HS_SCAN_TERMINATED ? 0 : err_set(err, ERR_BUG, "vectorscan refuses to scan (%d)", rc);
}

const struct engine_ops engine_vectorscan = {
	.name = "vectorscan",
	.version = version,
	.usable = usable,
	.compile = compile,
	.release = release,
	.scratch_new = scratch_new,
	.scratch_free = scratch_free,
	.run = run,
};
