#include "gateway/routes/filters.h"

#include "gateway/http/uri.h"
#include "lib/base/digest.h"

#define TEXT_MAX 1024
#define FIELD_PREFIX STR("data.")

/* ---- parameters ---- */

static bool is_word_of(struct str word, struct str words)
{
	while (words.p) {
		struct str one = str_cut(&words, '|');
		if (str_eq(one, word))
			return true;
	}
	return false;
}

static bool take_number(struct request *r, struct response *res, const struct query_row *row, struct str value)
{
	int64_t v;

	if (str_to_i64(value, &v) < 0 || v < row->min || v > row->max) {
		response_problem(r, res, PROBLEM_VALIDATION, "%s is a whole number from %lld to %lld", row->name, (long long)row->min, (long long)row->max);
		return false;
	}
	*row->number = v;
	return true;
}

static bool take_text(struct request *r, struct response *res, const struct query_row *row, struct str value)
{
	if (value.n == 0 || value.n > TEXT_MAX) {
		response_problem(r, res, PROBLEM_VALIDATION, "%s has from 1 to %d bytes", row->name, TEXT_MAX);
		return false;
	}
	if (row->words && !is_word_of(value, str_from(row->words))) {
		response_problem(r, res, PROBLEM_VALIDATION, "%s is one of %s", row->name, row->words);
		return false;
	}
	*row->text = value;
	return true;
}

static bool take_field(struct request *r, struct response *res, struct query_field *field, struct str name, struct str value)
{
	name = str_sub(name, FIELD_PREFIX.n, name.n - FIELD_PREFIX.n);
	if (field->name.p || name.n == 0 || name.n > TEXT_MAX || value.n > TEXT_MAX) {
		response_problem(r, res, PROBLEM_VALIDATION, "one member of data can be searched for: data.NAME=value, up to %d bytes each", TEXT_MAX);
		return false;
	}
	*field = (struct query_field){name, value};
	return true;
}

static bool take(struct request *r, struct response *res, const struct query_row *row, bool seen, struct str value)
{
	if (!seen)
		return row->number ? take_number(r, res, row, value) : take_text(r, res, row, value);
	response_problem(r, res, PROBLEM_VALIDATION, "%s is given twice", row->name);
	return false;
}

bool query_read_or_reply(struct request *r, struct response *res, const struct query_row *rows, size_t n, struct query_field *field)
{
	struct str rest = r->query, name, value;
	uint64_t seen = 0;

	while (uri_query_next(r->arena, &rest, &name, &value)) {
		size_t i = 0;
		if (!name.p || !value.p) {
			response_problem(r, res, PROBLEM_INTERNAL, NULL);
			return false;
		}
		while (i < n && !str_is(name, rows[i].name))
			i++;
		if (i == n && field && str_starts(name, FIELD_PREFIX)) {
			if (!take_field(r, res, field, name, value))
				return false;
			continue;
		}
		if (i == n) {
			response_problem(r, res, PROBLEM_VALIDATION, "there is no parameter \"%.*s\" here", STR_ARG(name));
			return false;
		}
		if (!take(r, res, &rows[i], seen & (UINT64_C(1) << i), value))
			return false;
		seen |= UINT64_C(1) << i;
	}
	return true;
}

bool accepts_lines(const struct request *r)
{
	struct str rest = request_header(r, "Accept");

	while (rest.p) {
		struct str range = str_cut(&rest, ',');
		if (str_ieq(str_trim(str_cut(&range, ';')), STR(NDJSON)))
			return true;
	}
	return false;
}

/* ---- cursors ---- */

struct str cursor_make(struct request *r, const struct str *parts, size_t n)
{
	struct buf text = BUF_INIT, coded = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		buf_addz(&text, i ? ":" : "");
		buf_adds(&text, parts[i]);
	}
	digest_b64url(&coded, text.p, text.n);
	struct str cursor = text.failed || coded.failed ? STR_NONE : arena_dup(r->arena, buf_str(&coded));
	buf_release(&text);
	buf_release(&coded);
	return cursor;
}

static bool split(struct str text, struct str *parts, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++) {
		parts[i] = str_cut(&text, ':');
		if (!text.p)
			return false;
	}
	parts[n - 1] = text;
	return str_is_utf8(text) && !memchr(text.p, '\0', text.n);
}

bool cursor_read_or_reply(struct request *r, struct response *res, struct str cursor, struct str *parts, size_t n)
{
	struct buf text = BUF_INIT;
	bool ok = digest_b64url_decode(&text, cursor) == 0;
	struct str copy = ok ? arena_dup(r->arena, buf_str(&text)) : STR_NONE;

	buf_release(&text);
	if (copy.p && split(copy, parts, n))
		return true;
	response_problem(r, res, PROBLEM_VALIDATION, "the cursor is none that was given out here");
	return false;
}

void response_link_next(struct request *r, struct response *res, struct str cursor)
{
	struct str rest = r->query;
	struct buf link = BUF_INIT;

	if (!cursor.p)
		return;
	buf_addc(&link, '<');
	buf_adds(&link, r->path);
	buf_addc(&link, '?');
	while (rest.p && rest.n) {
		struct str one = str_cut(&rest, '&');
		if (str_starts(one, STR("cursor=")))
			continue;
		for (size_t i = 0; i < one.n; i++)
			if (one.p[i] == '>')
				buf_addz(&link, "%3E");
			else
				buf_addc(&link, one.p[i]);
		buf_addc(&link, '&');
	}
	buf_addz(&link, "cursor=");
	buf_adds(&link, cursor);
	buf_addz(&link, ">; rel=\"next\"");
	response_header(res, "Link", link.failed ? STR_NONE : buf_str(&link));
	buf_release(&link);
}
