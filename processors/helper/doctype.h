/* The media types that are known, what is done with each, and what a declaration is worth against the bytes. Immutable: any thread. */
#ifndef SLUICE_PROCESSORS_HELPER_DOCTYPE_H
#define SLUICE_PROCESSORS_HELPER_DOCTYPE_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"

enum doc_kind {
	DOC_UNSUPPORTED, /* known, or not, but no text is taken from it */
	DOC_FORBIDDEN,   /* programs and scripts */
	DOC_MARKUP,      /* may carry scripts: forbidden when declared as something else, unsupported otherwise */
	DOC_TEXT,
	DOC_PDF,
	DOC_OFFICE,
};

struct doctype {
	const char *mime;
	enum doc_kind kind;
	const char *extensions; /* "txt text log": the first is the usual one */
};

/* The row of a media type; a row of kind DOC_UNSUPPORTED and without extensions for those that are in no row. */
const struct doctype *doctype_find(struct str mime);

/* Lower case, without parameters, other names for the same type replaced. In the arena; .p NULL without memory. */
struct str doctype_normal(struct str mime, struct arena *a);

bool doctype_has_extension(const struct doctype *t, struct str extension);

enum mime_verdict { MIME_MATCH, MIME_COMPATIBLE, MIME_DIFFERENT };
enum mime_verdict doctype_verdict(struct str declared, struct str detected); /* both normal */
const char *mime_verdict_name(enum mime_verdict v);

#endif
