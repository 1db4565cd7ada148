/* How much of a queue's jobs is kept in their records, and for how long: a queue's declaration says it (`record`). */
#ifndef SLUICE_RECORDS_POLICY_H
#define SLUICE_RECORDS_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

#define RECORDS_DEFAULT_DAYS 30

/* Of data, or of a return value: all of it, nothing, or the named members of the object that it is (nothing, when it is none). */
struct records_part {
	bool all;
	const struct str *names;
	size_t n_names;
};

struct records_policy {
	bool off; /* no records of this queue */
	struct records_part data, result;
	int64_t days; /* since the end, or since the last that was heard of the job; at most a week longer */
};

#endif
