#include "lib/pg/pgtext.h"

#include "lib/base/panic.h"

static bool can_hold(struct str s)
{
	return !memchr(s.p, '\0', s.n) && str_is_utf8(s);
}

/* Adds s with a prefix before each byte that the table has one for. */
static void add_escaped(struct buf *out, struct str s, const unsigned char escape[256])
{
	size_t from = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char as = escape[(unsigned char)s.p[i]];
		if (!as)
			continue;
		buf_add(out, s.p + from, i - from);
		buf_addc(out, '\\');
		buf_addc(out, (char)as);
		from = i + 1;
	}
	buf_add(out, s.p + from, s.n - from);
}

/* ---- COPY: fields end with a tab, rows with a newline; \N is NULL, \. would be the end ---- */

static const unsigned char copy_escape[256] = {['\\'] = '\\', ['\t'] = 't', ['\n'] = 'n', ['\r'] = 'r', ['\b'] = 'b', ['\f'] = 'f', ['\v'] = 'v'};

static void begin_field(struct pgcopy *c)
{
	if (c->inside)
		buf_addc(&c->out, '\t');
	c->inside = true;
}

static void refuse(struct pgcopy *c)
{
	c->refused = true;
	c->out.failed = true;
}

void pgcopy_null(struct pgcopy *c)
{
	begin_field(c);
	buf_addz(&c->out, "\\N");
}

void pgcopy_text(struct pgcopy *c, struct str s)
{
	if (!s.p) {
		pgcopy_null(c);
	} else if (!can_hold(s)) {
		refuse(c);
	} else {
		begin_field(c);
		add_escaped(&c->out, s, copy_escape);
	}
}

void pgcopy_int(struct pgcopy *c, int64_t v)
{
	begin_field(c);
	buf_addi(&c->out, v);
}

void pgcopy_bool(struct pgcopy *c, bool v)
{
	begin_field(c);
	buf_addc(&c->out, v ? 't' : 'f');
}

/* bytea's hex form, whose backslash is doubled like any. */
void pgcopy_bytes(struct pgcopy *c, struct str s)
{
	static const char digits[] = "0123456789abcdef";
	if (!s.p) {
		pgcopy_null(c);
		return;
	}
	begin_field(c);
	buf_addz(&c->out, "\\\\x");
	buf_reserve(&c->out, 2 * s.n);
	for (size_t i = 0; i < s.n; i++) {
		buf_addc(&c->out, digits[(unsigned char)s.p[i] >> 4]);
		buf_addc(&c->out, digits[(unsigned char)s.p[i] & 15]);
	}
}

void pgcopy_end_row(struct pgcopy *c)
{
	buf_addc(&c->out, '\n');
	if (c->out.failed)
		return;
	c->rows++;
	c->inside = false;
}

void pgcopy_release(struct pgcopy *c)
{
	buf_release(&c->out);
	*c = (struct pgcopy){.out = c->out};
}

/* ---- arrays ---- */

static const unsigned char array_escape[256] = {['\\'] = '\\', ['"'] = '"'};

static void begin_element(struct pgarray *a)
{
	buf_addc(&a->out, a->out.n ? ',' : '{');
}

void pgarray_null(struct pgarray *a)
{
	begin_element(a);
	buf_addz(&a->out, "NULL");
}

void pgarray_text(struct pgarray *a, struct str s)
{
	if (!s.p) {
		pgarray_null(a);
		return;
	}
	if (!can_hold(s)) {
		a->refused = true;
		a->out.failed = true;
		return;
	}
	begin_element(a);
	buf_addc(&a->out, '"');
	add_escaped(&a->out, s, array_escape);
	buf_addc(&a->out, '"');
}

void pgarray_int(struct pgarray *a, int64_t v)
{
	begin_element(a);
	buf_addi(&a->out, v);
}

void pgarray_end(struct pgarray *a)
{
	if (!a->out.n)
		buf_addc(&a->out, '{');
	buf_addc(&a->out, '}');
}

void pgarray_release(struct pgarray *a)
{
	buf_release(&a->out);
	a->refused = false;
}
