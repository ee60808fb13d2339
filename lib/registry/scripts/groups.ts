import { SILENT, TOLD, type PresenceLua } from './presence'
import { CHECK_LIFE, ENDED, type Script } from './script'

/*
 * A group has a hash: address → how many sparks of that server are in it. Only the server itself writes its field, and
 * it writes numbers, never differences, so that a write can be repeated.
 *
 * The form for servers with the option `grace` has more keys and arguments at the end, see `presence.ts`.
 */

/**
 * Write how many of our sparks are in groups.
 *
 * KEYS     1 life · 2 our groups · 3… the groups
 * ARGV     1 our life · 2 seq · 3 address · 4 '1': compare our list, too · 5 groups · 6 how many of our sparks are in
 *          each; 5 and 6 as JSON, at most 1000
 * Returns  'refused' (the life is not ours) · 'old' (the number is not above the last one) ·
 *          'ok', how many entries were wrong or missing and are written, then
 *          each group for which Redis has no memory; with `grace`, last, the new announcements as one list
 */
const tallying = ({ begin, when }: PresenceLua): Script => ({
  lua: `${CHECK_LIFE}${begin}
    local address, compare = ARGV[3], ARGV[4] == '1'
    local groups, counts = cjson.decode(ARGV[5]), cjson.decode(ARGV[6])
    local answer, missing, added, present, gone = {'ok', 0}, 0, {}, {}, {}
    for i, count in ipairs(counts) do
      local key, group = KEYS[2 + i], groups[i]
      if count == 0 then
        gone[#gone + 1] = group
        local removed = redis.call('HDEL', key, address)
        missing = missing + removed
        ${when(`if removed == 1 and redis.call('EXISTS', key) == 0 then went('g' .. group) end`)}
      elseif not room and not redis.call('HGET', key, address) then
        -- The number of our groups must not include one that is not in the registry.
        gone[#gone + 1] = group
        answer[#answer + 1] = group
      elseif redis.call('HSET', key, address, count) == 1 then
        added[#added + 1] = group
        missing = missing + 1
        ${when(`if redis.call('HLEN', key) == 1 then came('g' .. group, quiet[i] == 1) end`)}
      elseif compare then
        present[#present + 1] = group
      end
    end
    if #added > 0 then redis.call('SADD', KEYS[2], unpack(added)) end
    if #present > 0 then missing = missing + redis.call('SADD', KEYS[2], unpack(present)) end
    if #gone > 0 then redis.call('SREM', KEYS[2], unpack(gone)) end
    answer[2] = missing
    ${when('answer[#answer + 1] = told')}
    return answer`
})
export const tally = tallying(SILENT)
export const tallyTelling = tallying(TOLD)

/**
 * Remove a life that has ended from a slice of its groups. The list of that life is only read; the tombstone deletes
 * it.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4… the groups
 * ARGV     1 life · 2 address; with `grace`, then the names of the groups as JSON
 * Returns  'changed' · 'ok'
 */
const untallying = ({ begin, keys, when }: PresenceLua): Script => ({
  lua: `${ENDED}${begin}
    ${when('local groups = cjson.decode(ARGV[3])')}
    for i = 4, #KEYS - ${keys} do
      local removed = redis.call('HDEL', KEYS[i], ARGV[2])
      ${when(`if removed == 1 and redis.call('EXISTS', KEYS[i]) == 0 then went('g' .. groups[i - 3]) end`)}
    end
    return {'ok'}`
})
export const untally = untallying(SILENT)
export const untallyTelling = untallying(TOLD)

/**
 * Remove an address from a slice of the groups that a former life left behind there, except those that it has again.
 *
 * KEYS     1 groups of the address · 2… the groups
 * ARGV     1 address · 2… the names of the groups
 * Returns  'ok'
 */
const untallyingAside = ({ begin, args, when }: PresenceLua): Script => ({
  lua: `${begin}
    for i = 2, #ARGV - ${args} do
      if redis.call('SISMEMBER', KEYS[1], ARGV[i]) == 0 then
        local removed = redis.call('HDEL', KEYS[i], ARGV[1])
        ${when(`if removed == 1 and redis.call('EXISTS', KEYS[i]) == 0 then went('g' .. ARGV[i]) end`)}
      end
    end
    return {'ok'}`
})
export const untallyAside = untallyingAside(SILENT)
export const untallyAsideTelling = untallyingAside(TOLD)
