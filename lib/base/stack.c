#include "lib/base/stack.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void stack_note(struct stack *s)
{
	pthread_attr_t attr;
	void *lowest = NULL;
	size_t size;

	if (pthread_getattr_np(pthread_self(), &attr) == 0) {
		if (pthread_attr_getstack(&attr, &lowest, &size) != 0)
			lowest = NULL;
		pthread_attr_destroy(&attr);
	}
	s->lowest = lowest;
}

/* A page below its own frame is left, for the call that gives back the others. */
void stack_give_back(const struct stack *s)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *here = __builtin_frame_address(0);
	char *end = here - ((uintptr_t)here & (page - 1)) - page;

	if (s->lowest && end > s->lowest)
		(void)madvise(s->lowest, (size_t)(end - s->lowest), MADV_DONTNEED);
}
