/* The rule at the end of a zone file, in the form of POSIX' TZ variable ("CET-1CEST,M3.5.0,M10.5.0/3"): what holds for all
 * years to come. Inside lib/bullmq only. */
#ifndef SLUICE_BULLMQ_TZ_RULE_H
#define SLUICE_BULLMQ_TZ_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

struct tz_change {
	enum { TZ_CHANGE_WEEKDAY, TZ_CHANGE_JULIAN, TZ_CHANGE_DAY } kind; /* Mm.w.d; Jn, which skips February 29; n from 0 */
	int month, week, day;
	int32_t time_s; /* of the clock before the change; may be negative or past 24 h */
};

struct tz_rule {
	int32_t standard, summer; /* seconds east of Greenwich */
	bool has_summer;
	struct tz_change begin, end;
};

bool tz_rule_parse(struct tz_rule *r, struct str text);
int32_t tz_rule_offset(const struct tz_rule *r, int64_t seconds);

#endif
