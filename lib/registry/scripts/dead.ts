import { CLOCK, ENDED, UNPACK, type Script } from './script'

/** How long the last word on a life that has ended can still be read, in ms: for peers that were away. */
const LAST_WORD = 3_600_000

/** `of(key, owner, ids, from)`: those of the ids, from that place in the list on, that are registered under an owner. */
const OF = `
  local function of(key, owner, ids, from)
    local found = {}
    for first = from, #ids, ${UNPACK} do
      local last = math.min(first + ${UNPACK} - 1, #ids)
      local owners = redis.call('HMGET', key, unpack(ids, first, last))
      local all = true
      for i = 1, #owners do
        if owners[i] ~= owner then all = false break end
      end
      -- Nearly always all are: copying them would be a third of the work.
      if all and first == 1 and last == #ids then return ids end
      for i = 1, #owners do
        if owners[i] == owner then found[#found + 1] = ids[first + i - 1] end
      end
    end
    return found
  end`

/** `drop(key, ids)`: remove ids from a hash. */
const DROP = `
  local function drop(key, ids)
    for first = 1, #ids, ${UNPACK} do
      redis.call('HDEL', key, unpack(ids, first, math.min(first + ${UNPACK} - 1, #ids)))
    end
  end`

/**
 * Declare a life dead whose lease ran out: from now on nobody finds it; its sparks are reaped in slices.
 *
 * An alive key that another than this life wrote: a server of 1.x has started at the address, and stays.
 * Only who has beaten just now may bury: after a pause that all shared, the others have not had the time to beat.
 *
 * KEYS     1 servers · 2 lives · 3 members · 4 life · 5 lease · 6 alive · 7 life of the server that buries · 8 its lease · 9 changes
 *          10 its users · 11 where to put them aside, for 1.x would leave them there
 * ARGV     1 address · 2 the life, '' for a server of 1.x · 3 the life that buries · 4 ms that its lease must have left
 *          5 how often a beat of it had not been prompt when the sweep became its turn
 * Returns  'late' · 'changed' · 'alive' · 'replaced' · 'left' (it had said so itself) · 'dead'
 */
export const bury: Script = {
  numberOfKeys: 11,
  lua: `${CLOCK}
    if redis.call('GET', KEYS[8]) ~= ARGV[3] or redis.call('PTTL', KEYS[8]) < tonumber(ARGV[4]) then return 'late' end
    if (redis.call('HGET', KEYS[7], 'breaks') or '0') ~= ARGV[5] then return 'late' end
    local life = redis.call('HMGET', KEYS[4], 'id', 'state', 'stamp')
    if (life[1] or '') ~= ARGV[2] then return 'changed' end
    if redis.call('EXISTS', KEYS[5]) == 1 then return 'alive' end
    local stamp = redis.call('GET', KEYS[6])
    if stamp and stamp ~= life[3] then
      if not life[1] then return 'alive' end
      redis.call('DEL', KEYS[4])
      redis.call('SREM', KEYS[2], ARGV[1])
      if redis.call('EXISTS', KEYS[10]) == 1 then redis.call('RENAME', KEYS[10], KEYS[11]) end
      bump(KEYS[3], KEYS[9], ARGV[1])
      return 'replaced'
    end
    redis.call('DEL', KEYS[6])
    redis.call('SREM', KEYS[1], ARGV[1])
    redis.call('SADD', KEYS[2], ARGV[1])
    local left = life[2] == 'left'
    if not left then redis.call('HSET', KEYS[4], 'id', ARGV[2], 'state', 'dead') end
    bump(KEYS[3], KEYS[9], ARGV[1])
    return left and 'left' or 'dead'`
}

/**
 * Read a slice of the sparks of a life that has ended: what will be removed is told before it is forgotten.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4 sparks · 5 sparks of the life
 * ARGV     1 life · 2 address · 3 cursor · 4 how many
 * Returns  'changed' · 'ok', cursor, the ids that are still the dead one's
 */
