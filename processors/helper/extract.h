/* One document on its way through the helper: find out what it is, check it, take its text. */
#ifndef SLUICE_PROCESSORS_HELPER_EXTRACT_H
#define SLUICE_PROCESSORS_HELPER_EXTRACT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "processors/document/protocol.h"
#include "processors/helper/doctype.h"
#include "processors/helper/text.h"
#include "processors/helper/tool.h"

/* What is known so far; strings live in the arena. */
struct report {
	enum failure failure;
	const char *detail; /* of a failure; may be NULL */
	const char *sandbox;
	struct str detected; /* media type, normal */
	enum mime_verdict verdict;
	const char *extension; /* the usual one; "" when unknown */
	int64_t pages;
	struct metadata metadata;
	const char *text_source; /* "pdftotext", "xml", or the encoding */
	struct security security;
	unsigned warnings; /* bits by enum warning */
	int64_t sniff_ms, check_ms, extract_ms;
};

struct extract {
	/* set by the caller */
	struct str declared;  /* media type as declared */
	struct str extension; /* of the file name; "" */
	int64_t deadline_mono_ms, max_pages;
	uint64_t memory_bytes;
	struct arena *arena;
	struct str bytes; /* the whole document, mapped */
	/* set on the way */
	struct report report;
	struct text_out text;
};

/* Runs all steps; the outcome is in x->report. */
void extract_run(struct extract *x);

/* Notes the failure and returns false, so that a step can end with `return extract_fail(...)`. */
bool extract_fail(struct extract *x, enum failure f, const char *detail);
/* The same for a tool that did not succeed: says which, and how it ended. */
bool extract_fail_tool(struct extract *x, const struct tool *t, enum failure otherwise);
/* Runs a tool within the document's limits; false when the system failed (noted). */
bool extract_tool(struct extract *x, struct tool *t);

/* Sets report.detected and verdict. */
bool sniff(struct extract *x);

/* Per kind: check fills pages, metadata and security; take writes the text. */
bool pdf_check(struct extract *x);
bool pdf_take(struct extract *x);
bool plain_check(struct extract *x);
bool plain_take(struct extract *x);
bool office_check(struct extract *x);
bool office_take(struct extract *x);

/* The media type of a ZIP by what is in it; STR_NONE when it is no office document. */
struct str office_type(struct str bytes);

/* The report as one JSON object. */
void report_write(const struct report *r, const struct text_out *text, struct buf *out);

#endif
