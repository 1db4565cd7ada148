#include "processors/compliance/source.h"

#include <inttypes.h>
#include <unistd.h>

#include "lib/json/jwrite.h"

#define MAX_OFFSETS_BYTES ((int64_t)4 << 20)
#define MAX_NAME 255

static const struct jdoc_limits offsets_limits = {.max_depth = 4, .max_nodes = 200000};

static enum failure fail(struct source *s, enum failure f, const char *detail)
{
	s->failure = f;
	s->detail = detail ? detail : failure_sentence(f);
	return f;
}

/* At most `most` bytes of what is stored as `kind`; 0, or a negative enum err_code. */
static int read_derived(const struct source *s, const char *kind, int64_t most, struct str *out, int64_t *size)
{
	struct err err = {0};
	int fd;
	int rc = docstore_get_derived(s->store, s->org, s->document_id, kind, &fd, size, &err);
	if (rc < 0)
		return rc;
	size_t want = (size_t)(*size < most ? *size : most), have = 0;
	char *p = arena_alloc(s->arena, want + 1);
	ssize_t n = p ? 1 : 0;
	while (n > 0 && have < want) {
		n = pread(fd, p + have, want - have, (off_t)have);
		have += n > 0 ? (size_t)n : 0;
	}
	(void)close(fd);
	if (!p)
		return ERR_NOMEM;
	*out = (struct str){p, have};
	return have == want ? 0 : ERR_IO;
}

/* Without half a character at the end. */
static struct str whole_characters(struct str text)
{
	size_t n = text.n;
	while (n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n--;
	return str_sub(text, 0, n);
}

/* pages.json is our own; without it pages are counted by form feeds. */
static void read_offsets(struct source *s)
{
	struct str json;
	int64_t size;
	struct jdoc doc;
	if (read_derived(s, "pages.json", MAX_OFFSETS_BYTES, &json, &size) < 0 || jdoc_parse(&doc, s->arena, json, &offsets_limits, NULL) < 0)
		return;
	uint32_t list = jdoc_get(&doc, JDOC_ROOT, "offsets");
	if (list == JDOC_NONE || jdoc_type(&doc, list) != J_ARRAY)
		return;
	s->offsets = arena_array(s->arena, doc.nodes[list].count, sizeof(*s->offsets));
	for (uint32_t c = jdoc_first(&doc, list); s->offsets && c != JDOC_NONE; c = jdoc_next(&doc, list, c))
		if (jdoc_int(&doc, c, &s->offsets[s->pages]) == 0)
			s->pages++;
}

static int read_stored(struct source *s)
{
	int64_t size;
	int rc = read_derived(s, "text", s->max_text_bytes + 1, &s->text, &size);
	if (rc < 0)
		return rc;
	s->truncated = size > s->max_text_bytes;
	if (s->truncated)
		s->text = whole_characters(str_sub(s->text, 0, (size_t)s->max_text_bytes));
	read_offsets(s);
	return 0;
}

/* The last part of the path, where it could be a file's name. */
static struct str name_of(struct str path)
{
	size_t i = path.n;
	while (i > 0 && path.p[i - 1] != '/')
		i--;
	struct str name = str_sub(path, i, path.n - i);
	return name.n > 0 && name.n <= MAX_NAME ? name : STR("document");
}

/* A document job's data for this document. */
static bool make_data(const struct source *s, int64_t bytes, struct jdoc *data)
{
	struct buf b = BUF_INIT;
	struct jwrite w = jwrite_into(&b);
	jw_open(&w, '{');
	jw_kstr(&w, "documentId", s->document_id);
	jw_kstr(&w, "filename", name_of(s->path));
	jw_kstr(&w, "mimeType", s->mime_type);
	jw_kint(&w, "fileSize", bytes);
	jw_close(&w, '}');
	struct str text = b.failed ? STR_NONE : arena_dup(s->arena, buf_str(&b));
	buf_release(&b);
	return text.p && jdoc_parse(data, s->arena, text, &JDOC_LIMITS, NULL) == 0;
}

static enum failure extract(struct source *s)
{
	struct jdoc data;
	if (!make_data(s, s->info.bytes, &data))
		return fail(s, FAILURE_PARSE_RESOURCE_LIMIT, NULL);
	struct document_task t = {
		.settings = s->settings,
		.store = s->store,
		.log = s->log,
		.helper_path = s->helper_path,
		.arena = s->arena,
		.org = s->org,
		.data = &data,
		.deadline_mono_ms = s->deadline_mono_ms,
		.cancel_fd = s->cancel_fd,
		.progress = s->progress,
		.progress_arg = s->progress_arg,
	};
	document_task_run(&t);
	if (t.failure != FAILURE_NONE)
		fail(s, t.failure, arena_printf(s->arena, "%s", t.detail));
	document_task_release(&t);
	return s->failure;
}

enum failure source_read(struct source *s)
{
	struct err err = {0};
	s->failure = FAILURE_NONE;
	s->origin = "stored";
	int rc = docstore_stat(s->store, s->org, s->document_id, &s->info, &err);
	if (rc < 0)
		return fail(s, rc == ERR_NOT_FOUND ? FAILURE_NOT_FOUND : rc == ERR_INVALID ? FAILURE_INVALID_PATH : FAILURE_STORE_UNAVAILABLE, NULL);
	rc = read_stored(s);
	if (rc == ERR_NOT_FOUND) {
		s->origin = "extracted";
		if (extract(s) != FAILURE_NONE)
			return s->failure;
		rc = read_stored(s);
	}
	if (rc == ERR_NOMEM)
		return fail(s, FAILURE_PARSE_RESOURCE_LIMIT, "there is no memory for the text");
	return rc < 0 ? fail(s, FAILURE_STORE_UNAVAILABLE, NULL) : FAILURE_NONE;
}
