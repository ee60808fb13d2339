import type { Script } from './script'

/** How long the order of a user's sparks is kept after the last of them came, in ms: a week. */
const ORDER_MS = 604_800_000

/** For how long an order says again which sparks had to go, in ms, in case the answer that said so was lost. */
const SAID_MS = 60_000

/** How many more sparks than twice the limit an order may have, before it is freed of those that have gone. */
const SLACK = 16

/** `ms`: the time of Redis in epoch ms. */
const NOW = `
    local time = redis.call('TIME')
    local ms = time[1] * 1000 + math.floor(time[2] / 1000)`

/**
 * Decide whether users with new sparks have more than they may, and who goes then.
 *
 * `order:<user>` says when each spark of a user came, by Redis's clock. A spark that it lacks, because its server has
 * not said so since a flush, counts as older than all others. An entry that another server left behind, and that is
 * not to be counted, is exempt for as long as it stands under the same address.
 *
 * Before the oldest of a user go, the entries of other servers that would stay have to be confirmed: one that a dead
 * server left behind must not cost a spark that is there.
 *
 * Entries that go are removed from the sparks of the user at once, so that no two servers decide about the same place.
 * The lists of their servers are left alone: they follow when the sparks end.
 *
 * An answer may be lost when the connection breaks. So a new spark that was refused, and is still there, is entered and
 * decided again. The oldest that had to go are in the order too, as JSON of id and address, with the negative time
 * until which they are named again.
 *
 * KEYS     1 our users · then for each user: its sparks, their order
 * ARGV     1 our address · 2 how many sparks a user may have · 3 'oldest' or 'refuse': who goes
 *          4 users · 5 ids · 6 places of their users · 7 how long they have been there, in ms
 *          8 exempt entries of each user, as id, address, id, address…; false: none were confirmed
 *          9 places of users of which an answer was lost, so name again the oldest that had to go
 * Returns  entries in fours, the first of which says what they are:
 *          'absent', id, user, '': the registry lacks it; nothing is decided
 *          'over', id, user, address: it goes, because it is one of the oldest
 *          'refused', id, user, '': it goes, because it is new
 *          'holder', id, user, address: one of the entries that fill the limit. With 'oldest' nothing is decided about
 *          that user until they are confirmed
 */
