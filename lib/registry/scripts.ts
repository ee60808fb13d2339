/**
 * What must be checked and done in one go, in Lua.
 *
 * Every script names all its keys in KEYS, so that it runs on Redis Cluster, and takes a bounded
 * slice of work. A life is `up` while its server is there, `left` when it took its leave,
 * `dead` when it was found dead; what remains of the last two once all is cleaned up is the last
 * word on them, which expires: `left` or `reaped`.
 */

/** A script, and how many of its arguments are keys. */
export interface Script {
  readonly numberOfKeys: number
  readonly lua: string
}

/** How long the last word on a life that has ended can still be read, in ms: for peers that were away. */
const LAST_WORD = 3_600_000

/** Lua has room for about 8000 values on its stack; variadic commands get this many. */
const UNPACK = 1000

/** `now()`: Redis's clock in epoch ms, without an exponent; `bump(key)`: a number that no earlier one equals, also after a flush. */
const CLOCK = `
  local function now()
    local t = redis.call('TIME')
    return string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
  end
  local function bump(key)
    if redis.call('EXISTS', key) == 0 then redis.call('SET', key, now()) end
    return redis.call('INCR', key)
  end`

/** `parts(from, to, fn)`: call fn(first, last) for parts of a range that fit on the stack. */
const PARTS = `
  local function parts(from, to, fn)
    for first = from, to, ${UNPACK} do fn(first, math.min(first + ${UNPACK} - 1, to)) end
  end`

/** Give up unless the life in KEYS[1] is ours, up, and has not seen this number: a late command must not write old truth. */
const OURS = `
  local life = redis.call('HMGET', KEYS[1], 'id', 'state', 'seq')
  if life[1] ~= ARGV[1] or life[2] ~= 'up' then return {'refused'} end
  if tonumber(ARGV[2]) <= tonumber(life[3] or '0') then return {'old'} end
  redis.call('HSET', KEYS[1], 'seq', ARGV[2])`

/**
 * Make an address ours.
 *
 * KEYS     1 servers · 2 lives · 3 members · 4 life · 5 lease · 6 alive · 7 sparks of the address · 8 where to put them aside
 * ARGV     1 address · 2 our life · 3 the life that we believe to be there, '' for none · 4 '1': take it over although it has a lease
 *          5 lease ms · 6 interval ms · 7 name of the put-aside set · 8… fields of our life and their values
 * Returns  'changed' (another life is there than we believed) · 'held' and the ms its lease has left · 'joined' and all names put aside
 */
export const join: Script = {
  numberOfKeys: 8,
  lua: `${CLOCK}
    local was = redis.call('HMGET', KEYS[4], 'id', 'state', 'aside')
    local former, state, aside = was[1] or '', was[2] or '', was[3] or ''
    local over = state == 'left' or state == 'reaped'
    if former ~= ARGV[2] then
      if former ~= ARGV[3] then return {'changed'} end
      if not over and ARGV[4] ~= '1' and redis.call('GET', KEYS[5]) ~= ARGV[2] then
        local left = redis.call('PTTL', KEYS[5])
        if left > 0 then return {'held', left} end
      end
      if redis.call('EXISTS', KEYS[7]) == 1 then
        redis.call('RENAME', KEYS[7], KEYS[8])
        aside = aside .. (aside == '' and '' or ' ') .. ARGV[7]
      end
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
    bump(KEYS[3])
    return {'joined', aside}`
}

/**
 * Renew lease and alive key, and learn whether the registry still says what we hold.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4 servers · 5 members · 6 our sparks · 7 sweep · 8 lives
 * ARGV     1 our life · 2 lease ms · 3 interval ms · 4 address · 5 ms to hold the sweep, 0: do not ask for it · 6 ms that the lease has left when a beat is prompt
 * Returns  'gone' (no life is there) · 'other' (another one is) · 'ended' (ours was declared dead, or has left) ·
 *          'ok', seq, number of our sparks, 1 if nothing was missing, members, number of servers, 1 if the sweep is ours, 1 if it was prompt, how often one was not
 */
