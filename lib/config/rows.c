#include "lib/config/rows.h"

#define ANY .words = NULL
#define RANGE(min_, max_) .min = (min_), .max = (max_)
#define WORDS(words_) .words = (words_)
#define DEPLOY true

const struct config_row config_rows[CONFIG_KEYS] = {
#define X(field_, type_, name_, preset_, allowed_, flags_, group_, help_) \
	{.name = name_, .type = CONFIG_##type_, .preset = preset_, .deploy = flags_, .group = group_, .help = help_, \
	 .offset = offsetof(struct config, field_), allowed_},
#include "lib/config/config.def"
#undef X
};