export const doomed: Script = {
  numberOfKeys: 5,
  lua: `${ENDED}${OF}
    local page = redis.call('SSCAN', KEYS[5], ARGV[3], 'COUNT', ARGV[4])
    return {'ok', page[1], of(KEYS[4], ARGV[2], page[2], 1)}`
}

/**
 * Remove a slice of the sparks of a life that has ended. Its own set stays as it is until all is done: it is only read.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4 sparks
 * ARGV     1 life · 2 address · 3… ids
 * Returns  'changed' · 'ok'
 */
export const reap: Script = {
  numberOfKeys: 4,
  lua: `${ENDED}${OF}${DROP}
    -- A spark that has connected elsewhere belongs to another server by now.
    drop(KEYS[4], of(KEYS[4], ARGV[2], ARGV, 3))
    return {'ok'}`
}

/**
 * Read a slice of what a former life left behind at an address, sparing those that are back.
 *
 * KEYS     1 sparks · 2 the set put aside · 3 sparks of the address
 * ARGV     1 address · 2 cursor · 3 how many
 * Returns  cursor, the ids that nobody holds
 */
export const leftovers: Script = {
  numberOfKeys: 3,
  lua: `${OF}
    local page = redis.call('SSCAN', KEYS[2], ARGV[2], 'COUNT', ARGV[3])
    local stale = {}
    for _, id in ipairs(of(KEYS[1], ARGV[1], page[2], 1)) do
      if redis.call('SISMEMBER', KEYS[3], id) == 0 then stale[#stale + 1] = id end
    end
    return {page[1], stale}`
}

/**
 * Remove a slice of what a former life left behind.
 *
 * KEYS     1 sparks · 2 sparks of the address
 * ARGV     1 address · 2… ids
 * Returns  how many were removed
 */
export const clear: Script = {
  numberOfKeys: 2,
  lua: `${OF}${DROP}
    local gone = {}
    for _, id in ipairs(of(KEYS[1], ARGV[1], ARGV, 2)) do
      if redis.call('SISMEMBER', KEYS[2], id) == 0 then gone[#gone + 1] = id end
    end
    drop(KEYS[1], gone)
    return #gone`
}

/**
 * Forget what was put aside: all that was in it is cleaned up.
 *
 * KEYS     1 life of the address · 2 the sparks · 3 their users
 * ARGV     1 the name it was put aside under
 * Returns  1
 */
export const forget: Script = {
  numberOfKeys: 3,
  lua: `
    redis.call('UNLINK', KEYS[2], KEYS[3])
    local aside = redis.call('HGET', KEYS[1], 'aside')
    if not aside then return 1 end
    local names = {}
    for name in string.gmatch(aside, '%S+') do
      if name ~= ARGV[1] then names[#names + 1] = name end
    end
    redis.call('HSET', KEYS[1], 'aside', table.concat(names, ' '))
    return 1`
}

/**
 * Write the last word on a life, once all that it held is cleaned up, and forget its sparks and users; also on one that the registry has forgotten, so that it
 * does not come back when its peers have told that it left.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4 sparks of the life · 5 lives · 6 users of the life
 * ARGV     1 life · 2 address
 * Returns  'changed' · 'ok'
 */
export const close: Script = {
  numberOfKeys: 6,
  lua: `
    if ARGV[1] ~= '' and redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then
      redis.call('HSET', KEYS[1], 'id', ARGV[1], 'state', 'reaped')
      redis.call('PEXPIRE', KEYS[1], ${LAST_WORD})
      return {'ok'}
    end
    ${ENDED}
    redis.call('UNLINK', KEYS[4], KEYS[6])
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'id', ARGV[1], 'state', life[2] == 'left' and 'left' or 'reaped')
    redis.call('PEXPIRE', KEYS[1], ${LAST_WORD})
    redis.call('SREM', KEYS[5], ARGV[2])
    return {'ok'}`
}
