/* Where the text of an analysis comes from: what processing stored of the document, or the document itself, which is then processed
 * here and now as a document job would. */
#ifndef SLUICE_PROCESSORS_COMPLIANCE_SOURCE_H
#define SLUICE_PROCESSORS_COMPLIANCE_SOURCE_H

#include "processors/document/task.h"

struct source {
	/* set by the caller */
	const struct document_settings *settings;
	struct docstore *store;
	struct log *log; /* may be NULL */
	const char *helper_path;
	struct arena *arena;
	struct str org, document_id;
	struct str mime_type; /* declared; used when the document is processed here */
	struct str path;      /* a hint: its last part may be the file's name. Never opened. */
	int64_t max_text_bytes;
	int64_t deadline_mono_ms;
	int cancel_fd;
	void (*progress)(void *arg, unsigned pct, const char *step);
	void *progress_arg;
	/* set by source_read */
	struct docinfo info; /* of the document, asked before the text is read: a later one's text is not stored as findings of this one's */
	struct str text; /* in the arena */
	bool truncated;
	const char *origin; /* "stored" or "extracted" */
	int64_t *offsets;   /* where the pages begin */
	size_t pages;       /* 0: not known */
	enum failure failure;
	const char *detail;
};

/* FAILURE_NONE, or why there is no text (also in s->failure, with a sentence in s->detail). */
enum failure source_read(struct source *s);

#endif
