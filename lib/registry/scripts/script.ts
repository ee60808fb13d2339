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
