import { SILENT, TOLD, type PresenceLua } from './presence'
import { CHECK_LIFE, ENDED, type Script } from './script'

/*
 * Sparks and their users are passed as three lists in JSON: the users without repetition, in the order of their keys;
 * at most 1000 ids; and for each id the place of its user in the first list, counted from 1. 0 stands for no user.
 *
 * The form for servers with the option `grace` has more keys and arguments at the end, see `presence.ts`.
 */

/**
 * Write the users of our sparks.
 *
 * An entry overwrites that of another server, because a user is found where its spark was named last. Each server
 * removes only its own entries.
 *
 * KEYS     1 life · 2 our users · 3… the sparks of each user
 * ARGV     1 our life · 2 seq · 3 address · 4 '1': leave entries of other servers alone · 5 users · 6 ids
 *          7 places of their former users · 8 places of their users
 * Returns  'refused' (the life is not ours) · 'old' (the number is not above the last one) ·
 *          'ok', how many entries were wrong or missing and are written, then
 *          id, user and owner of each entry that another server has, or had;
 *          id, user and '' of each entry that Redis has no memory for;
 *          with `grace`, last, the new announcements as one list
 */
const identifying = ({ begin, when }: PresenceLua): Script => ({
  lua: `${CHECK_LIFE}${begin}
    local address, claim = ARGV[3], ARGV[4] == '1'
    local users, ids = cjson.decode(ARGV[5]), cjson.decode(ARGV[6])
    local from, to = cjson.decode(ARGV[7]), cjson.decode(ARGV[8])
    local answer, missing = {'ok', 0}, 0
    for i, id in ipairs(ids) do
      local old, new = from[i], to[i]
      if old > 0 then
        if redis.call('HGET', KEYS[2 + old], id) == address then
          redis.call('HDEL', KEYS[2 + old], id)
          ${when(`if redis.call('EXISTS', KEYS[2 + old]) == 0 then went('u' .. users[old]) end`)}
        end
        if new == 0 and redis.call('HGET', KEYS[2], id) == users[old] then redis.call('HDEL', KEYS[2], id) end
      end
      if new > 0 then
        local key, user = KEYS[2 + new], users[new]
        local owner = redis.call('HGET', key, id)
        local foreign = owner and owner ~= address
        if foreign then
          answer[#answer + 1] = id
          answer[#answer + 1] = user
          answer[#answer + 1] = owner
        end
        if not owner and not room then
          redis.call('HDEL', KEYS[2], id)
          answer[#answer + 1] = id
          answer[#answer + 1] = user
          answer[#answer + 1] = ''
        elseif not (foreign and claim) then
          local right = redis.call('HGET', KEYS[2], id) == user
          ${when(`if not owner and redis.call('EXISTS', key) == 0 then came('u' .. user, quiet[new] == 1) end`)}
          if owner ~= address then redis.call('HSET', key, id, address) end
          if not right then redis.call('HSET', KEYS[2], id, user) end
          if owner ~= address or not right then missing = missing + 1 end
        end
      end
    end
    answer[2] = missing
    ${when('answer[#answer + 1] = told')}
    return answer`
})
export const identify = identifying(SILENT)
export const identifyTelling = identifying(TOLD)

/**
 * Remove users that have moved to other servers from the hash of their former owner. Its next beat finds a wrong
 * number, and the server heals.
 *
 * KEYS     1 users of the former owner · 2… the sparks of each user
 * ARGV     1 its address · 2 users · 3 ids · 4 places of their users
 * Returns  1
 */
export const unnameMoved: Script = {
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
 * Remove a slice of the users of a life that has ended. The hash of that life is only read: the tombstone deletes it.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4… the sparks of each user
 * ARGV     1 life · 2 address · 3 ids · 4 places of their users; with `grace`, then users
 * Returns  'changed' · 'ok'
 */
const unnaming = ({ begin, when }: PresenceLua): Script => ({
  lua: `${ENDED}${begin}
    ${when('local users = cjson.decode(ARGV[5])')}
    local ids, of = cjson.decode(ARGV[3]), cjson.decode(ARGV[4])
    for i, id in ipairs(ids) do
      -- An entry with another address belongs to another server by now.
      if redis.call('HGET', KEYS[3 + of[i]], id) == ARGV[2] then
        redis.call('HDEL', KEYS[3 + of[i]], id)
        ${when(`if redis.call('EXISTS', KEYS[3 + of[i]]) == 0 then went('u' .. users[of[i]]) end`)}
      end
    end
    return {'ok'}`
})
export const unname = unnaming(SILENT)
export const unnameTelling = unnaming(TOLD)

/**
 * Remove a slice of the users that a former life left behind at an address, except those that the address has again.
 *
 * KEYS     1 users of the address · 2… the sparks of each user
 * ARGV     1 address · 2 users · 3 ids · 4 places of their users
 * Returns  'ok'
 */
const unnamingAside = ({ begin, when }: PresenceLua): Script => ({
  lua: `${begin}
    local users, ids, of = cjson.decode(ARGV[2]), cjson.decode(ARGV[3]), cjson.decode(ARGV[4])
    for i, id in ipairs(ids) do
      local key = KEYS[1 + of[i]]
      local back = redis.call('HGET', KEYS[1], id) == users[of[i]]
      if not back and redis.call('HGET', key, id) == ARGV[1] then
        redis.call('HDEL', key, id)
        ${when(`if redis.call('EXISTS', key) == 0 then went('u' .. users[of[i]]) end`)}
      end
    end
    return {'ok'}`
})
export const unnameAside = unnamingAside(SILENT)
export const unnameAsideTelling = unnamingAside(TOLD)
