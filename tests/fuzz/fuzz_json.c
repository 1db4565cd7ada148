/* The scanner against jansson: what one accepts the other must, apart from what only the scanner refuses. */
#include <jansson.h>

#include "lib/base/panic.h"
#include "lib/json/jdoc.h"
#include "lib/json/jwrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Written again, a string must read as the same bytes. */
static void check_string(const struct jdoc *doc, uint32_t node, struct arena *a)
{
	struct str content = jdoc_string(doc, node, a);
	struct buf b = BUF_INIT;
	struct jwrite w = jwrite_into(&b);
	jw_str(&w, content);
	struct jdoc again;
	bug_on(b.failed || jdoc_parse(&again, a, buf_str(&b), &JDOC_LIMITS, NULL) < 0);
	bug_on(!str_eq(jdoc_string(&again, JDOC_ROOT, a), content));
	buf_release(&b);
}

static void check_number(const struct jdoc *doc, uint32_t node, struct arena *a)
{
	int64_t i;
	double ours;
	bug_on(jdoc_double(doc, node, &ours) < 0);
	bug_on(jdoc_int(doc, node, &i) == 0 && !jdoc_is_integer(doc, node));
	bug_on(ours != strtod(arena_dupz(a, jdoc_raw(doc, node)), NULL));
}

static void check_node(const struct jdoc *doc, uint32_t node, struct arena *a)
{
	const struct jnode *n = &doc->nodes[node];
	bug_on(n->len == 0 || n->off + n->len > doc->text.n || n->end <= node || n->end > doc->n_nodes);
	uint32_t children = 0;
	for (uint32_t c = jdoc_first(doc, node); c != JDOC_NONE; c = jdoc_next(doc, node, c)) {
		children++;
		if (n->type == J_OBJECT && n->count < 100)
			bug_on(jdoc_find(doc, node, jdoc_key(doc, c, a)) != c);
	}
	bug_on(children != n->count);
	if (n->type == J_STRING)
		check_string(doc, node, a);
	if (n->type == J_NUMBER)
		check_number(doc, node, a);
}

static void compare_with_jansson(struct str text, int rc, enum jfault fault)
{
	json_error_t error;
	json_t *theirs = json_loadb(text.p, text.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
	bool limit = fault == JFAULT_DEPTH || fault == JFAULT_NODES;
	bool nul = text.n && memchr(text.p, '\0', text.n); /* jansson loses one behind a number */
	if (rc == 0)
		bug_on(!theirs && json_error_code(&error) != json_error_numeric_overflow); /* it has integers of 64 bits only */
	else
		bug_on(theirs && !limit && !nul);
	json_decref(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	arena_init(&a, 0);
	struct str text = {(const char *)data, size};
	struct jdoc doc;
	struct jdoc_fault fault = {0};
	int rc = jdoc_parse(&doc, &a, text, &JDOC_LIMITS, &fault);
	bug_on(rc < 0 && (fault.kind == JFAULT_NONE || !fault.reason || fault.offset > size));
	for (uint32_t i = 0; i < doc.n_nodes; i++)
		check_node(&doc, i, &a);
	compare_with_jansson(text, rc, fault.kind);
	arena_release(&a);
	return 0;
}
