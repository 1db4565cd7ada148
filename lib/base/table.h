/* A hash table from byte strings to pointers; keys are hashed with SipHash under a random key, since clients choose them.
 * The table copies keys and does not own values. One thread at a time. */
#ifndef SLUICE_BASE_TABLE_H
#define SLUICE_BASE_TABLE_H

#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct table_entry;

struct table {
	struct table_entry **slots;
	size_t n_slots;
	size_t count;
	unsigned char key[16];
};

void table_init(struct table *t);
void table_release(struct table *t);
void *table_get(const struct table *t, struct str key);
/* Replaces an existing value. 0 or ERR_NOMEM. */
int table_put(struct table *t, struct str key, void *value) MUST_CHECK;
/* The removed value, or NULL. */
void *table_remove(struct table *t, struct str key);

/* for (struct table_iter it = {0}; table_next(t, &it);) use(it.key, it.value); the table must not change meanwhile. */
struct table_iter {
	struct str key;
	void *value;
	size_t slot_;
	struct table_entry *entry_;
};
_Bool table_next(const struct table *t, struct table_iter *it);

#endif
