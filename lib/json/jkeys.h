/* Finding a key that stands twice in one object. Any thread. */
#ifndef SLUICE_JSON_JKEYS_H
#define SLUICE_JSON_JKEYS_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/json/jdoc.h"

/* Sets *duplicate to the first child of `object` whose decoded key stood there before, and leaves it alone when there is none. Takes time
 * in proportion to the keys, whoever chose them. 0 or ERR_NOMEM. */
int jkeys_find_duplicate(const struct jdoc *doc, uint32_t object, uint32_t *duplicate) MUST_CHECK;

#endif
