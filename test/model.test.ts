import { Redis } from 'ioredis'
import type { Metroplex, MetroplexOptions } from '../index'
import { steps } from './model/commands'
import { perform, series } from './model/series'
import { openStage, type Stage } from './model/stage'
import { LEASE } from './model/times'
import { assume } from './support/assume'
import { using } from './support/dispose'
import { member } from './support/member'
import { watchCommands } from './support/monitor'
import { namespace } from './support/namespace'
import { startProxy } from './support/proxy'
import { eventually } from './support/wait'

/** How long the short form goes on beginning runs, in ms; `npm run test:model` is the long one. */
const LONG_ENOUGH = 15_000

describe('the registry, in random sequences of events', () => {
  it('agrees with reality, and no live server is reported to have left', async function () {
    this.timeout(300_000)
    const seed = Date.now() % 1_000_000_000
    const together = 4
    const { runs, failures } = await series({ seed, runs: 10_000, within: LONG_ENOUGH, together })
    assume(failures.join('\n')).equals('')
    assume(runs).is.atleast(together)
  })

  describe('in sequences that once went wrong', () => {
    let stage: Stage
    beforeEach(async () => {
      stage = await openStage()
      using(() => stage.close())
    })

    /** A server, before it has joined; its user's client is never opened. */
    const joining = (port: number, space: string, address: string, options: MetroplexOptions = {}): Metroplex =>
      member(new Redis(port, { lazyConnect: true }), space, address, options)

    /** What is read of who is there: first those who have changed, and all where that is no longer known. */
    const readings = [
      { of: 'the log', verb: 'lrange', key: 'changes' },
      { of: 'the list', verb: 'smembers', key: 'lives' }
    ] as const
    type Reading = (typeof readings)[number]

    /** What a server tells of those who left, and of 1.x, when this happens between its two questions who is there. */
    const toldWhile = async (reading: Reading, happens: (space: string) => Promise<unknown>): Promise<unknown[]> => {
      const { redis } = stage
      const space = namespace()
      const proxy = await startProxy({ port: redis.port })
      const [one, two] = [joining(proxy.port, space, 'http://one:1'), joining(redis.port, space, 'http://two:1')]
      await Promise.all([one.ready(), two.ready()])
      await eventually(async () => (await one.servers()).length === 1)
      const told: unknown[][] = []
      for (const event of ['join', 'leave'] as const) one.on(event, (...args: unknown[]) => told.push([event, ...args]))
      await joining(redis.port, space, 'http://three:1').ready()
      if (reading.key === 'lives') await stage.client.del(`${space}:changes`)
      // Each question takes long enough to come between.
      proxy.delay(100)
      let happened: Promise<unknown> | undefined
      await watchCommands(redis, ([name, key]) => {
        if (name?.toLowerCase() === reading.verb && key === `${space}:${reading.key}`) happened ??= happens(space)
      })
      await one.servers()
      assume(happened).exists()
      await happened
      // A beat may have read of the third one before.
      return told.filter(args => args[0] === 'leave' || args[2] === '')
    }

    it('a server never reports itself, though the answer to its registration was lost', async () => {
      const { redis } = stage
      const space = namespace()
      const address = 'http://one:1'
      const proxy = await startProxy({ port: redis.port })
      proxy.delay(50)
      const one = joining(proxy.port, space, address)
      const told: unknown[] = []
      one.on('join', (...args) => told.push(args))
      one.on('leave', (...args) => told.push(args))
      await eventually(() => stage.client.exists(`${space}:${address}:life`), { every: 1 })
      proxy.cut()
      proxy.delay(0)
      assume(one.address).equals('')
      await eventually(() =>
        one.servers().then(
          () => true,
          () => false
        )
      )
      assume(await one.ready()).equals(address)
      assume(told).eql([])
    })

    for (const reading of readings) {
      it(`no server leaves or counts as 1.x when Redis is flushed while ${reading.of} is read`, async () => {
        assume(await toldWhile(reading, () => stage.client.flushall())).eql([])
      })

      it(`no server that is found dead while ${reading.of} is read counts as 1.x`, async () => {
        assume(
          await toldWhile(reading, space =>
            stage.client
              .multi()
              .srem(`${space}:servers`, 'http://three:1')
              .hset(`${space}:http://three:1:life`, 'state', 'dead')
              .incr(`${space}:members`)
              .exec()
          )
        ).eql([])
      })
    }

    it('what a former life left behind is cleaned up, though the connection broke meanwhile', async () => {
      const { redis, client } = stage
      const [space, address] = [namespace(), 'http://one:1']
      const [own, aside] = [`${space}:${address}:sparks`, `${space}:${address}:sparks:former`]
      const ids = Array.from({ length: 10_000 }, (_, i) => `s${i}`)
      await client.hset(`${space}:${address}:life`, { id: 'former', state: 'up', seq: 1, stamp: 1 })
      await client.sadd(own, ...ids)
      await client.hset(`${space}:sparks`, ...ids.flatMap(id => [id, address]))
      const proxy = await startProxy({ port: redis.port })
      // Twenty slices take so long that they can be interrupted.
      proxy.delay(10)
      const one = joining(proxy.port, space, address, { metroplex: { lease: LEASE } })
      await eventually(async () => (await client.hlen(`${space}:sparks`)) < ids.length, { every: 1 })
      assume(await client.exists(aside)).equals(1)
      proxy.cut()
      proxy.delay(0)
      await eventually(async () => (await client.exists(`${space}:sparks`, aside)) === 0)
      assume(await one.spark('s1')).equals(null)
    })

    it('a server learns that a spark of its has moved, though the answer that names it was lost', async () => {
      await perform(stage, [
        steps.wait(LEASE),
        steps.connect(1, 'p'),
        steps.wait(LEASE),
        steps.loseReply(0, true),
        steps.connect(0, 'p')
      ])
    })

    it('a server that was given up after a flush comes back as another life', async () => {
      await perform(stage, [steps.wait(LEASE), steps.freeze(0), steps.flush(), steps.wait(5 * LEASE)])
    })

    it('user and groups of an id end with its last entered spark, though another one is not entered yet', async () => {
      await perform(stage, [
        steps.connect(1, 's'),
        steps.connectUnheard(1, 's'),
        steps.identify(1, 0, 'bob'),
        steps.change(1, 0, 'g', true),
        steps.disconnect(1, 0)
      ])
    })

    it('user and groups of an id stay while one of several sparks that have been entered is connected', async () => {
      await perform(stage, [
        steps.connect(1, 's'),
        steps.connectUnheard(1, 's'),
        steps.identify(1, 0, 'bob'),
        steps.change(1, 0, 'g', true),
        steps.wait(5 * LEASE),
        steps.disconnect(1, 0)
      ])
    })
  })
})