export const beat: Script = {
  numberOfKeys: 8,
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
      bump(KEYS[5])
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
      redis.call('GET', KEYS[5]) or '', redis.call('SCARD', KEYS[4]), turn, prompt and 1 or 0, breaks}`
}

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
 * ARGV     1 our life · 2 seq · 3 address · 4… ids, at most ${UNPACK}
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
    local known = redis.call('HGET', KEYS[4], 'state')
    if redis.call('EXISTS', KEYS[5]) == 1 then return {'alive'} end
    if not known and redis.call('EXISTS', KEYS[6]) == 1 then return {'alive'} end
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

/**
 * Take our leave: nobody finds us from now on; our sparks are cleaned up in slices, by us or by the next sweep.
 *
 * KEYS     1 servers · 2 members · 3 life · 4 lease · 5 alive · 6 lives
 * ARGV     1 address · 2 the life that leaves, '' for a server of 1.x
 * Returns  1, or 0 when it is not that life (any more)
 */
export const leave: Script = {
  numberOfKeys: 6,
  lua: `${CLOCK}
    if (redis.call('HGET', KEYS[3], 'id') or '') ~= ARGV[2] then return 0 end
    redis.call('SREM', KEYS[1], ARGV[1])
    redis.call('DEL', KEYS[4], KEYS[5])
    redis.call('HSET', KEYS[3], 'id', ARGV[2], 'state', 'left')
    redis.call('SADD', KEYS[6], ARGV[1])
    bump(KEYS[2])
    return 1`
}

/**
 * Declare a life dead whose lease ran out: from now on nobody finds it; its sparks are reaped in slices.
 *
 * An alive key that another than this life wrote: a server of 1.x has started at the address, and stays.
 * Only who has beaten just now may bury: after a pause that all shared, the others have not had the time to beat.
 *
 * KEYS     1 servers · 2 lives · 3 members · 4 life · 5 lease · 6 alive · 7 life of the server that buries · 8 its lease
 * ARGV     1 address · 2 the life, '' for a server of 1.x · 3 the life that buries · 4 ms that its lease must have left
 *          5 how often a beat of it had not been prompt when the sweep became its turn
 * Returns  'late' · 'changed' · 'alive' · 'replaced' · 'dead'
 */
export const bury: Script = {
  numberOfKeys: 8,
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
      bump(KEYS[3])
      return 'replaced'
    end
    redis.call('DEL', KEYS[6])
    redis.call('SREM', KEYS[1], ARGV[1])
    redis.call('SADD', KEYS[2], ARGV[1])
    if life[2] ~= 'left' then redis.call('HSET', KEYS[4], 'id', ARGV[2], 'state', 'dead') end
    bump(KEYS[3])
    return 'dead'`
}

/** Give up unless the life in KEYS[1] is the one that ended, and nobody has started at its address since. */
const ENDED = `
  local life = redis.call('HMGET', KEYS[1], 'id', 'state')
  if life[1] ~= ARGV[1] or (life[2] ~= 'dead' and life[2] ~= 'left') then return {'changed'} end
  if redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then return {'changed'} end`

/**
 * Read a slice of the sparks of a life that has ended: what will be removed is told before it is forgotten.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4 sparks · 5 sparks of the life
 * ARGV     1 life · 2 address · 3 cursor · 4 how many
 * Returns  'changed' · 'ok', cursor, all ids, those of them that are still the dead one's
 */
export const doomed: Script = {
  numberOfKeys: 5,
  lua: `${ENDED}
    local page = redis.call('SSCAN', KEYS[5], ARGV[3], 'COUNT', ARGV[4])
    local mine = {}
    for first = 1, #page[2], ${UNPACK} do
      local last = math.min(first + ${UNPACK} - 1, #page[2])
      for i, owner in ipairs(redis.call('HMGET', KEYS[4], unpack(page[2], first, last))) do
        if owner == ARGV[2] then mine[#mine + 1] = page[2][first + i - 1] end
      end
    end
    return {'ok', page[1], page[2], mine}`
}

