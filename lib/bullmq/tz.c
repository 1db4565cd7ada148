#include "lib/bullmq/tz.h"

#include <stdlib.h>

#include "lib/base/fs.h"
#include "lib/bullmq/tz_rule.h"

#define ZONE_DIR "/usr/share/zoneinfo/"
#define LOCAL_ZONE "/etc/localtime"
#define ZONE_FILE_MAX ((size_t)256 << 10)

struct tz {
	size_t n;          /* transitions */
	int64_t *at;       /* seconds since the epoch, ascending */
	int32_t *offset;   /* from at[i] on */
	int32_t first;     /* before at[0] */
	bool has_rule;     /* from the last transition on */
	struct tz_rule rule;
};

int64_t tz_days_from_civil(int64_t year, int month, int day)
{
	/* Years begin in March, so that the leap day is the last; 400 of them have 146 097 days. */
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void tz_civil_from_days(int64_t days, int64_t *year, int *month, int *day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t of_era = z - era * 146097;
	int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * of_year + 2) / 153;

	*day = (int)(of_year - (153 * m + 2) / 5 + 1);
	*month = (int)(m < 10 ? m + 3 : m - 9);
	*year = y + era * 400 + (*month <= 2);
}

int tz_days_in_month(int64_t year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* ---- the zone file ---- */
struct tzif {
	struct str rest;   /* unread */
	uint32_t counts[6]; /* as in the header */
};
enum { TZIF_ISUT, TZIF_ISSTD, TZIF_LEAP, TZIF_TIME, TZIF_TYPE, TZIF_CHAR };
#define TZIF_HEADER_BYTES 44

static int64_t big_endian(const char *p, size_t bytes)
{
	uint64_t v = (unsigned char)p[0] & 0x80 ? UINT64_MAX : 0;

	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | (unsigned char)p[i];
	return (int64_t)v;
}

static void skip(struct tzif *f, size_t n)
{
	f->rest = n <= f->rest.n ? str_sub(f->rest, n, f->rest.n - n) : STR_NONE;
}

static bool read_header(struct tzif *f)
{
	if (f->rest.n < TZIF_HEADER_BYTES || memcmp(f->rest.p, "TZif", 4) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(f->counts); i++)
		f->counts[i] = (uint32_t)big_endian(f->rest.p + 20 + 4 * i, 4);
	skip(f, TZIF_HEADER_BYTES);
	return true;
}

static size_t data_bytes(const struct tzif *f, size_t time_bytes)
{
	const uint32_t *c = f->counts;

	return c[TZIF_TIME] * (time_bytes + 1) + (size_t)c[TZIF_TYPE] * 6 + c[TZIF_CHAR] + c[TZIF_LEAP] * (time_bytes + 4) +
	       c[TZIF_ISSTD] + c[TZIF_ISUT];
}

/* The 64-bit data block: times, the type of each, the types. */
static bool read_transitions(struct tz *tz, const struct tzif *f)
{
	const char *times = f->rest.p;
	const char *indexes = times + (size_t)f->counts[TZIF_TIME] * 8;
	const char *types = indexes + f->counts[TZIF_TIME];

	if (f->counts[TZIF_TYPE] == 0 || f->rest.n < data_bytes(f, 8))
		return false;
	tz->n = f->counts[TZIF_TIME];
	tz->at = calloc(tz->n + 1, sizeof(*tz->at));
	tz->offset = calloc(tz->n + 1, sizeof(*tz->offset));
	if (!tz->at || !tz->offset)
		return false;
	tz->first = (int32_t)big_endian(types, 4);
	for (size_t i = 0; i < tz->n; i++) {
		size_t type = (unsigned char)indexes[i];

		if (type >= f->counts[TZIF_TYPE])
			return false;
		tz->at[i] = big_endian(times + i * 8, 8);
		tz->offset[i] = (int32_t)big_endian(types + type * 6, 4);
	}
	return true;
}

static bool read_footer(struct tz *tz, struct str text)
{
	struct str rule;

	if (text.n < 2 || text.p[0] != '\n')
		return true;
	text = str_sub(text, 1, text.n - 1);
	rule = str_cut(&text, '\n');
	tz->has_rule = rule.n > 0;
	return rule.n == 0 || tz_rule_parse(&tz->rule, rule);
}

static bool read_tzif(struct tz *tz, struct str content)
{
	struct tzif f = {.rest = content};

	if (!read_header(&f))
		return false;
	skip(&f, data_bytes(&f, 4)); /* the old 32-bit block; every version from 2 on repeats it in 64 bits */
	if (!read_header(&f) || !read_transitions(tz, &f))
		return false;
	skip(&f, data_bytes(&f, 8));
	return read_footer(tz, f.rest);
}

static bool is_zone_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
			     c == '+' || (c == '/' && i > 0);

		if (!plain)
			return false;
	}
	return name.n > 0;
}

