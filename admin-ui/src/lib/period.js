// Periods that filters name: the last so much time.
import { useMemo } from 'preact/hooks';

const HOUR = 3_600_000;
const LENGTHS = { '1h': HOUR, '24h': 24 * HOUR, '7d': 168 * HOUR, '30d': 720 * HOUR };

export const PERIODS = ['1h', '24h', '7d', '30d'];

// The moment at which the period began, fixed when it was chosen; null for all time.
export const useSince = (period) => useMemo(() => (LENGTHS[period] ? Date.now() - LENGTHS[period] : null), [period]);
