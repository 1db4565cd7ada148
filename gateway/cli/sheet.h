/* A table for people: cells are added one by one, row after row; the columns are as wide as they must be.
 *
 *     static const struct sheet_column columns[] = {{"QUEUE", false, 40}, {"WAITING", true, 0}};
 *     struct sheet s;
 *     sheet_init(&s, &arena, columns, ARRAY_LEN(columns));
 *     sheet_text(&s, name); sheet_number(&s, waiting); ...
 *     sheet_print(&s, &out);
 *
 * Text of any origin may be given to it (printable.h). Memory is the arena's; without memory, rows are missing and failed is set. */
#ifndef SLUICE_GATEWAY_CLI_SHEET_H
#define SLUICE_GATEWAY_CLI_SHEET_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

#define SHEET_COLUMNS_MAX 16

struct sheet_column {
	const char *title;
	bool right; /* numbers stand at the right */
	size_t max; /* columns of the terminal; longer cells are cut. 0: never */
};

struct sheet {
	struct arena *memory;
	const struct sheet_column *columns;
	size_t n_columns;
	struct str *cells; /* printable */
	size_t n, cap;
	size_t widths[SHEET_COLUMNS_MAX];
	bool failed;
};

void sheet_init(struct sheet *s, struct arena *memory, const struct sheet_column *columns, size_t n_columns);
void sheet_text(struct sheet *s, struct str text);
void sheet_number(struct sheet *s, int64_t v);         /* "-" when it is negative: not known */
void sheet_rate(struct sheet *s, double per_second);   /* the same */
void sheet_span(struct sheet *s, int64_t ms);          /* "90s", "15m", "3d"; the same */
size_t sheet_rows(const struct sheet *s);

/* One line without its newline: the titles, or a row. */
void sheet_head(const struct sheet *s, struct buf *out);
void sheet_row(const struct sheet *s, size_t row, struct buf *out);
/* All of it. */
void sheet_print(const struct sheet *s, struct buf *out);

/* "90s", "15m", "30h", "3d": two or three digits at most where that is possible. */
void sheet_add_span(struct buf *out, int64_t ms);

#endif
