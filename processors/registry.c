#include "processors/registry.h"

#include "lib/base/attr.h"

#define X(variable) extern const struct processor variable;
#include "processors/registry.def"
#undef X

static const struct processor *const processors[] = {
#define X(variable) &variable,
#include "processors/registry.def"
#undef X
};

const struct processor *processor_find(struct str name)
{
	for (unsigned i = 0; i < ARRAY_LEN(processors); i++)
		if (str_is(name, processors[i]->name))
			return processors[i];
	return NULL;
}
