/** A run that is small enough to be made for real: what was predicted for it, and what was measured. */
import { startRedis } from '../../test/support/redis'
import { eventually } from '../../test/support/wait'
import { Child } from '../harness/child'
import type { Costs } from './costs'
import { deployment, type Fleet } from './fleet'
import { awaitCrew, disturbed, fill, openCrew, work } from './members'
import { simulate, type Scenario } from './model'
import { Ruler } from './ruler'

const MEMBERS = require.resolve('./members')
const namespace = 'check'

/** How large the run is. */
export interface Size {
  readonly servers: number
  /** Sparks of each. */
  readonly each: number
  /** Those of the servers that are killed. */
  readonly lost: number
  /** In seconds. */
  readonly lease: number
  readonly seconds: number
  /** A second: sparks that come (and as many go), and questions. */
  readonly churn: number
  readonly lookups: number
}

/** As large as two cores bear that also have to be the servers. */
export const SIZE: Size = { servers: 100, each: 1000, lost: 10, lease: 5, seconds: 100, churn: 500, lookups: 1000 }

/** A part of the run: what Redis has used in all of it. */
export interface Part {
  readonly part: string
  readonly seconds: number
  readonly measured: Spent
  readonly predicted: Spent
  /** How often a server found the registry wrong, or failed at something: on a machine that has enough time, never. */
  readonly disturbed: number
}

/** What Redis has used: seconds of CPU, and bytes. */
export interface Spent {
  readonly cpu: number
  readonly received: number
  readonly sent: number
}

/** Makes the run, and predicts each of its parts by these costs. */
export async function check(costs: Pick<Costs, 'prices'>, size: Size = SIZE): Promise<Part[]> {
  const { servers, each, lost, lease, seconds, churn, lookups } = size
  const redis = await startRedis({ scope: 'suite' })
  const left = servers - lost
  const crews = [Math.ceil(left / 2), Math.floor(left / 2), lost]
  const children = crews.map((_, i) => new Child(`crew ${i}`))
  const [first, second, doomed] = children as [Child, Child, Child]
  const observer = redis.client({ disconnectTimeout: 1 })
  const entries = (count: number): Promise<true> =>
    eventually(async () => (await observer.hlen(`${namespace}:sparks`)) === count, {
      what: `${count} entries`,
      within: 60_000,
      every: 20
    })
  const fleet: Fleet = { servers, sparks: servers * each, lifetime: Infinity, lookups: 0, lease }
  const predicted = (scenario: Partial<Scenario> & { seconds: number }): Spent =>
    spent({ name: 'check', fleet, happens: () => ({}), ...scenario }, costs)
  const disturbances = async (): Promise<number> =>
    (await Promise.all([first, second].map(child => child.run(MEMBERS, disturbed, undefined)))).reduce(
      (sum, count) => sum + count,
      0
    )
  try {
    const ruler = await Ruler.open([redis])
    const parts: Part[] = []
    const part = async (
      name: string,
      does: () => Promise<unknown>,
      predict: (seconds: number) => Spent
    ): Promise<void> => {
      const before = await disturbances()
      const began = performance.now()
      const { cpu, received, sent } = await ruler.measure(1, [], does)
      const took = (performance.now() - began) / 1000
      parts.push({
        part: name,
        seconds: took,
        measured: { cpu: cpu / 1e6, received, sent },
        predicted: predict(took),
        disturbed: (await disturbances()) - before
      })
    }
    await Promise.all(
      children.map((child, i) =>
        child.run(MEMBERS, openCrew, {
          redis: redis.target,
          namespace,
          shards: 1,
          lease: lease * 1000,
          count: crews[i] ?? 0,
          name: `crew${i}`
        })
      )
    )
    await Promise.all(children.map(child => child.run(MEMBERS, awaitCrew, servers - 1)))
    // Both parts are over before any server audits.
    const quiet: Fleet = { ...fleet, settled: false }
    await part(
      'all sparks come at once',
      async () => {
        await Promise.all(children.map(child => child.run(MEMBERS, fill, each)))
        await entries(servers * each)
      },
      took =>
        predicted({
          fleet: { ...quiet, sparks: 0 },
          seconds: Math.max(1, Math.round(took)),
          happens: second => (second === 0 ? { arrive: servers * each } : {})
        })
    )
    await part(
      `${lost} servers are killed`,
      async () => {
        await doomed.close()
        await Promise.all([first, second].map(child => child.run(MEMBERS, awaitCrew, left - 1)))
        await entries(left * each)
      },
      took =>
        predicted({
          fleet: quiet,
          seconds: Math.max(1, Math.round(took)),
          returning: 0,
          happens: second => (second === 0 ? { die: lost } : {})
        })
    )
    const shift = (seconds: number): Promise<unknown> =>
      Promise.all(
        [first, second].map(child =>
          child.run(MEMBERS, work, { ms: seconds * 1000, churn: churn / 2, lookups: lookups / 2 })
        )
      )
    await shift(lease * 10)
    await part(
      'sparks come and go',
      () => shift(seconds),
      took =>
        predicted({
          fleet: { ...fleet, servers: left, sparks: left * each, lifetime: (left * each) / churn, lookups },
          seconds: Math.round(took)
        })
    )
    return parts
  } finally {
    await Promise.all(children.map(child => child.close()))
    await redis.stop()
  }
}

/** What a scenario costs Redis, all in all. */
function spent(scenario: Scenario, costs: Pick<Costs, 'prices'>): Spent {
  let [cpu, received, sent] = [0, 0, 0]
  for (const { used, spent } of simulate(scenario, deployment(costs, 1, 1))) {
    cpu += used
    received += spent.received
    sent += spent.sent
  }
  return { cpu, received, sent }
}
