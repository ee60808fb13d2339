import { CLOCK, LOGGED, type Script } from './script'

/**
 * Make an address ours.
 *
 * KEYS     1 servers · 2 lives · 3 members · 4 life · 5 lease · 6 alive · 7 sparks of the address · 8 where to put them aside · 9 changes
 *          10 users of the address · 11 where to put them aside
 * ARGV     1 address · 2 our life · 3 the life that we believe to be there, '' for none · 4 '1': take it over although it has a lease
 *          5 lease ms · 6 interval ms · 7 the name to put them aside under · 8… fields of our life and their values
 * Returns  'changed' (another life is there than we believed, or ours has ended) · 'held' and the ms its lease has left · 'joined' and all names put aside
 */
export const join: Script = {
  numberOfKeys: 11,
  lua: `${CLOCK}
    local was = redis.call('HMGET', KEYS[4], 'id', 'state', 'aside')
    local former, state, aside = was[1] or '', was[2] or '', was[3] or ''
    local over = state == 'left' or state == 'reaped'
    if former == ARGV[2] then
      -- Peers have told that it left: who is back is another one.
      if state ~= 'up' then return {'changed'} end
    else
      if former ~= ARGV[3] then return {'changed'} end
      if not over and ARGV[4] ~= '1' and redis.call('GET', KEYS[5]) ~= ARGV[2] then
        local left = redis.call('PTTL', KEYS[5])
        if left > 0 then return {'held', left} end
      end
      local sparks, users = redis.call('EXISTS', KEYS[7]) == 1, redis.call('EXISTS', KEYS[10]) == 1
      if sparks then redis.call('RENAME', KEYS[7], KEYS[8]) end
      if users then redis.call('RENAME', KEYS[10], KEYS[11]) end
      if sparks or users then aside = aside .. (aside == '' and '' or ' ') .. ARGV[7] end
    end
    local stamp = now()
    redis.call('DEL', KEYS[4])
    redis.call('HSET', KEYS[4], 'id', ARGV[2], 'state', 'up', 'stamp', stamp, 'aside', aside, unpack(ARGV, 8))
    if former ~= ARGV[2] and former ~= '' then
      redis.call('HSET', KEYS[4], 'former', former, 'farewell', state == 'left' and 'shutdown' or 'expired')
    end
    redis.call('SET', KEYS[5], ARGV[2], 'PX', ARGV[5])
    redis.call('SET', KEYS[6], stamp, 'PX', ARGV[6])
    redis.call('SADD', KEYS[1], ARGV[1])
    redis.call('SADD', KEYS[2], ARGV[1])
    bump(KEYS[3], KEYS[9], ARGV[1])
    return {'joined', aside}`
}

/**
 * Renew lease and alive key, and learn whether the registry still says what we hold.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4 servers · 5 members · 6 our sparks · 7 sweep · 8 lives · 9 changes · 10 our users
 * ARGV     1 our life · 2 lease ms · 3 interval ms · 4 address · 5 ms to hold the sweep, 0: do not ask for it · 6 ms that the lease has left when a beat is prompt
 * Returns  'gone' (no life is there) · 'other' (another one is) · 'ended' (ours was declared dead, or has left) ·
 *          'ok', seq, number of our sparks, 1 if nothing was missing, members, number of servers, 1 if the sweep is ours, 1 if it was prompt, how often one was not,
 *          how many of our sparks have a user
 */
export const beat: Script = {
  numberOfKeys: 10,
  lua: `${CLOCK}
    local life = redis.call('HMGET', KEYS[1], 'id', 'state', 'seq', 'breaks')
    if not life[1] then return {'gone'} end
    if life[1] ~= ARGV[1] then return {'other'} end
    if life[2] ~= 'up' then return {'ended'} end
    local whole = redis.call('GET', KEYS[2]) == ARGV[1]
    local prompt = whole and redis.call('PTTL', KEYS[2]) >= tonumber(ARGV[6])
    local breaks = tonumber(life[4] or '0')
    if not prompt then breaks = redis.call('HINCRBY', KEYS[1], 'breaks', 1) end
    local stamp = now()
    redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
    redis.call('SET', KEYS[3], stamp, 'PX', ARGV[3])
    redis.call('HSET', KEYS[1], 'stamp', stamp)
    local unlisted = redis.call('SADD', KEYS[4], ARGV[4]) + redis.call('SADD', KEYS[8], ARGV[4])
    if unlisted > 0 then
      whole = false
      bump(KEYS[5], KEYS[9], ARGV[4])
    end
    local turn = 0
    if ARGV[5] ~= '0' and prompt then
      local holder = redis.call('GET', KEYS[7])
      if not holder or holder == ARGV[1] then
        redis.call('SET', KEYS[7], ARGV[1], 'PX', ARGV[5])
        turn = 1
      end
    end
    return {'ok', tonumber(life[3]), redis.call('SCARD', KEYS[6]), whole and 1 or 0,
      redis.call('GET', KEYS[5]) or '', redis.call('SCARD', KEYS[4]), turn, prompt and 1 or 0, breaks,
      redis.call('HLEN', KEYS[10])}`
}

