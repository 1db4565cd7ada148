/* The named formats of strings. Any thread. */
#ifndef SLUICE_SCHEMA_FORMAT_H
#define SLUICE_SCHEMA_FORMAT_H

#include <stdbool.h>

#include "lib/base/str.h"

struct format {
	const char *name;
	bool (*ok)(struct str s);
	const char *noun; /* for "must be …" */
};

/* NULL when the name is unknown. */
const struct format *format_find(struct str name);

#endif
