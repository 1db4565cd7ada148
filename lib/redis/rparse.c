#include "lib/redis/rparse.h"

#include "lib/base/arena.h"

/* Room that an empty reader keeps; above it the memory goes back after a large reply. */
#define KEEP_BYTES ((size_t)1 << 20)

/* ---- a reply's memory ---- */

#define BLOCK_LARGE ((size_t)1536) /* from here on the allocator keeps no blocks for each thread */
#define ELEMENT_BYTES (sizeof(redisReply *) + sizeof(redisReply) + 24) /* with a short text */
#define ELEMENTS_FORESEEN 256

struct rparse_block {
	struct arena more; /* what does not fit */
	size_t room, used;
	redisReply root;
	_Alignas(max_align_t) unsigned char bytes[];
};

static size_t aligned(size_t n)
{
	return (n + _Alignof(redisReply) - 1) / _Alignof(redisReply) * _Alignof(redisReply);
}

static size_t block_size(size_t need)
{
	static const size_t sizes[] = {120, 240, BLOCK_LARGE};
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		if (need <= sizes[i])
			return sizes[i];
	return need;
}

/* With room for so many bytes beside the root. */
static struct rparse_block *block_new(size_t n)
{
	size_t size = block_size(sizeof(struct rparse_block) + aligned(n));
	struct rparse_block *b = malloc(size);
	if (!b)
		return NULL;
	b->room = size - sizeof(*b);
	b->used = 0;
	arena_init(&b->more, 0);
	return b;
}

static void *block_alloc(struct rparse_block *b, size_t n)
{
	n = aligned(n);
	if (n > b->room - b->used)
		return arena_alloc(&b->more, n);
	void *p = b->bytes + b->used;
	b->used += n;
	return p;
}

void rreply_free(redisReply *reply)
{
	struct rparse_block *b = (void *)((char *)reply - offsetof(struct rparse_block, root));
	arena_release(&b->more);
	free(b);
}

/* ---- what hiredis' reader makes of what it reads ---- */

/* The reply of a task, with room for n bytes that belong to it in *with; the first one of all begins a block, with room for `foreseen` bytes. */
static redisReply *make(const redisReadTask *task, size_t n, size_t foreseen, void **with)
{
	struct rparse *p = task->privdata;
	if (!task->parent && !(p->block = block_new(foreseen)))
		return NULL;
	redisReply *r = task->parent ? block_alloc(p->block, sizeof(*r)) : &p->block->root;
	*with = r ? block_alloc(p->block, n) : NULL;
	if (!*with) {
		if (!task->parent)
			rreply_free(r);
		return NULL;
	}
	*r = (redisReply){.type = task->type};
	if (task->parent)
		((redisReply *)task->parent->obj)->element[task->idx] = r;
	return r;
}

static void *create_string(const redisReadTask *task, char *text, size_t n)
{
	void *copy;
	redisReply *r = make(task, n + 1, n + 1, &copy);
	if (!r)
		return NULL;
	r->str = copy;
	r->len = n;
	*(char *)mempcpy(copy, text, n) = '\0';
	return r;
}

/* The elements come later, each at its place; nobody looks at a reply that has not come whole. */
static void *create_array(const redisReadTask *task, int elements)
{
	size_t count = (size_t)elements, foreseen = count < ELEMENTS_FORESEEN ? count : ELEMENTS_FORESEEN;
	void *vector;
	if (elements > RPARSE_MAX_ELEMENTS)
		return NULL;
	redisReply *r = make(task, count * sizeof(*r->element), foreseen * ELEMENT_BYTES, &vector);
	if (!r)
		return NULL;
	r->elements = count;
	r->element = vector;
	return r;
}

static void *create_integer(const redisReadTask *task, long long value)
{
	void *nothing;
	redisReply *r = make(task, 0, 0, &nothing);
	if (r)
		r->integer = value;
	return r;
}

static void *create_nil(const redisReadTask *task)
{
	void *nothing;
	redisReply *r = make(task, 0, 0, &nothing);
	if (r)
		r->type = REDIS_REPLY_NIL; /* the task is to read a text or a list */
	return r;
}

static void free_object(void *reply)
{
	rreply_free(reply);
}

/* hiredis wants it writable, and only reads it. */
static redisReplyObjectFunctions makers = {create_string, create_array, create_integer, create_nil, free_object};

/* ---- reading ---- */

int rparse_init(struct rparse *p)
{
	*p = (struct rparse){0};
	p->reader = redisReaderCreate();
	if (!p->reader)
		return ERR_NOMEM;
	p->reader->fn = &makers;
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
