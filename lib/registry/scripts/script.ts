/**
 * What must be checked and done in one go, in Lua.
 *
 * Every script names all its keys in KEYS, so that it runs on Redis Cluster, and takes a bounded
 * slice of work. A life is `up` while its server is there, `left` when it took its leave,
 * `dead` when it was found dead; what remains of the last two once all is cleaned up is the last
 * word on them, which expires: `left` or `reaped`.
 */

/** A script, and how many of its arguments are keys. One that takes any number of keys is told with each call, by its first argument. */
export interface Script {
  readonly numberOfKeys?: number
  readonly lua: string
}

/** Lua has room for about 8000 values on its stack; variadic commands get this many. */
export const UNPACK = 1000

/** How many joins and leaves are remembered. */
export const LOGGED = 256

/** Give up unless the life in KEYS[1] is ours, up, and has not seen this number: a late command must not write old truth. */
export const OURS = `
  local life = redis.call('HMGET', KEYS[1], 'id', 'state', 'seq')
  if life[1] ~= ARGV[1] or life[2] ~= 'up' then return {'refused'} end
  if tonumber(ARGV[2]) <= tonumber(life[3] or '0') then return {'old'} end
  redis.call('HSET', KEYS[1], 'seq', ARGV[2])`

/** Give up unless the life in KEYS[1] is the one that ended, and nobody has started at its address since. */
export const ENDED = `
  local life = redis.call('HMGET', KEYS[1], 'id', 'state')
  if life[1] ~= ARGV[1] or (life[2] ~= 'dead' and life[2] ~= 'left') then return {'changed'} end
  if redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then return {'changed'} end`

/**
 * `now()`: Redis's clock in epoch ms, without an exponent; `bump(counter, log, address)`: a number that no earlier one equals, also after a
 * flush, and a note of whom it is about.
 */
export const CLOCK = `
  local function now()
    local t = redis.call('TIME')
    return string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
  end
  local function bump(counter, log, address)
    if redis.call('EXISTS', counter) == 0 then
      -- In µs: however many have joined before a flush, that took longer.
      local t = redis.call('TIME')
      redis.call('SET', counter, string.format('%s%06d', t[1], t[2]))
    end
    redis.call('LPUSH', log, string.format('%.0f ', redis.call('INCR', counter)) .. address)
    redis.call('LTRIM', log, 0, ${LOGGED - 1})
  end`
