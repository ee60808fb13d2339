import { CHECK_LIFE, UNPACK, WRITE, type Script } from './script'

/**
 * Write the connects and disconnects since the last commit.
 *
 * A connect takes the id from its former owner, because a spark is where it connected last. A disconnect removes only
 * an entry of ours.
 *
 * KEYS     1 life · 2 sparks · 3 our sparks
 * ARGV     1 our life · 2 seq · 3 address · 4 ids that have connected · 5 ids that have disconnected;
 *          both as JSON, at most 1000 together
 * Returns  'refused' (the life is not ours) · 'old' (the number is not above the last one) ·
 *          'ok', then id and former address of each that moved to us, id and '' of each that Redis has no memory for
 */
export const commit: Script = {
  numberOfKeys: 3,
  lua: `${CHECK_LIFE}
    local moved = {'ok'}
    local address = ARGV[3]
    local connects, disconnects = cjson.decode(ARGV[4]), cjson.decode(ARGV[5])
    if #connects > 0 then
      local owners = redis.call('HMGET', KEYS[2], unpack(connects))
      local pairs, written, unwritten = {}, {}, {}
      for i = 1, #connects do
        local id, owner = connects[i], owners[i]
        if owner or room then
          written[#written + 1] = id
          pairs[#pairs + 1] = id
          pairs[#pairs + 1] = address
        else
          unwritten[#unwritten + 1] = id
        end
        if owner ~= address and (owner or not room) then
          moved[#moved + 1] = id
          moved[#moved + 1] = owner or ''
        end
      end
      if #written > 0 then
        redis.call('HSET', KEYS[2], unpack(pairs))
        redis.call('SADD', KEYS[3], unpack(written))
      end
      -- The number of our sparks must not include ids that are not in the hash.
      if #unwritten > 0 then redis.call('SREM', KEYS[3], unpack(unwritten)) end
    end
    if #disconnects > 0 then
      local owners = redis.call('HMGET', KEYS[2], unpack(disconnects))
      local ours = {}
      for i = 1, #disconnects do
        if owners[i] == address then ours[#ours + 1] = disconnects[i] end
      end
      if #ours > 0 then redis.call('HDEL', KEYS[2], unpack(ours)) end
      redis.call('SREM', KEYS[3], unpack(disconnects))
    end
    return moved`
}

/**
 * Remove ids that have moved from the set of their former owner. Its next beat finds a wrong number, and it heals.
 *
 * KEYS     1 sparks · 2 the former owner's sparks
 * ARGV     1 the former owner's address · 2… ids
 * Returns  1
 */
export const removeMoved: Script = {
  numberOfKeys: 2,
  lua: `
    for i = 2, #ARGV do
      if redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[1] then redis.call('SREM', KEYS[2], ARGV[i]) end
    end
    return 1`
}

/**
 * Add our ids that have no owner: the half of a heal that adds.
 *
 * KEYS     1 life · 2 sparks · 3 our sparks
 * ARGV     1 our life · 2 seq · 3 address · 4 ids as JSON, at most 1000
 * Returns  'refused' · 'old' · 'ok', how many were missing and are written, then id and owner of each that has another
 *          owner, id and '' of each that Redis has no memory for
 */
export const claim: Script = {
  numberOfKeys: 3,
  lua: `${CHECK_LIFE}
    local ids = cjson.decode(ARGV[4])
    if #ids == 0 then return {'ok', 0} end
    local owners = redis.call('HMGET', KEYS[2], unpack(ids))
    local answer, missing = {'ok', 0}, 0
    for i, owner in ipairs(owners) do
      local id = ids[i]
      if owner and owner ~= ARGV[3] then
        answer[#answer + 1] = id
        answer[#answer + 1] = owner
      elseif not owner and not room then
        -- The number of our sparks must not include ids that are not in the hash.
        redis.call('SREM', KEYS[3], id)
        answer[#answer + 1] = id
        answer[#answer + 1] = ''
      else
        if not owner then redis.call('HSET', KEYS[2], id, ARGV[3]) end
        local added = redis.call('SADD', KEYS[3], id)
        if added == 1 or not owner then missing = missing + 1 end
      end
    end
    answer[2] = missing
    return answer`
}