/**
 * Remove a slice of the sparks of a life that has ended.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4 sparks · 5 sparks of the life
 * ARGV     1 life · 2 address · 3… ids
 * Returns  'changed' · 'ok' and how many are left
 */
export const reap: Script = {
  numberOfKeys: 5,
  lua: `${PARTS}${ENDED}
    parts(3, #ARGV, function (first, last)
      local gone = {}
      for i, owner in ipairs(redis.call('HMGET', KEYS[4], unpack(ARGV, first, last))) do
        -- A spark that has connected elsewhere belongs to another server by now.
        if owner == ARGV[2] then gone[#gone + 1] = ARGV[first + i - 1] end
      end
      if #gone > 0 then redis.call('HDEL', KEYS[4], unpack(gone)) end
      redis.call('SREM', KEYS[5], unpack(ARGV, first, last))
    end)
    return {'ok', redis.call('SCARD', KEYS[5])}`
}

/**
 * Read a slice of what a former life left behind at an address, sparing those that are back.
 *
 * KEYS     1 sparks · 2 the set put aside · 3 sparks of the address
 * ARGV     1 address · 2 cursor · 3 how many
 * Returns  cursor, all ids, those of them that nobody holds
 */
export const leftovers: Script = {
  numberOfKeys: 3,
  lua: `
    local page = redis.call('SSCAN', KEYS[2], ARGV[2], 'COUNT', ARGV[3])
    local stale = {}
    for first = 1, #page[2], ${UNPACK} do
      local last = math.min(first + ${UNPACK} - 1, #page[2])
      for i, owner in ipairs(redis.call('HMGET', KEYS[1], unpack(page[2], first, last))) do
        local id = page[2][first + i - 1]
        if owner == ARGV[1] and redis.call('SISMEMBER', KEYS[3], id) == 0 then stale[#stale + 1] = id end
      end
    end
    return {page[1], page[2], stale}`
}

/**
 * Remove a slice of what a former life left behind.
 *
 * KEYS     1 sparks · 2 the set put aside · 3 sparks of the address · 4 life of the address
 * ARGV     1 address · 2 name of the set put aside · 3 how many of the ids are stale · 4… these, then all ids of the slice
 * Returns  how many are left; at none the set's name is forgotten
 */
export const clear: Script = {
  numberOfKeys: 4,
  lua: `${PARTS}
    local stale = 3 + tonumber(ARGV[3])
    parts(4, stale, function (first, last)
      local gone = {}
      for i, owner in ipairs(redis.call('HMGET', KEYS[1], unpack(ARGV, first, last))) do
        local id = ARGV[first + i - 1]
        if owner == ARGV[1] and redis.call('SISMEMBER', KEYS[3], id) == 0 then gone[#gone + 1] = id end
      end
      if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
    end)
    parts(stale + 1, #ARGV, function (first, last)
      redis.call('SREM', KEYS[2], unpack(ARGV, first, last))
    end)
    local left = redis.call('SCARD', KEYS[2])
    if left == 0 then
      local names = {}
      for name in string.gmatch(redis.call('HGET', KEYS[4], 'aside') or '', '%S+') do
        if name ~= ARGV[2] then names[#names + 1] = name end
      end
      if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('HSET', KEYS[4], 'aside', table.concat(names, ' ')) end
    end
    return left`
}

/**
 * Write the last word on a life of which nothing is left.
 *
 * KEYS     1 life · 2 lease · 3 alive · 4 sparks of the life · 5 lives
 * ARGV     1 life · 2 address
 * Returns  'changed' · 'ok' · 'more' (there are sparks again)
 */
export const close: Script = {
  numberOfKeys: 5,
  lua: `${ENDED}
    if redis.call('EXISTS', KEYS[4]) == 1 then return {'more'} end
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'id', ARGV[1], 'state', life[2] == 'left' and 'left' or 'reaped')
    redis.call('PEXPIRE', KEYS[1], ${LAST_WORD})
    redis.call('SREM', KEYS[5], ARGV[2])
    return {'ok'}`
}

/**
 * Go on holding the sweep.
 *
 * KEYS     1 sweep
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
