import { CLOCK, LOGGED, TOMBSTONE_MS, WRITE, type Script } from './script'

/**
 * Register a life at an address.
 *
 * A life that is replaced while its lease still runs may be alive. It is kept unchanged for the rest of that lease. If
 * it beats in that time, it takes the address back. Until then its sparks stay put aside.
 *
 * KEYS     1 servers · 2 lives · 3 members · 4 life · 5 lease · 6 alive · 7 sparks of the address
 *          8 where to put them aside · 9 changes · 10 users of the address · 11 where to put them aside
 *          12 where to keep the life that is replaced · 13 our life, if it was replaced
 *          14 groups of the address · 15 where to put them aside
 * ARGV     1 address · 2 our life · 3 the life that we expect there, '' for none
 *          4 '1': take the address over although that life has a lease · 5 lease ms · 6 interval ms
 *          7 the name under which to put aside · 8… fields of our life and their values
 * Returns  'changed' (another life than the expected one is there, or ours has ended) ·
 *          'lost' (a former life has taken the address back from ours) · 'held' and the ms that its lease has left ·
 *          'joined', all names put aside, and the names of the former lives that may be alive
 */
export const join: Script = {
  numberOfKeys: 15,
  lua: `${CLOCK}
    local was = redis.call('HMGET', KEYS[4], 'id', 'state', 'aside', 'over', 'joined')
    local former, state, aside, over, joined = was[1] or '', was[2] or '', was[3] or '', was[4] or '', was[5]
    local function added(names, name) return names == '' and name or names .. ' ' .. name end
    if former == ARGV[2] then
      -- Peers have emitted its leave, so it may not return as the same life.
      if state ~= 'up' then return {'changed'} end
    else
      if redis.call('EXISTS', KEYS[13]) == 1 then
        redis.call('PEXPIRE', KEYS[13], ${TOMBSTONE_MS})
        redis.call('HSET', KEYS[13], 'state', 'left')
        return {'lost'}
      end
      if former ~= ARGV[3] then return {'changed'} end
      local left = 0
      if state ~= 'left' and state ~= 'reaped' and redis.call('GET', KEYS[5]) ~= ARGV[2] then
        left = redis.call('PTTL', KEYS[5])
        if left > 0 and ARGV[4] ~= '1' then return {'held', left} end
      end
      local provisional = state == 'up' and left > 0
      local stale = provisional
      for from, to in pairs({[7] = 8, [10] = 11, [14] = 15}) do
        if redis.call('EXISTS', KEYS[from]) == 1 then
          redis.call('RENAME', KEYS[from], KEYS[to])
          stale = true
        end
      end
      if stale then aside = added(aside, ARGV[7]) end
      if provisional then
        redis.call('RENAME', KEYS[4], KEYS[12])
        redis.call('PEXPIRE', KEYS[12], left)
        over = added(over, former)
      end
      joined = nil
    end
    local stamp = now()
    redis.call('DEL', KEYS[4])
    redis.call('HSET', KEYS[4], 'id', ARGV[2], 'state', 'up', 'stamp', stamp, 'aside', aside, 'over', over,
      'lease', ARGV[5], unpack(ARGV, 8))
    if former ~= ARGV[2] and former ~= '' then
      redis.call('HSET', KEYS[4], 'former', former, 'farewell', state == 'left' and 'shutdown' or 'expired')
    end
    redis.call('SET', KEYS[5], ARGV[2], 'PX', ARGV[5])
    redis.call('SET', KEYS[6], stamp, 'PX', ARGV[6])
    redis.call('SADD', KEYS[1], ARGV[1])
    redis.call('SADD', KEYS[2], ARGV[1])
    local number = bump(KEYS[3], KEYS[9], ARGV[1])
    redis.call('HSET', KEYS[4], 'joined', joined or number)
    return {'joined', aside, over}`
}

