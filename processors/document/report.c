#include "processors/document/report.h"

#include <stddef.h>

#include "lib/json/jdoc.h"

static const struct jdoc_limits report_limits = {.max_depth = 4, .max_nodes = 256};

enum field_kind {
	FIELD_WORD,     /* letters, digits and ._+:/- */
	FIELD_TEXT,     /* anything, or null */
	FIELD_COUNT,    /* an integer from 0 */
	FIELD_BOOL,
};

struct field {
	const char *object, *name; /* object: NULL at the top */
	enum field_kind kind;
	size_t offset; /* of the member of struct helper_report */
	int64_t max;   /* bytes, or the value */
};

#define AT(member) offsetof(struct helper_report, member)
#define MAX_COUNT ((int64_t)1 << 40)

static const struct field fields[] = {
	{"mime", "detected", FIELD_WORD, AT(detected), 128},
	{"mime", "verdict", FIELD_WORD, AT(verdict), 16},
	{"mime", "extension", FIELD_WORD, AT(extension), 16},
	{NULL, "pages", FIELD_COUNT, AT(pages), 100000000},
	{"metadata", "title", FIELD_TEXT, AT(metadata.title), HELPER_MAX_FIELD},
	{"metadata", "author", FIELD_TEXT, AT(metadata.author), HELPER_MAX_FIELD},
	{"metadata", "created", FIELD_TEXT, AT(metadata.created), HELPER_MAX_FIELD},
	{"metadata", "producer", FIELD_TEXT, AT(metadata.producer), HELPER_MAX_FIELD},
	{"text", "bytes", FIELD_COUNT, AT(text_bytes), MAX_COUNT},
	{"text", "truncated", FIELD_BOOL, AT(truncated), 0},
	{"text", "source", FIELD_WORD, AT(source), 32},
	{"security", "encrypted", FIELD_BOOL, AT(security.encrypted), 0},
	{"security", "javascript", FIELD_BOOL, AT(security.javascript), 0},
	{"security", "macros", FIELD_BOOL, AT(security.macros), 0},
	{"security", "embeddedFiles", FIELD_COUNT, AT(security.embedded_files), MAX_COUNT},
	{"timingsMs", "sniff", FIELD_COUNT, AT(sniff_ms), MAX_COUNT},
	{"timingsMs", "check", FIELD_COUNT, AT(check_ms), MAX_COUNT},
	{"timingsMs", "extract", FIELD_COUNT, AT(extract_ms), MAX_COUNT},
};

static bool is_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && !(c && strchr("._+:/-", c)))
			return false;
	}
	return true;
}

static int bad(struct err *err, const char *name)
{
	return err_set(err, ERR_INVALID, "the helper's report is wrong at %s", name);
}

static int read_string(const struct jdoc *doc, uint32_t node, const struct field *f, struct arena *a, struct str *out)
{
	if (f->kind == FIELD_TEXT && node != JDOC_NONE && jdoc_type(doc, node) == J_NULL) {
		*out = STR_NONE;
		return 0;
	}
	struct str s = node == JDOC_NONE ? STR_NONE : jdoc_string(doc, node, a);
	if (!s.p || s.n > (size_t)f->max || (f->kind == FIELD_WORD && !is_word(s)))
		return ERR_INVALID;
	*out = s;
	return 0;
}

static int read_field(const struct jdoc *doc, const struct field *f, struct arena *a, struct helper_report *r)
{
	char *member = (char *)r + f->offset;
	uint32_t object = f->object ? jdoc_get(doc, JDOC_ROOT, f->object) : JDOC_ROOT;
	uint32_t node = jdoc_get(doc, object, f->name);
	if (f->kind == FIELD_WORD || f->kind == FIELD_TEXT)
		return read_string(doc, node, f, a, (struct str *)(void *)member);
	if (node == JDOC_NONE)
		return ERR_INVALID;
	if (f->kind == FIELD_BOOL) {
		*(bool *)(void *)member = jdoc_type(doc, node) == J_TRUE;
		return jdoc_type(doc, node) == J_TRUE || jdoc_type(doc, node) == J_FALSE ? 0 : ERR_INVALID;
	}
	int64_t value;
	if (jdoc_int(doc, node, &value) < 0 || value < 0 || value > f->max)
		return ERR_INVALID;
	*(int64_t *)(void *)member = value;
	return 0;
}

static int read_warnings(const struct jdoc *doc, struct arena *a, struct helper_report *r)
{
	uint32_t list = jdoc_get(doc, JDOC_ROOT, "warnings");
	if (list == JDOC_NONE || jdoc_type(doc, list) != J_ARRAY)
		return ERR_INVALID;
	for (uint32_t c = jdoc_first(doc, list); c != JDOC_NONE; c = jdoc_next(doc, list, c)) {
		struct str name = jdoc_string(doc, c, a);
		int w = name.p ? warning_find(name) : -1;
		if (w < 0)
			return ERR_INVALID;
		r->warnings |= 1u << w;
	}
	return 0;
}

static int read_failure(const struct jdoc *doc, uint32_t node, struct arena *a, struct helper_report *r)
{
	static const struct field detail = {NULL, "detail", FIELD_TEXT, AT(detail), HELPER_MAX_FIELD};
	struct str name = jdoc_string(doc, node, a);
	r->failure = name.p ? failure_find(name) : FAILURE_NONE;
	return r->failure == FAILURE_NONE ? ERR_INVALID : read_field(doc, &detail, a, r);
}

static bool is_report(const struct jdoc *doc)
{
	int64_t schema;
	return jdoc_type(doc, JDOC_ROOT) == J_OBJECT && jdoc_get(doc, JDOC_ROOT, "schema") != JDOC_NONE &&
	       jdoc_int(doc, jdoc_get(doc, JDOC_ROOT, "schema"), &schema) == 0 && schema == HELPER_SCHEMA;
}

int helper_report_read(struct str text, struct arena *a, struct helper_report *r, struct err *err)
{
	static const struct field sandbox = {NULL, "sandbox", FIELD_WORD, AT(sandbox), 32};
	struct jdoc doc;
	struct jdoc_fault fault;
	memset(r, 0, sizeof(*r));
	int rc = jdoc_parse(&doc, a, text, &report_limits, &fault);
	if (rc == ERR_NOMEM)
		return err_set(err, rc, "no memory for the helper's report");
	if (rc < 0 || !is_report(&doc))
		return bad(err, "its beginning");
	if (read_field(&doc, &sandbox, a, r) < 0)
		return bad(err, sandbox.name);
	uint32_t failure = jdoc_get(&doc, JDOC_ROOT, "failure");
	if (failure != JDOC_NONE)
		return read_failure(&doc, failure, a, r) < 0 ? bad(err, "failure") : 0;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (read_field(&doc, &fields[i], a, r) < 0)
			return bad(err, fields[i].name);
	return read_warnings(&doc, a, r) < 0 ? bad(err, "warnings") : 0;
}
