/* Reads what sluice-helper printed. It comes from a process that a document may have taken over, so nothing is believed: every field has
 * its type, its bound and its alphabet, and a report with any fault is refused whole. Any thread. */
#ifndef SLUICE_PROCESSORS_DOCUMENT_REPORT_H
#define SLUICE_PROCESSORS_DOCUMENT_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "processors/document/protocol.h"

struct helper_report {
	struct str sandbox;
	enum failure failure; /* when not NONE, only detail and sandbox are set */
	struct str detail;
	struct str detected, verdict, extension;
	int64_t pages; /* 0: the document is not divided into pages by its format */
	struct metadata metadata;
	int64_t text_bytes;
	bool truncated;
	struct str source;
	struct security security;
	unsigned warnings; /* bits by enum warning */
	int64_t sniff_ms, check_ms, extract_ms;
};

/* Strings point into text or the arena. 0, ERR_INVALID or ERR_NOMEM. */
int helper_report_read(struct str text, struct arena *a, struct helper_report *r, struct err *err) MUST_CHECK;

#endif