/**
 * Take our leave: nobody finds us from now on; our sparks are cleaned up in slices, by us or by the next sweep.
 *
 * KEYS     1 servers · 2 members · 3 life · 4 lease · 5 alive · 6 lives · 7 changes
 * ARGV     1 address · 2 the life that leaves, '' for a server of 1.x
 * Returns  1, or 0 when it is not that life (any more)
 */
export const leave: Script = {
  numberOfKeys: 7,
  lua: `${CLOCK}
    if (redis.call('HGET', KEYS[3], 'id') or '') ~= ARGV[2] then return 0 end
    redis.call('SREM', KEYS[1], ARGV[1])
    redis.call('DEL', KEYS[4], KEYS[5])
    redis.call('HSET', KEYS[3], 'id', ARGV[2], 'state', 'left')
    redis.call('SADD', KEYS[6], ARGV[1])
    bump(KEYS[2], KEYS[7], ARGV[1])
    return 1`
}

/**
 * Read who has joined or left since the counter had a value that we know.
 *
 * KEYS     1 members · 2 changes · 3 servers · 4 lives
 * ARGV     1 the value that we know
 * Returns  'lost' (what is remembered does not go back to it, or was not there then) ·
 *          'ok', members, number of servers, then of each address that is named: itself, 1 if it is on the list, 1 if it has a life
 */
export const changes: Script = {
  numberOfKeys: 4,
  lua: `
    local members = redis.call('GET', KEYS[1]) or '0'
    local moves = tonumber(members) - tonumber(ARGV[1])
    if moves < 0 or moves > ${LOGGED} then return {'lost'} end
    local log = moves == 0 and {} or redis.call('LRANGE', KEYS[2], 0, moves - 1)
    if #log < moves then return {'lost'} end
    local answer, seen = {'ok', members, redis.call('SCARD', KEYS[3])}, {}
    for i, entry in ipairs(log) do
      local number, address = string.match(entry, '^(%d+) (.*)$')
      if number ~= string.format('%.0f', tonumber(members) - i + 1) then return {'lost'} end
      if not seen[address] then
        seen[address] = true
        answer[#answer + 1] = address
        answer[#answer + 1] = redis.call('SISMEMBER', KEYS[3], address)
        answer[#answer + 1] = redis.call('SISMEMBER', KEYS[4], address)
      end
    end
    return answer`
}

/**
 * Go on holding what one server at a time does for all.
 *
 * KEYS     1 key
 * ARGV     1 our life · 2 ms
 * Returns  1, or 0 when it is another's
 */
export const hold: Script = {
  numberOfKeys: 1,
  lua: `
    local holder = redis.call('GET', KEYS[1])
    if holder and holder ~= ARGV[1] then return 0 end
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return 1`
}

/**
 * Keep what all servers have to agree upon: the value that was there first stands, also when the key was lost and others wrote it anew.
 *
 * A value carries the time by Redis's clock at which it was first written; of two, the older one wins.
 *
 * KEYS     1 key
 * ARGV     1 the time of our value, '' when nobody has agreed to it yet · 2 our value · 3 ms it lives, 0 for ever
 * Returns  the time and the value that stand
 */
export const keep: Script = {
  numberOfKeys: 1,
  lua: `${CLOCK}
    local there = redis.call('GET', KEYS[1])
    local since, value = string.match(there or '', '^(%d+) (.*)$')
    if not since or (ARGV[1] ~= '' and tonumber(since) > tonumber(ARGV[1])) then
      since, value = ARGV[1] == '' and now() or ARGV[1], ARGV[2]
      redis.call('SET', KEYS[1], since .. ' ' .. value)
    end
    if ARGV[3] ~= '0' and value == ARGV[2] then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
    return {since, value}`
}

/**
 * Make it our turn at something that one server at a time does for all.
 *
 * KEYS     1 key
 * ARGV     1 our life · 2 ms until it is anybody's again
 * Returns  1, or 0 when it is another's turn, or was ours
 */
export const turn: Script = {
  numberOfKeys: 1,
  lua: `return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') and 1 or 0`
}
