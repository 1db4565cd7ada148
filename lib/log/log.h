/* Structured logging: JSON lines, or text for a terminal. One line is one write(2), or
 * several together are.
 *
 *     LOG(log, LOG_INFO, "job_completed", log_str("queue", q), log_str("jobId", id), log_int("ms", ms));
 *
 * JSON: {"ts":"…Z","level":"info","event":"job_completed","queue":…}. Text: "08:42:15.123 INFO  job_completed queue=…".
 * Values of fields whose name is password, secret, token, authorization, cookie (or ends so) are written as "***"; control
 * characters are escaped; a value is cut at 2 KiB. A full disk or closed pipe never stops the program, and a reader that
 * has stopped reading holds it up once, for 100 ms: such lines are lost and counted (log_dropped). Any thread. */
#ifndef SLUICE_LOG_LOG_H
#define SLUICE_LOG_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

struct log;

struct log_field {
	const char *name;
	enum { LOG_F_END, LOG_F_STR, LOG_F_INT, LOG_F_BOOL, LOG_F_JSON } kind;
	struct str s; /* LOG_F_STR: NULL p is left out; LOG_F_JSON: raw JSON text */
	int64_t i;
};

struct log *log_new(int fd, enum log_level level, enum log_format format); /* NULL: no memory. fd is not owned. */
void log_free(struct log *l); /* lets go what it held */
/* Until log_let_go lines are kept in memory, for a first line that is known late and written by another log of the same fd. Holding begins before
 * other threads know the log; nothing that they write meanwhile is lost or out of order. A second log_let_go does nothing. */
void log_hold(struct log *l);
void log_let_go(struct log *l);
/* A thread that is about to write many lines: until the end its lines gather, and go out in as few writes as keep them whole. Nests. */
void log_batch_begin(struct log *l);
void log_batch_end(struct log *l);

bool log_enabled(const struct log *l, enum log_level level); /* false for l == NULL */
uint64_t log_dropped(const struct log *l);

/* l == NULL: nothing. fields end with kind LOG_F_END. */
void log_write(struct log *l, enum log_level level, const char *event, const struct log_field *fields);

static inline struct log_field log_str(const char *name, struct str s)
{
	return (struct log_field){name, LOG_F_STR, s, 0};
}
static inline struct log_field log_strz(const char *name, const char *z)
{
	return (struct log_field){name, LOG_F_STR, str_from(z), 0};
}
static inline struct log_field log_int(const char *name, int64_t v)
{
	return (struct log_field){name, LOG_F_INT, STR_NONE, v};
}
static inline struct log_field log_bool(const char *name, bool v)
{
	return (struct log_field){name, LOG_F_BOOL, STR_NONE, v};
}
static inline struct log_field log_json(const char *name, struct str json)
{
	return (struct log_field){name, LOG_F_JSON, json, 0};
}
static inline struct log_field log_err(const struct err *e)
{
	return (struct log_field){"error", LOG_F_STR, str_from(e->text), 0};
}

#define LOG(l, level, event, ...) \
	do { \
		if (log_enabled((l), (level))) \
			log_write((l), (level), (event), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}}); \
	} while (0)

#endif
