#include "lib/base/table.h"

#include "lib/base/err.h"
#include "lib/base/id.h"
#include "lib/base/siphash.h"

#define SLOTS_FIRST 16

struct table_entry {
	struct table_entry *next;
	uint64_t hash;
	void *value;
	size_t key_n;
	char key[];
};

void table_init(struct table *t)
{
	*t = (struct table){0};
	id_random(t->key, sizeof(t->key));
}

void table_release(struct table *t)
{
	for (size_t i = 0; i < t->n_slots; i++) {
		struct table_entry *next;
		for (struct table_entry *e = t->slots[i]; e; e = next) {
			next = e->next;
			free(e);
		}
	}
	free(t->slots);
	*t = (struct table){0};
}

/* The pointer that leads to the entry, or to where it would be appended. n_slots is a power of two and not 0. */
static struct table_entry **find(const struct table *t, struct str key, uint64_t hash)
{
	struct table_entry **at = &t->slots[hash & (t->n_slots - 1)];
	while (*at && !((*at)->hash == hash && str_eq((struct str){(*at)->key, (*at)->key_n}, key)))
		at = &(*at)->next;
	return at;
}

#define FEW 8 /* so many are compared sooner than a key is hashed */

/* Slots never become fewer, so a table that has had many entries is not passed through. */
static bool has_few(const struct table *t)
{
	return t->count <= FEW && t->n_slots <= SLOTS_FIRST;
}

static const struct table_entry *find_among_few(const struct table *t, struct str key)
{
	for (size_t i = 0, seen = 0; seen < t->count; i++)
		for (const struct table_entry *e = t->slots[i]; e; e = e->next, seen++)
			if (str_eq((struct str){e->key, e->key_n}, key))
				return e;
	return NULL;
}

void *table_get(const struct table *t, struct str key)
{
	const struct table_entry *e = has_few(t) ? find_among_few(t, key) : *find(t, key, siphash(t->key, key));
	return e ? e->value : NULL;
}

/* Doubles the slots. Without memory the table stays as it is: slower, not wrong. */
static void grow(struct table *t)
{
	size_t n = t->n_slots ? t->n_slots * 2 : SLOTS_FIRST;
	struct table_entry **slots = calloc(n, sizeof(struct table_entry *));
	if (!slots)
		return;
	for (size_t i = 0; i < t->n_slots; i++) {
		struct table_entry *next;
		for (struct table_entry *e = t->slots[i]; e; e = next) {
			next = e->next;
			e->next = slots[e->hash & (n - 1)];
			slots[e->hash & (n - 1)] = e;
		}
	}
	free(t->slots);
	t->slots = slots;
	t->n_slots = n;
}

int table_put(struct table *t, struct str key, void *value)
{
	if (t->count >= t->n_slots)
		grow(t);
	if (t->n_slots == 0)
		return ERR_NOMEM;
	uint64_t hash = siphash(t->key, key);
	struct table_entry **at = find(t, key, hash);
	if (*at) {
		(*at)->value = value;
		return 0;
	}
	struct table_entry *e = malloc(sizeof(*e) + key.n);
	if (!e)
		return ERR_NOMEM;
	*e = (struct table_entry){.hash = hash, .value = value, .key_n = key.n};
	if (key.n)
		memcpy(e->key, key.p, key.n);
	*at = e;
	t->count++;
	return 0;
}

void *table_remove(struct table *t, struct str key)
{
	if (t->count == 0)
		return NULL;
	struct table_entry **at = find(t, key, siphash(t->key, key));
	struct table_entry *e = *at;
	if (!e)
		return NULL;
	void *value = e->value;
	*at = e->next;
	free(e);
	t->count--;
	return value;
}

_Bool table_next(const struct table *t, struct table_iter *it)
{
	while (!it->entry_) {
		if (it->slot_ >= t->n_slots)
			return 0;
		it->entry_ = t->slots[it->slot_++];
	}
	it->key = (struct str){it->entry_->key, it->entry_->key_n};
	it->value = it->entry_->value;
	it->entry_ = it->entry_->next;
	return 1;
}
