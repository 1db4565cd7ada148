/* Each pattern by itself, one after the other: slower than one pass by their number, but everywhere. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "processors/compliance/engine.h"

#define MATCH_LIMIT 100000 /* steps of one attempt; the patterns need tens */

struct engine {
	unsigned n;
	pcre2_match_context *limits;
	pcre2_code *codes[];
};

static bool usable(void)
{
	return true;
}

static const char *version(void)
{
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
	return TEXT(PCRE2_MAJOR) "." TEXT(PCRE2_MINOR);
}

static void release(void *p)
{
	struct engine *e = p;
	for (unsigned i = 0; i < e->n; i++)
		pcre2_code_free(e->codes[i]);
	pcre2_match_context_free(e->limits);
	free(e);
}

static int compile_one(struct engine *e, unsigned i, const struct engine_pattern *p, struct err *err)
{
	int code;
	PCRE2_SIZE at;
	unsigned char why[128];
	e->codes[i] = pcre2_compile((PCRE2_SPTR)p->regex, PCRE2_ZERO_TERMINATED, p->caseless ? PCRE2_CASELESS : 0, &code, &at, NULL);
	if (!e->codes[i]) {
		pcre2_get_error_message(code, why, sizeof(why));
		return err_set(err, ERR_INVALID, "pattern %u at %zu: %s", i, at, (const char *)why);
	}
	(void)pcre2_jit_compile(e->codes[i], PCRE2_JIT_COMPLETE); /* without it matching is slower */
	return 0;
}

static void *compile(const struct engine_pattern *patterns, unsigned n, struct err *err)
{
	struct engine *e = calloc(1, sizeof(*e) + n * sizeof(e->codes[0]));
	if (!e) {
		err_set(err, ERR_NOMEM, "no memory for an engine");
		return NULL;
	}
	e->n = n;
	e->limits = pcre2_match_context_create(NULL);
	int rc = e->limits ? pcre2_set_match_limit(e->limits, MATCH_LIMIT) : err_set(err, ERR_NOMEM, "no memory for an engine");
	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = compile_one(e, i, &patterns[i], err);
	if (rc == 0)
		return e;
	release(e);
	return NULL;
}

static void *scratch_new(void *engine)
{
	(void)engine;
	return pcre2_match_data_create(1, NULL);
}

static void scratch_free(void *scratch)
{
	pcre2_match_data_free(scratch);
}

static int run(void *engine, void *scratch, struct str text, engine_hit_fn *hit, void *arg, struct err *err)
{
	const struct engine *e = engine;
	for (unsigned i = 0; i < e->n; i++) {
		for (size_t from = 0; from < text.n;) {
			int rc = pcre2_match(e->codes[i], (PCRE2_SPTR)text.p, text.n, from, 0, scratch, e->limits);
			if (rc == PCRE2_ERROR_NOMATCH)
				break;
			if (rc < 0)
				return err_set(err, ERR_LIMIT, "pattern %u runs away (%d)", i, rc);
			const size_t *at = pcre2_get_ovector_pointer(scratch);
			if (!hit(arg, i, at[1]))
				return 0;
			from = at[0] + 1; /* matches may overlap */
		}
	}
	return 0;
}

const struct engine_ops engine_pcre2 = {
	.name = "pcre2",
	.version = version,
	.usable = usable,
	.compile = compile,
	.release = release,
	.scratch_new = scratch_new,
	.scratch_free = scratch_free,
	.run = run,
};
