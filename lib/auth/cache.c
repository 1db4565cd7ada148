#include "lib/auth/cache.h"

#include "lib/base/lock.h"

#define SETS 256 /* chosen by the hash's first byte */
#define WAYS 8
#define LOCKS 16

struct entry {
	unsigned char hash[SHA256_BYTES];
	int64_t until_ms; /* 0: empty */
	struct principal who;
};

struct cache {
	struct lock locks[LOCKS];        /* set i is guarded by locks[i % LOCKS] */
	struct entry sets[SETS][WAYS];
};

struct cache *cache_new(void)
{
	struct cache *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	for (size_t i = 0; i < LOCKS; i++)
		lock_init(&c->locks[i]);
	return c;
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < LOCKS; i++)
		lock_release(&c->locks[i]);
	free(c);
}

static struct entry *find(struct entry set[WAYS], const unsigned char hash[SHA256_BYTES])
{
	for (size_t i = 0; i < WAYS; i++)
		if (set[i].until_ms && memcmp(set[i].hash, hash, SHA256_BYTES) == 0)
			return &set[i];
	return NULL;
}

static struct entry *soonest_to_end(struct entry set[WAYS])
{
	struct entry *least = &set[0];
	for (size_t i = 1; i < WAYS; i++)
		if (set[i].until_ms < least->until_ms)
			least = &set[i];
	return least;
}

bool cache_get(struct cache *c, const unsigned char hash[SHA256_BYTES], int64_t now_ms, struct principal *out)
{
	struct lock *l = &c->locks[hash[0] % LOCKS];
	lock_take(l);
	const struct entry *e = find(c->sets[hash[0]], hash);
	bool hit = e && now_ms < e->until_ms;
	if (hit)
		*out = e->who;
	lock_give(l);
	return hit;
}

void cache_put(struct cache *c, const unsigned char hash[SHA256_BYTES], int64_t now_ms, const struct principal *who)
{
	int64_t until_ms = now_ms + CACHE_KEEP_MS;
	if (who->expires_s * 1000 < until_ms)
		until_ms = who->expires_s * 1000;
	struct lock *l = &c->locks[hash[0] % LOCKS];
	lock_take(l);
	struct entry *e = find(c->sets[hash[0]], hash);
	if (!e)
		e = soonest_to_end(c->sets[hash[0]]);
	memcpy(e->hash, hash, SHA256_BYTES);
	e->until_ms = until_ms;
	e->who = *who;
	lock_give(l);
}
