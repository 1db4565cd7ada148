#include "lib/metrics/process.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/fs.h"

#define PROC_MAX ((size_t)1 << 20)

static double cpu_seconds(void)
{
	struct rusage u;
	if (getrusage(RUSAGE_SELF, &u) < 0)
		return 0;
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double max_fds(void)
{
	struct rlimit limit;
	return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 0 : (double)limit.rlim_cur;
}

static double open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	if (!d)
		return 0;
	double n = -1; /* the folder's own descriptor */
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n - 2; /* "." and ".." */
}

/* The number that is the n-th word (from 0) of the text. */
static double word(struct str text, unsigned n)
{
	uint64_t v;
	while (n--)
		(void)str_cut(&text, ' ');
	return str_to_u64(str_cut(&text, ' '), &v) < 0 ? 0 : (double)v;
}

static double resident_bytes(struct buf *b)
{
	buf_clear(b);
	if (fs_read_file("/proc/self/statm", PROC_MAX, b, NULL) < 0)
		return 0;
	return word(buf_str(b), 1) * (double)sysconf(_SC_PAGESIZE);
}

/* Clock ticks between the start of the machine and that of the process (proc(5), stat, field 22). */
static double start_ticks(struct buf *b)
{
	buf_clear(b);
	if (fs_read_file("/proc/self/stat", PROC_MAX, b, NULL) < 0)
		return 0;
	const char *behind_name = strrchr(b->p, ')'); /* the name may contain blanks; field 3 is the second word from here */
	return behind_name ? word(str_from(behind_name), 22 - 2) : 0;
}

static double boot_seconds(struct buf *b)
{
	static const char label[] = "\nbtime ";
	buf_clear(b);
	if (fs_read_file("/proc/stat", PROC_MAX, b, NULL) < 0)
		return 0;
	const char *at = strstr(b->p, label);
	if (!at)
		return 0;
	struct str rest = str_from(at + sizeof(label) - 1);
	return word(str_cut(&rest, '\n'), 0);
}

static double start_seconds(struct buf *b)
{
	double boot = boot_seconds(b);
	double ticks = start_ticks(b);
	return boot > 0 && ticks > 0 ? boot + ticks / (double)sysconf(_SC_CLK_TCK) : 0;
}

void process_facts_read(struct process_facts *f)
{
	struct buf b = BUF_INIT;
	*f = (struct process_facts){
		.cpu_seconds = cpu_seconds(),
		.resident_bytes = resident_bytes(&b),
		.open_fds = open_fds(),
		.max_fds = max_fds(),
		.start_seconds = start_seconds(&b),
	};
	buf_release(&b);
}
