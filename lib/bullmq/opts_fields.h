/* The one table of job options: reading, packing and writing go through it. Inside lib/bullmq only. */
#ifndef SLUICE_BULLMQ_OPTS_FIELDS_H
#define SLUICE_BULLMQ_OPTS_FIELDS_H

#include <stddef.h>

#include "lib/bullmq/msgpack.h"
#include "lib/bullmq/opts.h"

enum opts_kind {
	OPTS_INT,       /* int64_t, -1 not set; 0…max */
	OPTS_LIFO,
	OPTS_JOB_ID,
	OPTS_BACKOFF,
	OPTS_DEDUP,
	OPTS_KEEP,      /* struct bq_keep */
	OPTS_ON_PARENT, /* max is the enum bq_on_parent that true stands for */
	OPTS_TELEMETRY, /* a client's {metadata}; stored as the bare string */
	OPTS_SLUICE,    /* org and sub: stored only */
	OPTS_KIND_COUNT
};

struct opts_field {
	const char *name;   /* long; NULL: a client neither gives nor sees it */
	const char *stored; /* BullMQ's short name */
	enum opts_kind kind;
	size_t at;          /* offset in struct bq_opts */
	int64_t max;
};

#define OPTS_FIELD_COUNT 19
extern const struct opts_field bq_opts_fields[OPTS_FIELD_COUNT];

/* The members of *o, into an open map. */
void bq_opts_pack_into(struct mp_map *m, const struct bq_opts *o);
/* As the JSON that stands in a job's hash. */
void bq_opts_write_stored(struct jwrite *w, const struct bq_opts *o);

#endif
