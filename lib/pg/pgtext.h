/* PostgreSQL's text forms of many values at once: rows for COPY, and array literals for `= ANY($1::text[])` and unnest.
 *
 *     struct pgcopy c = PGCOPY_INIT;                 struct pgarray ids = PGARRAY_INIT;
 *     pgcopy_text(&c, id);                           pgarray_text(&ids, id);
 *     pgcopy_int(&c, when);                          ...
 *     pgcopy_null(&c);                               pgarray_end(&ids);
 *     pgcopy_end_row(&c);                            if (ids.out.failed) ...   else pg_text(buf_str(&ids.out))
 *     if (c.out.failed) ...
 *     pglink_copy(l, &STMT, buf_str(&c.out), …);     pgcopy_release, pgarray_release
 *
 * The failure is sticky: memory, out.max, or a text that PostgreSQL cannot hold (NUL, or not UTF-8), for which .refused is set too. One thread at
 * a time. */
#ifndef SLUICE_PG_PGTEXT_H
#define SLUICE_PG_PGTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

struct pgcopy {
	struct buf out;
	bool inside;   /* a field of the row has been written */
	bool refused;
	int64_t rows;  /* that were ended */
};

#define PGCOPY_INIT ((struct pgcopy){0})

void pgcopy_null(struct pgcopy *c);
void pgcopy_text(struct pgcopy *c, struct str s); /* .p NULL is NULL. UTF-8 without NUL; also for json, uuid, numeric … */
void pgcopy_int(struct pgcopy *c, int64_t v);
void pgcopy_bool(struct pgcopy *c, bool v);
void pgcopy_bytes(struct pgcopy *c, struct str s); /* bytea, any bytes */
void pgcopy_end_row(struct pgcopy *c);
void pgcopy_release(struct pgcopy *c);

struct pgarray {
	struct buf out;
	bool refused;
};

#define PGARRAY_INIT ((struct pgarray){0})

void pgarray_null(struct pgarray *a);
void pgarray_text(struct pgarray *a, struct str s);
void pgarray_int(struct pgarray *a, int64_t v);
void pgarray_end(struct pgarray *a); /* once, at the end */
void pgarray_release(struct pgarray *a);

#endif
