#include <inttypes.h>
#include <limits.h>

#include "lib/base/panic.h"
#include "lib/pg/pg_internal.h"

enum { FORMAT_TEXT, FORMAT_BINARY };

static int put_text(struct pg_params *p, int i, struct arena *a, const struct pg_call *call, struct err *err)
{
	struct str s = call->values[i].s;
	if (memchr(s.p, '\0', s.n) || !str_is_utf8(s))
		return err_set(err, ERR_INVALID, "%s: parameter %d is no text that PostgreSQL can hold", call->stmt->name, i + 1);
	p->values[i] = arena_dupz(a, s);
	return p->values[i] ? 0 : err_set(err, ERR_NOMEM, "%s: parameter %d: out of memory", call->stmt->name, i + 1);
}

static int put_bytes(struct pg_params *p, int i, const struct pg_call *call, struct err *err)
{
	struct str s = call->values[i].s;
	if (s.n > INT_MAX)
		return err_set(err, ERR_INVALID, "%s: parameter %d is too long", call->stmt->name, i + 1);
	p->values[i] = s.p;
	p->lengths[i] = (int)s.n;
	p->formats[i] = FORMAT_BINARY;
	return 0;
}

static int put_int(struct pg_params *p, int i, struct arena *a, const struct pg_call *call, struct err *err)
{
	p->values[i] = arena_printf(a, "%" PRId64, call->values[i].i);
	return p->values[i] ? 0 : err_set(err, ERR_NOMEM, "%s: parameter %d: out of memory", call->stmt->name, i + 1);
}

int pg_params_fill(struct pg_params *out, struct arena *a, const struct pg_call *call, struct err *err)
{
	bug_on(call->stmt->nparams > PG_MAX_PARAMS);
	for (int i = 0; i < call->stmt->nparams; i++) {
		int rc = 0;
		out->values[i] = NULL;
		out->lengths[i] = 0;
		out->formats[i] = FORMAT_TEXT;
		switch (call->values[i].kind) {
		case PG_NULL: break;
		case PG_TEXT: rc = put_text(out, i, a, call, err); break;
		case PG_BYTES: rc = put_bytes(out, i, call, err); break;
		case PG_INT: rc = put_int(out, i, a, call, err); break;
		case PG_BOOL: out->values[i] = call->values[i].i ? "t" : "f"; break;
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool copy_values(struct arena *a, struct pg_call *call)
{
	size_t n = (size_t)call->stmt->nparams;
	struct pg_value *values = arena_array(a, n, sizeof(*values));
	if (!values)
		return n == 0;
	for (size_t i = 0; i < n; i++) {
		values[i] = call->values[i];
		if (values[i].s.p && !(values[i].s = arena_dup(a, values[i].s)).p)
			return false;
	}
	call->values = values;
	return true;
}

const struct pg_call *pg_calls_copy(struct arena *a, const struct pg_call *calls, size_t n)
{
	struct pg_call *copy = arena_array(a, n, sizeof(*copy));
	for (size_t i = 0; copy && i < n; i++) {
		copy[i] = calls[i];
		if (!copy_values(a, &copy[i]))
			return NULL;
	}
	return copy;
}
