#include "lib/redis/rmux.h"
#include "lib/redis/rparse.h"

void rreplies_release(struct rreplies *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->items[i])
			rreply_free(r->items[i]);
	free(r->items);
	*r = (struct rreplies){0};
}

bool rreply_is_nil(const redisReply *r)
{
	return !r || r->type == REDIS_REPLY_NIL;
}

struct str rreply_str(const redisReply *r)
{
	if (!r || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS))
		return STR_NONE;
	return (struct str){r->str, r->len};
}

bool rreply_int(const redisReply *r, int64_t *out)
{
	if (r && r->type == REDIS_REPLY_INTEGER) {
		*out = r->integer;
		return true;
	}
	struct str s = rreply_str(r);
	return s.p && str_to_i64(s, out) == 0;
}

const redisReply *rreply_at(const redisReply *r, size_t i)
{
	return r && r->type == REDIS_REPLY_ARRAY && i < r->elements ? r->element[i] : NULL;
}

/* Redis decides on these before a command, or the first write of a script, does anything. */
static const struct {
	struct str prefix;
	int code;
} passing[] = {
	{{"OOM ", 4}, ERR_FULL},
	{{"LOADING ", 8}, ERR_UNAVAILABLE},
	{{"READONLY ", 9}, ERR_UNAVAILABLE},
	{{"MISCONF ", 8}, ERR_UNAVAILABLE},
	{{"NOREPLICAS ", 11}, ERR_UNAVAILABLE},
	{{"BUSY ", 5}, ERR_UNAVAILABLE},
	{{"MASTERDOWN ", 11}, ERR_UNAVAILABLE},
	{{"CLUSTERDOWN ", 12}, ERR_UNAVAILABLE},
	{{"TRYAGAIN ", 9}, ERR_UNAVAILABLE},
};

int rreply_error_text(struct str text, struct err *err)
{
	int code = ERR_REPLY;
	for (size_t i = 0; i < ARRAY_LEN(passing); i++)
		if (str_starts(text, passing[i].prefix))
			code = passing[i].code;
	return err_set(err, code, "%.*s", (int)(text.n < 200 ? text.n : 200), text.p);
}

bool rreply_is_foreign(const redisReply *r)
{
	return r && r->type == REDIS_REPLY_ERROR && str_starts((struct str){r->str, r->len}, STR("WRONGTYPE"));
}

int rreply_error(const redisReply *r, struct err *err)
{
	if (!r || r->type != REDIS_REPLY_ERROR)
		return 0;
	return rreply_error_text((struct str){r->str, r->len}, err);
}
