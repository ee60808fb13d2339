import { OURS, UNPACK, type Script } from './script'

/**
 * Write what has connected and disconnected since the last commit.
 *
 * A connect takes the id from whoever has it: a spark is where it connected last. A disconnect removes only what is ours.
 *
 * KEYS     1 life · 2 sparks · 3 our sparks
 * ARGV     1 our life · 2 seq · 3 address · 4 ids that have connected · 5 ids that have disconnected; both as JSON, at most 1000 together
 * Returns  'refused' (the life is not ours) · 'old' (this number was seen) · 'ok', then id and former address of each that moved to us
 */
export const commit: Script = {
  numberOfKeys: 3,
  lua: `${OURS}
    local moved = {'ok'}
    local address = ARGV[3]
    local connects, disconnects = cjson.decode(ARGV[4]), cjson.decode(ARGV[5])
    if #connects > 0 then
      local owners = redis.call('HMGET', KEYS[2], unpack(connects))
      local pairs = {}
      for i = 1, #connects do
        local id, owner = connects[i], owners[i]
        pairs[2 * i - 1] = id
        pairs[2 * i] = address
        if owner and owner ~= address then
          moved[#moved + 1] = id
          moved[#moved + 1] = owner
        end
      end
      redis.call('HSET', KEYS[2], unpack(pairs))
      redis.call('SADD', KEYS[3], unpack(connects))
    end
    if #disconnects > 0 then
      local owners = redis.call('HMGET', KEYS[2], unpack(disconnects))
      local gone = {}
      for i = 1, #disconnects do
        if owners[i] == address then gone[#gone + 1] = disconnects[i] end
      end
      if #gone > 0 then redis.call('HDEL', KEYS[2], unpack(gone)) end
      redis.call('SREM', KEYS[3], unpack(disconnects))
    end
    return moved`
}

/**
 * Tell a former owner's set that these ids have moved: its next beat finds a number that is off.
 *
 * KEYS     1 sparks · 2 the former owner's sparks
 * ARGV     1 the former owner's address · 2… ids
 */
export const moved: Script = {
  numberOfKeys: 2,
  lua: `
    for i = 2, #ARGV do
      if redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[1] then redis.call('SREM', KEYS[2], ARGV[i]) end
    end
    return 1`
}

/**
 * Say of ids we hold that they are ours, where nobody else's name stands: the half of a heal that adds.
 *
 * KEYS     1 life · 2 sparks · 3 our sparks
 * ARGV     1 our life · 2 seq · 3 address · 4 ids as JSON, at most 1000
 * Returns  'refused' · 'old' · 'ok', how many were missing, then id and owner of each that is another's
 */
export const claim: Script = {
  numberOfKeys: 3,
  lua: `${OURS}
    local ids = cjson.decode(ARGV[4])
    if #ids == 0 then return {'ok', 0} end
    local owners = redis.call('HMGET', KEYS[2], unpack(ids))
    local answer, missing = {'ok', 0}, 0
    for i, owner in ipairs(owners) do
      local id = ids[i]
      if owner and owner ~= ARGV[3] then
        answer[#answer + 1] = id
        answer[#answer + 1] = owner
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
 * Take ids we hold from whoever the registry says has them, unless that one lives and has them among its own.
 *
 * A name in `sparks` alone is nobody's: no script of ours writes the one without the other.
 *
 * KEYS     1 life · 2 sparks · 3 our sparks · 4 the owner's life · 5 its lease · 6 its alive key · 7 its sparks
 * ARGV     1 our life · 2 seq · 3 address · 4 the owner's address · 5… ids
 * Returns  'refused' · 'old' · 'ok', how many were taken, then those that stay the owner's
 */
export const wrest: Script = {
  numberOfKeys: 7,
  lua: `${OURS}
    local lives = redis.call('EXISTS', KEYS[5]) == 1
    if not lives then
      local owner = redis.call('HMGET', KEYS[4], 'state', 'stamp')
      local stamp = redis.call('GET', KEYS[6])
      -- An alive key that is not the life's own is that of a server of 1.x.
      lives = stamp and not ((owner[1] == 'up' or owner[1] == 'dead') and owner[2] == stamp)
    end
    local answer, taken = {'ok', 0}, 0
    for i = 5, #ARGV do
      local id = ARGV[i]
      if redis.call('HGET', KEYS[2], id) == ARGV[4] then
        if lives and redis.call('SISMEMBER', KEYS[7], id) == 1 then
          answer[#answer + 1] = id
        else
          redis.call('HSET', KEYS[2], id, ARGV[3])
          redis.call('SADD', KEYS[3], id)
          taken = taken + 1
        end
      end
    end
    answer[2] = taken
    return answer`
}

/**
 * Find out which ids servers do not have among their own.
 *
 * KEYS     the sparks of one server each
 * ARGV     as many lists of ids, as JSON; together about 500
 * Returns  for each key, those of its ids that it lacks
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
 * See to entries of \`sparks\` that their owner does not have among its own.
 *
 * Of an owner that lives, they are put among its own: its next beat finds a number that is off, and it heals. Of an owner of which nothing
 * is known and nothing left to clean up, they are removed.
 *
 * KEYS     1 sparks · 2 the owner's life · 3 its lease · 4 its alive key · 5 its sparks
 * ARGV     1 the owner's address · 2… ids
 * Returns  how many were handed to their owner, then those that were removed
 */
export const astray: Script = {
  numberOfKeys: 5,
  lua: `
    local life = redis.call('HMGET', KEYS[2], 'state', 'aside')
    local leased = redis.call('EXISTS', KEYS[3]) == 1
    local over = not life[1] or life[1] == 'reaped' or life[1] == 'left'
    local lost = over and redis.call('EXISTS', KEYS[4], KEYS[5]) == 0
    local answer, handed = {0}, 0
    -- What a former life left behind is cleaned up by its name.
    if (life[2] or '') ~= '' or not (leased or lost) then return answer end
    for i = 2, #ARGV do
      local id = ARGV[i]
      if redis.call('HGET', KEYS[1], id) == ARGV[1] and redis.call('SISMEMBER', KEYS[5], id) == 0 then
        if leased then
          handed = handed + redis.call('SADD', KEYS[5], id)
        else
          redis.call('HDEL', KEYS[1], id)
          answer[#answer + 1] = id
        end
      end
    end
    answer[1] = handed
    return answer`
}
