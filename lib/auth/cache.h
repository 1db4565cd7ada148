/* Remembers verified tokens by their SHA-256, so that a busy client's signature is checked once a minute. Bounded: a set that is full gives
 * up the entry that ends soonest. Any thread. */
#ifndef SLUICE_AUTH_CACHE_H
#define SLUICE_AUTH_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/auth/auth.h"
#include "lib/base/digest.h"

#define CACHE_KEEP_MS 60000

struct cache;

struct cache *cache_new(void); /* NULL: no memory */
void cache_free(struct cache *c);
bool cache_get(struct cache *c, const unsigned char hash[SHA256_BYTES], int64_t now_ms, struct principal *out) MUST_CHECK;
/* Kept until the token's end, at most CACHE_KEEP_MS. Only what has been verified in full may be put here. */
void cache_put(struct cache *c, const unsigned char hash[SHA256_BYTES], int64_t now_ms, const struct principal *who);

#endif
