/* What workers send over HTTP. The first byte chooses the message, the rest is its body: what passes scanner and schema keeps
 * the promises that the handlers build on. */
#include <stdint.h>

#include "gateway/openapi/schemas.h"
#include "lib/base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct message {
	struct jdoc doc;
	struct arena a;
};

static uint32_t member(const struct message *m, const char *name)
{
	return jdoc_get(&m->doc, JDOC_ROOT, name);
}

static void check_number(const struct message *m, const char *name, int64_t least, int64_t most)
{
	int64_t v = least;
	if (member(m, name) != JDOC_NONE)
		bug_on(jdoc_int(&m->doc, member(m, name), &v) < 0);
	bug_on(v < least || v > most);
}

static void check_token(struct message *m)
{
	struct str token = jdoc_string(&m->doc, member(m, "token"), &m->a);
	bug_on(!token.p || token.n == 0 || token.n > (size_t)4 * 255 || !str_is_utf8(token)); /* 255 characters */
}

static void lease(struct message *m)
{
	struct str id = jdoc_string(&m->doc, member(m, "workerId"), &m->a);
	bug_on(!id.p || id.n == 0 || id.n > 64);
	for (size_t i = 0; i < id.n; i++)
		bug_on((unsigned char)id.p[i] <= ' ' || (unsigned char)id.p[i] >= 0x7f || strchr("\"\\:/{}", id.p[i]));
	check_number(m, "max", 1, 100);
	check_number(m, "wait", 0, 30);
}

static void progress(struct message *m)
{
	check_token(m);
	bug_on(member(m, "progress") == JDOC_NONE || !jdoc_raw(&m->doc, member(m, "progress")).n);
}

static void log_line(struct message *m)
{
	check_token(m);
	bug_on(!jdoc_string(&m->doc, member(m, "line"), &m->a).p);
}

static void fail(struct message *m)
{
	check_token(m);
	bug_on(!jdoc_string(&m->doc, member(m, "reason"), &m->a).n);
	bug_on(member(m, "retry") != JDOC_NONE && jdoc_type(&m->doc, member(m, "retry")) != J_TRUE && jdoc_type(&m->doc, member(m, "retry")) != J_FALSE);
	check_number(m, "retryAfterMs", 0, INT64_MAX);
}

static const struct {
	const char *schema;
	void (*check)(struct message *m);
} MESSAGES[] = {
	{"lease-request", lease},   {"held-request", check_token},     {"progress-request", progress},
	{"log-request", log_line},  {"complete-request", check_token}, {"fail-request", fail},
};

static const struct schema *schema_of(const char *name)
{
	static struct schemas *all; /* made once: they do not change between inputs */
	if (!all)
		all = schemas_new(NULL);
	bug_on(!all);
	const struct schema *s = schemas_find(all, name);
	bug_on(!s);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message m;
	if (size < 1)
		return 0;
	size_t kind = data[0] % ARRAY_LEN(MESSAGES);
	arena_init(&m.a, 0);
	struct schema_report report = {.arena = &m.a};
	if (jdoc_parse(&m.doc, &m.a, (struct str){(const char *)data + 1, size - 1}, &JDOC_LIMITS, NULL) == 0 &&
	    schema_check(schema_of(MESSAGES[kind].schema), &m.doc, JDOC_ROOT, STR(""), &report) == 0) {
		bug_on(jdoc_type(&m.doc, JDOC_ROOT) != J_OBJECT);
		MESSAGES[kind].check(&m);
	}
	arena_release(&m.a);
	return 0;
}
