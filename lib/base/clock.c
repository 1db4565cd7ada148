#include "lib/base/clock.h"

#include <errno.h>
#include <stdatomic.h>

#include "lib/base/panic.h"

#define LAST_RFC3339_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z: four digits of year */

static struct timespec now(clockid_t clock)
{
	struct timespec ts;
	bug_on(clock_gettime(clock, &ts) != 0);
	return ts;
}

static int64_t to_ms(struct timespec ts)
{
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
	static _Atomic int64_t last; /* the one clock of the process: the latest time that anybody has seen */
	int64_t t = to_ms(now(CLOCK_REALTIME));
	int64_t seen = atomic_load_explicit(&last, memory_order_relaxed);
	while (t > seen)
		if (atomic_compare_exchange_weak_explicit(&last, &seen, t, memory_order_relaxed, memory_order_relaxed))
			return t;
	return seen;
}

int64_t clock_mono_ms(void)
{
	return to_ms(now(CLOCK_MONOTONIC));
}

int64_t clock_mono_us(void)
{
	struct timespec ts = now(CLOCK_MONOTONIC);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* `width` digits and the character that follows them. */
static char *put(char *p, int width, int64_t v, char then)
{
	for (int i = width - 1; i >= 0; i--, v /= 10)
		p[i] = (char)('0' + v % 10);
	p[width] = then;
	return p + width + 1;
}

void clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
	if (wall_ms < 0)
		wall_ms = 0;
	if (wall_ms > LAST_RFC3339_MS)
		wall_ms = LAST_RFC3339_MS;
	time_t s = wall_ms / 1000;
	struct tm tm;
	bug_on(!gmtime_r(&s, &tm));
	char *p = put(out, 4, tm.tm_year + 1900, '-');
	p = put(p, 2, tm.tm_mon + 1, '-');
	p = put(p, 2, tm.tm_mday, 'T');
	p = put(p, 2, tm.tm_hour, ':');
	p = put(p, 2, tm.tm_min, ':');
	p = put(p, 2, tm.tm_sec, '.');
	p = put(p, 3, wall_ms % 1000, 'Z');
	*p = '\0';
}

void clock_sleep_ms(int64_t ms)
{
	if (ms <= 0)
		return;
	struct timespec until = now(CLOCK_MONOTONIC);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}