/* "UTC+3", "utc-03:30" */
static bool fixed_offset(struct str name, int32_t *offset)
{
	struct str minutes, hours;
	uint64_t h, m = 0;

	if (str_ieq(name, STR("utc")) || str_ieq(name, STR("gmt")) || str_ieq(name, STR("etc/utc"))) {
		*offset = 0;
		return true;
	}
	if (name.n < 5 || !str_ieq(str_sub(name, 0, 3), STR("utc")) || (name.p[3] != '+' && name.p[3] != '-'))
		return false;
	minutes = str_sub(name, 4, name.n - 4);
	hours = str_cut(&minutes, ':');
	if (hours.n > 2 || str_to_u64(hours, &h) < 0 || (minutes.p && (minutes.n != 2 || str_to_u64(minutes, &m) < 0)))
		return false;
	*offset = (int32_t)(h * 3600 + m * 60) * (name.p[3] == '-' ? -1 : 1);
	return true;
}

static int load_zone(struct tz *tz, const char *path, struct str name, struct err *err)
{
	struct buf content = BUF_INIT;
	int rc = fs_read_file(path, ZONE_FILE_MAX, &content, NULL);

	if (rc == 0 && !read_tzif(tz, buf_str(&content)))
		rc = ERR_INVALID;
	buf_release(&content);
	return rc == 0 ? 0 : err_set(err, ERR_INVALID, "there is no time zone \"%.*s\"", STR_ARG(name));
}

static int load(struct tz *tz, struct str name, struct err *err)
{
	struct buf path = BUF_INIT;
	const char *env = name.n > 0 ? NULL : getenv("TZ");
	int rc;

	if (env && *env)
		name = str_from(env[0] == ':' ? env + 1 : env);
	if (fixed_offset(name, &tz->first))
		return 0;
	if (name.n == 0) {
		if (load_zone(tz, LOCAL_ZONE, name, NULL) < 0)
			tz->n = 0; /* no zone is set up: UTC */
		return 0;
	}
	if (!is_zone_name(name))
		return err_set(err, ERR_INVALID, "there is no time zone \"%.*s\"", STR_ARG(name));
	buf_addz(&path, ZONE_DIR);
	buf_adds(&path, name);
	rc = path.failed ? err_set(err, ERR_NOMEM, "no memory for a time zone") : load_zone(tz, path.p, name, err);
	buf_release(&path);
	return rc;
}

struct tz *tz_new(struct str name, struct err *err)
{
	struct tz *tz = calloc(1, sizeof(*tz));

	if (!tz) {
		err_set(err, ERR_NOMEM, "no memory for a time zone");
		return NULL;
	}
	if (load(tz, name, err) < 0) {
		tz_free(tz);
		return NULL;
	}
	return tz;
}

void tz_free(struct tz *tz)
{
	if (!tz)
		return;
	free(tz->at);
	free(tz->offset);
	free(tz);
}

int32_t tz_offset_s(const struct tz *tz, int64_t wall_ms)
{
	int64_t s = wall_ms >= 0 ? wall_ms / 1000 : -((999 - wall_ms) / 1000);
	size_t low = 0, high = tz->n;

	if (tz->has_rule && (tz->n == 0 || s >= tz->at[tz->n - 1]))
		return tz_rule_offset(&tz->rule, s);
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (tz->at[mid] <= s)
			low = mid + 1;
		else
			high = mid;
	}
	return low == 0 ? tz->first : tz->offset[low - 1];
}
