import { CLOCK, TOMBSTONE_MS, WRITE, type Script } from './script'

/**
 * Take an address back from the life that replaced ours while our lease still ran.
 *
 * The sparks, users and groups of that life are put aside. The life itself is kept for the rest of its lease. If it
 * beats in that time, it is alive, so its sparks are removed without being reported.
 *
 * KEYS     1 servers · 2 lives · 3 members · 4 life · 5 lease · 6 alive · 7 sparks of the address · 8 changes
 *          9 users of the address
 *          10 our sparks that were put aside · 11 our users that were put aside
 *          12 where to put the sparks of the other life aside · 13 where to put its users aside
 *          14 our life, which was kept · 15 where to keep the other life · 16 groups of the address
 *          17 our groups that were put aside · 18 where to put the groups of the other life aside
 * ARGV     1 address · 2 our life · 3 the life that has replaced it · 4 lease ms · 5 interval ms
 * Returns  'changed' (another life than the expected one is there, or our lease has ended) ·
 *          'reclaimed' and all names put aside
 */
export const reclaim: Script = {
  numberOfKeys: 18,
  lua: `${CLOCK}
    local life = redis.call('HMGET', KEYS[4], 'id', 'state', 'aside')
    if life[1] ~= ARGV[3] or redis.call('HGET', KEYS[14], 'state') ~= 'up' then return {'changed'} end
    local names = {}
    for name in string.gmatch(life[3] or '', '%S+') do
      if name ~= ARGV[2] then names[#names + 1] = name end
    end
    names[#names + 1] = ARGV[3]
    local aside = table.concat(names, ' ')
    for from, to in pairs({[7] = 12, [9] = 13, [16] = 18}) do
      if redis.call('EXISTS', KEYS[from]) == 1 then redis.call('RENAME', KEYS[from], KEYS[to]) end
    end
    for from, to in pairs({[10] = 7, [11] = 9, [17] = 16}) do
      if redis.call('EXISTS', KEYS[from]) == 1 then redis.call('RENAME', KEYS[from], KEYS[to]) end
    end
    local left = redis.call('PTTL', KEYS[5])
    if life[2] == 'left' or (life[2] == 'up' and left > 0) then
      redis.call('RENAME', KEYS[4], KEYS[15])
      redis.call('PEXPIRE', KEYS[15], life[2] == 'left' and ${TOMBSTONE_MS} or left)
    end
    local stamp = now()
    local fields = redis.call('HGETALL', KEYS[14])
    redis.call('DEL', KEYS[4], KEYS[14])
    redis.call('HSET', KEYS[4], unpack(fields))
    redis.call('HSET', KEYS[4], 'stamp', stamp, 'aside', aside)
    redis.call('SET', KEYS[5], ARGV[2], 'PX', ARGV[4])
    redis.call('SET', KEYS[6], stamp, 'PX', ARGV[5])
    redis.call('SADD', KEYS[1], ARGV[1])
    redis.call('SADD', KEYS[2], ARGV[1])
    bump(KEYS[3], KEYS[8], ARGV[1])
    return {'reclaimed', aside}`
}

/**
 * Find out which of the former lives that ours has replaced may still be alive. When none may, the counter moves, so
 * that peers notice.
 *
 * KEYS     1 life · 2 members · 3 changes · 4… the former lives, which were kept
 * ARGV     1 address · 2 our life · 3… the names of the former lives
 * Returns  the names of those that may be alive
 */
export const settle: Script = {
  lua: `${CLOCK}${WRITE}
    local life = redis.call('HMGET', KEYS[1], 'id', 'over')
    local held = {}
    for i = 3, #ARGV do
      if redis.call('HGET', KEYS[i + 1], 'state') == 'up' then held[#held + 1] = ARGV[i] end
    end
    local over = table.concat(held, ' ')
    if life[1] == ARGV[2] and life[2] ~= over then
      write('HSET', KEYS[1], 'over', over)
      if over == '' then bump(KEYS[2], KEYS[3], ARGV[1]) end
    end
    return held`
}