export const admit: Script = {
  lua: `
    local address, limit, oldest = ARGV[1], tonumber(ARGV[2]), ARGV[3] == 'oldest'
    local users, ids, of = cjson.decode(ARGV[4]), cjson.decode(ARGV[5]), cjson.decode(ARGV[6])
    local ages, exempt = cjson.decode(ARGV[7]), cjson.decode(ARGV[8])
    local time, answer, new = redis.call('TIME'), {}, {}
    local now = time[1] * 1000000 + time[2]
    -- A spark that goes leaves its place in the order behind.
    local function freed(order, key)
      if redis.call('ZCARD', order) <= 2 * limit + ${SLACK} then return end
      redis.call('ZREMRANGEBYSCORE', order, string.format('%.0f', -now), '(0')
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', order, 0, '+inf')) do
        if redis.call('HEXISTS', key, id) == 0 then redis.call('ZREM', order, id) end
      end
    end
    local function say(what, id, user, owner)
      for _, part in ipairs({what, id, user, owner}) do answer[#answer + 1] = part end
    end
    for i, id in ipairs(ids) do
      local place, user = of[i], users[of[i]]
      local key, order = KEYS[2 * place], KEYS[2 * place + 1]
      local owner = redis.call('HGET', key, id)
      -- It was refused by us. Our list still has it as long as the spark is there.
      if not owner and not oldest and redis.call('HGET', KEYS[1], id) == user then
        redis.call('HSET', key, id, address)
        owner = address
      end
      if owner ~= address then
        say('absent', id, user, '')
      else
        new[place] = new[place] or {}
        if redis.call('ZADD', order, 'NX', string.format('%.0f', now - 1000 * ages[i] + i), id) == 1 then
          new[place][id] = true
        end
        redis.call('PEXPIRE', order, ${ORDER_MS})
        freed(order, key)
      end
    end
    for _, place in ipairs(cjson.decode(ARGV[9])) do
      local user, key, order = users[place], KEYS[2 * place], KEYS[2 * place + 1]
      for _, said in ipairs(redis.call('ZRANGEBYSCORE', order, '-inf', string.format('%.0f', -now))) do
        local id, owner = unpack(cjson.decode(said))
        if redis.call('HEXISTS', key, id) == 0 then say('over', id, user, owner) end
      end
    end
    for place, ours in pairs(new) do
      local user, key, order = users[place], KEYS[2 * place], KEYS[2 * place + 1]
      if redis.call('HLEN', key) > limit then
        local entries, owners, marks = redis.call('HGETALL', key), {}, {}
        for i = 1, #entries, 2 do owners[entries[i]] = entries[i + 1] end
        local ordered = redis.call('ZRANGEBYSCORE', order, 0, '+inf', 'WITHSCORES')
        for i = 1, #ordered, 2 do
          if owners[ordered[i]] then marks[ordered[i]] = tonumber(ordered[i + 1])
          else redis.call('ZREM', order, ordered[i]) end
        end
        local left, known = {}, exempt[place] or {}
        for i = 1, #known, 2 do left[known[i]] = known[i + 1] end
        local counted = {}
        for id, owner in pairs(owners) do
          if left[id] ~= owner then counted[#counted + 1] = id end
        end
        table.sort(counted, function(a, b)
          local first, second = marks[a] or 0, marks[b] or 0
          if first == second then return a < b end
          return first < second
        end)
        local function remove(id)
          redis.call('HDEL', key, id)
          redis.call('ZREM', order, id)
        end
        if oldest then
          local over, unsure = #counted - limit, false
          for i = math.max(0, over) + 1, over > 0 and not exempt[place] and #counted or 0 do
            if owners[counted[i]] ~= address then
              say('holder', counted[i], user, owners[counted[i]])
              unsure = true
            end
          end
          for i = 1, unsure and 0 or over do
            local id = counted[i]
            say('over', id, user, owners[id])
            remove(id)
            redis.call('ZADD', order, string.format('%.0f', -now - ${SAID_MS} * 1000), cjson.encode({id, owners[id]}))
          end
        else
          -- One that was let in before keeps its place, even if a new one has waited for longer.
          local over, holders = #counted - limit, {}
          for i = #counted, 1, -1 do
            local id = counted[i]
            if over > 0 and ours[id] then
              say('refused', id, user, '')
              remove(id)
              over = over - 1
            else holders[#holders + 1] = id end
          end
          -- So many are enough to be confirmed; those that were let in before are the likelier ones.
          table.sort(holders, function(a, b) return (marks[a] or now) < (marks[b] or now) end)
          for i = 1, #holders < #counted and limit or 0 do say('holder', holders[i], user, owners[holders[i]]) end
        end
      end
    end
    return answer`
}

/**
 * Keep users out for a while, or let them in again. An earlier order that lasts longer stays.
 *
 * KEYS     1 the users that are kept out
 * ARGV     1 for how long, in ms; '0' lets them in again · 2 users
 * Returns  1
 */
export const bar: Script = {
  numberOfKeys: 1,
  lua: `${NOW}
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms)
    for _, user in ipairs(cjson.decode(ARGV[2])) do
      local before = tonumber(redis.call('ZSCORE', KEYS[1], user) or 0)
      if ARGV[1] == '0' then redis.call('ZREM', KEYS[1], user)
      elseif before < ms + ARGV[1] then redis.call('ZADD', KEYS[1], ms + ARGV[1], user) end
    end
    return 1`
}

/**
 * The users that are kept out.
 *
 * KEYS     1 the users that are kept out
 * Returns  user and for how many ms more, of each
 */
export const barred: Script = {
  numberOfKeys: 1,
  lua: `${NOW}
    local answer = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ms, '+inf', 'WITHSCORES')
    for i = 2, #answer, 2 do answer[i] = string.format('%.0f', answer[i] - ms) end
    return answer`
}
