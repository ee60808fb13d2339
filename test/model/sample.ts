import type { Redis } from 'ioredis'

/** Who may be behind a spark. */
export const USERS = ['ann', 'bob', 'cy'] as const

/** What sparks may be in. */
export const GROUPS = ['g', 'h', 'i'] as const

/** What the registry says of one address. */
export interface Entry {
  readonly life: string
  readonly state: string
  /** Its last beat, in epoch ms. */
  readonly stamp: number
  /** The life that has the lease; `''`: none. */
  readonly lease: string
  readonly alive: boolean
  readonly sparks: ReadonlySet<string>
}

/** What the registry says, all at one moment. */
export interface Sample {
  readonly servers: ReadonlySet<string>
  readonly lives: ReadonlySet<string>
  readonly sparks: ReadonlyMap<string, string>
  /** In the order in which the addresses were given. */
  readonly entries: readonly Entry[]
}

type Row = [
  id: string | null,
  state: string | null,
  stamp: string | null,
  lease: string | null,
  alive: string | null,
  sparks: string[]
]

const lua = `
  local function set(name) return redis.call('SMEMBERS', name) end
  local answer = {set(ARGV[1] .. ':servers'), set(ARGV[1] .. ':lives'), redis.call('HGETALL', ARGV[1] .. ':sparks')}
  for i = 2, #ARGV do
    local key = ARGV[1] .. ':' .. ARGV[i]
    local life = redis.call('HMGET', key .. ':life', 'id', 'state', 'stamp')
    local lease, alive = redis.call('GET', key .. ':lease'), redis.call('GET', key)
    answer[#answer + 1] = {life[1], life[2], life[3], lease, alive, set(key .. ':sparks')}
  end
  return answer`

/** Reads what the registry says, in one step. */
export async function sample(client: Redis, namespace: string, addresses: readonly string[]): Promise<Sample> {
  const [servers, lives, sparks, ...rows] = (await client.eval(lua, 0, namespace, ...addresses)) as [
    string[],
    string[],
    string[],
    ...Row[]
  ]
  const places = new Map<string, string>()
  for (let i = 0; i < sparks.length; i += 2) places.set(sparks[i] ?? '', sparks[i + 1] ?? '')
  return {
    servers: new Set(servers),
    lives: new Set(lives),
    sparks: places,
    entries: rows.map(([id, state, stamp, lease, alive, held]) => ({
      life: id ?? '',
      state: state ?? '',
      stamp: Number(stamp ?? 0),
      lease: lease ?? '',
      alive: alive !== null,
      sparks: new Set(held)
    }))
  }
}

/** What the registry says of users: by user, and by address, spark ids with what stands beside them. */
export async function sampleUsers(
  client: Redis,
  namespace: string,
  addresses: readonly string[]
): Promise<{ users: Record<string, string>[]; own: Record<string, string>[] }> {
  const hashes = (keys: readonly string[]): Promise<Record<string, string>[]> =>
    Promise.all(keys.map(key => client.hgetall(`${namespace}:${key}`)))
  const [users, own] = await Promise.all([
    hashes(USERS.map(user => `user:${user}`)),
    hashes(addresses.map(address => `${address}:users`))
  ])
  return { users, own }
}

/** What the registry says of groups: by group, addresses with numbers of sparks; and by address, groups. */
export async function sampleGroups(
  client: Redis,
  namespace: string,
  addresses: readonly string[]
): Promise<{ groups: Record<string, string>[]; own: string[][] }> {
  const [groups, own] = await Promise.all([
    Promise.all(GROUPS.map(group => client.hgetall(`${namespace}:group:${group}`))),
    Promise.all(addresses.map(address => client.smembers(`${namespace}:${address}:groups`)))
  ])
  return { groups, own: own.map(list => list.sort()) }
}

/**
 * The keys that are there although nothing that lives needs them; the last word on a life that has ended expires by
 * itself.
 */
export async function surplus(client: Redis, namespace: string, living: readonly string[]): Promise<string[]> {
  const own = living.flatMap(address =>
    ['', ':life', ':lease', ':sparks', ':users', ':groups'].map(end => `${namespace}:${address}${end}`)
  )
  const known = new Set([
    ...['servers', 'sparks', 'lives', 'members', 'changes', 'sweep', 'audit', 'secret', 'layout', 'barred'].map(
      name => `${namespace}:${name}`
    ),
    ...own,
    // What they hold is compared.
    ...USERS.flatMap(user => [`${namespace}:user:${user}`, `${namespace}:order:${user}`]),
    ...GROUPS.map(group => `${namespace}:group:${group}`)
  ])
  const others = (await client.keys(`${namespace}:*`)).filter(key => !known.has(key))
  const lasting = await Promise.all(
    others.map(async key => (key.endsWith(':life') && (await client.pttl(key)) > 0 ? [] : [key]))
  )
  return lasting.flat()
}
