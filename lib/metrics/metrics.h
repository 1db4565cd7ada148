/* The metrics registry: every series the program exports is a row of metrics.def; the text is Prometheus 0.0.4.
 *
 * metrics.def rows: X(id, kind, "name", "label,names", "help", buckets), kind COUNTER, GAUGE or HISTOGRAM.
 * `sluice dump metrics` prints the rows. Label values are bounded: past METRICS_MAX_SERIES series of one metric, values go to the
 * series whose labels are all "__other__". Counting is lock-free once a series exists. Any thread. */
#ifndef SLUICE_METRICS_METRICS_H
#define SLUICE_METRICS_METRICS_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

#define METRICS_MAX_SERIES 2000
#define METRICS_MAX_SCHEDULES 100 /* where a schedule is a label */

enum metric_id {
#define X(id, kind, name, labels, help, buckets) M_##id,
#include "lib/metrics/metrics.def"
#undef X
	M_COUNT
};

struct metrics;
struct series; /* one label set of one metric; lives as long as the registry */

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/* Finds or makes the series; values in the order of the row's label names (as many). Keep the pointer on hot paths.
 * Never NULL: without memory a shared overflow series is returned. */
struct series *metrics_series(struct metrics *m, enum metric_id id, const struct str *values);
/* The same, looked up the first time only: *slot, NULL before, keeps it. Always the same values for a slot. */
struct series *metrics_series_once(struct metrics *m, struct series *_Atomic *slot, enum metric_id id, const struct str *values);

void series_add(struct series *s, double v);     /* counter (v >= 0), gauge */
void series_set(struct series *s, double v);     /* gauge; a counter that mirrors one kept elsewhere */
void series_observe(struct series *s, double v); /* histogram, in the metric's base unit */
double series_value(const struct series *s);     /* counter, gauge; a histogram's count */

/* Shorthands that look the series up. */
void metrics_add(struct metrics *m, enum metric_id id, double v, const struct str *values);
void metrics_set(struct metrics *m, enum metric_id id, double v, const struct str *values);
void metrics_observe(struct metrics *m, enum metric_id id, double v, const struct str *values);

/* Appends the whole exposition (with process_* series) to out. */
void metrics_write(struct metrics *m, struct buf *out);
/* The table as JSON: [{name, kind, labels, help}]. */
void metrics_dump(struct buf *out);

#endif
