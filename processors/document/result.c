/* The return value of a document job. It names no path: a reader asks the API for the text. */
#include "lib/base/clock.h"
#include "lib/json/jwrite.h"
#include "processors/document/task.h"

static void write_mime(const struct document_task *t, struct jwrite *w)
{
	jw_key(w, "mime");
	jw_open(w, '{');
	jw_kstr(w, "declared", t->payload.mime_type);
	jw_kstr(w, "detected", t->report.detected);
	jw_kstr(w, "verdict", t->report.verdict);
	jw_kstr(w, "extension", t->report.extension);
	jw_close(w, '}');
}

static void write_counts(const struct document_task *t, struct jwrite *w)
{
	/* A format without pages of its own has those that its form feeds make. */
	jw_kint(w, "pages", t->report.pages ? t->report.pages : t->stats.pages);
	jw_kint(w, "words", t->stats.words);
	jw_kint(w, "chars", t->stats.chars);
}

static void write_text(const struct document_task *t, struct jwrite *w)
{
	struct buf href = BUF_INIT;
	buf_addf(&href, "/api/documents/%.*s/text", STR_ARG(t->payload.id));
	jw_key(w, "text");
	jw_open(w, '{');
	jw_kstr(w, "href", buf_str(&href));
	jw_kint(w, "bytes", t->report.text_bytes);
	jw_kbool(w, "truncated", t->report.truncated);
	jw_kstr(w, "source", t->report.source);
	jw_close(w, '}');
	buf_release(&href);
}

static void write_warnings(const struct helper_report *r, struct jwrite *w)
{
	jw_key(w, "warnings");
	jw_open(w, '[');
	for (unsigned i = 0; i < WARNING_COUNT; i++) {
		if (!(r->warnings & (1u << i)))
			continue;
		jw_open(w, '{');
		jw_kstrz(w, "code", warning_name((enum warning)i));
		jw_kstrz(w, "detail", warning_sentence((enum warning)i));
		jw_close(w, '}');
	}
	jw_close(w, ']');
}

static void write_timings(const struct document_task *t, struct jwrite *w)
{
	jw_key(w, "timingsMs");
	jw_open(w, '{');
	jw_kint(w, "sniff", t->report.sniff_ms);
	jw_kint(w, "check", t->report.check_ms);
	jw_kint(w, "extract", t->report.extract_ms);
	jw_kint(w, "total", clock_mono_ms() - t->begin_mono_ms);
	jw_close(w, '}');
}

void document_result_write(struct document_task *t)
{
	struct jwrite w = jwrite_into(&t->result);
	jw_open(&w, '{');
	jw_kint(&w, "schema", 1);
	jw_kstr(&w, "documentId", t->payload.id);
	jw_kstrz(&w, "status", "processed");
	jw_kstrz(&w, "sha256", t->info.sha256);
	jw_kint(&w, "size", t->info.bytes);
	write_mime(t, &w);
	write_counts(t, &w);
	metadata_write(&t->report.metadata, &w);
	write_text(t, &w);
	security_write(&t->report.security, &w);
	write_warnings(&t->report, &w);
	jw_kstr(&w, "sandbox", t->report.sandbox);
	write_timings(t, &w);
	jw_close(&w, '}');
}
