/* The cage in which foreign documents are read. It is entered once, by the helper itself, before it looks at a single byte; everything
 * it starts afterwards is inside too. In order: die with the parent, no new privileges, not traceable, resource limits,
 * Landlock (only the system's programs, libraries and data may be read, nothing may be written, no TCP), seccomp (an allow-list without
 * sockets). What the kernel lacks is left out, unless `strict`. The helper's one thread only. */
#ifndef SLUICE_PROCESSORS_HELPER_SANDBOX_H
#define SLUICE_PROCESSORS_HELPER_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

#define SANDBOX_FILES 64
#define SANDBOX_LEVEL_SIZE 32

/* AddressSanitizer and ThreadSanitizer reserve terabytes of address space: in such builds the helper itself has no memory limit. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED 1
#else
#define SANDBOX_SANITIZED 0
#endif

struct sandbox_options {
	int input_fd;        /* the document, the only file that may be opened besides the system's; -1: none */
	pid_t parent;        /* whose death ends this process; 0: nobody's */
	uint64_t file_bytes; /* no file may be written past this size */
	uint64_t memory_bytes;
	uint64_t cpu_s;      /* of each process */
	bool strict;         /* fail unless both Landlock and seccomp are there */
};

/* level: what was reached, e.g. "landlock7+seccomp" or "none". */
int sandbox_enter(const struct sandbox_options *o, char level[SANDBOX_LEVEL_SIZE], struct err *err) MUST_CHECK;

/* For a forked child about to execute a tool: memory limit also in sanitized builds, and no children of its own. */
int sandbox_enter_tool(uint64_t memory_bytes, struct err *err) MUST_CHECK;

/* The two walls, each 0 when it stands; ERR_UNAVAILABLE when this kernel does not have it. */
int landlock_enter(int input_fd, int *abi, struct err *err) MUST_CHECK;
int seccomp_enter(struct err *err) MUST_CHECK;
int seccomp_forbid_children(struct err *err) MUST_CHECK;

#endif
