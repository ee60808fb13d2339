/** How bad a finding is. A notice is worth knowing, and changes no exit code. */
export type Severity = 'error' | 'warning' | 'notice'

/** Something that `metroplex doctor` has found. */
export interface Finding {
  readonly code: FindingCode
  readonly severity: Severity
  /** What is wrong, in sentences. */
  readonly what: string
  /** What to do about it, in sentences. */
  readonly remedy: string
  /** The addresses of the servers that it is about. */
  readonly servers: readonly string[]
}

/** The findings that there are, and what each says. */
export const FINDING_CODES = {
  'redis-version': 'Redis is too old',
  eviction: 'Redis may evict keys of the registry',
  memory: 'Redis is almost full',
  persistence: 'Redis cannot write to its disk, or stops for long while it saves',
  clients: 'Redis has almost as many clients as it allows',
  latency: 'Redis answers slowly',
  rights: 'the user of Redis lacks rights',
  info: 'Redis does not say how it is set',
  clock: 'clocks differ',
  'no-servers': 'no server is alive',
  versions: 'servers run different versions',
  protocols: 'servers speak different protocols',
  transports: 'servers use different transports',
  leases: 'servers have different leases or intervals',
  graces: 'servers have different graces',
  'shard-counts': 'servers have different numbers of shards',
  v1: 'servers of metroplex 1.x are in the namespace',
  mute: 'servers do not answer',
  unreachable: 'addresses lead to no server',
  misdirected: 'addresses lead to another server',
  secret: 'servers have another secret than this command',
  health: 'servers are not well, by their own account',
  'health-warnings': 'servers warn of something',
  networks: 'addresses lead each machine to itself',
  names: 'servers have the same name',
  'partly-registered': 'servers are not in all registries',
  leftovers: 'entries of dead servers are left',
  strays: 'sparks are registered at addresses without a server'
} as const

export type FindingCode = keyof typeof FINDING_CODES

const RANK: Readonly<Record<Severity, number>> = { error: 0, warning: 1, notice: 2 }

/** The worst first. */
export function bySeverity(a: Finding, b: Finding): number {
  return RANK[a.severity] - RANK[b.severity]
}

/** A finding about servers, or about none. */
export function found(
  code: FindingCode,
  severity: Severity,
  what: string,
  remedy: string,
  servers: readonly string[] = []
): Finding {
  return { code, severity, what, remedy, servers }
}
