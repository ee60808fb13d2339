import type { MetroplexError } from '../../common/errors'
import { pushTo } from '../../common/multimap'
import { isMachineLocal } from '../../health/network-id'
import { count, counted } from '../../reporting/quantity-text'
import { isMisdirected } from '../answers'
import { live } from '../cluster-view'
import type { Examination } from './examination'
import { found, type Finding, type FindingCode, type Severity } from './finding'

/** What is wrong with servers: with what each says, and with what they do not have in common. */
export function serverFindings(examined: Examination): Finding[] {
  return [...answers(examined), ...healths(examined), ...unequal(examined), ...old(examined), ...places(examined)]
}

/** The findings for servers that have not answered, by the code of the failure. */
const FAILURES: Partial<Record<MetroplexError['code'], readonly [code: FindingCode, remedy: string]>> = {
  EAUTH: ['secret', 'Give this command the secret of the servers, by --secret-file or METROPLEX_SECRET.'],
  EDEADLINE: [
    'mute',
    'See whether its process is stopped or its event loop is blocked, and whether a firewall drops the packets of ' +
      'this machine. A server that only this command cannot reach is no trouble for its peers.'
  ]
}

const MISDIRECTED: readonly [code: FindingCode, remedy: string] = [
  'misdirected',
  'Give each server an `address` at which its peers reach exactly it.'
]

const UNREACHABLE: readonly [code: FindingCode, remedy: string] = [
  'unreachable',
  'Give each server an `address` at which its peers reach exactly it. If only this machine cannot reach it, run the ' +
    'command where the servers are.'
]

function answers({ statuses, pings, redis }: Examination): Finding[] {
  const findings: Finding[] = []
  let refused: string | undefined
  for (const { server, failure } of [...statuses.values(), ...pings]) {
    // Redis has refused what all questions need: once, and not for each server.
    if (failure?.code === 'EREGISTRY') refused ??= failure.message
    if (failure === undefined || failure.code === 'EREGISTRY') continue
    const [code, remedy] = isMisdirected(failure) ? MISDIRECTED : (FAILURES[failure.code] ?? UNREACHABLE)
    findings.push(found(code, 'error', failure.message, remedy, [server.address]))
  }
  for (const { server, value } of statuses.values())
    if (value !== undefined && value.address !== '' && value.address !== server.address)
      findings.push(
        found(
          'misdirected',
          'error',
          `Another server answers at ${server.address}: ${value.address}.`,
          MISDIRECTED[1],
          [server.address]
        )
      )
  const known = redis.some(({ forbidden = [] }) => forbidden.length > 0)
  if (refused !== undefined && !known)
    findings.push(
      found('rights', 'error', `No server could be asked. ${refused}`, 'docs/keys.md lists the rights that are needed.')
    )
  return findings
}

function healths({ healths }: Examination): Finding[] {
  // Of the settings of Redis, the command has an opinion of its own.
  const ours = /maxmemory-policy/
  return healths.flatMap(({ server: { address }, value }) => [
    ...(value?.reasons ?? []).map(reason =>
      found('health', 'error', `${address} says: ${reason}`, 'Its log says more. docs/operating.md explains states.', [
        address
      ])
    ),
    ...(value?.warnings ?? [])
      .filter(warning => !ours.test(warning))
      .map(warning =>
        found('health-warnings', 'warning', `${address} says: ${warning}`, 'Do what the sentence says.', [address])
      )
  ])
}

const UNEQUAL: Readonly<Record<string, readonly [code: FindingCode, severity: Severity, remedy: string]>> = {
  version: ['versions', 'notice', 'Nothing during an upgrade. Else update the servers that run the older one.'],
  protocol: ['protocols', 'error', 'Servers with different protocols do not reach each other: update the older ones.'],
  transport: ['transports', 'error', 'No message passes between them: give all servers the same `transport`.'],
  lease: ['leases', 'warning', 'Give all servers the same `lease`: a crash is found at different times.'],
  interval: ['leases', 'warning', 'Give all servers the same `interval`.'],
  grace: ['graces', 'warning', 'Give all servers the same `grace`: users go offline at different times, or never.'],
  shards: ['shard-counts', 'error', 'Give all servers the same `shards`. To change it, stop all of them first.']
}

function unequal({ unequal: differences }: Examination): Finding[] {
  return differences.flatMap(({ what, values }) => {
    const entry = UNEQUAL[what]
    if (entry === undefined) return []
    const [code, severity, remedy] = entry
    const each = values.map(({ value, servers }) => `${value} on ${counted(servers.length, 'server')}`)
    const rarer = values.slice(1).flatMap(({ servers }) => servers)
    return [found(code, severity, `The servers differ in ${what}: ${each.join(', ')}.`, remedy, rarer)]
  })
}

function old({ view }: Examination): Finding[] {
  const servers = live(view).filter(one => one.old)
  if (servers.length === 0) return []
  return [
    found(
      'v1',
      'notice',
      `${counted(servers.length, 'server')} of metroplex 1.x ${servers.length === 1 ? 'is' : 'are'} in the namespace.`,
      'They can stay during an upgrade, if all servers load omega-supreme: docs/migrating.md. They answer no ' +
        'questions, and know neither users nor groups.',
      servers.map(({ address }) => address)
    )
  ]
}

function places({ view }: Examination): Finding[] {
  const servers = live(view)
  const networks = new Set(servers.flatMap(({ description }) => description?.network || []))
  const local = servers.filter(({ address }) => isMachineLocal(address)).map(({ address }) => address)
  const names = new Map<string, string[]>()
  for (const { description, address } of servers)
    if (description !== undefined) pushTo(names, description.name, address)
  return [
    ...(local.length > 0 && networks.size > 1
      ? [
          found(
            'networks',
            'error',
            `The servers are on ${networks.size} machines or in as many containers. Of their addresses, ` +
              `${count(local.length)} lead each machine to itself.`,
            'Set `address` to one that other machines reach.',
            local
          )
        ]
      : []),
    ...[...names]
      .filter(([, addresses]) => addresses.length > 1)
      .map(([name, addresses]) =>
        found(
          'names',
          'notice',
          `${counted(addresses.length, 'server')} have the name ${name}.`,
          'Give each its own `name`, or none: then it is the host and the process id.',
          addresses
        )
      )
  ]
}
