#include "gateway/memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#define GROWTH_BYTES ((size_t)4 << 20)
#define OWN_MAPPING_BYTES (512 << 10) /* from this size on, a block has pages of its own, which are given back with it */
#define KEPT_BYTES (256 << 10)        /* at the end of a heap */

/* 0 when the kernel does not say. */
static size_t resident_bytes(void)
{
	char text[128];
	unsigned long size = 0, resident = 0;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return sscanf(text, "%lu %lu", &size, &resident) == 2 ? resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

/* What is resident and not in use: freed memory, and what never was the allocator's. */
static size_t spare_bytes(void)
{
	struct mallinfo2 heaps = mallinfo2();
	size_t resident = resident_bytes(), used = heaps.uordblks + heaps.hblkhd;

	return resident > used ? resident - used : 0;
}

void memory_begin(void)
{
	mallopt(M_MMAP_THRESHOLD, OWN_MAPPING_BYTES);
	mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

void memory_tend(struct memory *m)
{
	if (m->tidied && spare_bytes() < m->spare_bytes + GROWTH_BYTES)
		return;
	malloc_trim(0);
	m->spare_bytes = spare_bytes();
	m->tidied = true;
}
