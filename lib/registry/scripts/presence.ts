import { type Script } from './script'

/*
 * Presence: which users and groups have begun, and which have ended. A name is `u` and a user, or `g` and a group.
 *
 * `leaving`: names whose last spark has gone, until they count as ended. `?` before a name: after a loss of the
 * registry, it is not known whether its end was told. `!` before a name: after a loss of the registry, its end was told
 * while other servers may not have written yet that they have it. `untold`: announcements that have not been told.
 * `+<at> <name>`: it has begun; `-<at> <since> <name>`: it has ended. `marks`: the counter that `at` comes from.
 */

/** How long names and announcements are kept while no process tells them, in ms. */
const KEPT_MS = 3_600_000

const TIME = `
  local time = redis.call('TIME')
  local ms = time[1] * 1000 + math.floor(time[2] / 1000)
  local function mark(marks)
    if redis.call('EXISTS', marks) == 0 then
      -- In µs: the counter moves less than once per µs, so this is above all numbers from before a flush.
      redis.call('SET', marks, string.format('%s%06d', time[1], time[2]))
    end
    return string.format('%.0f', redis.call('INCR', marks))
  end`

/**
 * For scripts that change who is there. `came(name, quiet)`: the first spark has come; `quiet`: that was told before.
 * `went(name)`: the last one has gone. `told`: the new announcements.
 *
 * The last keys are leaving, untold and marks. The last arguments are the places of names that were told before, as
 * JSON; the grace in ms; and after how many ms an announcement is to be told again.
 */
const TELLING = `${TIME}
  local leaving, untold, marks = KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS]
  local grace, patience = tonumber(ARGV[#ARGV - 1]), tonumber(ARGV[#ARGV])
  local quiet, told, went_ = cjson.decode(ARGV[#ARGV - 2]), {}, false
  local function came(name, quiet)
    if redis.call('ZREM', leaving, name) == 1 then return end
    if quiet and redis.call('ZREM', leaving, '!' .. name) == 0 then return end
    if #told == 0 then redis.call('ZREMRANGEBYSCORE', untold, '-inf', ms - ${KEPT_MS}) end
    local announcement = '+' .. mark(marks) .. ' ' .. name
    redis.call('ZADD', untold, ms + patience, announcement)
    told[#told + 1] = announcement
  end
  local function went(name)
    if not went_ then redis.call('ZREMRANGEBYSCORE', leaving, '-inf', ms - ${KEPT_MS}) end
    went_ = true
    redis.call('ZADD', leaving, 'NX', ms + grace, name)
  end`

/** The parts of a script that concern presence. They are empty in the form for servers that tell nothing. */
export interface PresenceLua {
  /** Defines `came` and `went`. */
  readonly begin: string
  /** How many keys, and how many arguments, come after those of the script itself. */
  readonly keys: number
  readonly args: number
  /** Runs Lua only where presence is told. */
  readonly when: (lua: string) => string
}

/** For servers without the option `grace`. */
export const SILENT: PresenceLua = { begin: '', keys: 0, args: 0, when: () => '' }

/** For servers with the option `grace`. */
export const TOLD: PresenceLua = { begin: TELLING, keys: 3, args: 3, when: lua => lua }

/**
 * Find out what is to be told. One process has the turn, and renews it by this.
 *
 * KEYS     1 teller · 2 leaving · 3 untold
 * ARGV     1 our name · 2 ms of a turn · 3 how many · 4 grace in ms · 5 the longest turn of any process, in ms
 * Returns  1 if the turn is ours · names whose grace is over · announcements that are to be told again; without the
 *          turn, only those that are late by a turn
 */
export const due: Script = {
  numberOfKeys: 3,
  lua: `${TIME}
    local holder = redis.call('GET', KEYS[1])
    -- No turn has more left, unless the clock was set back. The holder may have died before it could renew it.
    if holder and holder ~= ARGV[1] and redis.call('PTTL', KEYS[1]) <= tonumber(ARGV[5]) then
      return {0, {}, redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ms - ARGV[2], 'LIMIT', 0, ARGV[3])}
    end
    -- After a DEL, a full Redis does not refuse the SET.
    redis.call('DEL', KEYS[1])
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    -- Nor has a grace. Names with a '!' are kept for longer.
    local latest = ms + ARGV[4]
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. latest, '+inf', 'LIMIT', 0, ARGV[3])) do
      if string.sub(name, 1, 1) ~= '!' then redis.call('ZADD', KEYS[2], 'XX', latest, name) end
    end
    return {1, redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ms, 'LIMIT', 0, ARGV[3]),
      redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ms, 'LIMIT', 0, ARGV[3])}`
}

/**
 * Take what is to be told: names become announcements, and these are put off, so that no other process takes them
 * meanwhile.
 *
 * KEYS     1 teller · 2 leaving · 3 untold · 4 marks · 5… the sparks, or servers, of each name
 * ARGV     1 our name · 2 ms of a turn · 3 grace in ms · 4 after how many ms an announcement is to be told again
 *          5 names · 6 announcements; both as JSON
 * Returns  the announcements to tell
 */
export const take: Script = {
  lua: `${TIME}
    local turn, answer, latest = redis.call('GET', KEYS[1]) == ARGV[1], {}, ms
    -- After a removal, a full Redis refuses nothing more.
    redis.call('ZREM', KEYS[2], '')
    local function tell(announcement)
      redis.call('ZADD', KEYS[3], ms + ARGV[4], announcement)
      answer[#answer + 1] = announcement
    end
    if not turn then latest = ms - ARGV[2] end
    for i, name in ipairs(turn and cjson.decode(ARGV[5]) or {}) do
      local over = redis.call('ZSCORE', KEYS[2], name)
      if over and tonumber(over) <= ms then
        redis.call('ZREM', KEYS[2], name)
        local note, sure = string.match(name, '^([?!]?)(.*)$')
        -- Of two entries for one name, the one that is sure is told.
        local other = note == '?' and redis.call('ZSCORE', KEYS[2], sure)
        if note == '' then redis.call('ZREM', KEYS[2], '?' .. name) end
        if note ~= '!' and not other and redis.call('EXISTS', KEYS[4 + i]) == 0 then
          tell('-' .. mark(KEYS[4]) .. ' ' .. string.format('%.0f', over - ARGV[3]) .. ' ' .. sure)
          if note == '?' then redis.call('ZADD', KEYS[2], ms + ${KEPT_MS}, '!' .. sure) end
        end
      end
    end
    for _, announcement in ipairs(cjson.decode(ARGV[6])) do
      local again = redis.call('ZSCORE', KEYS[3], announcement)
      if again and tonumber(again) <= latest then tell(announcement) end
    end
    return answer`
}

/**
 * After a loss of the registry, note names that our sparks have left, because it is not known whether that was told.
 *
 * KEYS     1 life · 2… the sparks, or servers, of each name · leaving · untold · marks
 * ARGV     1 our life · 2 names as JSON · the last three as in every script that changes who is there
 * Returns  1, or 0 when the life is not ours
 */
export const doubt: Script = {
  lua: `${TELLING}
    if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
    -- After a removal, a full Redis refuses nothing more.
    redis.call('ZREM', leaving, '')
    for i, name in ipairs(cjson.decode(ARGV[2])) do
      if redis.call('EXISTS', KEYS[1 + i]) == 0 then went('?' .. name) end
    end
    return 1`
}
