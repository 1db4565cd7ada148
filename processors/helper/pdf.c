/* PDF through poppler's and qpdf's programs. */
#include "processors/helper/extract.h"

#define INFO_MAX_BYTES ((size_t)1 << 20)
#define END_MARK_WITHIN 4096

#define INPUT "/dev/fd/3"

static bool collect(void *arg, const char *p, size_t n)
{
	struct buf *b = arg;
	buf_add(b, p, n);
	return !b->failed;
}

/* The value of a "Name:   value" line. A value may contain line breaks of its own making, and the document's own words come first:
 * the last line of a name is the tool's. */
static struct str info_value(struct str info, const char *name)
{
	struct str found = STR_NONE, rest = info;
	while (rest.p) {
		struct str value = str_cut(&rest, '\n'), key = str_cut(&value, ':');
		if (value.p && str_is(key, name))
			found = str_trim(value);
	}
	return found;
}

/* As it goes into the report: bounded, in the arena; empty is as good as absent. */
static struct str field(struct extract *x, struct str info, const char *name)
{
	struct str value = info_value(info, name);
	if (value.n == 0)
		return STR_NONE;
	if (value.n > HELPER_MAX_FIELD)
		value.n = HELPER_MAX_FIELD;
	while (value.n > 0 && value.n == HELPER_MAX_FIELD && ((unsigned char)value.p[value.n - 1] & 0x80))
		value.n--; /* not in the middle of a character */
	return arena_dup(x->arena, value);
}

static bool read_info(struct extract *x, struct str info)
{
	struct report *r = &x->report;
	r->metadata.title = field(x, info, "Title");
	r->metadata.author = field(x, info, "Author");
	r->metadata.producer = field(x, info, "Producer");
	r->metadata.created = field(x, info, "CreationDate");
	r->security.encrypted = str_starts(info_value(info, "Encrypted"), STR("yes"));
	if (str_to_i64(info_value(info, "Pages"), &r->pages) < 0 || r->pages <= 0)
		return extract_fail(x, FAILURE_CORRUPT, "the PDF has no pages");
	if (r->pages > x->max_pages)
		r->warnings |= 1u << WARNING_PAGES_TRUNCATED;
	return true;
}

/* pdfinfo fails alike for a password and for damage; qpdf tells them apart: 0 means that a password is needed. */
static bool fail_unreadable(struct extract *x, const struct tool *info)
{
	enum failure f = tool_failure(info, FAILURE_CORRUPT);
	if (f != FAILURE_CORRUPT || info->end != TOOL_EXITED)
		return extract_fail_tool(x, info, FAILURE_CORRUPT);
	static const char *const argv[] = {"/usr/bin/qpdf", "--requires-password", INPUT, NULL};
	struct buf ignored = BUF_INIT;
	ignored.max = INFO_MAX_BYTES;
	struct tool t = {.argv = argv, .sink = collect, .sink_arg = &ignored};
	bool ran = extract_tool(x, &t);
	buf_release(&ignored);
	if (!ran)
		return false;
	if (t.end == TOOL_EXITED && t.code == 0)
		return extract_fail(x, FAILURE_ENCRYPTED, NULL);
	if (t.end != TOOL_EXITED)
		return extract_fail_tool(x, &t, FAILURE_CORRUPT);
	return extract_fail(x, FAILURE_CORRUPT, "the PDF is damaged beyond repair");
}

static bool check_info(struct extract *x)
{
	static const char *const argv[] = {"/usr/bin/pdfinfo", "-isodates", "-enc", "UTF-8", INPUT, NULL};
	struct buf out = BUF_INIT;
	out.max = INFO_MAX_BYTES;
	struct tool t = {.argv = argv, .sink = collect, .sink_arg = &out};
	bool ok = extract_tool(x, &t);
	if (ok && (t.end != TOOL_EXITED || t.code != 0))
		ok = fail_unreadable(x, &t);
	else if (ok)
		ok = read_info(x, buf_str(&out));
	buf_release(&out);
	if (ok && strstr(t.remarks, "Syntax Error"))
		x->report.warnings |= 1u << WARNING_REPAIRED;
	return ok;
}

/* Looks through qpdf's view of all objects, which also opens those that are packed in streams. It prints one key a line, and a line break inside
 * a string is escaped: what begins a line is a key. */
struct key_scan {
	struct report *report;
	char key[16]; /* the beginning of the line, without the spaces before it */
	size_t n;
};

static void judge_key(struct key_scan *s)
{
	struct str key = {s->key, s->n};
	if (str_starts(key, STR("\"/JS\":")))
		s->report->security.javascript = true;
	if (str_starts(key, STR("\"/EF\":")))
		s->report->security.embedded_files++;
	s->n = 0;
}

static bool scan_keys(void *arg, const char *p, size_t n)
{
	struct key_scan *s = arg;
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n')
			judge_key(s);
		else if (s->n < sizeof(s->key) && (s->n > 0 || p[i] != ' '))
			s->key[s->n++] = p[i];
	}
	return true;
}

/* qpdf: 0 fine, 3 fine after repairs, 2 when it cannot read what poppler could. */
static bool check_active_content(struct extract *x)
{
	static const char *const argv[] = {"/usr/bin/qpdf", "--json=2", "--json-key=qpdf", "--json-stream-data=none", INPUT, NULL};
	struct key_scan scan = {.report = &x->report};
	struct tool t = {.argv = argv, .sink = scan_keys, .sink_arg = &scan};
	if (!extract_tool(x, &t))
		return false;
	if (t.end == TOOL_EXITED && t.code == 2 && tool_failure(&t, FAILURE_CORRUPT) == FAILURE_CORRUPT)
		x->report.warnings |= 1u << WARNING_ACTIVE_CONTENT_UNKNOWN;
	else if (t.end != TOOL_EXITED || (t.code != 0 && t.code != 3))
		return extract_fail_tool(x, &t, FAILURE_CORRUPT);
	if (t.code == 3)
		x->report.warnings |= 1u << WARNING_REPAIRED;
	return true;
}

bool pdf_check(struct extract *x)
{
	size_t tail = x->bytes.n < END_MARK_WITHIN ? x->bytes.n : END_MARK_WITHIN;
	/* poppler would read what is left of a half-uploaded file as if it were whole. */
	if (!memmem(x->bytes.p + x->bytes.n - tail, tail, "%%EOF", 5))
		return extract_fail(x, FAILURE_CORRUPT, "the PDF ends before its end mark: it is truncated");
	return check_info(x) && check_active_content(x);
}

static bool take(void *arg, const char *p, size_t n)
{
	return text_out_add(arg, p, n);
}

bool pdf_take(struct extract *x)
{
	const char *last = arena_printf(x->arena, "%lld", (long long)x->max_pages);
	if (!last)
		return extract_fail(x, FAILURE_PARSE_RESOURCE_LIMIT, NULL);
	const char *const argv[] = {"/usr/bin/pdftotext", "-q", "-enc", "UTF-8", "-l", last, INPUT, "-", NULL};
	struct tool t = {.argv = argv, .sink = take, .sink_arg = &x->text};
	x->report.text_source = "pdftotext";
	if (!extract_tool(x, &t))
		return false;
	if (t.end == TOOL_ENOUGH || (t.end == TOOL_EXITED && t.code == 0)) /* enough: the text is full, or cannot be written */
		return true;
	return extract_fail_tool(x, &t, FAILURE_CORRUPT);
}
