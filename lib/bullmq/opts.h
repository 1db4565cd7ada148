/* Job options: BullMQ's words, read from JSON in long names and stored under BullMQ's short ones (`de`, `kl`, `fpof`, …). */
#ifndef SLUICE_BULLMQ_OPTS_H
#define SLUICE_BULLMQ_OPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/jdoc.h"
#include "lib/json/jwrite.h"

struct bq_backoff {
	bool set;
	struct str type;  /* "fixed", "exponential" or another client's own name */
	int64_t delay_ms;
	double jitter;    /* 0…1 */
};

/* removeOnComplete, removeOnFail: how many finished jobs stay. */
struct bq_keep {
	bool set;
	int64_t count;  /* -1 all, 0 none */
	int64_t age_s;  /* -1 not set */
	int64_t limit;  /* -1 not set */
};

/* What a child's failure does to its parent. */
enum bq_on_parent {
	BQ_PARENT_WAITS,
	BQ_PARENT_FAILS,     /* fpof */
	BQ_PARENT_CONTINUES, /* cpof */
	BQ_PARENT_IGNORES,   /* idof */
	BQ_PARENT_REMOVES,   /* rdof */
};

struct bq_opts {
	int64_t attempts;  /* -1 not set; stored 0 then */
	int64_t delay_ms;  /* -1 not set */
	int64_t priority;  /* -1 not set; 0…2097151 */
	struct bq_backoff backoff;
	bool lifo, lifo_set;
	struct str job_id; /* .p NULL: not set */
	struct str dedup_id; /* .p NULL: none */
	int64_t dedup_ttl_ms; /* -1 not set */
	bool dedup_extend, dedup_replace, dedup_keep_last, dedup_reschedule;
	struct bq_keep remove_on_complete, remove_on_fail;
	int64_t keep_logs;         /* -1 not set */
	int64_t stack_trace_limit; /* -1 not set */
	int64_t size_limit;        /* -1 not set */
	int64_t timestamp_ms;      /* -1 not set */
	enum bq_on_parent on_parent;
	struct str org, sub;       /* stored as sluice:{org,sub}; .p NULL: not stored */
	struct str telemetry;      /* tm; .p NULL: none */
	struct str rest;           /* other clients' own members, as JSON object text; .p NULL: none (reading only) */
	struct str prepared;       /* bq_opts_prepare's; .p NULL: none */
};

void bq_opts_init(struct bq_opts *o);
/* Reads an object of long (requests, declarations) or short (a stored job) names; strings point into the doc or arena.
 * Values are checked as BullMQ's client checks them; unknown names: refused when `strict`, else kept in rest.
 * err names the first bad field. `sluice` is read only from stored ones. */
int bq_opts_read(struct bq_opts *o, const struct jdoc *doc, uint32_t node, struct arena *a, bool strict, struct err *err) MUST_CHECK;
/* Fields that *o has not set are taken from *from. */
void bq_opts_merge(struct bq_opts *o, const struct bq_opts *from);
/* Keeps in *o, from the arena, how these options are stored: for those that very many jobs have. Of a copy org and sub may still be set; whoever
 * changes anything else sets `prepared` to STR_NONE. 0 or ERR_NOMEM. */
int bq_opts_prepare(struct bq_opts *o, struct arena *a) MUST_CHECK;
/* As msgpack with short names: what the add scripts take. */
void bq_opts_pack(struct buf *out, const struct bq_opts *o);
/* As a JSON object with long names, without `sluice`: what a client sees. */
void bq_opts_write(struct jwrite *w, const struct bq_opts *o);

/* The delay before attempt `attempts_made + 1` (fixed, exponential, jitter exactly as BullMQ computes it, `random01` in [0,1)).
 * 0: at once. Unknown strategies of other clients count as fixed. Capped at 2^52 ms. */
int64_t bq_backoff_ms(const struct bq_backoff *b, int64_t attempts_made, double random01);

#endif
