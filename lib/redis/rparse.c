#include "lib/redis/rparse.h"

/* Room that an empty reader keeps; above it the memory goes back after a large reply. */
#define KEEP_BYTES ((size_t)1 << 20)

static void *create_limited_array(const redisReadTask *task, int elements)
{
	const struct rparse *p = task->privdata;
	return elements > RPARSE_MAX_ELEMENTS ? NULL : p->create_array(task, elements);
}

int rparse_init(struct rparse *p)
{
	*p = (struct rparse){0};
	p->reader = redisReaderCreate();
	if (!p->reader)
		return ERR_NOMEM;
	p->fn = *p->reader->fn;
	p->create_array = p->fn.createArray;
	p->fn.createArray = create_limited_array;
	p->reader->fn = &p->fn;
	p->reader->privdata = p;
	p->reader->maxbuf = KEEP_BYTES;
	return 0;
}

void rparse_release(struct rparse *p)
{
	if (p->reader)
		redisReaderFree(p->reader);
	p->reader = NULL;
}

static int reader_failure(const struct rparse *p, struct err *err)
{
	int code = p->reader->err == REDIS_ERR_OOM ? ERR_NOMEM : ERR_PROTOCOL;
	return err_set(err, code, "the answer is not Redis' protocol: %s", p->reader->errstr);
}

int rparse_feed(struct rparse *p, const char *bytes, size_t n, struct err *err)
{
	if (p->reader->len - p->reader->pos + n > RPARSE_MAX_BYTES)
		return err_set(err, ERR_PROTOCOL, "a reply of more than %zu MiB", RPARSE_MAX_BYTES >> 20);
	return redisReaderFeed(p->reader, bytes, n) == REDIS_OK ? 0 : reader_failure(p, err);
}

int rparse_next(struct rparse *p, redisReply **out, struct err *err)
{
	void *reply = NULL;
	if (redisReaderGetReply(p->reader, &reply) != REDIS_OK)
		return reader_failure(p, err);
	*out = reply;
	return reply ? 1 : 0;
}
