/* What a later reading of the declarations changes while the program serves. */
#include <stdlib.h>

#include "processors/runtime/declaration.h"

/* ---- what waits for a restart ---- */

static bool same_part(const struct records_part *a, const struct records_part *b)
{
	bool same = a->all == b->all && a->n_names == b->n_names;

	for (size_t i = 0; same && i < a->n_names; i++)
		same = str_eq(a->names[i], b->names[i]);
	return same;
}

static bool same_record(const struct records_policy *a, const struct records_policy *b)
{
	return a->off == b->off && a->days == b->days && same_part(&a->data, &b->data) && same_part(&a->result, &b->result);
}

static void note_left(struct buf *left, const struct declaration *decl, const char *what)
{
	buf_addf(left, "queue %.*s: %s\n", STR_ARG(decl->name), what);
}

/* What is said anew of a queue and cannot come in force. */
static void compare(const struct declaration *now, const struct declaration *later, struct buf *left)
{
	if (now->processor != later->processor)
		note_left(left, now, "another processor, and the rest of its declaration with it");
	else if (!str_eq(now->settings, later->settings))
		note_left(left, now, "other settings of its processor");
	if (!same_record(&now->record, &later->record))
		note_left(left, now, "another record policy");
}

/* ---- may it come in force? ---- */

static int check_settings(const struct declaration *decl, struct err *err)
{
	void *settings = NULL;
	struct err why = {0};

	if (!decl->processor || !decl->processor->settings_new)
		return 0;
	if (decl->processor->settings_new(decl->settings, &settings, &why) < 0)
		return err_set(err, why.code, "queue %.*s: %s: %s", STR_ARG(decl->name), decl->processor->name, why.text);
	decl->processor->settings_free(settings);
	return 0;
}

/* All queues by name, in the later one's index: readers change over from one table to the other at once. */
static int join_index(const struct declarations *d, struct declarations *later, struct err *err)
{
	for (size_t i = 0; i < d->count; i++)
		if (table_put(&later->index, d->items[i]->name, d->items[i]) < 0)
			return err_set(err, ERR_NOMEM, "out of memory");
	return 0;
}

int declarations_compare(struct declarations *d, struct declarations *later, struct buf *left, struct err *err)
{
	size_t n = d->count;
	int rc = 0;

	if (str_eq(d->adopted ? d->adopted->text : d->text, later->text))
		return ERR_EXISTS;
	for (size_t i = 0; rc == 0 && i < later->count; i++) {
		const struct declaration *l = later->items[i], *now = declarations_find(d, l->name);
		rc = check_settings(l, err);
		n += now == NULL;
		if (now)
			compare(now, l, left);
	}
	for (size_t i = 0; i < d->count; i++)
		if (!declarations_find(later, d->items[i]->name))
			note_left(left, d->items[i], "not declared any more");
	if (rc == 0 && n > DECLARATIONS_MAX)
		rc = err_set(err, ERR_LIMIT, "with those that are there already, more than %d queues", DECLARATIONS_MAX);
	return rc < 0 ? rc : join_index(d, later, err);
}

/* ---- coming in force ---- */

bool declarations_is_new(const struct declarations *d, const struct declaration *later)
{
	return !declarations_find(d, later->name);
}

void declarations_adopt(struct declarations *d, struct declarations *later)
{
	for (size_t i = 0; i < later->count; i++) {
		struct declaration *l = later->items[i], *now = table_get(d->by_name, l->name);
		if (now) {
			if (now->processor == l->processor)
				now->terms = &l->loaded;
			continue;
		}
		l->index = d->count;
		d->items[d->count] = l;
		d->count++; /* behind the item: who reads the count may read the item */
	}
	d->by_name = &later->index;
	later->adopted = d->adopted;
	d->adopted = later;
}
