#include "lib/bullmq/queue.h"

#include <stdlib.h>
#include <string.h>

static const char *const KEY_TYPES[BQ_KEY_COUNT] = {
#define X(id, type) [BQ_KEY_##id] = type,
	BQ_KEYS(X)
#undef X
};

#define OWN_NAME "sluice" /* "P:sluice:audit", "P:sluice:tasks": jobs of a queue of this name could take the place of such keys */

bool bq_queue_name_ok(struct str name)
{
	if (name.n == 0 || name.n > BQ_QUEUE_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!letter && c != '_' && c != '.' && c != '-')
			return false;
	}
	return !str_is(name, OWN_NAME);
}

static struct str put(char **at, struct str s)
{
	struct str copy = {*at, s.n};

	memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

/* The block holds prefix, name and, for each key, "prefix:name:type". */
int bq_queue_init(struct bq_queue *q, struct str prefix, struct str name, struct err *err)
{
	size_t base = prefix.n + 1 + name.n + 1, size = prefix.n + name.n;
	char *at;

	if (!bq_queue_name_ok(name))
		return err_set(err, ERR_INVALID, "the queue name \"%.*s\" is not 1 to %d of A-Z a-z 0-9 _ . -, or it is \"" OWN_NAME "\"", STR_ARG(name),
			       BQ_QUEUE_NAME_MAX);
	if (prefix.n == 0)
		return err_set(err, ERR_INVALID, "the key prefix is empty");
	for (size_t k = 0; k < BQ_KEY_COUNT; k++)
		size += base + strlen(KEY_TYPES[k]);
	at = malloc(size);
	if (!at)
		return err_set(err, ERR_NOMEM, "no memory for the keys of a queue");
	*q = (struct bq_queue){.storage_ = at};
	q->prefix = put(&at, prefix);
	q->name = put(&at, name);
	for (size_t k = 0; k < BQ_KEY_COUNT; k++) {
		const char *start = at;

		put(&at, prefix);
		put(&at, STR(":"));
		put(&at, name);
		put(&at, STR(":"));
		put(&at, str_from(KEY_TYPES[k]));
		q->keys[k] = (struct str){start, (size_t)(at - start)};
	}
	return 0;
}

void bq_queue_release(struct bq_queue *q)
{
	free(q->storage_);
	*q = (struct bq_queue){0};
}

void bq_job_key(struct buf *out, const struct bq_queue *q, struct str id, const char *suffix)
{
	buf_adds(out, q->keys[BQ_KEY_BASE]);
	buf_adds(out, id);
	buf_addz(out, suffix);
}

/* As JavaScript's `${parseInt(id, 10)}` === id, which the official client refuses. */
static bool is_integer(struct str id)
{
	size_t at = id.p[0] == '-';

	if (at == id.n)
		return false;
	for (; at < id.n; at++)
		if (id.p[at] < '0' || id.p[at] > '9')
			return false;
	return true;
}

bool bq_job_id_ok(struct str id)
{
	if (id.n == 0 || id.n > BQ_JOB_ID_MAX || is_integer(id) || !str_is_utf8(id))
		return false;
	for (size_t i = 0; i < id.n; i++)
		if (id.p[i] == ':' || (unsigned char)id.p[i] < 0x20 || id.p[i] == 0x7f)
			return false;
	for (size_t k = 0; k < BQ_KEY_COUNT; k++)
		if (str_is(id, KEY_TYPES[k]))
			return false;
	/* Key families ("P:Q:dn:…", "P:Q:idem:…") begin with these; an id alone could not collide, but reads as one. */
	return !str_is(id, "dn") && !str_is(id, "idem");
}
