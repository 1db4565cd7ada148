/* Memory that was freed goes back to the system. The allocator keeps it instead, in as many heaps as there were threads that needed one at the
 * same time: after a burst of large requests the process would stay as large as it was at its largest moment.
 *
 *     memory_begin();             before there are threads
 *     struct memory m = {0};
 *     memory_tend(&m);            about once a second, by one thread
 */
#ifndef SLUICE_GATEWAY_MEMORY_H
#define SLUICE_GATEWAY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

struct memory {
	bool tidied;
	size_t spare_bytes; /* resident and not in use, when the heaps were last tidied */
};

/* Holds the sizes from which memory is given back at once; left alone, the allocator raises them with every large block that is freed. */
void memory_begin(void);

/* Tidies the heaps the first time, and when there are a few MiB more to spare than when they were tidied before. */
void memory_tend(struct memory *m);

#endif
