#include "processors/notification/children.h"

#include <inttypes.h>

#define MAX_REASON_BYTES 300

static const struct jdoc_limits value_limits = {.max_depth = 64, .max_nodes = 10000};

/* How the jobs of a queue are spoken of; other queues go by their names. */
static const struct wording {
	const char *queue, *done, *failed;
	const char *count, *one, *many; /* a number of the return value, and its unit */
} wordings[] = {
	{"document-processing", "Document processed", "Document not processed", "pages", "page", "pages"},
	{"compliance-analysis", "Compliance analysed", "Compliance not analysed", NULL, NULL, NULL},
};

static const struct wording *find(struct str queue)
{
	for (size_t i = 0; i < ARRAY_LEN(wordings); i++)
		if (str_is(queue, wordings[i].queue))
			return &wordings[i];
	return NULL;
}

static void add_count(const struct wording *w, struct str value, struct arena *a, struct buf *out)
{
	struct jdoc doc;
	int64_t n;
	if (!w || !w->count || jdoc_parse(&doc, a, value, &value_limits, NULL) < 0)
		return;
	uint32_t node = jdoc_get(&doc, JDOC_ROOT, w->count);
	if (node != JDOC_NONE && jdoc_int(&doc, node, &n) == 0)
		buf_addf(out, ": %" PRId64 " %s", n, n == 1 ? w->one : w->many);
}

/* A reason is another program's: its first line, within bounds, whole characters. */
static struct str reason_of(const struct bq_child *child)
{
	struct str rest = child->failed_reason, line = str_cut(&rest, '\n');
	size_t n = 0;
	while (n < line.n) {
		size_t next = str_utf8_length(str_sub(line, n, line.n - n));
		if (next == 0 || n + next > MAX_REASON_BYTES)
			break;
		n += next;
	}
	return str_trim(str_sub(line, 0, n));
}

void children_write_line(const struct bq_child *child, struct arena *a, struct buf *out)
{
	const struct wording *w = find(child->queue);
	if (child->value.p) {
		if (w)
			buf_addz(out, w->done);
		else
			buf_addf(out, "%.*s: done", STR_ARG(child->queue));
		add_count(w, child->value, a, out);
		return;
	}
	struct str reason = child->by_child ? STR("") : reason_of(child); /* said before, in the child's own line */
	if (w)
		buf_addz(out, w->failed);
	else
		buf_addf(out, "%.*s: failed", STR_ARG(child->queue));
	if (reason.n > 0)
		buf_addf(out, ": %.*s", STR_ARG(reason));
}

enum trouble children_tell(struct job_context *ctx, struct notice *m)
{
	struct bq_children children;
	struct err err = {0};
	if (job_children(ctx, &children, &err) < 0)
		return TROUBLE_CHILDREN_UNAVAILABLE;
	if (children.n == 0)
		return TROUBLE_NONE;
	struct buf text = BUF_INIT;
	buf_adds(&text, m->text);
	buf_addz(&text, "\n");
	/* The list has those first that came last. */
	for (size_t i = children.n; i-- > 0;) {
		buf_addc(&text, '\n');
		children_write_line(&children.items[i], m->arena, &text);
	}
	m->text = text.failed ? STR_NONE : arena_dup(m->arena, buf_str(&text));
	buf_release(&text);
	return m->text.p ? TROUBLE_NONE : TROUBLE_NO_MEMORY;
}
