/* One document from its id to its stored text: what a document job does, without the job.
 *
 *     struct document_task t = {.settings = …, .store = …, …};
 *     document_task_run(&t);
 *     if (t.failure == FAILURE_NONE) …  t.result is the job's return value
 *     document_task_release(&t);
 *
 * Several tasks may run at once, each on its own thread. */
#ifndef SLUICE_PROCESSORS_DOCUMENT_TASK_H
#define SLUICE_PROCESSORS_DOCUMENT_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/docstore/docstore.h"
#include "lib/json/jdoc.h"
#include "lib/log/log.h"
#include "processors/document/protocol.h"
#include "processors/document/report.h"
#include "processors/document/text_stats.h"

struct document_settings {
	int64_t max_bytes, max_text_bytes, max_pages;
	int64_t timeout_ms, cpu_ms, memory_bytes; /* of the helper and of each of its tools */
	int64_t not_found_grace_ms;
	bool strict_sandbox;
};

struct config;
struct document_settings document_settings_of(const struct config *c);

/* The job's data, as far as it matters here. */
struct document_payload {
	struct str id, filename, mime_type;
	int64_t size;
};

struct document_task {
	/* set by the caller */
	const struct document_settings *settings;
	struct docstore *store;
	struct log *log; /* may be NULL */
	const char *helper_path;
	struct arena *arena;
	struct str org;
	const struct jdoc *data;
	int64_t deadline_mono_ms;
	int cancel_fd; /* -1: never */
	void (*progress)(void *arg, unsigned pct, const char *step);
	void *progress_arg;
	/* set by document_task_run */
	enum failure failure;
	char detail[248];
	struct buf result;
	/* in between */
	struct document_payload payload;
	struct docinfo info;
	int document_fd;
	struct helper_report report;
	struct str text;
	struct text_stats stats;
	int64_t begin_mono_ms;
};

void document_task_run(struct document_task *t);
void document_task_release(struct document_task *t);

/* May a job that failed so be tried again? attempt: 1 for the first. */
bool failure_may_retry(enum failure f, unsigned attempt, int64_t age_ms, int64_t grace_ms);

/* The result of a finished task as JSON, into t->result (result.c). */
void document_result_write(struct document_task *t);

#endif
