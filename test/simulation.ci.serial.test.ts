import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { check, type Part } from '../bench/simulation/check'
import { OPERATIONS, priceOf, readCosts, sum, type Operation, type Point, type Prices } from '../bench/simulation/costs'
import { blockOf, filled } from '../bench/simulation/document'
import { deployment, type Deployment, type Fleet } from '../bench/simulation/fleet'
import { measurePrices } from '../bench/simulation/measure'
import { simulate, type Scenario } from '../bench/simulation/model'
import { deploy, largest, loss, outcome, steady, storm } from '../bench/simulation/scenarios'
import { tables } from '../bench/simulation/tables'
import { assume } from './support/assume'
import { startRedis } from './support/redis'

/** Each thing costs a microsecond, and each operation another one. */
const simple: Prices = {
  operations: Object.fromEntries(
    Object.keys(OPERATIONS).map(name => [
      name,
      [1, 500].map(n => ({ n, cpu: n + 1, commands: 1, trips: 1, received: 10 * n, sent: 10 }))
    ])
  ) as unknown as Record<Operation, readonly Point[]>,
  memory: { spark: 200, server: 1000, connection: 10_000 },
  wake: 0
}
const one: Deployment = { masters: 1, shards: 1, prices: simple }
const fleet: Fleet = { servers: 100, sparks: 100_000, lifetime: 1000, lookups: 1000, lease: 15 }
const scenarios: readonly Scenario[] = [steady(fleet), deploy(fleet, 1), storm(fleet, 10_000), loss(fleet, 10)]

