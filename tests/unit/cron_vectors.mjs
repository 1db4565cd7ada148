// Writes cron_vectors.h, the table of test_cron.c, from what npm cron-parser says:
//     node tests/unit/cron_vectors.mjs > tests/unit/cron_vectors.h
import { CronExpressionParser } from 'cron-parser';

const COUNT = 3;
const utc = (...fields) => Date.UTC(...fields);

// Patterns that every zone is asked on the nights when its clocks change.
const NIGHTLY = ['0 0 * * *', '30 1 * * *', '15 2 * * *', '30 2 * * *', '0 3 * * *', '0 1-3 * * *', '*/30 * * * *', '0 */2 * * *', '59 59 23 * * *'];
const NIGHTS = {
  'Europe/Berlin': [utc(2026, 2, 28, 20), utc(2026, 9, 24, 20), utc(2045, 9, 28, 20)],
  'America/New_York': [utc(2026, 2, 8, 2), utc(2026, 10, 1, 2)],
  'Australia/Lord_Howe': [utc(2026, 9, 3, 12)],
  'America/Havana': [utc(2026, 2, 8, 2), utc(2026, 10, 1, 2)],
  'Pacific/Apia': [utc(2011, 11, 29, 12)],
  'Asia/Kathmandu': [utc(2026, 5, 1)],
};
// Patterns whose form matters, in one zone.
const FORMS = [
  '* * * * *', '*/7 * * * * *', '5/20 * * * *', '0 9-17/4 * * 1-5', '0 0 L * *', '0 0 31 * *', '0 0 29 2 *', '0 0 13 * 5', '0 0 * * 5L', '0 0 * * 1#1', '0 0 * * fri#5',
  '0 0 * JAN,jul mon', '0 0 ? * sun', '0 0 * * 7', '0 0 * * 5-7', '0 0 * * */2', '@daily', '@weekly', '@monthly', '@yearly', '@hourly', '@weekdays', '@weekends', '@minutely',
  '@secondly', '5', '', '0 0 1,15 * 3', '0 12 1 */3 *', '0 0 0 31 12 *', '0 0 30 1-2 *',
];
const INVALID = [
  '60 * * * *', '* 24 * * *', '* * 0 * *', '* * 32 * *', '* * * 13 *', '* * * * 8', '1,1 * * * *', '0-5,3 * * * *', '5-1 * * * *', '*/0 * * * *', 'a * * * *', '* * * * * * *',
  '0 0 30 2 *', '0 0 * * L', '0 0 * * 1#6', '0 0 * * 1,2#1', '0 0 * xyz *', '1/2/3 * * * *', ', * * * *', '@never', '0 0 * * 0,7', '-5 * * * *',
];

function times(pattern, tz, after) {
  const found = [];
  while (found.length < COUNT) found.push(CronExpressionParser.parse(pattern, { currentDate: new Date(found.at(-1) ?? after), tz }).next().getTime());
  return found;
}

const row = (pattern, tz, after, found) => `\t{${JSON.stringify(pattern)}, ${JSON.stringify(tz)}, ${after}, {${found.join(', ')}}},`;

function refused(pattern) {
  try {
    CronExpressionParser.parse(pattern);
  } catch {
    return true;
  }
  throw new Error(`cron-parser takes ${pattern}`);
}

const rows = [
  ...Object.entries(NIGHTS).flatMap(([tz, starts]) => starts.flatMap((after) => NIGHTLY.map((p) => row(p, tz, after, times(p, tz, after))))),
  ...FORMS.map((p) => row(p, 'UTC', utc(2026, 10, 21, 9, 0, 0, 250), times(p, 'UTC', utc(2026, 10, 21, 9, 0, 0, 250)))),
];
console.log(`/* Written by cron_vectors.mjs. */
#define CRON_COUNT ${COUNT}

static const struct {
	const char *pattern, *tz;
	int64_t after;
	int64_t times[CRON_COUNT];
} CRON_VECTORS[] = {
${rows.join('\n')}
};

static const char *const CRON_INVALID[] = {
${INVALID.filter(refused).map((p) => `\t${JSON.stringify(p)},`).join('\n')}
};`);
