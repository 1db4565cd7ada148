/* Makes the process of an embedded server: it dies with the thread that made it, is in a session of its own (a Ctrl-C in the terminal is the
 * gateway's to handle), sees no descriptor but its log and the folder's lock, and may be somebody else. */
#ifndef SLUICE_CHILD_EXEC_H
#define SLUICE_CHILD_EXEC_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

/* Who it is. In a namespace it is root outside, which owns its files, and uid inside, which is what it sees of itself. */
struct child_identity {
	enum { CHILD_AS_SELF, CHILD_AS_USER, CHILD_IN_NAMESPACE } how;
	uid_t uid;
	gid_t gid;
};

struct child_program {
	const char *path;
	char *const *argv;
	char *const *envp;
	const char *log; /* takes what it writes */
	int lock_fd;     /* inherited, so that the folder stays locked while any process of its lives */
	struct child_identity identity;
	int nice; /* setpriority(2)'s: 0 as we are, up to 19 behind all others */
};

/* The process id, or ERR_IO. */
pid_t child_exec(const struct child_program *p, struct err *err) MUST_CHECK;
/* Runs it to its end: 0 when its exit code is 0, else ERR_UNAVAILABLE; ERR_STOPPING when stop_fd became readable, and it was killed. */
int child_run(const struct child_program *p, int stop_fd, struct err *err) MUST_CHECK;

#endif