/**
 * Renew the lease and the alive key, and return what shows whether the registry still agrees with the server.
 *
 * Of two live servers with one address, the one that joined first has it. The other one gives it up with its next beat.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4 servers · 5 members · 6 our sparks · 7 sweep · 8 lives · 9 changes
 *          10 our users · 11 our life, if another one has replaced it · 12 secret · 13 layout · 14 our groups
 * ARGV     1 our life · 2 lease ms · 3 interval ms · 4 address · 5 ms to hold the sweep, 0: do not take it
 *          6 ms that the lease must have left for a prompt beat
 *          7 the secret and 8 the layout as `keep` stores them, '' for one that this registry does not keep
 * Returns  'gone' (no life is there) · 'other' (another life is there) · 'ended' (ours was buried, or has left) ·
 *          'former' and the life that replaced ours while its lease still ran ·
 *          'ok', seq, number of our sparks, 1 if nothing was missing, members, number of servers,
 *          1 if the sweep is ours, 1 if the beat was prompt, how many beats were not,
 *          how many of our sparks have a user, 1 if Redis has memory for new entries,
 *          1 if the secret and the layout are as given, number of our groups,
 *          1 if the clock of Redis was set back since our last beat
 */
export const beat: Script = {
  numberOfKeys: 14,
  lua: `${CLOCK}${WRITE}
    local life = redis.call('HMGET', KEYS[1], 'id', 'state', 'seq', 'breaks')
    if not life[1] then return {'gone'} end
    if life[1] ~= ARGV[1] then
      local ours = redis.call('HMGET', KEYS[11], 'state', 'joined')
      local theirs = redis.call('HGET', KEYS[1], 'joined') or '0'
      if ours[1] == 'up' and tonumber(ours[2] or '0') < tonumber(theirs) then
        redis.call('PEXPIRE', KEYS[11], ARGV[2])
        return {'former', life[1]}
      end
      if ours[1] then
        redis.call('PEXPIRE', KEYS[11], ${TOMBSTONE_MS})
        redis.call('HSET', KEYS[11], 'state', 'left')
      end
      return {'other'}
    end
    if life[2] ~= 'up' then return {'ended'} end
    -- Each command of a script costs about the same, so one reads all texts.
    local texts = redis.call('MGET', KEYS[2], KEYS[5], KEYS[7], KEYS[12], KEYS[13])
    local whole, members, holder = texts[1] == ARGV[1], texts[2] or '', texts[3]
    local left = whole and redis.call('PTTL', KEYS[2]) or 0
    local prompt = left >= tonumber(ARGV[6])
    -- No lease has more left than it was given, unless the clock was set back.
    local back = left > tonumber(ARGV[2])
    local breaks = life[4] or '0'
    local stamp = now()
    -- A full Redis must not end a lease.
    local room = write('HSET', KEYS[1], 'stamp', stamp)
    if not prompt then breaks = redis.call('HINCRBY', KEYS[1], 'breaks', 1) end
    -- To move an expiry costs half of what it costs to write the key again.
    if whole then
      redis.call('PEXPIRE', KEYS[2], ARGV[2])
    else
      redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
    end
    redis.call('SET', KEYS[3], stamp, 'PX', ARGV[3])
    local unlisted = redis.call('SADD', KEYS[4], ARGV[4]) + redis.call('SADD', KEYS[8], ARGV[4])
    if unlisted > 0 then
      whole = false
      members = bump(KEYS[5], KEYS[9], ARGV[4])
    end
    local turn = 0
    -- The holder may have died at the same time.
    if back and holder then redis.call('PEXPIRE', KEYS[7], ARGV[2]) end
    if ARGV[5] ~= '0' and prompt then
      if holder == ARGV[1] then
        redis.call('PEXPIRE', KEYS[7], ARGV[5])
        turn = 1
      elseif not holder then
        redis.call('SET', KEYS[7], ARGV[1], 'PX', ARGV[5])
        turn = 1
      end
    end
    local agreed = ARGV[7] == '' or texts[4] == ARGV[7]
    if ARGV[8] ~= '' then
      -- Only the layout that this server knows is renewed: another one expires with the servers that use it.
      if texts[5] == ARGV[8] then
        redis.call('PEXPIRE', KEYS[13], ARGV[2])
      else
        agreed = false
      end
    end
    return {'ok', life[3] or '0', redis.call('SCARD', KEYS[6]), whole and 1 or 0,
      members, redis.call('SCARD', KEYS[4]), turn, prompt and 1 or 0, breaks,
      redis.call('HLEN', KEYS[10]), room and 1 or 0, agreed and 1 or 0,
      redis.call('SCARD', KEYS[14]), back and 1 or 0}`
}

