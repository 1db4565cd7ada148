/* A folder of a test's own under /tmp, and what removes one with all that is in it. */
#ifndef SLUICE_TESTS_UNIT_PLACE_H
#define SLUICE_TESTS_UNIT_PLACE_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static inline int place_remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static inline int place_remove_tree(const char *path)
{
	return nftw(path, place_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* For programs that keep their data in a folder: the fixture of a test. */
struct place {
	char dir[64];
	char data[300]; /* in it, not made yet */
};

static inline int place_make(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	assert_non_null(p);
	snprintf(p->dir, sizeof(p->dir), "/tmp/sluice-test-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->data, sizeof(p->data), "%s/var", p->dir);
	*state = p;
	return 0;
}

static inline int place_remove(void **state)
{
	struct place *p = *state;
	int rc = place_remove_tree(p->dir);
	free(p);
	return rc;
}

#endif
