/* Writes JSON text into a buf; commas are put by the writer, failure is the buf's sticky flag.
 *
 *     struct jwrite w = jwrite_into(&b);
 *     jw_open(&w, '{');
 *     jw_key(&w, "id"); jw_str(&w, id);
 *     jw_key(&w, "data"); jw_raw(&w, raw_json);
 *     jw_close(&w, '}');
 *
 * One thread at a time. */
#ifndef SLUICE_JSON_JWRITE_H
#define SLUICE_JSON_JWRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

struct jwrite {
	struct buf *b;
	bool comma; /* a comma is due before the next value or key */
};

struct jwrite jwrite_into(struct buf *b);
void jw_open(struct jwrite *w, char bracket);  /* '{' or '[' */
void jw_close(struct jwrite *w, char bracket); /* '}' or ']' */
void jw_key(struct jwrite *w, const char *name);
void jw_keys(struct jwrite *w, struct str name);
void jw_str(struct jwrite *w, struct str s);  /* escaped; bytes that are not UTF-8 become U+FFFD; null when s.p is NULL */
void jw_strz(struct jwrite *w, const char *z);
void jw_int(struct jwrite *w, int64_t v);
void jw_double(struct jwrite *w, double v); /* shortest form that reads back the same; null when not finite */
void jw_bool(struct jwrite *w, bool v);
void jw_null(struct jwrite *w);
void jw_raw(struct jwrite *w, struct str json); /* JSON text as it is; null when empty */
/* "key": value in one call. */
void jw_kstr(struct jwrite *w, const char *key, struct str s);
void jw_kstrz(struct jwrite *w, const char *key, const char *z);
void jw_kint(struct jwrite *w, const char *key, int64_t v);
void jw_kbool(struct jwrite *w, const char *key, bool v);
void jw_kraw(struct jwrite *w, const char *key, struct str json);

#endif
