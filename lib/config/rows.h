/* The table of config.def as data, for the files of this folder. */
#ifndef SLUICE_CONFIG_ROWS_H
#define SLUICE_CONFIG_ROWS_H

#include "lib/config/config.h"

enum config_type {
	CONFIG_STRING,
	CONFIG_SECRET,
	CONFIG_INT,
	CONFIG_BOOL,
	CONFIG_ENUM,
	CONFIG_DURATION,
	CONFIG_BYTES,
	CONFIG_JSON,
	CONFIG_LIST,
	CONFIG_RATE,
};

struct config_row {
	const char *name;
	enum config_type type;
	bool deploy;
	const char *preset;
	int64_t min, max;  /* both 0: the type has no range */
	const char *words; /* ENUM: "a|b" */
	const char *group;
	const char *help;
	size_t offset; /* of the field in struct config */
};

extern const struct config_row config_rows[CONFIG_KEYS];

const char *config_type_name(enum config_type type);
/* "a whole number from 0 to 65535": completes "allowed: …". */
void config_allowed(const struct config_row *row, struct buf *out);
/* Into the row's field of cfg. 0, ERR_INVALID when the text is not allowed, ERR_NOMEM. */
int config_parse(const struct config_row *row, const char *text, struct config *cfg) MUST_CHECK;

#endif
