#include "lib/pg/pg_internal.h"

/* A struct pg_rows is libpq's result under a name that the other folders may know. */
static const PGresult *result(const struct pg_rows *r)
{
	return (const PGresult *)r;
}

struct pg_rows *pg_rows_of(PGresult *r)
{
	return (struct pg_rows *)r;
}

int pg_rows_count(const struct pg_rows *r)
{
	return PQntuples(result(r));
}

struct str pg_at(const struct pg_rows *r, int row, int column)
{
	if (PQgetisnull(result(r), row, column))
		return STR_NONE;
	return (struct str){PQgetvalue(result(r), row, column), (size_t)PQgetlength(result(r), row, column)};
}

bool pg_int_at(const struct pg_rows *r, int row, int column, int64_t *out)
{
	struct str s = pg_at(r, row, column);
	return s.p && str_to_i64(s, out) == 0;
}

bool pg_bool_at(const struct pg_rows *r, int row, int column)
{
	return str_is(pg_at(r, row, column), "t");
}

int64_t pg_rows_affected(const struct pg_rows *r)
{
	int64_t n;
	/* libpq reads it only; its declaration lacks the const. */
	return str_to_i64(str_from(PQcmdTuples((PGresult *)(uintptr_t)r)), &n) == 0 ? n : 0;
}

void pg_rows_free(struct pg_rows *r)
{
	PQclear((PGresult *)r);
}
