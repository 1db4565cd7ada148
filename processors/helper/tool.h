/* Runs one outside program on the document and streams its output: stdin is /dev/null, fd 3 the document, stderr is kept in part,
 * everything else is closed, the environment is empty but for the locale. The program may not start others.
 *
 *     const char *argv[] = {"/usr/bin/pdfinfo", "/dev/fd/3", NULL};
 *     struct tool t = {.argv = argv, .deadline_mono_ms = …, .sink = take_line, .sink_arg = &state};
 *     if (tool_run(&t, &err) < 0) …                      the system failed, not the program
 *     if (t.end == TOOL_EXITED && t.code == 0) …
 *
 * The helper's one thread only. */
#ifndef SLUICE_PROCESSORS_HELPER_TOOL_H
#define SLUICE_PROCESSORS_HELPER_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "processors/document/protocol.h"

enum tool_end {
	TOOL_EXITED,    /* code: the exit status */
	TOOL_SIGNALLED, /* code: the signal */
	TOOL_TIMEOUT,   /* the deadline passed, or the CPU limit */
	TOOL_ENOUGH,    /* the sink wanted no more */
	TOOL_MISSING,   /* the program is not installed */
	TOOL_UNCAGED,   /* its limits could not be set */
};

/* Takes n bytes of output; false: enough, end the program. */
typedef bool tool_sink(void *arg, const char *p, size_t n);

#define TOOL_REMARK_BYTES 2048

struct tool {
	/* set by the caller */
	const char *const *argv; /* argv[0] is the path */
	int64_t deadline_mono_ms;
	uint64_t memory_bytes;
	tool_sink *sink;
	void *sink_arg;
	/* set by tool_run */
	enum tool_end end;
	int code;
	char remarks[TOOL_REMARK_BYTES]; /* the beginning of stderr, terminated */
	size_t n_remarks;
};

int tool_run(struct tool *t, struct err *err) MUST_CHECK;

/* What went wrong with a program that did not exit with 0: a limit, a missing program, a violation, else `otherwise`. */
enum failure tool_failure(const struct tool *t, enum failure otherwise);

#endif
