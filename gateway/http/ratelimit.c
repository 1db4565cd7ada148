#include "gateway/http/ratelimit.h"

#include "lib/base/digest.h"
#include "lib/base/id.h"
#include "lib/base/lock.h"

#define RATE_SETS 1024
#define RATE_WAYS 8

struct bucket {
	uint64_t caller; /* 0: free */
	int64_t at_ms;   /* when tokens_milli was right */
	int64_t tokens_milli;
};

struct set {
	struct lock mu;
	struct bucket ways[RATE_WAYS]; /* protected by mu */
};

struct ratelimit {
	int64_t per_second;        /* set before start */
	unsigned char salt[16];    /* set before start */
	struct set sets[RATE_SETS];
};

struct ratelimit *ratelimit_new(int64_t per_second)
{
	struct ratelimit *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->per_second = per_second;
	id_random(l->salt, sizeof(l->salt));
	for (unsigned i = 0; i < RATE_SETS; i++)
		lock_init(&l->sets[i].mu);
	return l;
}

void ratelimit_free(struct ratelimit *l)
{
	if (!l)
		return;
	for (unsigned i = 0; i < RATE_SETS; i++)
		lock_release(&l->sets[i].mu);
	free(l);
}

/* Salted, so that nobody can aim at another caller's set; never 0. */
static uint64_t caller_hash(const struct ratelimit *l, struct str caller)
{
	unsigned char sum[SHA256_BYTES];
	uint64_t h;
	struct str parts[] = {{(const char *)l->salt, sizeof(l->salt)}, caller};
	digest_sha256_parts(parts, 2, sum);
	memcpy(&h, sum, sizeof(h));
	return h | 1;
}

static struct bucket *find(struct set *s, uint64_t caller, int64_t full_milli, int64_t now_ms)
{
	struct bucket *oldest = &s->ways[0];
	for (unsigned i = 0; i < RATE_WAYS; i++) {
		if (s->ways[i].caller == caller)
			return &s->ways[i];
		if (s->ways[i].at_ms < oldest->at_ms)
			oldest = &s->ways[i];
	}
	*oldest = (struct bucket){caller, now_ms, full_milli};
	return oldest;
}

struct rate_answer ratelimit_take(struct ratelimit *l, struct str caller, int64_t now_mono_ms)
{
	uint64_t h = caller_hash(l, caller);
	int64_t full_milli = l->per_second * 1000;
	struct set *s = &l->sets[(h >> 1) % RATE_SETS];
	lock_take(&s->mu);
	struct bucket *b = find(s, h, full_milli, now_mono_ms);
	/* N tokens a second are N thousandths of a token a millisecond. */
	if (now_mono_ms - b->at_ms >= 1000)
		b->tokens_milli = full_milli;
	else if (now_mono_ms > b->at_ms)
		b->tokens_milli += (now_mono_ms - b->at_ms) * l->per_second;
	if (b->tokens_milli > full_milli)
		b->tokens_milli = full_milli;
	if (now_mono_ms > b->at_ms)
		b->at_ms = now_mono_ms;
	struct rate_answer a = {.allowed = b->tokens_milli >= 1000, .limit = l->per_second};
	if (a.allowed)
		b->tokens_milli -= 1000;
	else
		a.wait_ms = (1000 - b->tokens_milli + l->per_second - 1) / l->per_second;
	a.remaining = b->tokens_milli / 1000;
	lock_give(&s->mu);
	return a;
}
