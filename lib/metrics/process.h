/* What the kernel says about this process, for the process_* series. Any thread. */
#ifndef SLUICE_METRICS_PROCESS_H
#define SLUICE_METRICS_PROCESS_H

struct process_facts {
	double cpu_seconds;
	double resident_bytes;
	double open_fds;
	double max_fds;
	double start_seconds; /* since the epoch */
};

/* What cannot be read is 0. */
void process_facts_read(struct process_facts *f);

#endif