describe('the simulation', () => {
  for (const scenario of scenarios) {
    it(`loses no spark and makes up none: ${scenario.name}`, () => {
      for (const { sparks } of simulate(scenario, one)) {
        const { registered, waiting, away } = sparks
        assume(registered + waiting + away).within(fleet.sparks - 0.01, fleet.sparks + 0.01)
        for (const count of Object.values(sparks) as number[]) assume(count).is.above(-0.01)
      }
    })
  }

  it('ends with what it began with, and knows when all is right', () => {
    for (const scenario of scenarios) {
      const last = [...simulate(scenario, one)].at(-1)
      assume(last?.sparks.stale).is.below(1)
      assume(outcome(scenario, one).right).is.below(scenario.seconds)
    }
    const { right } = outcome(loss(fleet, 10), one)
    // What is left of the lease, a beat until the sweep, a beat until all have heard of it; and the last clients are
    // back.
    assume(right).within(10, 45)
  })

  it('gives the same for the same seed, and something else for another', () => {
    const play = (seed: number): unknown[] => [...simulate(steady(fleet), one, seed)]
    assume(play(1)).deep.equals(play(1))
    assume(play(1)).does.not.deep.equal(play(2))
  })

  it('asks for twice as much when twice as much happens, and for a share of it on each of several masters', () => {
    const asked = (fleet: Fleet, where: Deployment): number => outcome(steady(fleet), where).mean
    const sparks: Fleet = { ...fleet, servers: 1, lookups: 0, lease: 3e6 }
    const small = asked(sparks, one)
    assume(asked({ ...sparks, sparks: 2 * sparks.sparks, servers: 2 }, one) / small).within(1.95, 2.05)
    assume(asked(sparks, { ...one, masters: 4, shards: 4 }) / small).within(0.23, 0.27)
    assume(asked(sparks, { ...one, masters: 2, shards: 4 }) / small).within(0.46, 0.54)
    const lookups: Fleet = { ...fleet, sparks: 0, servers: 1, lookups: 10_000 }
    assume(asked(lookups, one)).within(0.02, 0.0201)
  })

  it('lets a beat of every server fetch the list after a join or a leave', () => {
    const calm: Fleet = { servers: 100, sparks: 0, lifetime: Infinity, lookups: 0, lease: 15 }
    const commands = (happens: Scenario['happens']): number =>
      [...simulate({ name: '', fleet: calm, seconds: 30, happens }, one)].reduce(
        (sum, { spent }) => sum + spent.commands,
        0
      )
    // Who leaves is a leave and a reap, who is back a join and two censuses; between them two censuses of nearly all.
    const more = commands(second => (second === 5 ? { restart: 1 } : {})) - commands(() => ({}))
    assume(more).within(100, 220)
  })

  it('has a beat repeat what all servers share only with shards, and a server that registers always', () => {
    const calm: Fleet = { servers: 100, sparks: 0, lifetime: Infinity, lookups: 0, lease: 15 }
    const free: Prices = {
      ...simple,
      operations: { ...simple.operations, agree: [{ n: 1, cpu: 0, commands: 0, trips: 0, received: 0, sent: 0 }] }
    }
    /** Commands that repeat a value, in 30 seconds; 20 servers beat in each. */
    const repeated = (shards: number, happens: Scenario['happens'] = () => ({})): number => {
      const commands = (prices: Prices): number =>
        [...simulate({ name: '', fleet: calm, seconds: 30, happens }, { masters: shards, shards, prices })].reduce(
          (sum, { spent }) => sum + spent.commands,
          0
        )
      return commands(simple) - commands(free)
    }
    const restart: Scenario['happens'] = second => (second === 5 ? { restart: 10 } : {})
    assume(repeated(1)).equals(0)
    assume(repeated(1, restart)).equals(10)
    assume(repeated(4)).within(400, 800)
  })

  it('has commits gather when one core is not enough, and catches up', () => {
    const many: Fleet = { ...fleet, lookups: 0, lifetime: Infinity }
    const cut = storm(many, 20_000)
    const seconds = [...simulate(cut, one)]
    const [worst] = seconds.filter(({ batch }) => batch > 1)
    assume(worst?.batch).is.above(100)
    const busy: Fleet = { servers: 100, sparks: 1_000_000, lifetime: 1.5, lookups: 0, lease: 3e6 }
    for (const { batch, used, behind } of [...simulate(steady(busy), one)].slice(1, 5)) {
      assume(batch).is.above(1)
      assume(used).is.below(1.0001)
      assume(behind).is.above(0)
    }
  })

  it('reads prices off a straight line between what was measured', () => {
    assume(priceOf(simple, 'census', 250).cpu).within(250.99, 251.01)
    assume(priceOf(simple, 'census', 1000).cpu).within(1000.99, 1001.01)
    const single: Prices = {
      ...simple,
      operations: { ...simple.operations, reap: [{ n: 2, cpu: 6, commands: 1, trips: 1, received: 0, sent: 0 }] }
    }
    assume(priceOf(single, 'reap', 10).cpu).equals(30)
    assume(sum([2, single.operations.reap[0] as Point]).cpu).equals(12)
    assume(largest(size => size <= 1234)).within(1220, 1235)
  })

  it('is fed with what a real Redis used, and foresees a real run within a factor of four', async function () {
    this.timeout(120_000)
    const redis = await startRedis()
    const one = await measurePrices({ nodes: [redis], redis: redis.client(), shards: 1 }, 0.02)
    for (const [name, points] of Object.entries(one.operations)) {
      for (const point of points) for (const figure of Object.values(point)) assume(figure).is.above(0, name)
    }
    const [census] = one.operations.census
    assume([census?.n, census?.commands, census?.trips]).eql([100, 103, 2])
    assume(one.memory.spark).within(100, 500)

    const parts = await check(
      { prices: { one, cluster4: one, cluster16: one } },
      { servers: 12, each: 200, lost: 2, lease: 1.5, seconds: 6, churn: 100, lookups: 200 }
    )
    assume(parts.map(({ part }) => part)).deep.equals([
      'all sparks come at once',
      '2 servers are killed',
      'sparks come and go'
    ])
    const [, , { measured, predicted }] = parts as [Part, Part, Part]
    // Neighbours make the processor slower or quicker between the two; bytes they cannot change.
    assume(predicted.cpu / measured.cpu).within(0.25, 4)
    assume(predicted.received / measured.received).within(0.5, 2)
  })
})

describe('docs/scaling.md', () => {
  const text = readFileSync(join(__dirname, '..', '..', 'docs', 'scaling.md'), 'utf8')

  it('has the tables that follow from the costs as they were measured', () => {
    // The others take the simulation minutes of play.
    for (const [name, table] of tables(readCosts(), ['about', 'costs', 'fits', 'steady']))
      assume(blockOf(text, name)).equals(table)
  })

  it('has a block for each generated part', () => {
    const blocks = new Map([
      ['check', 'nothing'],
      ['events', 'at all']
    ])
    assume(blockOf(filled(text, blocks), 'events')).equals('at all')
    assume(() => filled('', blocks)).throws("no block 'check'")
  })

  it('goes by a deployment for which prices were measured', () => {
    const costs = readCosts()
    assume(deployment(costs, 1, 1).prices).equals(costs.prices.one)
    assume(deployment(costs, 6, 6).prices).equals(costs.prices.cluster4)
    assume(deployment(costs, 64, 64).prices).equals(costs.prices.cluster16)
  })
})