/**
 * Take ids that are connected here from the registered owner, unless that is alive and lists them in its own set.
 *
 * An entry in `sparks` that its owner does not list is stale, because scripts always write both.
 *
 * An id that is taken also leaves the owner's set, because an owner without a lease may be alive, as after a lost key.
 * Its next beat then finds a wrong number, and it heals.
 *
 * KEYS     1 life · 2 sparks · 3 our sparks · 4 the owner's life · 5 its lease · 6 its alive key · 7 its sparks
 * ARGV     1 our life · 2 seq · 3 address · 4 the owner's address · 5… ids
 * Returns  'refused' · 'old' ·
 *          'ok', how many were taken, then the ids that stay the owner's, or belong to a third server
 */
export const wrest: Script = {
  numberOfKeys: 7,
  lua: `${CHECK_LIFE}
    local lives = redis.call('EXISTS', KEYS[5]) == 1
    if not lives then
      local owner = redis.call('HMGET', KEYS[4], 'state', 'stamp')
      local stamp = redis.call('GET', KEYS[6])
      -- An alive key that the life did not write belongs to a server of 1.x.
      lives = stamp and not ((owner[1] == 'up' or owner[1] == 'dead') and owner[2] == stamp)
    end
    -- A former life whose sparks were put aside may be alive, and hold them.
    local aside = lives and (redis.call('HGET', KEYS[4], 'over') or '') ~= ''
    local answer, taken = {'ok', 0}, 0
    for i = 5, #ARGV do
      local id = ARGV[i]
      local holder = redis.call('HGET', KEYS[2], id)
      if holder == ARGV[4] then
        if lives and (aside or redis.call('SISMEMBER', KEYS[7], id) == 1) then
          answer[#answer + 1] = id
        else
          redis.call('HSET', KEYS[2], id, ARGV[3])
          redis.call('SADD', KEYS[3], id)
          redis.call('SREM', KEYS[7], id)
          taken = taken + 1
        end
      elseif holder and holder ~= ARGV[3] then
        answer[#answer + 1] = id
      end
    end
    answer[2] = taken
    return answer`
}

/**
 * Find ids that servers do not list in their own sets.
 *
 * KEYS     1… the sparks of one server each
 * ARGV     1… a list of ids for each key, as JSON; about 500 ids in all
 * Returns  for each key, those of its ids that the set lacks
 */
export const lacking: Script = {
  lua: `
    local answer = {}
    for i, key in ipairs(KEYS) do
      local ids, lacks = cjson.decode(ARGV[i]), {}
      for first = 1, #ids, ${UNPACK} do
        local has = redis.call('SMISMEMBER', key, unpack(ids, first, math.min(first + ${UNPACK} - 1, #ids)))
        for j = 1, #has do
          if has[j] == 0 then lacks[#lacks + 1] = ids[first + j - 1] end
        end
      end
      answer[i] = lacks
    end
    return answer`
}

/**
 * Repair entries of `sparks` that their owner does not list in its own set.
 *
 * A live owner gets them into its set; its next beat finds a wrong number, and the server heals. Entries of an unknown
 * owner, which has nothing left to clean up, are removed.
 *
 * KEYS     1 sparks · 2 the owner's life · 3 its lease · 4 its alive key · 5 its sparks
 * ARGV     1 the owner's address · 2… ids
 * Returns  how many were added to the owner's set, then the ids that were removed
 */
export const astray: Script = {
  numberOfKeys: 5,
  lua: `${WRITE}
    local life = redis.call('HMGET', KEYS[2], 'state', 'aside')
    local leased = redis.call('EXISTS', KEYS[3]) == 1
    local over = not life[1] or life[1] == 'reaped' or life[1] == 'left'
    local lost = over and redis.call('EXISTS', KEYS[4], KEYS[5]) == 0
    local answer, handed = {0}, 0
    -- What a former life left behind is cleaned up under the name of that life.
    if (life[2] or '') ~= '' or not (leased or lost) then return answer end
    for i = 2, #ARGV do
      local id = ARGV[i]
      if redis.call('HGET', KEYS[1], id) == ARGV[1] and redis.call('SISMEMBER', KEYS[5], id) == 0 then
        if leased then
          write('SADD', KEYS[5], id)
          handed = handed + 1
        else
          redis.call('HDEL', KEYS[1], id)
          answer[#answer + 1] = id
        end
      end
    end
    answer[1] = handed
    return answer`
}
