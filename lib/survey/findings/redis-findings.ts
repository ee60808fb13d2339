import { longSpan, count, span } from '../../reporting/quantity-text'
import type { Examination, RedisExamination } from './examination'
import { found, type Finding } from './finding'

/** A Redis that takes longer to answer is slow, in ms. */
const SLOW = 50
/** A fork that takes longer stops Redis for too long, in ms. */
const LONG_FORK = 1000
/** Clocks that differ by more are worth knowing, in ms. */
const CLOCKS = 2000
/** The share of memory or clients from which on it becomes tight. */
const TIGHT = 0.9

/** What is wrong with Redis, or with its clock. */
export function redisFindings(examined: Examination): Finding[] {
  return [...examined.redis.flatMap(ofRedis), ...latency(examined), ...clocks(examined)]
}

function ofRedis({ facts, forbidden }: RedisExamination): Finding[] {
  const findings: Finding[] = []
  if (facts.size === 0)
    findings.push(
      found(
        'info',
        'notice',
        'Redis does not say how it is set: it refuses INFO to this user.',
        'Allow +info, or look at maxmemory-policy yourself: it should be noeviction.'
      )
    )
  else findings.push(...version(facts), ...eviction(facts), ...persistence(facts), ...clients(facts))
  if (forbidden !== undefined && forbidden.length > 0)
    findings.push(
      found(
        'rights',
        'error',
        `The user of this connection may not run ${forbidden.join(', ')} on keys of the namespace.`,
        'Give the user that the servers have the rights that docs/keys.md lists. If this command has another user, ' +
          'its looks work without them, but it cannot send.'
      )
    )
  return findings
}

function version(facts: ReadonlyMap<string, string>): Finding[] {
  const given = facts.get('redis_version') ?? ''
  const [major = 0, minor = 0] = given.split('.').map(Number)
  if (given === '' || major > 6 || (major === 6 && minor >= 2)) return []
  return [
    found(
      'redis-version',
      'error',
      `Redis is ${given}, and metroplex needs 6.2 or later.`,
      'Update Redis, or use Valkey.'
    )
  ]
}

function eviction(facts: ReadonlyMap<string, string>): Finding[] {
  const policy = facts.get('maxmemory_policy') ?? 'noeviction'
  const [limit, used] = [numberOf(facts, 'maxmemory'), numberOf(facts, 'used_memory')]
  const findings: Finding[] = []
  if (policy !== 'noeviction')
    findings.push(
      found(
        'eviction',
        limit > 0 ? 'error' : 'notice',
        `The maxmemory-policy of Redis is ${policy}` +
          (limit > 0
            ? `, and maxmemory is ${count(limit)} bytes: when it is full, it may remove leases of live servers and ` +
              'ids of connected sparks.'
            : '. It has no maxmemory, so nothing is evicted now.'),
        'Set maxmemory-policy to noeviction.'
      )
    )
  if (limit > 0 && used > TIGHT * limit)
    findings.push(
      found(
        'memory',
        'warning',
        `Redis uses ${count(used)} of ${count(limit)} bytes. When it is full, new sparks are not registered.`,
        'Raise maxmemory, or move what else lies in this Redis.'
      )
    )
  return findings
}

function persistence(facts: ReadonlyMap<string, string>): Finding[] {
  const findings: Finding[] = []
  for (const [field, what] of [
    ['rdb_last_bgsave_status', 'save its data'],
    ['aof_last_write_status', 'write its append-only file']
  ] as const)
    if ((facts.get(field) ?? 'ok') !== 'ok')
      findings.push(
        found(
          'persistence',
          'error',
          `Redis could not ${what}. It may refuse all writes because of it, as MISCONF.`,
          'Look at the log and the disk of Redis. metroplex needs no persistence: `save ""` and `appendonly no` do.'
        )
      )
  const fork = numberOf(facts, 'latest_fork_usec') / 1000
  if (fork > LONG_FORK)
    findings.push(
      found(
        'persistence',
        'warning',
        `The last fork of Redis took ${span(fork)}. It answers nothing meanwhile, and leases go on expiring.`,
        'Persist less often, on a replica, or not at all: metroplex does not need it.'
      )
    )
  return findings
}

function clients(facts: ReadonlyMap<string, string>): Finding[] {
  const [connected, most] = [numberOf(facts, 'connected_clients'), numberOf(facts, 'maxclients')]
  if (most === 0 || connected <= TIGHT * most) return []
  return [
    found(
      'clients',
      'warning',
      `Redis has ${count(connected)} of at most ${count(most)} clients.`,
      'Raise maxclients, or close connections that are not needed. A server has one to three.'
    )
  ]
}

function latency({ view }: Examination): Finding[] {
  if (view.took <= SLOW) return []
  return [
    found(
      'latency',
      'warning',
      `Redis took ${span(view.took)} to answer this command. Each lookup of a spark may take as long.`,
      'Look at SLOWLOG of Redis, at its processor, and at the network in between.'
    )
  ]
}

/** Nothing in metroplex compares clocks, except servers of 1.x; but logs and ages of sparks do. */
function clocks({ ahead, statuses }: Examination): Finding[] {
  const findings: Finding[] = []
  const remedy =
    'Synchronize the clocks, by NTP. metroplex compares no clocks, but times in logs and of sparks are wrong.'
  if (Math.abs(ahead) > CLOCKS)
    findings.push(found('clock', 'notice', `The clock of this machine is ${apart(-ahead)} that of Redis.`, remedy))
  for (const { server, value, at, took } of statuses.values()) {
    if (value === undefined) continue
    const off = value.time - (at - took / 2) - ahead
    if (Math.abs(off) > CLOCKS + took)
      findings.push(
        found('clock', 'notice', `The clock of ${server.address} is ${apart(off)} that of Redis.`, remedy, [
          server.address
        ])
      )
  }
  return findings
}

function apart(ms: number): string {
  return `${longSpan(Math.abs(ms))} ${ms > 0 ? 'ahead of' : 'behind'}`
}

function numberOf(facts: ReadonlyMap<string, string>, field: string): number {
  return Number(facts.get(field) ?? 0) || 0
}
