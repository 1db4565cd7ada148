/* Time zones: what a clock on the wall there shows, from the system's zone files (RFC 9636).
 *
 *     struct tz *tz = tz_new(STR("Europe/Berlin"), &err);
 *     int32_t s = tz_offset_s(tz, ms);        east of Greenwich is positive
 *     tz_free(tz);
 *
 * A zone is immutable: any thread. */
#ifndef SLUICE_BULLMQ_TZ_H
#define SLUICE_BULLMQ_TZ_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct tz;

/* An IANA name, "utc" or "gmt" in any case, "UTC+3", "UTC-03:30", or nothing (.n 0) for this machine's own zone.
 * NULL: ERR_INVALID (no such zone), ERR_NOMEM. */
struct tz *tz_new(struct str name, struct err *err) MUST_CHECK;
void tz_free(struct tz *tz);
int32_t tz_offset_s(const struct tz *tz, int64_t wall_ms);

/* Days since 1970-01-01 of a day of the Gregorian calendar; month 1…12, day 1…31. */
int64_t tz_days_from_civil(int64_t year, int month, int day);
void tz_civil_from_days(int64_t days, int64_t *year, int *month, int *day);
int tz_days_in_month(int64_t year, int month);

#endif
