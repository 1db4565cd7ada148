/* What a processor is: a name, the JSON Schema of its payload, and a function that does one job.
 *
 * A new processor is a folder beside this one with its schema and code, and one row in processors/registry.def. */
#ifndef SLUICE_PROCESSORS_RUNTIME_PROCESSOR_H
#define SLUICE_PROCESSORS_RUNTIME_PROCESSOR_H

#include "lib/base/err.h"
#include "lib/base/str.h"

struct job_context;
struct processor_env;

/* How a job ends. */
enum outcome {
	OUTCOME_DONE,      /* job_return was called with the result */
	OUTCOME_RETRY,     /* failed; may be tried again under the job's policy */
	OUTCOME_PERMANENT, /* failed; trying again is useless */
	OUTCOME_DELAY,     /* not now: back to delayed for ctx's delay without using up an attempt */
	OUTCOME_HANDED_OVER, /* somebody who was given job_token goes on: the job stays active, its lock is that one's to renew */
};

struct processor {
	const char *name;     /* as in a queue's declaration */
	const char *log_name; /* as the logs say it, e.g. "DocumentProcessingProcessor" */
	struct str (*payload_schema)(void); /* JSON Schema text of the job data; static storage */
	/* Once at start, on the main thread, before any job: checks its tools and settings. *state is handed to run. May be NULL. */
	int (*start)(const struct processor_env *env, void **state, struct err *err);
	void (*stop)(void *state);
	/* Runs on a processor thread (1 MiB stack). The data has passed the schema. On failure it has called
	 * job_fail(ctx, "CODE", "sentence"). */
	enum outcome (*run)(void *state, struct job_context *ctx);
	/* A program that is missing now, so that some jobs must fail; NULL: none. Any thread. May be NULL. */
	const char *(*lacks)(void *state);
	/* Reads the settings that a queue's declaration has under the processor's name (a JSON object that fits queues.schema.json; .p NULL: there
	 * is none), once at start for each queue whose jobs run here. *settings is what job_settings gives. NULL: there are none. */
	int (*settings_new)(struct str json, void **settings, struct err *err);
	void (*settings_free)(void *settings);
};

#endif
