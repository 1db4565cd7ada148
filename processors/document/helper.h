/* Runs sluice-helper once and waits for its end, whatever that is: nothing of it remains, be it a process, a descriptor or a file.
 *
 *     struct helper_end end;
 *     helper_run(&call, &end);
 *     if (end.failure == FAILURE_NONE) …   end.report holds what it printed, end.text_fd its text
 *     helper_end_release(&end);
 *
 * What it printed and wrote is foreign: it is bounded here and must be checked by the caller. A process that runs several of these at once
 * calls this from several threads; each call blocks its own. */
#ifndef SLUICE_PROCESSORS_DOCUMENT_HELPER_H
#define SLUICE_PROCESSORS_DOCUMENT_HELPER_H

#include <stdint.h>

#include "lib/base/buf.h"
#include "processors/document/protocol.h"

struct helper_call {
	const char *path;
	const char *const *argv; /* argv[0] is a name for people; ends with NULL */
	int input_fd;            /* the document, or -1 for a selftest */
	int64_t deadline_mono_ms;
	int cancel_fd;           /* becomes readable when the job must stop; -1: never */
	void (*on_step)(void *arg, enum step step); /* may be NULL */
	void *on_step_arg;
};

struct helper_end {
	enum failure failure; /* NONE: it ended with status 0 */
	const char *detail;   /* a sentence, static; NULL: the failure's own */
	struct buf report;    /* standard output, at most HELPER_MAX_REPORT bytes */
	struct buf remarks;   /* the beginning of standard error */
	int text_fd;          /* a sealed memory file: nobody can change it any more; -1 unless failure is NONE */
};

void helper_run(const struct helper_call *call, struct helper_end *end);
void helper_end_release(struct helper_end *end);

#endif
