import { pushTo } from '../common/multimap'
import type { ServerEntry, RegistryOverview } from '../registry/inspection/inspection'
import type { Description } from '../registry/records'
import type { OperatorSession } from './operator-session'

/**
 * What the registry says of a server. `up`: alive. `silent`: on the list, without a sign of life, and not found dead
 * yet. `leaving`, `dead`: off the list, and being cleaned up.
 */
export type RegisteredState = 'up' | 'silent' | 'leaving' | 'dead'

/** A server as all registries together know it. */
export interface ServerView {
  readonly address: string
  /** The id of its life; `''` for a server of 1.x. */
  readonly life: string
  readonly registered: RegisteredState
  /** Whether it runs metroplex 1.x. */
  readonly old: boolean
  /** `undefined` for a server of 1.x. */
  readonly description: Description | undefined
  readonly sparks: number
  /** Sparks with a user; `undefined` for a server of 1.x. */
  readonly users: number | undefined
  readonly groups: number | undefined
  /** How long ago it beat last, in ms; `undefined`: unknown. */
  readonly age: number | undefined
  /** In how many registries it is up. */
  readonly shards: number
  /** How many sets of former lives at its address are not cleaned up yet. */
  readonly aside: number
}

/** All that the registries know of the servers. */
export interface ClusterView {
  /** Redis's clock, in ms since 1970. */
  readonly time: number
  /** The longest time that a Redis took to answer, in ms. */
  readonly took: number
  /** The number of registries. */
  readonly shards: number
  readonly servers: readonly ServerView[]
}

/** Read all registries. */
export async function viewCluster(session: OperatorSession): Promise<ClusterView> {
  const overviews = await Promise.all(session.inspections.map(inspection => inspection.overview()))
  const entries = new Map<string, { entry: ServerEntry; time: number }[]>()
  for (const { servers, time } of overviews)
    for (const entry of servers) pushTo(entries, entry.address, { entry, time })
  return {
    time: overviews[0]?.time ?? 0,
    took: Math.max(...overviews.map(({ took }: RegistryOverview) => took)),
    shards: overviews.length,
    servers: [...entries].sort(([a], [b]) => byAddress(a, b)).map(([, found]) => merged(found))
  }
}

/** The servers that are alive. */
export function live({ servers }: ClusterView): ServerView[] {
  return servers.filter(({ registered }) => registered === 'up')
}

/** The order of addresses: numbers in them count as numbers. */
export const byAddress = new Intl.Collator('en', { numeric: true }).compare

const WORST: readonly RegisteredState[] = ['up', 'silent', 'leaving', 'dead']

function merged(found: readonly { readonly entry: ServerEntry; readonly time: number }[]): ServerView {
  const entries = found.map(({ entry }) => entry)
  const states = entries.map(stateOf)
  const best = entries[states.findIndex(state => state === 'up')] ?? entries[0]
  const record = best?.superseded === true ? undefined : best?.record
  const old = record === undefined && best?.listed === true
  const ages = found.flatMap(({ entry: { beat }, time }) => (beat === undefined ? [] : [Math.max(0, time - beat)]))
  const sum = (of: (entry: ServerEntry) => number): number => entries.reduce((total, entry) => total + of(entry), 0)
  return {
    address: best?.address ?? '',
    life: record?.life ?? '',
    // A server that has lost some of its registries is still asked and messaged.
    registered: states.includes('up') ? 'up' : (WORST.find(state => states.includes(state)) ?? 'dead'),
    old,
    description: record?.description.version === '' ? undefined : record?.description,
    sparks: sum(({ sparks }) => sparks),
    users: old ? undefined : sum(({ users }) => users),
    groups: old ? undefined : sum(({ groups }) => groups),
    age: ages.length === 0 ? undefined : Math.max(...ages),
    shards: states.filter(state => state === 'up').length,
    aside: sum(({ record: life }) => life?.aside.length ?? 0)
  }
}

function stateOf({ listed, kept, record, left, beat, superseded }: ServerEntry): RegisteredState {
  if (superseded) return 'up'
  if (record?.state === 'up') return left > 0 ? 'up' : 'silent'
  if (listed && record === undefined && !kept) return beat === undefined ? 'silent' : 'up'
  return record?.state === 'left' ? 'leaving' : 'dead'
}
