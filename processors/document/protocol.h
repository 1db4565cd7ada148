/* What the gateway and sluice-helper agree on. Nothing here trusts the helper: it may have been taken over by a document.
 *
 *     sluice-helper document --parent PID --declared TYPE [--extension EXT] --timeout-ms N --max-text N --max-pages N
 *                            --sandbox strict|best-effort
 *
 * File descriptors: 0 is /dev/null, 1 takes one JSON object (at most HELPER_MAX_REPORT bytes), 2 takes remarks for the log,
 * HELPER_FD_INPUT is the document, HELPER_FD_TEXT the file for its text (UTF-8, pages divided by form feeds) and
 * HELPER_FD_STEPS a pipe on which each finished step of steps.def is told by one byte. The helper's exit status is 0 whenever
 * it wrote an object, be it a report or a failure. */
#ifndef SLUICE_PROCESSORS_DOCUMENT_PROTOCOL_H
#define SLUICE_PROCESSORS_DOCUMENT_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"
#include "lib/json/jwrite.h"

#define HELPER_FD_INPUT 3
#define HELPER_FD_TEXT 4
#define HELPER_FD_STEPS 5

#define HELPER_SCHEMA 1
#define HELPER_MAX_REPORT ((size_t)64 << 10)
#define HELPER_MAX_FIELD 512 /* bytes of one string in the report */

enum failure {
	FAILURE_NONE,
#define X(code, class, sentence) FAILURE_##code,
#include "processors/document/failures.def"
#undef X
	FAILURE_COUNT
};

enum failure_class { FAILURE_CLASS_PERMANENT, FAILURE_CLASS_RETRY, FAILURE_CLASS_ONCE, FAILURE_CLASS_GRACE };

enum warning {
#define X(code, sentence) WARNING_##code,
#include "processors/document/warnings.def"
#undef X
	WARNING_COUNT
};

enum step {
#define X(name, pct, text) STEP_##name,
#include "processors/document/steps.def"
#undef X
	STEP_COUNT
};

struct step_info {
	unsigned pct;
	const char *name;
};

extern const struct step_info step_infos[STEP_COUNT];

/* What a document says of itself; .p NULL: it does not. */
struct metadata {
	struct str title, author, created, producer;
};

struct security {
	bool encrypted, javascript, macros;
	int64_t embedded_files;
};

/* The members "metadata" and "security", as the helper reports them and the job's result shows them. */
void metadata_write(const struct metadata *m, struct jwrite *w);
void security_write(const struct security *s, struct jwrite *w);

const char *failure_name(enum failure f); /* "CORRUPT"; "NONE" */
const char *failure_sentence(enum failure f);
enum failure_class failure_class(enum failure f);
enum failure failure_find(struct str name); /* FAILURE_NONE when there is none */

const char *warning_name(enum warning w);
const char *warning_sentence(enum warning w);
int warning_find(struct str name); /* -1 when there is none */

#endif