/**
 * Note in our life whether this server drains.
 *
 * KEYS     1 life
 * ARGV     1 our life · 2 '1': it drains, '': it does not
 * Returns  1, or 0 when another life is there, or ours has ended
 */
export const drains: Script = {
  numberOfKeys: 1,
  lua: `
    local life = redis.call('HMGET', KEYS[1], 'id', 'state')
    if life[1] ~= ARGV[1] or life[2] ~= 'up' then return 0 end
    redis.call('HSET', KEYS[1], 'drains', ARGV[2])
    return 1`
}

/**
 * Remove a server from the list: peers no longer find it. Its sparks are removed in slices, by itself or by a sweep.
 *
 * KEYS     1 servers · 2 members · 3 life · 4 lease · 5 alive · 6 lives · 7 changes
 *          8 the life that leaves, if another one has replaced it
 * ARGV     1 address · 2 the life that leaves, '' for a server of 1.x
 * Returns  1, or 0 when another life is there
 */
export const leave: Script = {
  numberOfKeys: 8,
  lua: `${CLOCK}
    if (redis.call('HGET', KEYS[3], 'id') or '') ~= ARGV[2] then
      if redis.call('EXISTS', KEYS[8]) == 1 then
        redis.call('PEXPIRE', KEYS[8], ${TOMBSTONE_MS})
        redis.call('HSET', KEYS[8], 'state', 'left')
      end
      return 0
    end
    redis.call('SREM', KEYS[1], ARGV[1])
    redis.call('DEL', KEYS[4], KEYS[5])
    redis.call('HSET', KEYS[3], 'id', ARGV[2], 'state', 'left')
    redis.call('SADD', KEYS[6], ARGV[1])
    bump(KEYS[2], KEYS[7], ARGV[1])
    return 1`
}

/**
 * Read which servers joined or left since the counter had a given value.
 *
 * KEYS     1 members · 2 changes · 3 servers · 4 lives
 * ARGV     1 that value
 * Returns  'lost' (the log does not reach back to it, or has a gap) ·
 *          'ok', members, number of servers, then of each address in the log:
 *          itself, 1 if it is listed, 1 if it has a life
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
 * Hold a task that one server at a time does for all.
 *
 * KEYS     1 key
 * ARGV     1 our life · 2 ms
 * Returns  1, or 0 when another life holds it
 */
export const hold: Script = {
  numberOfKeys: 1,
  lua: `
    local holder = redis.call('GET', KEYS[1])
    if holder and holder ~= ARGV[1] then return 0 end
    -- After a DEL, a full Redis does not refuse the SET.
    redis.call('DEL', KEYS[1])
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return 1`
}

/**
 * Keep a value that all servers share.
 *
 * A value carries the time of Redis at which it was first written. The older of two values is kept, so the first one
 * also survives the loss of the key.
 *
 * KEYS     1 key
 * ARGV     1 the time of our value, '' when it is only proposed · 2 our value · 3 ms that it lasts, 0 for ever
 * Returns  the time and the value that are kept
 */
export const keep: Script = {
  numberOfKeys: 1,
  lua: `${CLOCK}
    local stored = redis.call('GET', KEYS[1])
    local since, value = string.match(stored or '', '^(%d+) (.*)$')
    if not since or (ARGV[1] ~= '' and tonumber(since) > tonumber(ARGV[1])) then
      since, value = ARGV[1] == '' and now() or ARGV[1], ARGV[2]
      -- After a DEL, a full Redis does not refuse the SET.
      redis.call('DEL', KEYS[1])
      redis.call('SET', KEYS[1], since .. ' ' .. value)
    end
    if ARGV[3] ~= '0' and value == ARGV[2] then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
    return {since, value}`
}

/**
 * Take the turn at a task that one server at a time does for all.
 *
 * KEYS     1 key
 * ARGV     1 our life · 2 ms until the turn is free again
 * Returns  1, or 0 when the turn is not free
 */
export const turn: Script = {
  numberOfKeys: 1,
  lua: `
    if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
    -- After a DEL, a full Redis does not refuse the SET.
    redis.call('DEL', KEYS[1])
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return 1`
}
