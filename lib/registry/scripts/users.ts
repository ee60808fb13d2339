import { ENDED, OURS, type Script } from './script'

/*
 * Sparks and their users are given as three lists in JSON: the users, each once, in the order of their keys; the ids, at most 1000; and of
 * each id the place of its user in the first list, 0 for none.
 */

/**
 * Write which users are behind our sparks, and which no longer.
 *
 * A user is found where its spark was named last. What is another server's is removed by that one alone.
 *
 * KEYS     1 life · 2 our users · 3… the sparks of each user
 * ARGV     1 our life · 2 seq · 3 address · 4 '1': leave to others what they have · 5 users · 6 ids · 7 places of the users that they had · 8 and have
 * Returns  'refused' (the life is not ours) · 'old' (this number was seen) ·
 *          'ok', how many were missing, then id, user and owner of each that another has, or had
 */
export const identify: Script = {
  lua: `${OURS}
    local address, shy = ARGV[3], ARGV[4] == '1'
    local users, ids, from, to = cjson.decode(ARGV[5]), cjson.decode(ARGV[6]), cjson.decode(ARGV[7]), cjson.decode(ARGV[8])
    local answer, missing = {'ok', 0}, 0
    for i, id in ipairs(ids) do
      local was, is = from[i], to[i]
      if was > 0 then
        if redis.call('HGET', KEYS[2 + was], id) == address then redis.call('HDEL', KEYS[2 + was], id) end
        if is == 0 and redis.call('HGET', KEYS[2], id) == users[was] then redis.call('HDEL', KEYS[2], id) end
      end
      if is > 0 then
        local key, user = KEYS[2 + is], users[is]
        local owner = redis.call('HGET', key, id)
        local theirs = owner and owner ~= address
        if theirs then
          answer[#answer + 1] = id
          answer[#answer + 1] = user
          answer[#answer + 1] = owner
        end
        if not (theirs and shy) then
          local right = redis.call('HGET', KEYS[2], id) == user
          if owner ~= address then redis.call('HSET', key, id, address) end
          if not right then redis.call('HSET', KEYS[2], id, user) end
          if owner ~= address or not right then missing = missing + 1 end
        end
      end
    end
    answer[2] = missing
    return answer`
}

/**
 * Tell a server that others have these sparks of users by now: its next beat finds a number that is off.
 *
 * KEYS     1 users of the server · 2… the sparks of each user
 * ARGV     1 its address · 2 users · 3 ids · 4 places of their users
 * Returns  1
 */
export const displaced: Script = {
  lua: `
    local users, ids, of = cjson.decode(ARGV[2]), cjson.decode(ARGV[3]), cjson.decode(ARGV[4])
    for i, id in ipairs(ids) do
      if redis.call('HGET', KEYS[1], id) == users[of[i]] and redis.call('HGET', KEYS[1 + of[i]], id) ~= ARGV[1] then
        redis.call('HDEL', KEYS[1], id)
      end
    end
    return 1`
}

/**
 * Remove a slice of the users behind sparks of a life that has ended. Its own list stays as it is until all is done: it is only read.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4… the sparks of each user
 * ARGV     1 life · 2 address · 3 ids · 4 places of their users
 * Returns  'changed' · 'ok'
 */
export const unname: Script = {
  lua: `${ENDED}
    local ids, of = cjson.decode(ARGV[3]), cjson.decode(ARGV[4])
    for i, id in ipairs(ids) do
      -- A spark that was named elsewhere belongs to another server by now.
      if redis.call('HGET', KEYS[3 + of[i]], id) == ARGV[2] then redis.call('HDEL', KEYS[3 + of[i]], id) end
    end
    return {'ok'}`
}

/**
 * Remove a slice of the users that a former life left behind at an address, sparing those that are back.
 *
 * KEYS     1 users of the address · 2… the sparks of each user
 * ARGV     1 address · 2 users · 3 ids · 4 places of their users
 * Returns  'ok'
 */
export const unnameAside: Script = {
  lua: `
    local users, ids, of = cjson.decode(ARGV[2]), cjson.decode(ARGV[3]), cjson.decode(ARGV[4])
    for i, id in ipairs(ids) do
      local key = KEYS[1 + of[i]]
      if redis.call('HGET', KEYS[1], id) ~= users[of[i]] and redis.call('HGET', key, id) == ARGV[1] then redis.call('HDEL', key, id) end
    end
    return {'ok'}`
}
