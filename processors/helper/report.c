#include "lib/json/jwrite.h"
#include "processors/helper/extract.h"

static void write_mime(const struct report *r, struct jwrite *w)
{
	jw_key(w, "mime");
	jw_open(w, '{');
	jw_kstr(w, "detected", r->detected);
	jw_kstrz(w, "verdict", mime_verdict_name(r->verdict));
	jw_kstrz(w, "extension", r->extension);
	jw_close(w, '}');
}

static void write_text(const struct report *r, const struct text_out *text, struct jwrite *w)
{
	jw_key(w, "text");
	jw_open(w, '{');
	jw_kint(w, "bytes", (int64_t)text->bytes);
	jw_kbool(w, "truncated", text->truncated);
	jw_kstrz(w, "source", r->text_source);
	jw_close(w, '}');
}

static void write_warnings(const struct report *r, struct jwrite *w)
{
	jw_key(w, "warnings");
	jw_open(w, '[');
	for (unsigned i = 0; i < WARNING_COUNT; i++)
		if (r->warnings & (1u << i))
			jw_strz(w, warning_name((enum warning)i));
	jw_close(w, ']');
}

static void write_timings(const struct report *r, struct jwrite *w)
{
	jw_key(w, "timingsMs");
	jw_open(w, '{');
	jw_kint(w, "sniff", r->sniff_ms);
	jw_kint(w, "check", r->check_ms);
	jw_kint(w, "extract", r->extract_ms);
	jw_close(w, '}');
}

void report_write(const struct report *r, const struct text_out *text, struct buf *out)
{
	struct jwrite w = jwrite_into(out);
	jw_open(&w, '{');
	jw_kint(&w, "schema", HELPER_SCHEMA);
	jw_kstrz(&w, "sandbox", r->sandbox);
	if (r->failure != FAILURE_NONE) {
		jw_kstrz(&w, "failure", failure_name(r->failure));
		jw_kstrz(&w, "detail", r->detail ? r->detail : failure_sentence(r->failure));
	} else {
		write_mime(r, &w);
		jw_kint(&w, "pages", r->pages);
		metadata_write(&r->metadata, &w);
		write_text(r, text, &w);
		security_write(&r->security, &w);
		write_warnings(r, &w);
		write_timings(r, &w);
	}
	jw_close(&w, '}');
	buf_addc(out, '\n');
}
