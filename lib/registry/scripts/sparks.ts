import { PARTS, type Script } from './script'

/** Give up unless the life in KEYS[1] is ours, up, and has not seen this number: a late command must not write old truth. */
const OURS = `
  local life = redis.call('HMGET', KEYS[1], 'id', 'state', 'seq')
  if life[1] ~= ARGV[1] or life[2] ~= 'up' then return {'refused'} end
  if tonumber(ARGV[2]) <= tonumber(life[3] or '0') then return {'old'} end
  redis.call('HSET', KEYS[1], 'seq', ARGV[2])`

/**
 * Write what has connected and disconnected since the last commit.
 *
 * A connect takes the id from whoever has it: a spark is where it connected last. A disconnect removes only what is ours.
 *
 * KEYS     1 life · 2 sparks · 3 our sparks
 * ARGV     1 our life · 2 seq · 3 address · 4 how many connects · 5… their ids, then those of the disconnects
 * Returns  'refused' (the life is not ours) · 'old' (this number was seen) · 'ok', then id and former address of each that moved to us
 */
export const commit: Script = {
  numberOfKeys: 3,
  lua: `${PARTS}${OURS}
    local moved = {'ok'}
    local connects = 4 + tonumber(ARGV[4])
    parts(5, connects, function (first, last)
      local owners = redis.call('HMGET', KEYS[2], unpack(ARGV, first, last))
      local pairs = {}
      for i, owner in ipairs(owners) do
        local id = ARGV[first + i - 1]
        pairs[#pairs + 1] = id
        pairs[#pairs + 1] = ARGV[3]
        if owner and owner ~= ARGV[3] then
          moved[#moved + 1] = id
          moved[#moved + 1] = owner
        end
      end
      redis.call('HSET', KEYS[2], unpack(pairs))
      redis.call('SADD', KEYS[3], unpack(ARGV, first, last))
    end)
    parts(connects + 1, #ARGV, function (first, last)
      local owners = redis.call('HMGET', KEYS[2], unpack(ARGV, first, last))
      local gone = {}
      for i, owner in ipairs(owners) do
        if owner == ARGV[3] then gone[#gone + 1] = ARGV[first + i - 1] end
      end
      if #gone > 0 then redis.call('HDEL', KEYS[2], unpack(gone)) end
      redis.call('SREM', KEYS[3], unpack(ARGV, first, last))
    end)
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
 * ARGV     1 our life · 2 seq · 3 address · 4… ids, at most 1000
 * Returns  'refused' · 'old' · 'ok', how many were missing, then id and owner of each that is another's
 */
export const claim: Script = {
  numberOfKeys: 3,
  lua: `${OURS}
    if #ARGV < 4 then return {'ok', 0} end
    local owners = redis.call('HMGET', KEYS[2], unpack(ARGV, 4))
    local answer, missing = {'ok', 0}, 0
    for i, owner in ipairs(owners) do
      local id = ARGV[i + 3]
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
 * Take ids we hold from an owner that is dead.
 *
 * KEYS     1 life · 2 sparks · 3 our sparks · 4 the owner's life · 5 its lease · 6 its alive key
 * ARGV     1 our life · 2 seq · 3 address · 4 the owner's address · 5… ids
 * Returns  'refused' · 'old' · 'alive' (nothing was done) · 'ok' and how many were taken
 */
export const wrest: Script = {
  numberOfKeys: 6,
  lua: `${OURS}
    if redis.call('EXISTS', KEYS[5]) == 1 then return {'alive'} end
    local owner = redis.call('HMGET', KEYS[4], 'state', 'stamp')
    local stamp = redis.call('GET', KEYS[6])
    -- An alive key that is not the life's own is that of a server of 1.x.
    if stamp and not ((owner[1] == 'up' or owner[1] == 'dead') and owner[2] == stamp) then return {'alive'} end
    local taken = 0
    for i = 5, #ARGV do
      if redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[4] then
        redis.call('HSET', KEYS[2], ARGV[i], ARGV[3])
        redis.call('SADD', KEYS[3], ARGV[i])
        taken = taken + 1
      end
    end
    return {'ok', taken}`
}
