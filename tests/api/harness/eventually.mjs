// The one way to wait: for a condition, never for a time.
import { setTimeout as pause } from 'node:timers/promises';

// Calls fn until it returns something other than false, null or undefined, and resolves with that. An exception counts as "not yet";
// when the time is over the last one is the reason given.
export async function eventually(fn, { timeout = 10_000, interval = 20, what = 'the condition' } = {}) {
  const deadline = performance.now() + timeout;
  let reason;
  for (;;) {
    try {
      const value = await fn();
      if (value !== false && value !== null && value !== undefined) return value;
      reason = undefined;
    } catch (error) {
      reason = error;
    }
    if (performance.now() >= deadline) {
      throw new Error(`${what} did not come true within ${timeout} ms${reason ? `: ${reason.message}` : ''}`, { cause: reason });
    }
    await pause(interval);
  }
}
