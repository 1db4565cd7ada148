#include "gateway/cli/sheet.h"

#include "gateway/cli/printable.h"
#include "lib/base/panic.h"

#define CELLS_AT_FIRST 256

void sheet_init(struct sheet *s, struct arena *memory, const struct sheet_column *columns, size_t n_columns)
{
	bug_on(n_columns > SHEET_COLUMNS_MAX);
	*s = (struct sheet){.memory = memory, .columns = columns, .n_columns = n_columns};
	for (size_t i = 0; i < n_columns; i++)
		s->widths[i] = strlen(columns[i].title);
}

static bool has_room(struct sheet *s)
{
	if (s->n < s->cap)
		return true;
	size_t cap = s->cap ? 2 * s->cap : CELLS_AT_FIRST;
	struct str *more = arena_array(s->memory, cap, sizeof(*more));
	if (!more)
		return false;
	if (s->n)
		memcpy(more, s->cells, s->n * sizeof(*more));
	s->cells = more;
	s->cap = cap;
	return true;
}

/* Takes printable text over. */
static void add_cell(struct sheet *s, struct buf *text)
{
	const struct sheet_column *column = &s->columns[s->n % s->n_columns];
	size_t *width = &s->widths[s->n % s->n_columns];
	struct buf cut = BUF_INIT;
	size_t taken = printable_fit(&cut, buf_str(text), column->max ? column->max : SIZE_MAX);
	struct str kept = arena_dup(s->memory, buf_str(&cut));
	if (text->failed || cut.failed || !kept.p || !has_room(s)) {
		s->failed = true;
	} else {
		s->cells[s->n++] = kept;
		*width = taken > *width ? taken : *width;
	}
	buf_release(&cut);
	buf_release(text);
}

void sheet_text(struct sheet *s, struct str text)
{
	struct buf b = BUF_INIT;
	printable_add(&b, text);
	add_cell(s, &b);
}

void sheet_number(struct sheet *s, int64_t v)
{
	struct buf b = BUF_INIT;
	if (v < 0)
		buf_addc(&b, '-');
	else
		buf_addi(&b, v);
	add_cell(s, &b);
}

void sheet_rate(struct sheet *s, double per_second)
{
	struct buf b = BUF_INIT;
	if (per_second < 0)
		buf_addc(&b, '-');
	else
		buf_addf(&b, per_second < 9.95 ? "%.1f" : "%.0f", per_second);
	add_cell(s, &b);
}

void sheet_add_span(struct buf *out, int64_t ms)
{
	static const struct {
		int64_t up_to_ms, unit_ms; /* the unit is used below that */
		char name;
	} units[] = {{100 * 1000, 1000, 's'}, {100 * 60000, 60000, 'm'}, {100 * 3600000LL, 3600000, 'h'}, {INT64_MAX, 86400000, 'd'}};
	size_t i = 0;
	while (i < ARRAY_LEN(units) - 1 && ms >= units[i].up_to_ms)
		i++;
	buf_addf(out, "%lld%c", (long long)(ms / units[i].unit_ms), units[i].name);
}

void sheet_span(struct sheet *s, int64_t ms)
{
	struct buf b = BUF_INIT;
	if (ms < 0)
		buf_addc(&b, '-');
	else
		sheet_add_span(&b, ms);
	add_cell(s, &b);
}

size_t sheet_rows(const struct sheet *s)
{
	return s->n / s->n_columns;
}

static void add_blanks(struct buf *out, size_t n)
{
	while (n-- > 0)
		buf_addc(out, ' ');
}

static void write_cell(const struct sheet *s, size_t column, struct str text, struct buf *out)
{
	size_t width = printable_width(text), blanks = s->widths[column] > width ? s->widths[column] - width : 0;
	bool right = s->columns[column].right, last = column + 1 == s->n_columns;
	/* Numbers mostly have blanks before them anyway. */
	if (column)
		buf_addz(out, right ? " " : "  ");
	if (right)
		add_blanks(out, blanks);
	buf_adds(out, text);
	if (!right && !last)
		add_blanks(out, blanks);
}

void sheet_head(const struct sheet *s, struct buf *out)
{
	for (size_t i = 0; i < s->n_columns; i++)
		write_cell(s, i, str_from(s->columns[i].title), out);
}

void sheet_row(const struct sheet *s, size_t row, struct buf *out)
{
	for (size_t i = 0; i < s->n_columns; i++)
		write_cell(s, i, s->cells[row * s->n_columns + i], out);
}

void sheet_print(const struct sheet *s, struct buf *out)
{
	sheet_head(s, out);
	buf_addc(out, '\n');
	for (size_t i = 0; i < sheet_rows(s); i++) {
		sheet_row(s, i, out);
		buf_addc(out, '\n');
	}
	out->failed |= s->failed;
}
