/* Time. Wall time is milliseconds since the epoch and never goes back within this process (the last value is held when
 * the system's clock is set back); deadlines are always monotonic. Any thread. */
#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

#define CLOCK_RFC3339_SIZE 25
/* "2026-11-21T08:42:15.123Z" */
void clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);

/* Sleeps without being cut short by signals. Not for tests: they wait for conditions. */
void clock_sleep_ms(int64_t ms);

#endif
