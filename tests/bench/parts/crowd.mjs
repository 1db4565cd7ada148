// Many jobs in Redis without the work of running them: made by a script, as BullMQ's own scripts leave them.
import { notification } from '../peers/shared.mjs';

const AT_ONCE = 5000; // of one call
const DATA = JSON.stringify(notification(200));

// KEYS[1] "P:Q:"; ARGV: the state, how many, now in ms, the data. Every fifth is called "seldom".
const MAKE = `
  local base, state, n, now, data = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
  local last = redis.call('INCRBY', base .. 'id', n)
  redis.call('HSET', base .. 'meta', 'opts.maxLenEvents', '10000')
  for i = last - n + 1, last do
    local id, at = string.format('%d', i), now - 86400000 + i
    local job = {'name', i % 5 == 0 and 'seldom' or 'often', 'data', data, 'opts', '{"attempts":5}', 'timestamp', at, 'delay', '0', 'priority', '0'}
    local function with(...) for _, v in ipairs({...}) do job[#job + 1] = v end end
    if state == 'completed' then with('processedOn', at + 10, 'finishedOn', at + 20, 'returnvalue', '{"sent":true}', 'atm', '1', 'ats', '1') end
    if state == 'failed' then
      with('processedOn', at + 10, 'finishedOn', at + 20, 'failedReason', 'ETIMEDOUT: no answer from host ' .. i % 50, 'stacktrace', '["Error: ETIMEDOUT"]', 'atm', '5', 'ats', '5')
    end
    if state == 'delayed' then job[10] = '864000000' end
    redis.call('HSET', base .. id, unpack(job))
    if state == 'waiting' then redis.call('LPUSH', base .. 'wait', id)
    else redis.call('ZADD', base .. state, state == 'delayed' and (now + 864000000 + i) * 4096 or at + 20, id) end
  end`;

// So many jobs of a queue in a state, behind those that are there.
export async function crowd(redis, queue, state, n) {
  for (let made = 0; made < n; made += AT_ONCE) {
    await redis.admin.eval(MAKE, 1, `bull:${queue}:`, state, String(Math.min(AT_ONCE, n - made)), String(Date.now()), DATA);
  }
}
