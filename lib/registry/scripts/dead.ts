import { CLOCK, ENDED, TOMBSTONE_MS, UNPACK, type Script } from './script'

/** `of(key, owner, ids, from)`: those of the ids, from the place `from` on, that are registered under the owner. */
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
      -- Nearly always all of them are. Copying the list would be a third of the work.
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
 * Declare a life dead whose lease has expired: peers no longer find it, and its sparks are reaped in slices.
 *
 * An alive key that this life did not write means that a server of 1.x has started at the address; it stays. Only a
 * server that has just beaten may bury: after a pause of the whole cluster, the others had no time to beat.
 *
 * KEYS     1 servers · 2 lives · 3 members · 4 life · 5 lease · 6 alive · 7 life of the server that buries
 *          8 its lease · 9 changes · 10 users of the life
 *          11 where to put them aside, because 1.x does not remove them · 12 groups of the life
 *          13 where to put those aside
 *          14… the former lives that it has replaced provisionally
 * ARGV     1 address · 2 the life, '' for a server of 1.x · 3 the life that buries · 4 ms that its lease must have left
 *          5 how many of its beats were not prompt when its turn to sweep began · 6 the names of those former lives
 * Returns  'late' (the server that buries has not beaten in time) · 'changed' (the life is not as the caller saw it) ·
 *          'alive' (it is, or one of those former lives may be) · 'replaced' (by a server of 1.x) ·
 *          'left' (it had left by itself) · 'dead'
 */
export const bury: Script = {
  lua: `${CLOCK}
    if redis.call('GET', KEYS[8]) ~= ARGV[3] or redis.call('PTTL', KEYS[8]) < tonumber(ARGV[4]) then return 'late' end
    if (redis.call('HGET', KEYS[7], 'breaks') or '0') ~= ARGV[5] then return 'late' end
    local life = redis.call('HMGET', KEYS[4], 'id', 'state', 'stamp', 'over')
    if (life[1] or '') ~= ARGV[2] or (life[4] or '') ~= ARGV[6] then return 'changed' end
    if redis.call('EXISTS', KEYS[5]) == 1 then return 'alive' end
    for i = 14, #KEYS do
      if redis.call('HGET', KEYS[i], 'state') == 'up' then return 'alive' end
    end
    local stamp = redis.call('GET', KEYS[6])
    if stamp and stamp ~= life[3] then
      if not life[1] then return 'alive' end
      redis.call('DEL', KEYS[4])
      redis.call('SREM', KEYS[2], ARGV[1])
      for from, to in pairs({[10] = 11, [12] = 13}) do
        if redis.call('EXISTS', KEYS[from]) == 1 then redis.call('RENAME', KEYS[from], KEYS[to]) end
      end
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
 * Let no lease last longer than its server asked for. It does when the clock of Redis was set back since its last beat.
 *
 * KEYS     of each server, its life and its lease
 */
export const shorten: Script = {
  lua: `
    for i = 1, #KEYS, 2 do
      -- A life of an earlier release has no such field.
      local lease = tonumber(redis.call('HGET', KEYS[i], 'lease') or '')
      if lease and redis.call('PTTL', KEYS[i + 1]) > lease then redis.call('PEXPIRE', KEYS[i + 1], lease) end
    end
    return 1`
}

/**
 * Read a slice of the sparks of a life that has ended, so that they are reported before they are removed.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4 sparks · 5 sparks of the life
 * ARGV     1 life · 2 address · 3 cursor · 4 how many
 * Returns  'changed' · 'ok', cursor, the ids that are still registered under the address
 */
export const doomed: Script = {
  numberOfKeys: 5,
  lua: `${ENDED}${OF}
    local page = redis.call('SSCAN', KEYS[5], ARGV[3], 'COUNT', ARGV[4])
    return {'ok', page[1], of(KEYS[4], ARGV[2], page[2], 1)}`
}

/**
 * Remove a slice of the sparks of a life that has ended. The set of that life is only read: the tombstone deletes it.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4 sparks
 * ARGV     1 life · 2 address · 3… ids
 * Returns  'changed' · 'ok'
 */
export const reap: Script = {
  numberOfKeys: 4,
  lua: `${ENDED}${OF}${DROP}
    -- A spark that has reconnected elsewhere belongs to another server by now.
    drop(KEYS[4], of(KEYS[4], ARGV[2], ARGV, 3))
    return {'ok'}`
}

/**
 * Read a slice of the sparks that a former life left behind at an address, except those that the address has again.
 *
 * KEYS     1 sparks · 2 the set put aside · 3 sparks of the address
 *          4 the former life, if it was replaced while its lease still ran
 * ARGV     1 address · 2 cursor · 3 how many
 * Returns  'held' (its lease would still run, so it may be alive) ·
 *          'ok', or 'untold' (it is alive without the address, so its sparks have not ended), cursor,
 *          the ids that no server holds
 */
export const leftovers: Script = {
  numberOfKeys: 4,
  lua: `${OF}
    local state = redis.call('HGET', KEYS[4], 'state')
    if state == 'up' then return {'held'} end
    local page = redis.call('SSCAN', KEYS[2], ARGV[2], 'COUNT', ARGV[3])
    local stale = {}
    for _, id in ipairs(of(KEYS[1], ARGV[1], page[2], 1)) do
      if redis.call('SISMEMBER', KEYS[3], id) == 0 then stale[#stale + 1] = id end
    end
    return {state == 'left' and 'untold' or 'ok', page[1], stale}`
}

/**
 * Remove a slice of the sparks that a former life left behind.
 *
 * KEYS     1 sparks · 2 sparks of the address
 * ARGV     1 address · 2… ids
 * Returns  how many were removed
 */
export const clear: Script = {
  numberOfKeys: 2,
  lua: `${OF}${DROP}
    local stale = {}
    for _, id in ipairs(of(KEYS[1], ARGV[1], ARGV, 2)) do
      if redis.call('SISMEMBER', KEYS[2], id) == 0 then stale[#stale + 1] = id end
    end
    drop(KEYS[1], stale)
    return #stale`
}

/**
 * Delete the keys of a former life, once its entries are removed.
 *
 * KEYS     1 life of the address · 2 the sparks put aside · 3 the users put aside · 4 the former life
 *          5 the groups put aside
 * ARGV     1 the name under which they were put aside
 * Returns  1
 */
export const forget: Script = {
  numberOfKeys: 5,
  lua: `
    redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
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
 * Write the tombstone of a life, once its entries are removed, and delete its lists.
 *
 * A life that the registry has lost gets one too: peers that have emitted its `leave` must not see it return.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4 sparks of the life · 5 lives · 6 users of the life
 *          7 groups of the life
 * ARGV     1 life · 2 address
 * Returns  'changed' · 'ok'
 */
export const tombstone: Script = {
  numberOfKeys: 7,
  lua: `
    if ARGV[1] ~= '' and redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then
      -- After a DEL, a full Redis does not refuse the HSET.
      redis.call('DEL', KEYS[1])
      redis.call('HSET', KEYS[1], 'id', ARGV[1], 'state', 'reaped')
      redis.call('PEXPIRE', KEYS[1], ${TOMBSTONE_MS})
      return {'ok'}
    end
    ${ENDED}
    redis.call('UNLINK', KEYS[4], KEYS[6], KEYS[7])
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'id', ARGV[1], 'state', life[2] == 'left' and 'left' or 'reaped')
    redis.call('PEXPIRE', KEYS[1], ${TOMBSTONE_MS})
    redis.call('SREM', KEYS[5], ARGV[2])
    return {'ok'}`
}
