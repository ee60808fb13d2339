/**
 * Lua scripts: each checks and acts in one step.
 *
 * Every script names all its keys in KEYS, so that it runs on Redis Cluster, and processes a bounded slice. A life is
 * `up` while its server is alive, `left` when it left by itself, `dead` when another server found it dead. After its
 * entries are removed, only its tombstone remains, which expires: `left` or `reaped`.
 */

/** A script. */
export interface Script {
  /** How many of its arguments are keys. Without it, the first argument of each call says so. */
  readonly numberOfKeys?: number
  readonly lua: string
}

/** The most values that are unpacked into one command: Lua's stack holds about 8000. */
export const UNPACK = 1000

/** How long a tombstone lasts, in ms, so that peers that were away can read it. */
export const TOMBSTONE_MS = 3_600_000

/** How many joins and departures the log keeps. */
export const LOGGED = 256

/**
 * `write(...)` runs a command even if Redis is full (`maxmemory`), and returns whether Redis has memory.
 *
 * A full Redis refuses the first write of a script if that may need memory. After a write that needs none, it refuses
 * nothing more. KEYS[1] must be a hash. Any other refusal is an error of the script.
 */
export const WRITE = `
  local function write(...)
    local answer = redis.pcall(...)
    if type(answer) ~= 'table' or not answer.err then return true end
    if string.find(answer.err, 'OOM', 1, true) then redis.call('HDEL', KEYS[1], '') end
    redis.call(...)
    return false
  end`

/**
 * Returns early unless the life in KEYS[1] is ours, is up, and has seen only lower numbers: a late command must not
 * write old truth.
 *
 * `room`: whether Redis has memory for new entries. Removals and replacements need none.
 */
export const CHECK_LIFE = `${WRITE}
  local life = redis.call('HMGET', KEYS[1], 'id', 'state', 'seq')
  if life[1] ~= ARGV[1] or life[2] ~= 'up' then return {'refused'} end
  if tonumber(ARGV[2]) <= tonumber(life[3] or '0') then return {'old'} end
  local room = write('HSET', KEYS[1], 'seq', ARGV[2])`

/** Returns early unless the life in KEYS[1] has ended, and no other server has started at its address since. */
export const ENDED = `
  local life = redis.call('HMGET', KEYS[1], 'id', 'state')
  if life[1] ~= ARGV[1] or (life[2] ~= 'dead' and life[2] ~= 'left') then return {'changed'} end
  if redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then return {'changed'} end`

/**
 * `now()`: the time of Redis in epoch ms, as text without an exponent.
 *
 * `bump(counter, log, address)`: moves the counter to a number that it never had, also after a flush, and logs it with
 * the address.
 */
export const CLOCK = `
  local function now()
    local t = redis.call('TIME')
    -- The second part has no leading zeros.
    return t[1] .. string.sub('00000' .. t[2], -6, -4)
  end
  local function bump(counter, log, address)
    if redis.call('EXISTS', counter) == 0 then
      -- In µs: the counter moves less than once per µs, so this is above all numbers from before a flush.
      local t = redis.call('TIME')
      redis.call('SET', counter, string.format('%s%06d', t[1], t[2]))
    end
    local number = string.format('%.0f', redis.call('INCR', counter))
    redis.call('LPUSH', log, number .. ' ' .. address)
    redis.call('LTRIM', log, 0, ${LOGGED - 1})
    return number
  end`
