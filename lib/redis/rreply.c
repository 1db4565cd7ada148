#include "lib/redis/rmux.h"

void rreplies_release(struct rreplies *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->items[i])
			freeReplyObject(r->items[i]);
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

int rreply_error(const redisReply *r, struct err *err)
{
	if (!r || r->type != REDIS_REPLY_ERROR)
		return 0;
	return err_set(err, ERR_REPLY, "%.*s", (int)(r->len < 200 ? r->len : 200), r->str);
}
