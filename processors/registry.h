/* The processors of this program: the rows of registry.def. Any thread. */
#ifndef SLUICE_PROCESSORS_REGISTRY_H
#define SLUICE_PROCESSORS_REGISTRY_H

#include "processors/runtime/processor.h"

const struct processor *processor_find(struct str name); /* NULL when there is none */

#endif
